"""The request view and the client's address from any input: a value or the declared refusal, nothing else."""

import ipaddress

import pytest
from haetae_edge.address import AddressReader, canonical_ip
from haetae_edge.errors import Refusal
from haetae_edge.headers import FORWARDED, HOP_BY_HOP, IDENTITY, connection_options, forwardable, is_safe_value
from haetae_edge.request import METHODS, RawRequest, Request, normalise
from hypothesis import given
from hypothesis import strategies as st

_TRUSTING = AddressReader([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")])
_DECLARED = {"headers-too-large", "request-malformed", "request-ambiguous", "method-not-supported", "uri-too-long"}
_NAMES = st.one_of(
    st.sampled_from(
        b"Host host Content-Length Transfer-Encoding Connection X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto "
        b"x_forwarded-for x.forwarded.for x-user_id Proxy Authorization X-Passport X_Passport TE X".split()
    ),
    st.binary(min_size=1, max_size=12),
)
_VALUES = st.one_of(
    st.sampled_from(
        [
            b"api.test",
            b"4",
            b"chunked",
            b"close",
            b"authorization, te",
            b"10.0.0.1",
            b"203.0.113.9",
            b"x, 10.0.0.1",
            b"https",
        ]
    ),
    st.binary(max_size=40),
)
_FIELDS = st.lists(st.tuples(_NAMES, _VALUES), max_size=8)
_RAW = st.builds(
    RawRequest,
    method=st.one_of(st.sampled_from(sorted(METHODS)), st.text(max_size=8)),
    target=st.one_of(st.sampled_from(["/", "/a?x", "http://other.test/a", "*", "//"]), st.text(max_size=40)),
    version=st.sampled_from([(1, 1), (1, 0), (0, 9), (2, 0)]),
    fields=st.builds(lambda host, rest: [*host, *rest], st.sampled_from([[], [(b"Host", b"api.test")]]), _FIELDS),
    chunked=st.booleans(),
    max_header_bytes=st.sampled_from([0, 40, 10_000]),
)
_PEERS = st.sampled_from(["127.0.0.1", "10.1.1.1", "::ffff:10.1.1.1", "::1", "fd00::1", "203.0.113.1"])


def _normalise(raw: RawRequest, peer: str) -> Request | None:
    try:
        return normalise(raw, scheme="http", peer=peer, addresses=_TRUSTING, received=0.0)
    except Refusal as refusal:
        if refusal.problem not in _DECLARED:
            raise
        return None


@given(_RAW, _PEERS)
def test_any_message_is_one_view_or_a_refusal(raw: RawRequest, peer: str) -> None:
    view = _normalise(raw, peer)
    if view is None:
        return
    assert view.method in METHODS
    assert all(value.isascii() and name == name.lower() for name, value in view.fields)
    assert sum(len(name) + len(value) for name, value in view.fields) <= raw.max_header_bytes
    assert sum(len(values) for values in view.values.values()) == len(view.fields) == len(raw.fields)
    assert view.has_body == (raw.chunked or bool(view.content_length))
    assert not (raw.chunked and view.content_length is not None)
    assert view.scheme in ("http", "https")


@given(_RAW, _PEERS)
def test_connection_names_no_field_of_a_view_but_hop_by_hop_ones(raw: RawRequest, peer: str) -> None:
    view = _normalise(raw, peer)
    if view is not None:
        assert view.options & set(view.values) <= HOP_BY_HOP


@given(_RAW, _PEERS)
def test_reading_a_view_again_gives_the_same_view(raw: RawRequest, peer: str) -> None:
    view = _normalise(raw, peer)
    if view is not None:
        query = "" if view.target.query is None else f"?{view.target.query}"
        again = raw._replace(target=view.target.raw_path + query, fields=view.fields)
        if raw.target.startswith("/"):
            assert _normalise(again, peer) == view


@given(_FIELDS)
def test_nothing_a_gateway_states_and_no_hop_by_hop_field_is_ever_forwardable(
    fields: list[tuple[bytes, bytes]],
) -> None:
    lowered = [(name.lower(), value) for name, value in fields]
    kept = forwardable(lowered)
    for name, _ in kept:
        assert name.replace(b"_", b"-").replace(b".", b"-") not in HOP_BY_HOP | FORWARDED | IDENTITY | {
            b"host",
            b"content-length",
        }
    assert [pair for pair in lowered if pair in kept] == kept
    assert forwardable(kept) == kept


@pytest.mark.parametrize("mark", [bytes((mark,)) for mark in b"!#$%&'*+.^_`|~-"])
@pytest.mark.parametrize("name", sorted(IDENTITY | FORWARDED))
def test_word_about_who_is_calling_is_not_passed_on_whichever_mark_joins_its_parts(name: bytes, mark: bytes) -> None:
    assert forwardable([(name.replace(b"-", mark), b"admin")]) == []


@pytest.mark.parametrize(
    "name",
    [
        b"remote_groups",
        b"x-amzn-mtls-clientcert-leaf",
        b"x-authentik-username",
        b"x-consumer-username",
        b"x-forwarded-tls-client-cert",
        b"x-pomerium-jwt-assertion",
        b"ssl.client.verify",
    ],
)
def test_words_of_other_proxies_about_who_is_calling_are_not_passed_on(name: bytes) -> None:
    assert forwardable([(name, b"admin"), (b"x-app", b"1")]) == [(b"x-app", b"1")]


@given(st.binary(max_size=60))
def test_connection_options_are_lower_case_and_never_empty(value: bytes) -> None:
    for option in connection_options([value]):
        assert option == option.strip(b" \t").lower() != b""
        assert b"," not in option


@given(st.binary(max_size=40))
def test_safe_value_is_printable_ascii_and_tab(value: bytes) -> None:
    assert is_safe_value(value) == all(byte == 9 or 32 <= byte <= 126 for byte in value)


@given(st.lists(st.binary(max_size=60), max_size=4), _PEERS)
def test_any_forwarded_for_gives_an_address_and_an_untrusted_peer_is_itself(lines: list[bytes], peer: str) -> None:
    found = _TRUSTING.read(peer, {b"x-forwarded-for": lines})
    assert found.text == str(found.ip) == str(canonical_ip(found.text))
    if not found.trusted_peer:
        assert found == _TRUSTING.read(peer)
        assert found.text == str(canonical_ip(peer))


@given(st.lists(st.ip_addresses(), min_size=1, max_size=50))
def test_client_is_the_first_untrusted_address_from_the_right(hops: list[ipaddress.IPv4Address]) -> None:
    line = ", ".join(map(str, hops)).encode()
    found = _TRUSTING.read("10.1.1.1", {b"x-forwarded-for": [line]})
    outside = [canonical_ip(str(hop)) for hop in hops[-32:]]
    trusted = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
    strangers = [ip for ip in outside if not any(ip.version == net.version and ip in net for net in trusted)]
    if strangers:
        assert found.ip == strangers[-1]


def test_mapped_peer_is_the_same_client_as_the_plain_one_and_as_trusted() -> None:
    assert _TRUSTING.read("::ffff:203.0.113.1") == _TRUSTING.read("203.0.113.1")
    assert _TRUSTING.read("::ffff:10.0.0.1").trusted_peer


@pytest.mark.parametrize("peer", ["", "unix", "fe80::1%eth0", "010.0.0.1"])
def test_peer_that_is_no_address_is_an_error_not_a_default(peer: str) -> None:
    with pytest.raises(ValueError):
        _TRUSTING.read(peer)


def test_network_of_mapped_addresses_trusts_nobody_else() -> None:
    reader = AddressReader([ipaddress.ip_network("::/0")])
    assert not reader.read("203.0.113.1").trusted_peer
    assert reader.read("2001:db8::1").trusted_peer
