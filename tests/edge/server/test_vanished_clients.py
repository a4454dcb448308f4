"""Clients that hang up: what reached the upstream is in the log and the metrics, what never began is not."""

import asyncio
import socket
import struct

from tests.simulator.upstream import Peer
from tests.simulator.world import world

GET = b"GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n"


async def _until_gone(peer: Peer) -> None:
    await peer.gone()


async def test_request_whose_client_hangs_up_at_the_upstream_is_observed_as_forwarded() -> None:
    async with world() as edge:
        edge.upstream.on("/a", _until_gone)
        await edge.client.send(GET)
        await edge.upstream.until(lambda upstream: len(upstream.requests) == 1)
        edge.client.reset()
        (finished,) = await edge.gateway.finished.until(1)
        assert (finished.response.status, finished.response.problem, finished.sent) == (499, None, 0)
        assert finished.exchange is not None
        assert finished.exchange.facts.reason == "client-gone"
        assert finished.exchange.facts.upstream == f"127.0.0.1:{edge.upstream.port}"


async def test_request_that_ends_with_the_gateway_is_not_blamed_on_its_client() -> None:
    async with world() as edge:
        edge.upstream.on("/a", _until_gone)
        await edge.client.send(GET)
        await edge.upstream.until(lambda upstream: len(upstream.requests) == 1)
        await edge.gateway.server.stop()
        (finished,) = await edge.gateway.finished.until(1)
        assert finished.exchange is not None
        assert (finished.response.status, finished.exchange.facts.reason) == (499, "gateway-stopped")


async def test_answered_request_is_observed_once_with_its_own_status() -> None:
    async with world() as edge:
        await edge.client.ask(GET)
        edge.client.reset()
        await edge.gateway.until_connections(0)
        assert [item.response.status for item in edge.gateway.finished.all] == [200]


async def test_connections_reset_before_they_are_accepted_are_counted_and_nothing_else() -> None:
    async with world() as edge:
        for _ in range(50):
            # Nothing here waits: the reset is on its way before the gateway's loop can accept.
            with socket.create_connection(("127.0.0.1", edge.gateway.port)) as early:
                early.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                early.sendall(GET)
        async with asyncio.timeout(5):
            while edge.gateway.server.vanished < 50:  # noqa: ASYNC110 - counted where nobody is told
                await asyncio.sleep(0.005)
        await edge.gateway.until_connections(1)
        assert edge.gateway.finished.all == []
        assert edge.upstream.requests == []
        await edge.next_is_answered()
