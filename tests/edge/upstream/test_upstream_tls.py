"""TLS to an upstream: whom we trust, for which name, and what a cut connection means."""

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from haetae_edge.io.upstream import Origin, TlsFailed, Truncated, Upstream, UpstreamSettings

from tests.edge.upstream.scripted_upstream import OK, PATIENT, Peer, fetch, get, read_all, scripted

START = b"HTTP/1.1 200 OK\r\n"


@dataclass(frozen=True, slots=True)
class Pki:
    """A server context and a client context that trusts it, for one DNS name."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    certificate: bytes


def make_pki(folder: Path, name: str = "localhost") -> Pki:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / f"{name}.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    client = ssl.create_default_context(cadata=certificate.public_bytes(serialization.Encoding.PEM).decode())
    client.set_alpn_protocols(["http/1.1"])
    return Pki(server, client, certificate.public_bytes(serialization.Encoding.DER))


async def test_requests_share_a_verified_connection_that_names_its_host(tmp_path: Path) -> None:
    names: list[str | None] = []
    pki = make_pki(tmp_path)
    pki.server.set_alpn_protocols(["h2", "http/1.1"])
    pki.server.sni_callback = lambda _socket, name, _context: names.append(name)

    async def play(peer: Peer) -> None:
        await peer.serve()

    async with scripted(play, tls=pki.server, client_tls=pki.client) as (upstream, fake):
        for _ in range(3):
            assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 1
    assert names == ["localhost"]


async def unused(peer: Peer) -> None:
    await peer.read_rest()


async def test_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    pki = make_pki(tmp_path, "other.test")
    async with scripted(unused, tls=pki.server, client_tls=pki.client) as (upstream, _):
        with pytest.raises(TlsFailed) as failed:
            await fetch(upstream)
        assert failed.value.retry_safe
        assert upstream.open_connections == 0


async def test_certificate_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    pki = make_pki(tmp_path)
    async with scripted(unused, tls=pki.server) as (upstream, _):
        with pytest.raises(TlsFailed):
            await fetch(upstream)


async def test_upstream_without_tls_is_a_tls_failure(tmp_path: Path) -> None:
    async def plain(peer: Peer) -> None:
        await peer.send(OK)
        await peer.read_rest()

    async with scripted(plain) as (_, fake):
        upstream = Upstream(
            Origin("https", "localhost", fake.origin.port),
            settings=UpstreamSettings(),
            ssl_context=make_pki(tmp_path).client,
        )
        with pytest.raises(TlsFailed):
            await fetch(upstream)
        assert upstream.open_connections == 0
        await upstream.close()


async def test_peer_check_sees_the_certificate_and_can_refuse_it(tmp_path: Path) -> None:
    pki = make_pki(tmp_path)
    seen: list[bytes] = []

    def refuse(certificate: bytes) -> None:
        seen.append(certificate)
        if len(seen) > 1:
            raise ValueError("not the pinned key")

    async def play(peer: Peer) -> None:
        await peer.serve()

    async with scripted(play, tls=pki.server, client_tls=pki.client) as (_, fake):
        upstream = Upstream(
            fake.origin,
            settings=UpstreamSettings(max_requests=1),
            ssl_context=pki.client,
            peer_check=refuse,
        )
        assert await fetch(upstream) == (200, b"ok")
        with pytest.raises(TlsFailed):
            await fetch(upstream)
        assert seen == [pki.certificate] * 2
        await upstream.close()
        assert upstream.open_connections == 0


async def test_open_body_over_tls_ends_with_the_closing_alert(tmp_path: Path) -> None:
    pki = make_pki(tmp_path)

    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(START + b"\r\nabc")
        peer.close()

    async with scripted(play, tls=pki.server, client_tls=pki.client) as (upstream, _):
        assert await fetch(upstream) == (200, b"abc")


@pytest.mark.parametrize("framing", [b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_framed_body_over_tls_cut_short_is_truncated(tmp_path: Path, framing: bytes) -> None:
    pki = make_pki(tmp_path)

    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(START + framing + b"\r\n1\r\na\r\n")
        peer.close()

    async with scripted(play, tls=pki.server, client_tls=pki.client) as (upstream, _):
        response = await upstream.exchange(get(), PATIENT)
        with pytest.raises(Truncated):
            await read_all(response)


@pytest.mark.parametrize("how", ["reset", "cut"])
async def test_open_body_over_tls_without_the_closing_alert_is_truncated(tmp_path: Path, how: str) -> None:
    pki = make_pki(tmp_path)

    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(START + b"\r\nabc", b"")
        getattr(peer, how)()

    async with scripted(play, tls=pki.server, client_tls=pki.client) as (upstream, _):
        with pytest.raises(Truncated):
            await fetch(upstream)


async def test_tls_context_that_does_not_check_is_refused(tmp_path: Path) -> None:
    lax = make_pki(tmp_path).client
    lax.check_hostname = False
    with pytest.raises(ValueError, match="host name"):
        Upstream(Origin.parse("https://localhost"), settings=UpstreamSettings(), ssl_context=lax)
    with pytest.raises(ValueError, match="no TLS"):
        Upstream(
            Origin.parse("http://localhost"), settings=UpstreamSettings(), ssl_context=ssl.create_default_context()
        )
