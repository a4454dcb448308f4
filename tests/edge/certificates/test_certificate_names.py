"""Names of certificates: which are identities, who they match, whom to believe."""

import contextlib
from ipaddress import ip_network

import pytest
from cryptography import x509
from haetae_edge.certificate_callers import CallerRule
from haetae_edge.certificates import CertificateReader, CertificateUnusable, Source, read_certificate
from haetae_edge.config.values import ArgumentError
from haetae_edge.exchange import ClientCertificate
from haetae_edge.expiry import ExpiryWatch
from haetae_edge.xfcc import XfccInvalid
from hypothesis import given
from hypothesis import strategies as st

from tests.edge.certificates.authority import DAY, NOW, Authority, dns, email, uri

CA = Authority()
LEAF = CA.issue(uri("spiffe://td/ns/app"))
PEERS = (ip_network("10.0.0.1/32"),)
AT = NOW.timestamp()


def names(*sans: x509.GeneralName) -> ClientCertificate:
    return read_certificate(CA.issue(*sans, common_name="spiffe://td/admin").der).at(AT)


def found(san: str, certificate: ClientCertificate) -> str | None:
    return CallerRule(san=san).find(certificate)


def test_names_are_those_of_the_extension_in_their_order() -> None:
    read = names(uri("spiffe://td/b"), dns("API.Partner.example"), uri("spiffe://td/a"), email("Robot@Partner.EXAMPLE"))
    assert (read.uris, read.dns, read.emails) == (
        ("spiffe://td/b", "spiffe://td/a"),
        ("api.partner.example",),
        ("Robot@partner.example",),
    )


def test_certificate_without_the_extension_has_no_name_whatever_its_subject_says() -> None:
    read = names()
    assert (read.uris, read.dns, read.emails) == ((), (), ())


@pytest.mark.parametrize(
    "name",
    [
        dns("low.test;URI=spiffe://td/admin"),
        dns("low.test,By=x"),
        dns('low.test"'),
        dns("a\x00.test"),
        dns("a\n.test"),
        dns("*.partner.example"),
        dns("a..b"),
        dns(""),
        uri("spiffe://td/a,URI=spiffe://td/admin"),
        uri("spiffe://td/a;DNS=x"),
        uri("spiffe://td/%61dmin"),
        uri("spiffe://td/a/../admin"),
        uri("spiffe://td/a\x00"),
        uri("SPIFFE://td/admin"),
        uri("spiffe://TD/admin"),
        uri("spiffe://td/"),
        email("a;b@c.test"),
    ],
)
def test_name_that_could_be_taken_for_another_is_no_identity_and_spoils_no_other(name: x509.GeneralName) -> None:
    read = names(name, uri("spiffe://td/ok"))
    assert (read.uris, read.dns, read.emails) == (("spiffe://td/ok",), (), ())


def test_many_names_are_read_and_too_many_refused() -> None:
    assert len(names(*(dns(f"n{at}.test") for at in range(600))).dns) == 600
    with pytest.raises(CertificateUnusable, match="names"):
        names(*(dns(f"n{at}.test") for at in range(1025)))


# The library says that it will refuse such certificates itself one day.
negative_serials = pytest.mark.filterwarnings("ignore:Parsed a serial number")


@negative_serials
def test_certificate_whose_serial_number_is_negative_is_refused() -> None:
    version_and_serial = b"\xa0\x03\x02\x01\x02\x02"
    first = LEAF.der.index(version_and_serial) + len(version_and_serial) + 1
    with pytest.raises(CertificateUnusable, match="serial"):
        read_certificate(_changed(first, 0x80))


@negative_serials
@given(st.binary(max_size=200) | st.tuples(st.integers(0, 300), st.integers(0, 255)).map(lambda at: _changed(*at)))
def test_any_bytes_are_a_certificate_or_the_declared_error(der: bytes) -> None:
    with contextlib.suppress(CertificateUnusable):
        assert read_certificate(der).unverified_certificate.thumbprint


def _changed(at: int, value: int) -> bytes:
    der = bytearray(LEAF.der)
    der[at] = value
    return bytes(der)


@pytest.mark.parametrize(
    ("san", "name", "fits"),
    [
        ("spiffe://td/ns/app", uri("spiffe://td/ns/app"), True),
        ("spiffe://td/ns/app", uri("spiffe://td/ns/app2"), False),
        ("spiffe://td/ns/app", uri("spiffe://td/ns/App"), False),
        ("spiffe://td/ns/*", uri("spiffe://td/ns/app"), True),
        ("spiffe://td/ns/*", uri("spiffe://td/ns/app/x"), False),
        ("spiffe://td/ns/*", uri("spiffe://td/ns"), False),
        ("spiffe://td/ns/*", uri("spiffe://td/nsx/app"), False),
        ("spiffe://td/ns/**", uri("spiffe://td/ns/app/x"), True),
        ("spiffe://td/ns/**", uri("spiffe://other/ns/app/x"), False),
        ("dns:api.partner.example", dns("API.partner.example"), True),
        ("dns:api.partner.example", uri("dns:api.partner.example"), False),
        ("dns:*.partner.example", dns("api.partner.example"), True),
        ("dns:*.partner.example", dns("a.b.partner.example"), False),
        ("dns:*.partner.example", dns("partner.example"), False),
        ("dns:*.partner.example", dns("apixpartner.example"), False),
        ("email:robot@partner.example", email("robot@PARTNER.example"), True),
        ("email:robot@partner.example", email("Robot@partner.example"), False),
    ],
)
def test_names_match_exactly_unless_a_wildcard_is_written(san: str, name: x509.GeneralName, fits: bool) -> None:
    assert (found(san, names(name)) is not None) is fits


@pytest.mark.parametrize(
    "san",
    ["", "*", "**", "td", "dns:", "dns:*", "dns:*.example", "dns:a.*.example", "spiffe://*/x", "spiffe://td/*/x",
     "https://a/*", "email:robot", "spiffe://td/a b", "spiffe://**"],
)  # fmt: skip
def test_names_that_nobody_has_or_everybody_are_refused_in_a_configuration(san: str) -> None:
    with pytest.raises(ArgumentError):
        CallerRule(san=san)


def reader(source: Source = "any", by: str | None = None) -> CertificateReader:
    return CertificateReader(source, peers=PEERS, by=by)


def test_header_counts_from_a_trusted_peer_only() -> None:
    seen = {
        peer: reader().find(source="any", peer=peer, tls_der=None, lines=[LEAF.xfcc()], now=AT)
        for peer in ("10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2", "", "unix:")
    }
    assert [peer for peer, certificate in seen.items() if certificate is not None] == ["10.0.0.1", "::ffff:10.0.0.1"]


def test_proxys_own_certificate_is_never_the_callers() -> None:
    find = reader().find
    assert find(source="any", peer="10.0.0.1", tls_der=LEAF.der, lines=[], now=AT) is None
    other = CA.issue(uri("spiffe://td/other"))
    seen = find(source="any", peer="10.0.0.1", tls_der=LEAF.der, lines=[other.xfcc()], now=AT)
    assert seen is not None
    assert seen.uris == ("spiffe://td/other",)


@pytest.mark.parametrize(
    ("gateway", "route", "gives"),
    [("none", "any", 0), ("tls", "any", 0), ("xfcc", "any", 1), ("any", "tls", 0), ("any", "xfcc", 1)],
)
def test_route_and_gateway_must_both_take_the_header(gateway: Source, route: Source, gives: int) -> None:
    seen = reader(gateway).find(source=route, peer="10.0.0.1", tls_der=None, lines=[LEAF.xfcc()], now=AT)
    assert (seen is not None) is bool(gives)


def test_proxy_of_another_name_is_refused_however_often_it_asks() -> None:
    strict = reader(by="spiffe://td/front")
    for _ in range(2):
        with pytest.raises(XfccInvalid, match="by"):
            strict.find(source="any", peer="10.0.0.1", tls_der=None, lines=[LEAF.xfcc()], now=AT)
    named = reader(by="spiffe://td/edge")
    for _ in range(2):
        assert named.find(source="any", peer="10.0.0.1", tls_der=None, lines=[LEAF.xfcc()], now=AT) is not None


def test_certificate_is_refused_before_and_after_its_time_though_it_was_read_before() -> None:
    remembering = reader()

    def at(moment: float) -> ClientCertificate | None:
        return remembering.find(source="any", peer="192.0.2.1", tls_der=LEAF.der, lines=[], now=moment)

    assert at(AT) is not None
    with pytest.raises(CertificateUnusable, match="expired"):
        at((NOW + 61 * DAY).timestamp())
    with pytest.raises(CertificateUnusable, match="not-yet-valid"):
        at((NOW - 2 * DAY).timestamp())


def test_warnings_come_once_for_each_threshold_and_again_for_a_new_certificate(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch, day = ExpiryWatch(), 86_400
    for left in (40, 30, 29, 20, 14, 13, 4, 3, 2, 1):
        watch.note("spiffe://td/a", 100 * day, now=(100 - left) * day)
    assert [record.getMessage().split(" in ")[1].split(" ")[0] for record in caplog.records] == ["30", "14", "3"]
    watch.note("spiffe://td/a", 105 * day, now=100 * day)
    assert len(caplog.records) == 4
    assert watch.days_left(100 * day) == {"spiffe://td/a": 5.0}


def test_instances_of_one_service_with_certificates_of_their_own_are_warned_of_once_a_day(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch, day = ExpiryWatch(), 86_400
    for second in range(100):
        watch.note("spiffe://td/a", 100 * day + second % 7, now=98 * day + second)
    assert len(caplog.records) == 1
    watch.note("spiffe://td/a", 100 * day + 8, now=99 * day + 200)
    assert len(caplog.records) == 2
