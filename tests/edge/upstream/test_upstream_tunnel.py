"""After 101 the connection carries another protocol, byte for byte."""

import asyncio

import pytest
from haetae_edge.io.upstream import (
    BadResponse,
    Deadlines,
    IdleTimeout,
    Truncated,
    UpstreamRequest,
)

from tests.edge.upstream.scripted_upstream import GET, OK, PATIENT, POST, Peer, all_closed, fetch, read_all, scripted

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def upgrade() -> UpstreamRequest:
    return UpstreamRequest("GET", GET + b"upgrade: websocket\r\n", upgrade=True)


async def test_bytes_that_came_with_the_head_are_the_first_of_the_tunnel() -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCH + b"\x81\x02hi")
        await peer.expect(b"\x00\r\n\r\nHTTP/1.1")
        await peer.send(OK)
        peer.half_close()
        await peer.expect(b"last")
        await peer.closed()

    async with scripted(play) as (upstream, fake):
        response = await upstream.exchange(upgrade(), PATIENT)
        assert (response.status, response.body) == (101, None)
        tunnel = response.tunnel()
        assert await tunnel.read() == b"\x81\x02hi"
        await tunnel.write(b"\x00\r\n\r\nHTTP/1.1")
        assert await read_all(tunnel) == OK
        await tunnel.write(b"last")
        await tunnel.drain()
        tunnel.close()
        await all_closed(upstream)
        with pytest.raises(Truncated):
            await tunnel.write(b"x")
        assert await tunnel.read() == b""
        assert fake.connections == 1
        with pytest.raises(RuntimeError):
            response.tunnel()


async def test_large_tunnel_traffic_flows_both_ways_under_pressure() -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCH)
        while piece := await peer.read(65_536):
            await peer.send(piece)

    async with scripted(play) as (upstream, _):
        tunnel = (await upstream.exchange(upgrade(), PATIENT)).tunnel()
        payload = bytes(range(256)) * 20_000

        async def send() -> None:
            for at in range(0, len(payload), 50_000):
                await tunnel.write(payload[at : at + 50_000])

        sender = asyncio.ensure_future(send())
        received = b""
        while len(received) < len(payload):
            received += await tunnel.read()
        await sender
        assert received == payload
        tunnel.close()


async def test_refused_upgrade_is_an_ordinary_response() -> None:
    async def play(peer: Peer) -> None:
        await peer.answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        await peer.serve()

    async with scripted(play) as (upstream, fake):
        assert await fetch(upstream, upgrade()) == (403, b"no")
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\nContent-Length: 5\r\n\r\n",
    ],
)
async def test_switch_that_does_not_say_to_what_is_refused(answer: bytes) -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(answer)
        await peer.closed()

    async with scripted(play) as (upstream, _):
        with pytest.raises(BadResponse):
            await fetch(upstream, upgrade())


async def test_response_that_is_no_switch_has_no_tunnel() -> None:
    async def play(peer: Peer) -> None:
        await peer.serve()

    async with scripted(play) as (upstream, _):
        response = await upstream.exchange(UpstreamRequest("POST", POST), PATIENT)
        with pytest.raises(RuntimeError):
            response.tunnel()


async def test_reset_of_a_tunnel_is_seen_by_its_reader() -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCH, b"abc", b"")
        peer.reset()

    async with scripted(play) as (upstream, _):
        tunnel = (await upstream.exchange(upgrade(), PATIENT)).tunnel()
        assert await tunnel.read() == b"abc"
        with pytest.raises(Truncated):
            await tunnel.read()
        tunnel.close()


async def test_tunnel_outlives_total_but_not_idle_and_either_direction_counts() -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCH)
        await peer.read_rest()

    async with scripted(play) as (upstream, _):
        limits = Deadlines(connect=5, first_byte=5, idle=0.1, total=0.12)
        tunnel = (await upstream.exchange(upgrade(), limits)).tunnel()
        for _ in range(5):
            await asyncio.sleep(0.04)
            await tunnel.write(b"ping")
        with pytest.raises(IdleTimeout):
            await tunnel.read()
        tunnel.close()


async def test_dropped_tunnel_response_closes_its_connection() -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCH)
        await peer.closed()

    async with scripted(play) as (upstream, _):
        response = await upstream.exchange(upgrade(), PATIENT)
        response.abort()
        await all_closed(upstream)
