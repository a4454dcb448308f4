"""Each part of an exchange ends in time, and says which part it was."""

import asyncio
import socket

import pytest
from haetae_edge.io.upstream import (
    ConnectTimeout,
    Deadlines,
    FirstByteTimeout,
    IdleTimeout,
    Origin,
    TotalTimeout,
    Upstream,
    UpstreamError,
    UpstreamRequest,
    UpstreamSettings,
)

from tests.edge.upstream.scripted_upstream import (
    GET,
    OK,
    PATIENT,
    POST,
    Peer,
    PieceSource,
    Script,
    get,
    read_all,
    scripted,
)

START = b"HTTP/1.1 200 OK\r\n"
LONG = START + b"Content-Length: 1000\r\n\r\n"


def deadlines(*, first_byte: float = 5, idle: float = 5, total: float | None = None) -> Deadlines:
    return Deadlines(connect=5, first_byte=first_byte, idle=idle, total=total)


async def silent(peer: Peer) -> None:
    await peer.read_head()
    await peer.read_rest()


async def starts(peer: Peer) -> None:
    await peer.read_head()
    await peer.send(LONG + b"x")
    await peer.read_rest()


async def drips_head(peer: Peer) -> None:
    await peer.read_head()
    try:
        for at in range(200):
            await peer.send((START + b"X: " + b"a" * 200)[at : at + 1], b"")
    except ConnectionError:
        return
    await peer.read_rest()


async def drips_body(peer: Peer) -> None:
    await peer.read_head()
    try:
        await peer.send(LONG)
        for _ in range(1000):
            await peer.send(b"x", b"", b"")
    except ConnectionError:
        return
    await peer.read_rest()


CASES = {
    "no answer": (silent, deadlines(first_byte=0.05), FirstByteTimeout),
    "head byte by byte": (drips_head, deadlines(first_byte=0.05), FirstByteTimeout),
    "body stops": (starts, deadlines(idle=0.05), IdleTimeout),
    "no answer in total": (silent, deadlines(total=0.05), TotalTimeout),
    "body stops in total": (starts, deadlines(total=0.05), TotalTimeout),
    "body byte by byte": (drips_body, deadlines(idle=0.1, total=0.15), TotalTimeout),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_overdue_exchange_ends_with_the_deadline_it_missed(
    case: tuple[Script, Deadlines, type[UpstreamError]],
) -> None:
    play, limits, expected = case
    async with scripted(play) as (upstream, _):
        started = asyncio.get_running_loop().time()
        with pytest.raises(expected) as overdue:
            await read_all(await upstream.exchange(get(), limits))
        assert asyncio.get_running_loop().time() - started < 1
        assert isinstance(overdue.value, UpstreamError)
        assert not overdue.value.retry_safe


async def test_progress_keeps_a_slow_body_alive() -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(START + b"Content-Length: 12\r\n\r\n")
        for _ in range(12):
            await asyncio.sleep(0.02)
            await peer.send(b"x")
        await peer.serve()

    async with scripted(play) as (upstream, _):
        assert await read_all(await upstream.exchange(get(), deadlines(idle=0.1))) == b"x" * 12


async def test_our_own_slow_reader_is_not_the_upstreams_idleness() -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(START + b"Content-Length: 8000000\r\n\r\n" + b"x" * 8_000_000)
        await peer.serve()

    async with scripted(play) as (upstream, _):
        response = await upstream.exchange(get(), deadlines(idle=0.05))
        await asyncio.sleep(0.2)
        assert len(await read_all(response)) == 8_000_000


async def test_client_slow_to_send_its_body_is_not_the_upstreams_slowness() -> None:
    late = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.expect(b"ab")
        await peer.send(OK)
        await peer.serve()

    async with scripted(play) as (upstream, _):
        request = UpstreamRequest("POST", POST, PieceSource(late, b"ab", length=2))
        task = asyncio.ensure_future(upstream.exchange(request, deadlines(first_byte=0.05, idle=0.05)))
        await asyncio.sleep(0.15)
        late.set()
        assert (await task).body == b"ok"


@pytest.mark.parametrize("streamed", [False, True])
async def test_upstream_that_takes_no_request_body_is_idle(streamed: bool) -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.read(1)
        await asyncio.sleep(0.3)

    async with scripted(play) as (upstream, _):
        body = PieceSource(b"x" * 20_000_000, length=20_000_000) if streamed else b"x" * 20_000_000
        with pytest.raises(IdleTimeout):
            await upstream.exchange(UpstreamRequest("POST", POST, body), deadlines(idle=0.1))


async def test_slow_but_steady_upload_outlives_first_byte_and_idle() -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        received = 0
        while received < 20_000_000:
            received += len(await peer.read(1_000_000))
            await asyncio.sleep(0.002)
        await peer.send(OK)
        await peer.serve()

    async with scripted(play) as (upstream, _):
        request = UpstreamRequest("POST", POST, b"x" * 20_000_000)
        response = await upstream.exchange(request, deadlines(first_byte=0.2, idle=0.2))
        assert response.body == b"ok"


async def test_each_interim_answer_starts_first_byte_anew() -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        for _ in range(6):
            await asyncio.sleep(0.03)
            await peer.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await peer.send(OK)
        await peer.serve()

    async with scripted(play) as (upstream, _):
        response = await upstream.exchange(get(), deadlines(first_byte=0.15))
        assert await read_all(response) == b"ok"


async def test_short_deadline_after_a_long_one_on_the_same_connection_holds() -> None:
    async def play(peer: Peer) -> None:
        await peer.answer()
        await peer.read_head()
        await peer.closed()

    async with scripted(play) as (upstream, fake):
        await upstream.exchange(get(), PATIENT)
        with pytest.raises(FirstByteTimeout):
            await upstream.exchange(get(), deadlines(first_byte=0.05))
        assert fake.connections == 1


async def test_deadline_of_one_exchange_does_not_reach_into_the_next() -> None:
    async def play(peer: Peer) -> None:
        await peer.answer()
        await peer.read_head()
        await asyncio.sleep(0.15)
        await peer.send(OK)
        await peer.serve()

    async with scripted(play) as (upstream, fake):
        await upstream.exchange(get(), deadlines(first_byte=0.05, idle=0.05, total=0.06))
        assert (await upstream.exchange(get(), PATIENT)).body == b"ok"
        assert fake.connections == 1


async def test_connection_that_does_not_come_about_ends_in_time_and_is_safe_to_retry() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        upstream = Upstream(Origin("http", "127.0.0.1", port), settings=UpstreamSettings())
        limits = Deadlines(connect=0.1, first_byte=5, idle=5, total=None)
        with pytest.raises(ConnectTimeout) as overdue:
            await upstream.exchange(UpstreamRequest("GET", GET), limits)
        assert overdue.value.retry_safe
        assert upstream.open_connections == 0
        await upstream.close()
        for filler in fillers:
            filler.close()
