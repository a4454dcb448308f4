"""A block that is made while a connection is upgraded ends it; one that is meant for others does not."""

import asyncio
import time

from haetae_edge.filters.block import Block
from haetae_edge.services import Services
from haetae_policy import Action, Api, Record, Subject, parse_network

from tests.simulator.policies import MemoryPolicies
from tests.simulator.upstream import Peer
from tests.simulator.world import world

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def block(number: int, subject: Subject) -> Record:
    end = int(time.time() * 1000) + 60_000
    return Record(pid=number, ver=1, exp_ms=end, action=Action.BLOCK, subject=subject, api=Api())


async def test_open_stream_ends_within_a_second_of_a_block_on_its_caller_and_not_of_one_on_another() -> None:
    policies = MemoryPolicies()
    services = Services(clock=time.time, random_bytes=bytes, policies=policies)
    async with world(filters=(Block(),), services=services) as edge:
        policies.listener = edge.gateway.server.live.check_soon
        asked = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.send(SWITCHING)
            while await peer.read_exactly(4) == b"ping":
                await peer.send(b"pong")
                if asked.is_set():
                    break
            await peer.gone()

        edge.upstream.on("/ws", script)
        await edge.client.send(HANDSHAKE)
        assert (await edge.client.answer()).status == 101
        policies.put(block(1, Subject(ip=parse_network("192.0.2.0/24"))))
        policies.put(block(2, Subject(user="somebody else")))
        live = edge.gateway.server.live
        async with asyncio.timeout(5):
            while live._round is not None:  # noqa: ASYNC110 - a round that finds nothing tells nobody
                await asyncio.sleep(0.01)
        asked.set()
        await edge.client.send(b"ping")
        assert await edge.client.read_exactly(4) == b"pong"
        policies.put(block(3, Subject(ip=parse_network("127.0.0.0/8"))))
        async with asyncio.timeout(1.0):
            await edge.client.closed()
        await edge.upstream.until(lambda upstream: upstream.open_connections == 0)
        assert edge.gateway.server.live.ended == 1
