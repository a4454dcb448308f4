"""When a connection is used again, when it must not be, and when a request may be repeated."""

import asyncio
from contextlib import suppress

import pytest
from haetae_edge.io.upstream import (
    ClosedBeforeResponse,
    ConnectFailed,
    Deadlines,
    Origin,
    PoolExhausted,
    Truncated,
    Upstream,
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
    all_closed,
    fetch,
    get,
    read_all,
    scripted,
)

START = b"HTTP/1.1 200 OK\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


async def good(peer: Peer) -> None:
    await peer.serve()


SURPLUS = {
    "a second response": OK + EVIL,
    "a line end": OK + b"\r\n",
    "one byte": OK + b"x",
    "after an empty body": START + b"Content-Length: 0\r\n\r\n" + EVIL,
    "after chunks": START + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + EVIL,
    "a line end after chunks": START + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\r\n",
    "a body on 304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil",
    "a body on 204": b"HTTP/1.1 204 No Content\r\n\r\nevil",
}


@pytest.mark.parametrize("answer", SURPLUS.values(), ids=SURPLUS.keys())
async def test_bytes_after_a_response_never_reach_the_next_request(answer: bytes) -> None:
    async def bad(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(answer)
        await peer.closed()

    async with scripted(bad, good) as (upstream, fake):
        status, body = await fetch(upstream)
        assert status in (200, 204, 304)
        assert body in (b"ok", b"")
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 2


async def test_body_after_a_head_response_closes_the_connection() -> None:
    async def bad(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(EVIL)
        await peer.closed()

    async with scripted(bad, good) as (upstream, fake):
        response = await upstream.exchange(UpstreamRequest("HEAD", b"HEAD / HTTP/1.1\r\nhost: a\r\n"), PATIENT)
        assert response.body == b""
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 2


@pytest.mark.parametrize("unasked", [EVIL, b"\r\n", b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"])
async def test_bytes_on_an_idle_connection_close_it(unasked: bytes) -> None:
    answered = asyncio.Event()

    async def bad(peer: Peer) -> None:
        await peer.answer()
        await answered.wait()
        await peer.send(unasked)
        await peer.closed()

    async with scripted(bad, good) as (upstream, fake):
        assert await fetch(upstream) == (200, b"ok")
        assert upstream.idle_connections == 1
        answered.set()
        await all_closed(upstream)
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 2


KEPT = {
    "HTTP/1.1": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 1),
    "HTTP/1.1 with close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 2),
    "close in a list": (b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok", 2),
    "close before keep-alive": (
        b"HTTP/1.0 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        2,
    ),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 2),
    "HTTP/1.0 with keep-alive": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        1,
    ),
}


@pytest.mark.parametrize(("answer", "connections"), KEPT.values(), ids=KEPT.keys())
async def test_connection_persists_only_as_the_response_says(answer: bytes, connections: int) -> None:
    async def play(peer: Peer) -> None:
        await peer.serve(answer)

    async with scripted(play) as (upstream, fake):
        assert await fetch(upstream) == (200, b"ok")
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == connections


async def test_newest_idle_connection_is_used_first() -> None:
    served: list[int] = []
    both = asyncio.Barrier(2)

    def numbered(number: int) -> Script:
        async def play(peer: Peer) -> None:
            await peer.read_head()
            await both.wait()
            await asyncio.sleep(0.01 * number)
            await peer.send(OK)
            with suppress(asyncio.IncompleteReadError):
                while True:
                    await peer.answer()
                    served.append(number)

        return play

    async with scripted(numbered(1), numbered(2)) as (upstream, _):
        await asyncio.gather(fetch(upstream), fetch(upstream))
        assert upstream.idle_connections == 2
        for _ in range(3):
            await fetch(upstream)
    assert served == [2, 2, 2]


async def test_every_caller_gets_its_own_answer_under_load() -> None:
    async def echo(peer: Peer) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                name = (await peer.read_head()).split(b" ")[1]
                await peer.send(START + b"Content-Length: %d\r\n\r\n%b" % (len(name), name))

    async def ask(number: int) -> None:
        path = b"/%d" % number
        request = get(b"GET %b HTTP/1.1\r\nhost: a\r\n" % path)
        task = asyncio.ensure_future(fetch(upstream, request))
        if number % 7 == 0:
            await asyncio.sleep(0.0005 * (number % 5))
            task.cancel()
            await asyncio.wait({task})
        else:
            assert await task == (200, path)

    async with scripted(echo, settings=UpstreamSettings(max_connections=8)) as (upstream, _):
        await asyncio.gather(*(ask(number) for number in range(300)))
        assert upstream.open_connections <= 8


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_safe_request_is_repeated_once_when_a_reused_connection_dies_unanswered(end: str, method: str) -> None:
    wire = method.encode() + b" / HTTP/1.1\r\nhost: a\r\n"

    async def dying(peer: Peer) -> None:
        await peer.answer()
        await peer.expect(wire + b"\r\n")
        getattr(peer, end)()

    async def fresh(peer: Peer) -> None:
        await peer.expect(wire + b"\r\n")
        await peer.send(START + b"Content-Length: 0\r\n\r\n")
        await peer.closed()

    async with scripted(dying, fresh) as (upstream, fake):
        await fetch(upstream)
        assert await fetch(upstream, UpstreamRequest(method, wire)) == (200, b"")
        assert fake.connections == 2


async def test_safe_request_is_repeated_only_once() -> None:
    async def dying(peer: Peer) -> None:
        await peer.answer()
        await peer.read_head()

    async def dead(peer: Peer) -> None:
        await peer.read_head()

    async with scripted(dying, dead) as (upstream, fake):
        await fetch(upstream)
        with pytest.raises(ClosedBeforeResponse) as closed:
            await fetch(upstream)
        assert (closed.value.reused, closed.value.retry_safe) == (False, False)
        assert closed.value.bytes_sent == len(GET) + 2
        assert fake.connections == 2


@pytest.mark.parametrize(
    ("method", "streamed"), [("POST", False), ("PUT", False), ("DELETE", False), ("PATCH", False), ("GET", True)]
)
async def test_request_that_may_have_been_executed_is_not_repeated(method: str, streamed: bool) -> None:
    async def dying(peer: Peer) -> None:
        await peer.answer()
        await peer.read_head()

    async with scripted(dying, good) as (upstream, fake):
        await fetch(upstream)
        head = method.encode() + b" / HTTP/1.1\r\nhost: a\r\n"
        body = PieceSource(asyncio.Event(), length=1) if streamed else None
        with pytest.raises(ClosedBeforeResponse) as closed:
            await fetch(upstream, UpstreamRequest(method, head, body))
        assert (closed.value.reused, closed.value.retry_safe) == (True, False)
        assert fake.connections == 1


async def test_first_request_of_a_connection_is_not_repeated() -> None:
    async def dead(peer: Peer) -> None:
        await peer.read_head()

    async with scripted(dead) as (upstream, fake):
        with pytest.raises(ClosedBeforeResponse) as closed:
            await fetch(upstream)
        assert not closed.value.reused
        assert fake.connections == 1


@pytest.mark.parametrize("begin", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_request_is_not_repeated_once_an_answer_has_begun(begin: bytes) -> None:
    async def dying(peer: Peer) -> None:
        await peer.answer()
        await peer.read_head()
        await peer.send(begin)

    async with scripted(dying, good) as (upstream, fake):
        await fetch(upstream)
        with pytest.raises(Truncated) as truncated:
            await fetch(upstream)
        assert not truncated.value.retry_safe
        assert fake.connections == 1


async def test_connection_closed_while_idle_is_not_tried() -> None:
    async def once(peer: Peer) -> None:
        await peer.answer()

    async with scripted(once) as (upstream, fake):
        for number in range(1, 4):
            assert await fetch(upstream, UpstreamRequest("POST", POST)) == (200, b"ok")
            await all_closed(upstream)
            assert fake.connections == number


async def test_caller_cancelled_before_the_answer_closes_the_connection() -> None:
    asked = asyncio.Event()

    async def slow(peer: Peer) -> None:
        await peer.read_head()
        asked.set()
        await peer.closed()

    async with scripted(slow, good) as (upstream, fake):
        task = asyncio.ensure_future(fetch(upstream))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 2


async def test_caller_cancelled_while_reading_closes_the_connection() -> None:
    async def slow(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(START + b"Content-Length: 9\r\n\r\nok")
        await peer.closed()

    async with scripted(slow, good) as (upstream, fake):
        response = await upstream.exchange(get(), PATIENT)
        task = asyncio.ensure_future(read_all(response))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 2


@pytest.mark.parametrize("how", ["abort", "release", "drop"])
async def test_response_left_half_read_closes_its_connection(how: str) -> None:
    async def slow(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(START + b"Content-Length: 9\r\n\r\nok")
        await peer.closed()

    async with scripted(slow, good) as (upstream, fake):
        response = await upstream.exchange(get(), PATIENT)
        if how == "drop":
            del response
        else:
            getattr(response, how)()
            getattr(response, how)()
            assert await response.read() == b"ok"
            with pytest.raises(Truncated):
                await response.read()
        await all_closed(upstream)
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 2


async def test_abort_of_a_finished_response_does_not_touch_the_next_exchange() -> None:
    async with scripted(good) as (upstream, fake):
        first = await upstream.exchange(get(), PATIENT)
        second = asyncio.ensure_future(upstream.exchange(get(), PATIENT))
        await asyncio.sleep(0)
        first.abort()
        first.release()
        assert (await second).body == b"ok"
        assert fake.connections == 1


async def test_one_caller_too_many_is_refused_at_once_and_the_others_wait_their_turn() -> None:
    go = asyncio.Event()

    async def slow(peer: Peer) -> None:
        await peer.read_head()
        await go.wait()
        await peer.send(OK)
        await good(peer)

    settings = UpstreamSettings(max_connections=1, max_waiters=2)
    async with scripted(slow, settings=settings) as (upstream, fake):
        tasks = [asyncio.ensure_future(fetch(upstream)) for _ in range(3)]
        await asyncio.sleep(0.01)
        with pytest.raises(PoolExhausted) as refused:
            await fetch(upstream)
        assert refused.value.retry_safe
        go.set()
        assert await asyncio.gather(*tasks) == [(200, b"ok")] * 3
        assert fake.connections == 1


async def test_waiting_caller_opens_a_new_connection_when_the_old_one_ends() -> None:
    async def once(peer: Peer) -> None:
        await peer.answer(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    async with scripted(once, settings=UpstreamSettings(max_connections=1)) as (upstream, fake):
        assert await asyncio.gather(*(fetch(upstream) for _ in range(5))) == [(200, b"ok")] * 5
        assert fake.connections == 5


async def test_waiting_caller_gives_up_at_its_connect_deadline() -> None:
    async def hold(peer: Peer) -> None:
        await peer.read_head()
        await peer.closed()

    settings = UpstreamSettings(max_connections=1)
    async with scripted(hold, settings=settings) as (upstream, _):
        task = asyncio.ensure_future(fetch(upstream))
        await asyncio.sleep(0.01)
        with pytest.raises(PoolExhausted):
            await upstream.exchange(get(), Deadlines(connect=0.05, first_byte=5, idle=5, total=None))
        task.cancel()
        await asyncio.wait({task})


async def test_cancelled_waiters_lose_no_connection() -> None:
    settings = UpstreamSettings(max_connections=1)
    async with scripted(good, settings=settings) as (upstream, _):
        for _ in range(20):
            tasks = [asyncio.ensure_future(fetch(upstream)) for _ in range(4)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            await asyncio.sleep(0.001)
            tasks[2].cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert results[1] == results[3] == (200, b"ok")
        assert upstream.open_connections <= 1


async def test_nothing_is_exchanged_after_close_and_running_callers_are_told() -> None:
    async def hold(peer: Peer) -> None:
        await peer.read_head()
        await peer.closed()

    settings = UpstreamSettings(max_connections=1)
    async with scripted(hold, settings=settings) as (upstream, _):
        running, waiting = (asyncio.ensure_future(fetch(upstream)) for _ in range(2))
        await asyncio.sleep(0.02)
        await upstream.close()
        with pytest.raises(Truncated):
            await running
        with pytest.raises(ConnectFailed):
            await waiting
        with pytest.raises(ConnectFailed):
            await fetch(upstream)


async def test_refused_connection_is_safe_to_retry_and_frees_its_slot() -> None:
    upstream = Upstream(Origin("http", "127.0.0.1", 1), settings=UpstreamSettings(max_connections=1))
    for _ in range(3):
        with pytest.raises(ConnectFailed) as failed:
            await fetch(upstream)
        assert failed.value.retry_safe
    assert upstream.open_connections == 0
    await upstream.close()


async def test_idle_connection_is_closed_after_its_time() -> None:
    async def play(peer: Peer) -> None:
        await peer.answer()
        await peer.closed()

    async with scripted(play, settings=UpstreamSettings(idle_timeout=0.05)) as (upstream, _):
        await fetch(upstream)
        assert upstream.open_connections == 1
        await all_closed(upstream)
        assert upstream.idle_connections == 0


async def test_old_connection_is_not_kept() -> None:
    async with scripted(good, settings=UpstreamSettings(max_age=0.02)) as (upstream, fake):
        await fetch(upstream)
        await asyncio.sleep(0.03)
        await fetch(upstream)
        await fetch(upstream)
        assert fake.connections == 2
