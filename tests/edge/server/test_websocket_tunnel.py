"""After 101 the two connections are one: bytes pass both ways as they are, and both ends end together."""

import pytest

from tests.simulator.upstream import Peer
from tests.simulator.world import NEXT, world

HANDSHAKE = (
    b"GET /ws?room=1 HTTP/1.1\r\nHost: api.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


async def test_bytes_pass_both_ways_untouched_from_the_first_one_on() -> None:
    async with world() as edge:
        every_byte = bytes(range(256))

        async def script(peer: Peer) -> None:
            await peer.send(SWITCHING + b"hello from the service", every_byte)
            assert await peer.read_exactly(256) == every_byte
            assert await peer.read_exactly(4) == b"ping"
            await peer.send(b"pong")
            assert await peer.gone() == b""

        edge.upstream.on("/ws?room=1", script)
        await edge.client.send(HANDSHAKE + every_byte)
        answer = await edge.client.answer()
        assert answer.status == 101
        assert answer.value(b"upgrade") == b"websocket"
        assert answer.value(b"connection") == b"upgrade"
        assert answer.value(b"sec-websocket-accept") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert await edge.client.read_exactly(22 + 256) == b"hello from the service" + every_byte
        await edge.client.send(b"ping")
        assert await edge.client.read_exactly(4) == b"pong"
        edge.client.close()
        await edge.upstream.until(lambda upstream: upstream.open_connections == 0)
        handshake = edge.upstream.only
        assert handshake.values(b"upgrade") == [b"websocket"]
        assert handshake.values(b"connection") == [b"Upgrade"]
        assert handshake.values(b"sec-websocket-key") == [b"dGhlIHNhbXBsZSBub25jZQ=="]


async def test_a_megabyte_each_way_arrives_whole() -> None:
    size = 1 << 20
    async with world() as edge:

        async def script(peer: Peer) -> None:
            await peer.send(SWITCHING)
            await peer.send(await peer.read_exactly(size))
            await peer.gone()

        edge.upstream.on("/ws?room=1", script)
        await edge.client.send(HANDSHAKE)
        assert (await edge.client.answer()).status == 101
        payload = bytes(range(256)) * (size // 256)
        await edge.client.send(payload)
        assert await edge.client.read_exactly(size) == payload


async def test_service_that_closes_ends_the_client_connection() -> None:
    async with world() as edge:

        async def script(peer: Peer) -> None:
            await peer.send(SWITCHING + b"bye")
            peer.close()

        edge.upstream.on("/ws?room=1", script)
        await edge.client.send(HANDSHAKE)
        assert (await edge.client.answer()).status == 101
        assert await edge.client.rest() == b"bye"


@pytest.mark.parametrize("polite", [True, False], ids=["close", "reset"])
async def test_client_that_leaves_ends_the_service_connection(polite: bool) -> None:
    async with world() as edge:

        async def script(peer: Peer) -> None:
            await peer.send(SWITCHING)
            assert await peer.gone() == b""

        edge.upstream.on("/ws?room=1", script)
        await edge.client.send(HANDSHAKE)
        assert (await edge.client.answer()).status == 101
        if polite:
            edge.client.close()
        else:
            edge.client.reset()
        await edge.upstream.until(lambda upstream: upstream.open_connections == 0)


async def test_refused_upgrade_is_an_ordinary_answer_and_what_followed_is_never_a_request() -> None:
    async with world() as edge:
        edge.upstream.on("/ws?room=1", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        await edge.client.send(HANDSHAKE + NEXT)
        answer = await edge.client.answer()
        assert (answer.status, answer.body, answer.says_close) == (403, b"no", True)
        await edge.client.closed()
        assert edge.upstream.lines == [b"GET /ws?room=1 HTTP/1.1"]


async def test_switch_to_another_protocol_is_an_unusable_answer() -> None:
    async with world() as edge:

        async def script(peer: Peer) -> None:
            await peer.send(SWITCHING.replace(b"Upgrade: websocket", b"Upgrade: h2c"))
            assert await peer.gone() == b""

        edge.upstream.on("/ws?room=1", script)
        await edge.client.send(HANDSHAKE)
        answer = await edge.client.answer()
        assert (answer.status, answer.problem()) == (502, "upstream-invalid")
        await edge.upstream.until(lambda upstream: upstream.open_connections == 0)


NO_UPGRADE = {
    "HTTP/1.0": HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "another protocol": HANDSHAKE.replace(b"websocket\r\n", b"h2c\r\n"),
    "not named by Connection": HANDSHAKE.replace(b", Upgrade", b""),
    "two protocols": HANDSHAKE.replace(b"websocket\r\n", b"websocket, h2c\r\n"),
    "a POST": HANDSHAKE.replace(b"GET", b"POST"),
}


@pytest.mark.parametrize("request_bytes", NO_UPGRADE.values(), ids=NO_UPGRADE.keys())
async def test_what_is_no_websocket_handshake_is_forwarded_without_the_upgrade(request_bytes: bytes) -> None:
    async with world() as edge:
        assert (await edge.client.ask(request_bytes)).status == 200
        assert edge.upstream.only.values(b"upgrade") == []
        assert edge.upstream.only.values(b"connection") == []
