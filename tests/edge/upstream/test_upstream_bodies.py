"""Bodies in both directions: framing, early ends, pressure, and sources that break off."""

import asyncio

import pytest
from haetae_edge.io.upstream import (
    ClientBodyError,
    ClosedBeforeResponse,
    Truncated,
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
    all_closed,
    fetch,
    get,
    read_all,
    scripted,
)

START = b"HTTP/1.1 200 OK\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"


async def good(peer: Peer) -> None:
    await peer.serve()


CHUNKS = {
    "one": (b"2\r\nok\r\n0\r\n\r\n", b"ok"),
    "none": (b"0\r\n\r\n", b""),
    "many": (b"1\r\no\r\n001\r\nk\r\n00\r\n\r\n", b"ok"),
    "upper-case size": (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "extensions": (b'2;a;b="c" ;d\r\nok\r\n0;last\r\n\r\n', b"ok"),
    "trailers, dropped": (b"2\r\nok\r\n0\r\nX-Role: admin\r\nContent-Length: 99\r\n\r\n", b"ok"),
}


@pytest.mark.parametrize(("chunks", "body"), CHUNKS.values(), ids=CHUNKS.keys())
@pytest.mark.parametrize("split", [False, True], ids=["whole", "bytewise"])
async def test_chunked_body_is_taken_apart_and_the_connection_reused(chunks: bytes, body: bytes, split: bool) -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        if split:
            await peer.send(CHUNKED, *(chunks[at : at + 1] for at in range(len(chunks))))
        else:
            await peer.send(CHUNKED + chunks)
        await peer.serve()

    async with scripted(play) as (upstream, fake):
        response = await upstream.exchange(get(), PATIENT)
        assert response.headers == [(b"transfer-encoding", b"chunked")]
        assert response.length is None
        assert (response.body is None) == split
        assert await read_all(response) == body
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 1


@pytest.mark.parametrize(
    "pieces", [(START + b"\r\nabc",), (START + b"\r\n", b"abc"), (b"HTTP/1.0 200 OK\r\n\r\nab", b"c")]
)
async def test_body_without_framing_lasts_until_the_connection_ends(pieces: tuple[bytes, ...]) -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(*pieces)
        peer.half_close()
        await peer.closed()

    async with scripted(play, good) as (upstream, fake):
        assert await fetch(upstream) == (200, b"abc")
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 2


TRUNCATED = {
    "in the status line": b"HTTP/1.1 20",
    "in the head": START + b"Content-Le",
    "after an informational head": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "in a sized body": START + b"Content-Length: 9\r\n\r\nok",
    "before a sized body": START + b"Content-Length: 9\r\n\r\n",
    "in a chunk": CHUNKED + b"9\r\nok",
    "between chunks": CHUNKED + b"2\r\nok\r\n",
    "before the last line": CHUNKED + b"2\r\nok\r\n0\r\n",
}


@pytest.mark.parametrize("answer", TRUNCATED.values(), ids=TRUNCATED.keys())
@pytest.mark.parametrize("end", ["close", "reset"])
async def test_answer_cut_short_is_never_taken_for_a_whole_one(answer: bytes, end: str) -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(answer, b"")
        getattr(peer, end)()

    async with scripted(play, good) as (upstream, _):
        with pytest.raises(Truncated):
            await fetch(upstream)
        assert await fetch(upstream) == (200, b"ok")


async def test_open_body_ended_by_a_reset_is_truncated() -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(START + b"\r\nabc", b"")
        peer.reset()

    async with scripted(play) as (upstream, _):
        response = await upstream.exchange(get(), PATIENT)
        assert await response.read() == b"abc"
        with pytest.raises(Truncated):
            await response.read()


async def test_slow_reader_stops_the_upstream_instead_of_filling_memory() -> None:
    size = 32_000_000
    sent = 0

    async def play(peer: Peer) -> None:
        nonlocal sent
        await peer.read_head()
        await peer.send(START + b"Content-Length: %d\r\n\r\n" % size)
        while sent < size:
            await peer.send(b"x" * 100_000)
            sent += 100_000
        await peer.serve()

    async with scripted(play) as (upstream, fake):
        response = await upstream.exchange(get(), PATIENT)
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < size
        received = 0
        while piece := await response.read():
            assert len(piece) <= 2_000_000
            received += len(piece)
        assert received == size
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 1


async def test_slow_upstream_stops_the_reading_of_the_request_body() -> None:
    go = asyncio.Event()
    pieces = [b"x" * 100_000] * 300

    class Counting(PieceSource):
        taken = 0

        async def read(self) -> bytes:
            self.taken += 1
            return await super().read()

    async def play(peer: Peer) -> None:
        await peer.read_head()
        await go.wait()
        received = 0
        while received < 30_000_000:
            received += len(await peer.read(1_000_000))
        await peer.send(OK)
        await peer.serve()

    async with scripted(play) as (upstream, fake):
        source = Counting(*pieces, length=30_000_000)
        task = asyncio.ensure_future(fetch(upstream, UpstreamRequest("POST", POST, source)))
        before = -1
        while source.taken != before or before <= 0:
            before = source.taken
            await asyncio.sleep(0.1)
        assert source.taken < 200
        go.set()
        assert await task == (200, b"ok")
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 1


@pytest.mark.parametrize("length", [None, 100])
async def test_early_answer_stops_the_upload_is_delivered_and_ends_the_connection(length: int | None) -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        await peer.read_rest()

    source = PieceSource(b"x" * 50, asyncio.Event(), b"x" * 50, length=length)
    async with scripted(play, good) as (upstream, fake):
        assert await fetch(upstream, UpstreamRequest("POST", POST, source)) == (413, b"no")
        await asyncio.sleep(0)
        assert source.cancelled
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 2


async def test_early_answer_to_a_large_body_in_memory_ends_the_connection() -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        await peer.read_rest()

    async with scripted(play, good) as (upstream, fake):
        request = UpstreamRequest("POST", POST, b"x" * 30_000_000)
        assert await fetch(upstream, request) == (413, b"no")
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 2


async def test_interim_answer_does_not_stop_the_upload() -> None:
    go = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        go.set()
        await peer.expect(b"ab")
        await peer.send(OK)
        await peer.serve()

    async with scripted(play) as (upstream, fake):
        assert await fetch(upstream, UpstreamRequest("POST", POST, PieceSource(go, b"ab", length=2))) == (200, b"ok")
        assert await fetch(upstream, UpstreamRequest("GET", GET)) == (200, b"ok")
        assert fake.connections == 1


class Refused(Exception):
    pass


BROKEN = {
    "shorter than announced": (PieceSource, (b"ab",), 3, ClientBodyError),
    "longer than announced": (PieceSource, (b"ab", b"cd"), 3, ClientBodyError),
    "more than nothing": (PieceSource, (b"a",), 0, ClientBodyError),
    "client broke off": (PieceSource, (b"ab", ClientBodyError("gone")), 3, ClientBodyError),
    "client broke off a chunked body": (PieceSource, (b"ab", ClientBodyError("gone")), None, ClientBodyError),
    "the pipeline refused": (PieceSource, (b"ab", Refused()), None, Refused),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN.keys())
async def test_request_body_that_breaks_off_aborts_the_upstream_connection(
    case: tuple[type[PieceSource], tuple[bytes | Exception, ...], int | None, type[Exception]],
) -> None:
    make, pieces, length, expected = case
    seen: list[bytes] = []

    async def play(peer: Peer) -> None:
        await peer.read_head()
        seen.append(await peer.read_rest())

    async with scripted(play, good) as (upstream, fake):
        with pytest.raises(expected):
            await fetch(upstream, UpstreamRequest("POST", POST, make(*pieces, length=length)))
        await all_closed(upstream)
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 2
    assert b"cd" not in seen[0]
    assert b"0\r\n\r\n" not in seen[0]


async def test_caller_cancelled_during_the_upload_ends_source_and_connection() -> None:
    reading = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.expect(b"ab")
        reading.set()
        await peer.closed()

    source = PieceSource(b"ab", asyncio.Event(), length=4)
    async with scripted(play, good) as (upstream, fake):
        task = asyncio.ensure_future(fetch(upstream, UpstreamRequest("POST", POST, source)))
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await all_closed(upstream)
        assert source.cancelled
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 2


async def test_upstream_that_closes_during_the_upload_is_reported() -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        peer.reset()

    async with scripted(play) as (upstream, _):
        source = PieceSource(*[b"x" * 1000] * 100, asyncio.Event(), length=200_000)
        with pytest.raises(ClosedBeforeResponse) as closed:
            await fetch(upstream, UpstreamRequest("POST", POST, source))
        assert not closed.value.retry_safe


async def test_reader_gets_what_is_there_without_waiting_for_more() -> None:
    go = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(START + b"Content-Length: 4\r\n\r\n", b"ab")
        await go.wait()
        await peer.send(b"cd")
        await peer.closed()

    async with scripted(play, settings=UpstreamSettings(max_requests=1)) as (upstream, _):
        response = await upstream.exchange(get(), PATIENT)
        assert (response.body, response.length) == (None, 4)
        assert await response.read() == b"ab"
        go.set()
        assert [await response.read(), await response.read(), await response.read()] == [b"cd", b"", b""]
