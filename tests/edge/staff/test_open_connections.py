"""What a session holds open ends with it, within a second; nobody's bytes are touched; others keep theirs."""

from __future__ import annotations

import asyncio
import time

import pytest
from haetae_edge.filters.oidc_session import OidcSession
from haetae_policy import Action, Api, Record, Subject

from tests.edge.staff.staff_office import COOKIE, SCRIPT, Badge, staff_world
from tests.simulator.client import BrokenOff, Client
from tests.simulator.upstream import Peer

OWN = b"Origin: https://tool.test\r\n"
UPGRADE = (
    b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
HELLO = b"\x81\x05hello"
SIGNED_OUT = b"\x88\x0f" + (4401).to_bytes(2, "big") + b"session-ended"
BLOCKED = b"\x88\x0e" + (1008).to_bytes(2, "big") + b"policy-block"


def open_socket(*fields: bytes) -> bytes:
    return b"GET /ws HTTP/1.1\r\nHost: tool.test\r\n%b%b\r\n" % (UPGRADE, b"".join(fields))


def speaks(*pieces: bytes) -> object:
    """A tool that says this on its WebSocket and then listens."""

    async def script(peer: Peer) -> None:
        await peer.send(SWITCHING, *pieces)
        await peer.gone()

    return script


async def until(client: Client, mark: bytes) -> None:
    """Read until these bytes have come."""
    received = b""
    while mark not in received:
        piece = await client.read_some()
        assert piece, received
        received += piece


async def parting(client: Client) -> bytes:
    """What the client still gets; it must be closed within a second."""
    async with asyncio.timeout(1.0):
        return await client.rest()


@pytest.mark.parametrize(
    ("said", "last"),
    [
        ((), SIGNED_OUT),
        ((HELLO,), SIGNED_OUT),
        ((b"\x01\x02he",), SIGNED_OUT),
        ((HELLO, b"\x81\x05he"), b""),
        ((b"\x81",), b""),
        ((b"\x81\x7e\x01",), b""),
        ((b"\x88\x02\x03\xe8",), b""),
    ],
    ids=["nothing", "message", "fragment", "half-message", "half-head", "half-length", "close"],
)
async def test_socket_of_an_ended_session_is_closed_with_a_frame_only_where_one_may_stand(
    said: tuple[bytes, ...], last: bytes
) -> None:
    async with staff_world(signed_in=True) as staff:
        staff.edge.upstream.on("/ws", speaks(*said))  # type: ignore[arg-type]  # a script
        await staff.client.send(open_socket(OWN, COOKIE))
        assert (await staff.client.answer()).status == 101
        if said:
            assert await staff.client.read_exactly(len(b"".join(said))) == b"".join(said)
        assert staff.edge.gateway.server.live.sessions() == {"s-1"}
        assert staff.edge.gateway.server.live.end_sessions(frozenset({"s-2"})) == 0
        assert staff.edge.gateway.server.live.end_sessions(frozenset({"s-1"})) == 1
        assert await parting(staff.client) == last
        await staff.edge.upstream.until(lambda upstream: upstream.open_connections == 0)
        assert (await staff.edge.gateway.finished.until(1))[0].exchange.facts.reason == "session-ended"  # type: ignore[union-attr]


async def test_socket_of_a_blocked_person_is_closed_for_policy_and_another_persons_stays() -> None:
    async with staff_world(signed_in=True) as staff, staff.edge.gateway.client() as other:
        staff.office.sessions["id-2.secret-2"] = Badge(id="s-2", subject="u-joon")
        staff.edge.upstream.on("/ws", speaks(HELLO))  # type: ignore[arg-type]  # a script
        for client, cookie in ((staff.client, COOKIE), (other, COOKIE.replace(b"1", b"2"))):
            await client.send(open_socket(OWN, cookie))
            assert (await client.answer()).status == 101
            assert await client.read_exactly(len(HELLO)) == HELLO
        end = int(time.time() * 1000) + 60_000
        subject = Subject(user="u-mina")
        staff.policies.put(Record(pid=1, ver=1, exp_ms=end, action=Action.BLOCK, subject=subject, api=Api()))
        assert await parting(staff.client) == BLOCKED
        await staff.edge.gateway.finished.until(1)
        assert staff.edge.gateway.server.live.sessions() == {"s-2"}


async def test_event_stream_of_an_ended_session_breaks_off_without_an_end() -> None:
    async with staff_world(signed_in=True) as staff:

        async def stream(peer: Peer) -> None:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            await peer.send(b"9\r\ndata: 1\n\n\r\n")
            await peer.gone()

        staff.edge.upstream.on("/events", stream)
        await staff.client.send(b"GET /events HTTP/1.1\r\nHost: tool.test\r\n" + COOKIE + b"\r\n")
        await until(staff.client, b"data: 1")
        assert staff.edge.gateway.server.live.end_sessions(frozenset({"s-1"})) == 1
        assert b"0\r\n\r\n" not in await parting(staff.client)
        await staff.edge.upstream.until(lambda upstream: upstream.open_connections == 0)


async def test_streaming_answer_to_a_post_is_cut_too() -> None:
    async with staff_world(signed_in=True) as staff:

        async def stream(peer: Peer) -> None:
            await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            await peer.gone()

        staff.edge.upstream.on("/bsearch", stream)
        await staff.client.send(b"POST /bsearch HTTP/1.1\r\nHost: tool.test\r\n" + OWN + COOKIE + b"\r\n")
        await until(staff.client, b"abc")
        assert staff.edge.gateway.server.live.end_sessions(frozenset({"s-1"})) == 1
        await parting(staff.client)


async def test_call_that_waits_for_news_is_cut_and_a_change_under_way_is_let_finish() -> None:
    async with staff_world(signed_in=True) as staff:
        go_on = asyncio.Event()

        async def wait(peer: Peer) -> None:
            await peer.gone()

        async def change(peer: Peer) -> None:
            await go_on.wait()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

        staff.edge.upstream.on("/poll", wait)
        staff.edge.upstream.on("/save", change)
        async with staff.edge.gateway.client() as saving:
            await staff.client.send(b"GET /poll HTTP/1.1\r\nHost: tool.test\r\n" + COOKIE + b"\r\n")
            await saving.send(b"POST /save HTTP/1.1\r\nHost: tool.test\r\n" + OWN + COOKIE + b"\r\n")
            await staff.edge.upstream.until(lambda upstream: len(upstream.requests) == 2)
            assert staff.edge.gateway.server.live.end_sessions(frozenset({"s-1"})) == 1
            with pytest.raises(BrokenOff):
                await staff.client.answer()
            go_on.set()
            assert (await saving.answer("POST")).body == b"done"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (OWN, 101),
        (b"Origin: https://ui.test\r\n", 101),
        (b"Origin: https://evil.test\r\n", 403),
        (b"Origin: https://tool.test.evil.test\r\n", 403),
        (b"Origin: http://tool.test\r\n", 403),
        (b"Origin: null\r\nSec-Fetch-Site: same-origin\r\n", 403),
        (b"Sec-Fetch-Site: same-origin\r\n", 403),
        (b"", 403),
    ],
)
async def test_socket_opens_for_the_tools_own_pages_and_listed_origins_only(fields: bytes, status: int) -> None:
    async with staff_world(OidcSession(allowed_origins=("https://ui.test",)), signed_in=True) as staff:
        staff.edge.upstream.on("/ws", speaks())  # type: ignore[arg-type]  # a script
        await staff.client.send(open_socket(fields, COOKIE))
        assert (await staff.client.answer()).status == status
        assert len(staff.edge.upstream.requests) == (status == 101)
        staff.client.close()


async def test_handshake_reaches_the_tool_as_it_came_and_bytes_pass_untouched() -> None:
    async with staff_world(OidcSession(preset="grafana"), signed_in=True) as staff:
        staff.edge.upstream.on("/ws", speaks(bytes(range(256))))  # type: ignore[arg-type]  # a script
        extra = b"Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
        await staff.client.send(open_socket(OWN, COOKIE, extra))
        assert (await staff.client.answer()).status == 101
        assert await staff.client.read_exactly(256) == bytes(range(256))
        arrived = staff.edge.upstream.only
        assert arrived.values(b"origin") == [b"https://tool.test"]
        assert arrived.values(b"host") == [b"tool.test"]
        assert arrived.values(b"sec-websocket-protocol") == [b"a, b"]
        assert arrived.values(b"sec-websocket-extensions") == [b"permessage-deflate"]
        assert arrived.values(b"x-webauth-user") == [b"mina"]
        assert arrived.values(b"cookie") == []
        assert staff.office.loads == [False]
        staff.client.close()


async def test_answered_requests_leave_nothing_to_end() -> None:
    async with staff_world(signed_in=True) as staff:
        for _ in range(3):
            assert (await staff.ask(b"GET /app", SCRIPT, COOKIE)).status == 200
        await staff.edge.gateway.finished.until(3)
        assert staff.edge.gateway.server.live.sessions() == frozenset()
        assert staff.edge.gateway.server.live.end_sessions(frozenset({"s-1"})) == 0
        assert (await staff.ask(b"GET /app", SCRIPT, COOKIE)).status == 200
