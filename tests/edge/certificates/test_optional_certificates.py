"""`required: false`: the certificate is read for whoever asks, and nobody is refused for having none."""

import pytest
from haetae_edge.address import AddressReader
from haetae_edge.certificate_callers import CallerRule
from haetae_edge.certificates import CertificateReader
from haetae_edge.config.values import ArgumentError
from haetae_edge.errors import EdgeError, Refusal
from haetae_edge.exchange import Exchange
from haetae_edge.filter import BuildContext, Phase
from haetae_edge.filters.mtls_identity import MtlsIdentity
from haetae_edge.request import RawRequest, normalise
from haetae_edge.services import Services

from tests.edge.certificates.authority import DAY, NOW, Authority, uri
from tests.edge.gateway_files import exchange

LEAF = Authority().issue(uri("spiffe://td/a"))
RULE = CallerRule(san="spiffe://td/a", paths=("/a/**",))


def run(filter_: MtlsIdentity, on: Exchange, *, until: Phase = Phase.AUTHORIZE, days: int = 0) -> Exchange:
    services = Services(clock=(NOW + days * DAY).timestamp, random_bytes=bytes, certificates=CertificateReader("tls"))
    steps = filter_.build(BuildContext(gateway="g", route_id="r", upstream="u", services=services))
    for phase, step in steps.request:
        if phase <= until:
            assert step(on) is None
    return on


def presenting(der: bytes | None, target: str = "/a/b") -> Exchange:
    on = exchange(target)
    on.unverified_peer_certificate = der
    return on


def test_certificate_is_there_before_anything_authenticates() -> None:
    on = run(MtlsIdentity(required=False), presenting(LEAF.der), until=Phase.EARLY_BLOCK)
    assert on.caller.certificate is not None
    assert on.caller.certificate.uris == ("spiffe://td/a",)
    assert (on.caller.service, on.caller.auth) == (None, ())


def test_nobody_is_refused_for_having_none_and_a_listed_caller_is_known() -> None:
    optional = MtlsIdentity(required=False, callers=(RULE,))
    assert run(optional, presenting(None)).caller.service is None
    assert run(optional, presenting(LEAF.der)).caller.service == "spiffe://td/a"


def test_what_is_opened_with_a_certificate_is_good_until_its_end_or_an_earlier_one_of_the_token() -> None:
    on = run(MtlsIdentity(callers=(RULE,)), presenting(LEAF.der))
    assert on.caller.good_until == (NOW + 60 * DAY).timestamp()
    on.caller.ends_with((NOW + DAY).timestamp())
    on.caller.ends_with((NOW + 2 * DAY).timestamp())
    assert on.caller.good_until == (NOW + DAY).timestamp()


def test_expired_certificate_is_refused_even_where_none_is_needed() -> None:
    with pytest.raises(Refusal) as failed:
        run(MtlsIdentity(required=False), presenting(LEAF.der), days=61)
    assert (failed.value.problem, failed.value.reason) == ("certificate-invalid", "certificate-expired")


def test_known_caller_is_known_to_policies_before_its_call_is_refused() -> None:
    on = presenting(LEAF.der, "/b")
    run(MtlsIdentity(callers=(RULE,)), on, until=Phase.LATE_BLOCK)
    assert (on.caller.service, on.caller.client, on.caller.auth) == ("spiffe://td/a", "spiffe://td/a", ("certificate",))
    with pytest.raises(Refusal, match="caller-not-permitted"):
        run(MtlsIdentity(callers=(RULE,)), presenting(LEAF.der, "/b"))


@pytest.mark.parametrize(
    ("method", "host", "target", "permitted"),
    [
        ("GET", "api.test", "/a/b", True),
        ("GET", "API.TEST", "/a/b", True),
        ("GET", "eu.api.test", "/a", True),
        ("GET", "api.test:8443", "/a/b", False),
        ("GET", "api.test.evil.test", "/a/b", False),
        ("GET", "other.test", "/a/b", False),
        ("POST", "api.test", "/a/b", False),
        ("GET", "api.test", "/ab", False),
        ("GET", "api.test", "/b/a", False),
    ],
)
def test_entry_permits_its_hosts_paths_and_methods_only_all_at_once(
    method: str, host: str, target: str, permitted: bool
) -> None:
    rule = CallerRule(san="spiffe://td/a", hosts=("api.test", "*.api.test"), paths=("/a/**",), methods=("GET",))
    raw = RawRequest(method, target, (1, 1), [(b"Host", host.encode())], chunked=False)
    request = normalise(raw, scheme="https", peer="192.0.2.1", addresses=AddressReader([]), received=0.0)
    assert rule.permits(request) is permitted


def test_route_that_could_never_see_a_certificate_does_not_start() -> None:
    with pytest.raises(EdgeError, match="client-certificates"):
        run(MtlsIdentity(callers=(RULE,), source="xfcc"), presenting(None))
    with pytest.raises(ArgumentError):
        MtlsIdentity()
