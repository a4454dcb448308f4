"""Two workers as they are composed, one real store, a real provider: what ends on one ends on the other."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest
from haetae_edge.config.compile import compile_gateway
from haetae_edge.io.compose import compose
from haetae_edge.io.server import GatewayServer
from haetae_edge.pipeline import Pipeline
from haetae_policy import Subject
from haetae_policy.io.store import PolicyStore, StoreSettings

from tests.simulator.client import Answer, Client, connect
from tests.simulator.hostile_provider import CLIENT_SECRET, HostileProvider, hostile_provider
from tests.simulator.stored_policies import block_of
from tests.simulator.upstream import Peer, RecordingUpstream, recording_upstream
from tests.simulator.valkey import Valkey, valkey

GATEWAY = """
name: internal
profile: internal
redis: {{uri: "unix://{store}", timeout: 2s}}
oidc:
  issuer: {issuer}
  client-id: haetae-internal
  client-secret: {secret}
  origins: [http://tool.localhost, http://vault.localhost]
  algorithms: [ES256]
session: {{timeout: 2s}}
default-filters: [Block]
"""
ROUTES = """
routes:
- id: tool
  uri: http://127.0.0.1:{upstream}
  predicates: [Host=tool.localhost]
  filters: [{{name: OidcSession, args: {{preset: grafana, nameFrom: subject, title: Tool}}}}]
- id: vault
  uri: http://127.0.0.1:{upstream}
  predicates: [Host=vault.localhost]
  filters: [{{name: OidcSession, args: {{groups: [approvers], title: Vault}}}}]
"""
PAGE = b"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nAccept: text/html\r\n"
OWN = b"Origin: http://tool.localhost\r\n"
SOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


@dataclass
class Fleet:
    """Two workers."""

    ports: list[int]
    provider: HostileProvider
    store: Valkey
    upstream: RecordingUpstream

    async def ask(self, worker: int, line: bytes, *fields: bytes, host: bytes = b"tool.localhost") -> Answer:
        """One request on a connection of its own."""
        method = line.partition(b" ")[0].decode()
        async with connect(self.ports[worker]) as client:
            return await client.ask(
                b"%b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (line, host, b"".join(fields)), method=method
            )

    async def sign_in(self, worker: int, *, sid: str = "sid-1", host: bytes = b"tool.localhost") -> bytes:
        """As a browser does it; the `Cookie` line of the session."""
        asked = await self.ask(worker, b"GET /d/1?x=2", PAGE, host=host)
        login = await self.ask(worker, b"GET " + asked.value(b"location"), PAGE, host=host)
        found = re.search(rb'data-to="([^"]+)"', login.body)
        assert found is not None
        back = self.provider.authorize(unescape(found[1].decode()), sid=sid)
        query = urlencode(back, doseq=True).encode()
        bound = b"Cookie: " + login.value(b"set-cookie").partition(b";")[0] + b"\r\n"
        done = await self.ask(1 - worker, b"GET /.haetae/callback?" + query, PAGE, bound, host=host)
        assert done.status == 200, done.body
        assert b'data-to="/d/1?x=2"' in done.body
        return b"Cookie: " + done.value(b"set-cookie").partition(b";")[0] + b"\r\n"

    @asynccontextmanager
    async def open_socket(self, worker: int, cookie: bytes) -> AsyncIterator[Client]:
        """A WebSocket that is open."""
        async with connect(self.ports[worker]) as client:
            await client.send(b"GET /ws HTTP/1.1\r\nHost: tool.localhost\r\n" + SOCKET + OWN + cookie + b"\r\n")
            assert (await client.answer()).status == 101
            yield client


@asynccontextmanager
async def worker(config_text: str, routes: str, name: str) -> AsyncIterator[int]:
    """One, composed as the process does it; gives its port."""
    files = {"gateway.yaml": config_text.encode(), "routes/r.yaml": routes.encode()}
    config = compile_gateway(files, directory=Path("conf"), environment={})
    loop = asyncio.get_running_loop()
    async with compose(config, worker=name) as parts:
        assert parts.policies is not None
        async with asyncio.timeout(10):
            await parts.policies.wait_loaded()
        pipeline = Pipeline(
            table=parts.table,
            via=parts.via,
            reference=parts.references.make,
            clock=time.time,
            well_known=parts.well_known,
        )
        server = GatewayServer(
            pipeline,
            addresses=parts.addresses,
            limits=config.limits.limits(),
            deadlines=config.upstream.deadlines(),
            observer=lambda *_: None,
            loop=loop,
        )
        assert parts.session_watch is not None
        parts.session_watch.attach(server.live)
        parts.policies.on_change(server.live.check_soon)
        listener = socket.create_server(("127.0.0.1", 0))
        serving = await loop.create_server(server, sock=listener)
        try:
            yield serving.sockets[0].getsockname()[1]
        finally:
            serving.close()
            await server.stop()


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(valkey())
        provider = await stack.enter_async_context(hostile_provider())
        upstream = await stack.enter_async_context(recording_upstream())
        gateway = GATEWAY.format(store=store.socket, issuer=provider.issuer, secret=CLIENT_SECRET)
        routes = ROUTES.format(upstream=upstream.port)
        ports = [
            await stack.enter_async_context(worker(gateway, routes, f"internal/test/{number}")) for number in range(2)
        ]

        async def listening(peer: Peer) -> None:
            await peer.send(SWITCHING)
            await peer.gone()

        upstream.on("/ws", listening)
        yield Fleet(ports, provider, store, upstream)


async def parting(client: Client) -> bytes:
    async with asyncio.timeout(1.0):
        return await client.rest()


async def test_sign_in_begun_on_one_worker_ends_on_the_other_and_holds_on_both(fleet: Fleet) -> None:
    cookie = await fleet.sign_in(0)
    for number in range(2):
        assert (await fleet.ask(number, b"GET /app", cookie)).status == 200
    assert [request.values(b"x-webauth-user") for request in fleet.upstream.requests] == [[b"u-1"]] * 2
    assert (await fleet.ask(0, b"GET /app", cookie, host=b"vault.localhost")).status == 403
    landing = await fleet.ask(0, b"GET /.haetae/", PAGE, cookie)
    assert b"http://tool.localhost/" in landing.body
    assert b"vault" not in landing.body


async def test_sign_out_on_one_worker_closes_the_socket_on_the_other_within_a_second(fleet: Fleet) -> None:
    cookie = await fleet.sign_in(0)
    async with fleet.open_socket(1, cookie) as held:
        out = await fleet.ask(0, b"POST /.haetae/logout", PAGE, OWN, cookie)
        assert out.status == 303
        assert (await parting(held))[:4] == b"\x88\x0f\x11\x31"
    assert (await fleet.ask(1, b"GET /app", cookie)).status == 401


async def test_sign_out_of_one_tool_is_one_of_all_tools_in_that_browser_and_of_no_other_browser(fleet: Fleet) -> None:
    cookie = await fleet.sign_in(0)
    elsewhere = await fleet.sign_in(0, sid="sid-2")
    vault = await fleet.sign_in(1, host=b"vault.localhost")
    async with fleet.open_socket(1, cookie) as held, fleet.open_socket(1, elsewhere):
        form = b"Origin: http://vault.localhost\r\n"
        out = await fleet.ask(0, b"POST /.haetae/logout", PAGE, form, vault, host=b"vault.localhost")
        assert out.status == 303
        assert (await parting(held))[:1] == b"\x88"
    assert (await fleet.ask(1, b"GET /app", cookie)).status == 401
    assert (await fleet.ask(1, b"GET /app", elsewhere)).status == 200


async def test_word_of_the_provider_ends_the_session_and_a_word_that_is_not_its_own_does_not(fleet: Fleet) -> None:
    cookie = await fleet.sign_in(0)
    form = b"Content-Type: application/x-www-form-urlencoded\r\n"

    async def told(token: str) -> int:
        body = urlencode({"logout_token": token}).encode()
        fields = b"Content-Length: %d\r\n" % len(body)
        async with connect(fleet.ports[0]) as client:
            head = b"POST /.haetae/back-channel-logout HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            return (await client.ask(head + form + fields + b"\r\n" + body, method="POST")).status

    async with fleet.open_socket(1, cookie) as held:
        assert await told(fleet.provider.logout_token(nonce="n")) == 400
        assert await told(fleet.provider.logout_token(aud="somebody-else")) == 400
        assert (await fleet.ask(1, b"GET /app", cookie)).status == 200
        assert await told(fleet.provider.logout_token()) == 200
        assert (await parting(held))[:1] == b"\x88"
    assert (await fleet.ask(1, b"GET /app", cookie)).status == 401


async def test_block_of_a_person_closes_refuses_and_ends_the_session(fleet: Fleet) -> None:
    cookie = await fleet.sign_in(0)
    client = fleet.store.client()
    store = PolicyStore(client, StoreSettings())
    now_ms = int(time.time() * 1000)
    async with fleet.open_socket(1, cookie) as held:
        await store.add(block_of(Subject(user="u-1"), now_ms=now_ms), now_ms=now_ms, epoch_randomness=os.urandom(8))
        assert (await parting(held))[:1] == b"\x88"
    async with asyncio.timeout(5):
        while (await fleet.ask(1, b"GET /app", cookie)).status != 401:  # noqa: ASYNC110 - the session's end tells nobody here
            await asyncio.sleep(0.02)
    await client.aclose()


async def test_store_that_is_gone_signs_nobody_out(fleet: Fleet) -> None:
    cookie = await fleet.sign_in(0)
    async with fleet.open_socket(1, cookie) as held:
        fleet.store.kill()
        async with asyncio.timeout(5):
            while (answer := await fleet.ask(0, b"GET /app", cookie)).status != 503:  # noqa: ASYNC110 - a second of belief
                await asyncio.sleep(0.05)
        assert answer.values(b"set-cookie") == []
        with pytest.raises(TimeoutError):
            await parting(held)
