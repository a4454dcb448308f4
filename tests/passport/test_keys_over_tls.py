"""Keys over https: the certificate is checked, by the system's trust or by the one given."""

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from haetae_oidc import KeysUnavailable
from haetae_oidc.io.jwks import IssuerAddress, KeySource
from haetae_passport import PassportKeysUnavailable, jwks_document
from haetae_passport.io.jwks import PassportKeys

from tests.passport.world import NOW, ring


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one file."""
    key, name = generate_private_key(SECP256R1()), x509.Name([])
    today = datetime.now(UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(alternative, critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = tmp_path / "server.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + made.public_bytes(Encoding.PEM))
    return path


@pytest.fixture
async def url(certificate: Path) -> AsyncIterator[str]:
    async def keys(_request: web.Request) -> web.Response:
        return web.Response(body=jwks_document(ring(), now=NOW), content_type="application/jwk-set+json")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    app = web.Application()
    app.router.add_get("/jwks", keys)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}/jwks"
    await runner.cleanup()


async def test_keys_come_from_a_server_whose_certificate_is_trusted(url: str, certificate: Path) -> None:
    trust = ssl.create_default_context(cafile=str(certificate))
    async with PassportKeys(url, tls=trust) as keys:
        assert (await keys.keys_for("key-1")).knows("key-1")
    async with KeySource([IssuerAddress(issuer="https://i", jwks_url=url, tls=trust)]) as source:
        assert (await source.ready("https://i")).knows("key-1")


async def test_keys_of_a_server_whose_certificate_is_not_trusted_are_never_used(url: str) -> None:
    async with PassportKeys(url) as keys:
        with pytest.raises(PassportKeysUnavailable):
            await keys.keys_for("key-1")
    async with KeySource([IssuerAddress(issuer="https://i", jwks_url=url)]) as source:
        with pytest.raises(KeysUnavailable):
            await source.ready("https://i")
