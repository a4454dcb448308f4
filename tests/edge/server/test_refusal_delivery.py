"""A refusal reaches the client that is still sending what was refused, and lingering costs nobody else."""

import asyncio
import contextlib

import pytest
from haetae_edge.limits import Limits

from tests.simulator.world import NEXT, World, world

GET = b"GET /a HTTP/1.1\r\nHost: api.test\r\n"


async def test_client_that_goes_on_sending_still_gets_the_refusal() -> None:
    async with world(limits=Limits(header_bytes=2000)) as edge:
        await edge.client.send(GET + b"X: " + b"a" * 5000)
        for _ in range(20):
            await edge.client.send(b"b" * 4000)
            await asyncio.sleep(0)
        assert (await edge.client.answer()).problem() == "headers-too-large"
        await edge.client.closed()


async def test_malformed_request_of_a_client_that_goes_on_sending_still_gets_the_refusal() -> None:
    async with world() as edge:
        await edge.client.send(b"nonsense\r\n\r\n")
        for _ in range(20):
            await edge.client.send(b"b" * 4000)
            await asyncio.sleep(0)
        assert (await edge.client.answer()).problem() == "request-malformed"
        await edge.client.closed()


async def test_request_already_sent_on_a_connection_over_the_limit_still_gets_the_503() -> None:
    async with world(limits=Limits(connections=1)) as edge:
        await edge.next_is_answered()
        for _ in range(20):
            async with edge.gateway.client() as second:
                await second.send(NEXT)
                assert (await second.answer()).problem() == "overloaded"
                await second.closed()
        await edge.next_is_answered()


async def test_refused_connections_that_linger_do_not_keep_honest_ones_out() -> None:
    async with world(limits=Limits(connections=2)) as edge, contextlib.AsyncExitStack() as stack:
        await edge.next_is_answered()
        for _ in range(5):
            rude = await stack.enter_async_context(edge.gateway.client())
            await rude.send(b"nonsense\r\n\r\n")
            assert (await rude.answer()).problem() == "request-malformed"
        await _honest_client_is_served(edge)


async def test_client_that_never_stops_sending_after_a_refusal_is_cut_off() -> None:
    async with world() as edge:
        await edge.client.send(b"nonsense\r\n\r\n")
        with pytest.raises(ConnectionError):
            await _send_for_ever(edge)


async def _send_for_ever(edge: World) -> None:
    while True:
        await edge.client.send(b"b" * 65_536)


async def _honest_client_is_served(edge: World) -> None:
    async with edge.gateway.client() as honest:
        assert (await honest.ask(NEXT)).body == b"answer to GET /next"
