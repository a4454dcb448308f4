"""What was opened with a token ends with it; what was only asked for with it is answered to the end."""

import asyncio

import pytest
from haetae_edge.filters.verify_jwt import VerifyJwt

from tests.edge.tokens.gate import NOW, Gate, gate
from tests.simulator.client import Client
from tests.simulator.upstream import Peer

UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
EXPIRED = b"\x88\x15" + (4401).to_bytes(2, "big") + b"credentials-expired"


async def socket_of_the_service(peer: Peer) -> None:
    await peer.send(SWITCHING)
    while (said := await peer.read_some()) == b"ping":
        await peer.send(b"\x81\x04pong")
    if said:
        peer.close()


async def ask(client: Client, token: str, target: str, *more: str) -> None:
    head = f"GET {target} HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {token}\r\n{''.join(more)}\r\n"
    await client.send(head.encode())


def stream(kind: str) -> object:
    """A service that answers with the beginning of such a stream and the rest when it is told to."""

    async def script(peer: Peer) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        await peer.send(head.encode(), b"5\r\nfirst\r\n")
        await go_on.wait()
        await peer.send(b"4\r\nlast\r\n0\r\n\r\n")

    go_on = asyncio.Event()
    script.go_on = go_on  # type: ignore[attr-defined]
    return script


async def looked(edge: Gate) -> None:
    """The next look at what is open has been taken."""
    live = edge.edge.gateway.server.live
    before = live._look
    async with asyncio.timeout(5):
        while live._look is before:  # noqa: ASYNC110 - a look that finds nothing tells nobody
            await asyncio.sleep(0.01)


async def test_socket_opened_with_a_token_is_closed_within_a_second_of_its_end_and_another_stays() -> None:
    async with gate(VerifyJwt()) as edge, edge.edge.gateway.client() as other:
        edge.edge.upstream.on("/ws", socket_of_the_service)
        for client, seconds in ((edge.edge.client, 60), (other, 300)):
            await ask(client, edge.issuer.token(exp=NOW + seconds), "/ws", UPGRADE)
            assert (await client.answer()).status == 101
        edge.clock[0] = NOW + 59
        await looked(edge)
        await edge.edge.client.send(b"ping")
        assert await edge.edge.client.read_exactly(6) == b"\x81\x04pong"
        edge.clock[0] = NOW + 60
        async with asyncio.timeout(1.0):
            assert await edge.edge.client.rest() == EXPIRED
        assert (await edge.edge.gateway.finished.until(1))[0].exchange.facts.reason == "credentials-expired"  # type: ignore[union-attr]
        await other.send(b"ping")
        assert await other.read_exactly(6) == b"\x81\x04pong"


@pytest.mark.parametrize("kind", ["text/event-stream", "Text/Event-Stream; charset=utf-8"])
async def test_event_stream_breaks_off_at_the_end_of_its_token(kind: str) -> None:
    async with gate(VerifyJwt()) as edge:
        edge.edge.upstream.on("/events", stream(kind))  # type: ignore[arg-type]  # a script
        await ask(edge.edge.client, edge.issuer.token(exp=NOW + 60), "/events")
        received = b""
        while b"first" not in received:
            received += await edge.edge.client.read_some()
        edge.clock[0] = NOW + 60
        async with asyncio.timeout(1.0):
            assert b"0\r\n\r\n" not in await edge.edge.client.rest()
        assert len(edge.edge.gateway.server.live._expiring) == 0


async def test_other_answer_that_was_asked_for_in_time_comes_whole() -> None:
    async with gate(VerifyJwt()) as edge:
        script = stream("application/octet-stream")
        edge.edge.upstream.on("/file", script)  # type: ignore[arg-type]  # a script
        await ask(edge.edge.client, edge.issuer.token(exp=NOW + 60), "/file")
        received = b""
        while b"first" not in received:
            received += await edge.edge.client.read_some()
        edge.clock[0] = NOW + 4000
        assert edge.edge.gateway.server.live._look is None
        script.go_on.set()  # type: ignore[attr-defined]
        while not received.endswith(b"0\r\n\r\n"):
            piece = await edge.edge.client.read_some()
            assert piece, received
            received += piece


async def test_nothing_is_kept_of_what_ended_before_its_token() -> None:
    async with gate(VerifyJwt()) as edge:
        edge.edge.upstream.on("/ws", socket_of_the_service)
        await ask(edge.edge.client, edge.issuer.token(), "/ws", UPGRADE)
        assert (await edge.edge.client.answer()).status == 101
        await edge.edge.client.send(b"done")
        await edge.edge.client.closed()
        await edge.edge.gateway.finished.until(1)
        assert len(edge.edge.gateway.server.live._expiring) == 0
        async with asyncio.timeout(5):
            while edge.edge.gateway.server.live._look is not None:  # noqa: ASYNC110 - a look tells nobody
                await asyncio.sleep(0.01)
