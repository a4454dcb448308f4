"""Whose an address is: the most specific network wins; a broken table is refused with its line."""

from ipaddress import ip_address, ip_network

import pytest
from haetae_edge.networks import NetworksInvalid, NetworkTable
from hypothesis import given
from hypothesis import strategies as st

LINES = ["# ours", "", "10.0.0.0/8,,,internal", "203.0.113.0/24,64500,KR,mobile", "203.0.113.128/25,64501,,hosting"]


def test_the_most_specific_network_wins() -> None:
    table = NetworkTable([*LINES, "2001:db8::/32,64502,US,"])
    found = [table.find(ip_address(text)) for text in ("203.0.113.1", "203.0.113.200", "2001:db8::1", "198.51.100.1")]
    assert [(f.asn, f.country, f.kind) if f else None for f in found] == [
        (64500, "KR", "mobile"),
        (64501, None, "hosting"),
        (64502, "US", None),
        None,
    ]


@pytest.mark.parametrize(
    "line", ["10.0.0.0/8", "10.0.0.1/8,,,", "x,,,", "10.0.0.0/8,a,,", "10.0.0.0/8,,kr,", "10.0.0.0/8,,,home"]
)
def test_a_broken_line_is_named(line: str) -> None:
    with pytest.raises(NetworksInvalid, match="line 6"):
        NetworkTable([*LINES, line])


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=20), st.integers(0, 2**32 - 1))
def test_look_up_equals_the_longest_prefix_by_definition(networks: list[tuple[int, int]], address: int) -> None:
    given_networks = {ip_network((value, length), strict=False): n for n, (value, length) in enumerate(networks)}
    table = NetworkTable([f"{network},{n},," for network, n in given_networks.items()])
    holding = [network for network in given_networks if ip_address(address) in network]
    found = table.find(ip_address(address))
    if not holding:
        assert found is None
    else:
        assert found is not None
        assert found.asn == given_networks[max(holding, key=lambda network: network.prefixlen)]
