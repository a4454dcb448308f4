"""Networks and path patterns of a policy: one spelling each, and the same answer as the standard library's."""

import contextlib
import ipaddress
from typing import Any

import pytest
from haetae_policy.errors import AddressInvalid, PathPatternInvalid
from haetae_policy.network import Network, address_key, address_text, packed_address_key, parse_network
from haetae_policy.paths import compile_path
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.policy.naive_matcher import path_fits
from tests.policy.policy_strategies import PATHS, PATTERNS


@given(st.ip_addresses())
def test_address_has_the_same_key_from_text_and_bytes_and_comes_back(address: Any) -> None:
    key = address_key(str(address))
    assert packed_address_key(address.packed) == key
    mapped = getattr(address, "ipv4_mapped", None)
    assert address_text(key) == str(mapped or address)


def test_mapped_address_is_the_ipv4_address() -> None:
    assert address_key("::ffff:203.0.113.7") == address_key("::FFFF:CB00:7107") == address_key("203.0.113.7")
    assert parse_network("::ffff:203.0.113.0/120") == parse_network("203.0.113.0/24")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.2.3",
        "01.2.3.4",
        "1.2.3.256",
        "1.2.3.4 ",
        " 1.2.3.4",
        "0x1.2.3.4",
        "1.2.3.4.5",
        "fe80::1%eth0",
        "::1%",
        "[::1]",
        "1.2.3.4:80",
        "\u0661.2.3.4",
        "::g",
        "1" * 99,
        ":" * 70,
        "2130706433",
        "1.2.3.+4",
    ],
)
def test_ambiguous_address_is_refused(text: str) -> None:
    with pytest.raises(AddressInvalid):
        address_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "1.2.3.4/33",
        "1.2.3.4/",
        "1.2.3.0/255.255.255.0",
        "1.2.3.0/024",
        "1.2.3.0/+24",
        "1.2.3.4/24",
        "::/129",
        "2001:db8::1/32",
        "::ffff:0:0/90",
        "1.2.3.0/24/24",
        "fe80::%1/64",
    ],
)
def test_ambiguous_network_is_refused(text: str) -> None:
    with pytest.raises(AddressInvalid):
        parse_network(text)


@given(st.text(max_size=50))
def test_any_text_is_a_network_or_a_declared_error(text: str) -> None:
    with contextlib.suppress(AddressInvalid):
        parse_network(text)


def any_network() -> st.SearchStrategy[Any]:
    return st.ip_addresses().flatmap(
        lambda address: st.integers(0, address.max_prefixlen).map(
            lambda prefix: ipaddress.ip_network((address, prefix), strict=False)
        )
    )


@given(one=any_network(), other=any_network())
def test_networks_overlap_contain_and_print_like_the_standard_library(one: Any, other: Any) -> None:
    assume(not any(net.version == 6 and net.overlaps(ipaddress.ip_network("::ffff:0:0/96")) for net in (one, other)))
    mine, theirs = parse_network(str(one)), parse_network(str(other))
    assert (mine.version, mine.prefix) == (one.version, one.prefixlen)
    assert parse_network(str(mine)) == mine
    assert mine.overlaps(theirs) == theirs.overlaps(mine) == (one.version == other.version and one.overlaps(other))
    inside = address_key(str(other.network_address))
    assert (inside in mine) == (one.version == other.version and other.network_address in one)
    assert isinstance(mine, Network)


@given(pattern=st.sampled_from(PATTERNS), path=st.sampled_from(PATHS))
def test_path_patterns_match_like_their_regular_expression(pattern: str, path: str) -> None:
    assert compile_path(pattern).matches(path) == path_fits(pattern, path)


segments = st.lists(st.text("ab", min_size=0, max_size=4), max_size=4)


@given(
    pattern=st.lists(st.text("ab*", min_size=1, max_size=5).filter(lambda s: "**" not in s), min_size=1, max_size=4),
    rest=st.booleans(),
    path=segments,
)
def test_stars_match_like_their_regular_expression(pattern: list[str], rest: bool, path: list[str]) -> None:
    assume(all(path[:-1]))
    text = "/" + "/".join(pattern) + ("/**" if rest else "")
    given_path = "/" + "/".join(path)
    assert compile_path(text).matches(given_path) == path_fits(text, given_path)


@pytest.mark.parametrize(
    ("pattern", "fits", "not_"),
    [
        ("/a/**", ("/a", "/a/", "/a/b", "/a/b/c"), ("/ab", "/", "/b/a")),
        ("/a/{id}", ("/a/1", "/a/1/"), ("/a", "/a/", "/a/1/2")),
        ("/a/*", ("/a/1", "/a/"), ("/a", "/a/1/2")),
        ("/a/{*rest}", ("/a", "/a/1/2"), ("/b",)),
        ("/a/b/", ("/a/b", "/a/b/"), ("/a",)),
        ("/**", ("/", "/x", "/x/y"), ()),
        ("/v*/u*r", ("/v1/user", "/v/ur"), ("/v1/u", "/x1/user")),
        ("/a%2Fb", ("/a%2Fb",), ("/a/b",)),
    ],
)
def test_path_pattern_by_example(pattern: str, fits: tuple[str, ...], not_: tuple[str, ...]) -> None:
    matcher = compile_path(pattern)
    assert all(matcher.matches(path) for path in fits)
    assert not any(matcher.matches(path) for path in not_)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a",
        "/a//b",
        "/a/../b",
        "/./a",
        "/a/**/b",
        "/a**",
        "/{a",
        "/{a}b",
        "/{a:[0-9]+}",
        "/{a}/{a}",
        "/{1}",
        "/a?",
        "/a#b",
        "/a b",
        "/é",
        "/%41",
        "/%2f",
        "/%",
        "/\x00",
        "/" + "a" * 600,
        "/a" * 40,
    ],
)
def test_path_pattern_that_could_never_bite_or_is_not_supported_is_refused(pattern: str) -> None:
    with pytest.raises(PathPatternInvalid):
        compile_path(pattern)


@given(st.text("/*{}a%.:2F?é", max_size=12))
def test_any_text_is_a_path_pattern_or_a_declared_error(text: str) -> None:
    with contextlib.suppress(PathPatternInvalid):
        compile_path(text).matches("/a/a")
