"""What comes back: the upstream's answer with the gateway's framing, or one problem document, never both."""

import asyncio
import gzip
import socket

import pytest
from haetae_edge.deadlines import Deadlines
from haetae_edge.io.upstream import UpstreamSettings

from tests.simulator.gateway import RouteUnderTest, gateway
from tests.simulator.upstream import Peer, ok, when
from tests.simulator.world import NEXT, world

GET = b"GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n"
HEAD = b"HEAD /a HTTP/1.1\r\nHost: api.test\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_head_has_the_length_but_no_body_and_the_connection_goes_on() -> None:
    async with world() as edge:
        edge.upstream.on("/a", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: x\r\n\r\n")
        answer = await edge.client.ask(HEAD, method="HEAD")
        assert (answer.value(b"content-length"), answer.value(b"etag")) == (b"1234", b"x")
        await edge.next_is_answered()


async def test_head_answered_as_chunked_has_no_body() -> None:
    async with world() as edge:
        edge.upstream.on("/a", CHUNKED)
        answer = await edge.client.ask(HEAD, method="HEAD")
        assert (answer.status, answer.values(b"content-length")) == (200, [])
        await edge.next_is_answered()


async def test_refusal_of_a_head_request_has_no_body() -> None:
    async with world() as edge:
        request = HEAD.replace(b"/a", b"//")
        assert (await edge.client.ask(request, method="HEAD")).status == 400
        await edge.next_is_answered()


@pytest.mark.parametrize("status", [204, 304])
async def test_bodiless_status_has_no_body(status: int) -> None:
    async with world() as edge:
        edge.upstream.on("/a", b"HTTP/1.1 %d X\r\nETag: x\r\n\r\n" % status)
        answer = await edge.client.ask(GET)
        assert (answer.status, answer.values(b"content-length")) == (status, [])
        assert answer.values(b"transfer-encoding") == []
        await edge.next_is_answered()


async def test_not_modified_may_say_how_long_the_body_would_be() -> None:
    async with world() as edge:
        edge.upstream.on("/a", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n")
        assert (await edge.client.ask(GET)).value(b"content-length") == b"77"
        await edge.next_is_answered()


async def test_informational_answers_go_on_as_they_come_without_what_only_a_gateway_states() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nX-Passport: a\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    async with world() as edge:
        edge.upstream.on("/a", early + ok(b"final"))
        expected = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
        await edge.client.send(GET)
        assert await edge.client.read_exactly(len(expected)) == expected
        assert (await edge.client.answer()).body == b"final"
        await edge.next_is_answered()


async def test_client_of_http_1_0_is_spared_informational_answers() -> None:
    async with world() as edge:
        edge.upstream.on("/a", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok(b"final"))
        answer = await edge.client.ask(b"GET /a HTTP/1.0\r\nHost: api.test\r\n\r\n")
        assert (answer.status, answer.body) == (200, b"final")


async def test_chunked_answer_stays_a_stream_and_its_trailers_are_dropped() -> None:
    async with world() as edge:
        go = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.send(CHUNKED + b"5\r\nfirst\r\n")
            await go.wait()
            await peer.send(b"3;x=y\r\nend\r\n0\r\nX-Trailer: t\r\n\r\n")

        edge.upstream.on("/a", script)
        await edge.client.send(GET)
        received = b""
        while b"first" not in received:
            received += await edge.client.read_some()
        go.set()
        while not received.endswith(b"0\r\n\r\n"):
            received += await edge.client.read_some()
        assert b"x-trailer" not in received.lower()
        assert received.endswith(b"\r\n\r\n5\r\nfirst\r\n3\r\nend\r\n0\r\n\r\n")
        await edge.next_is_answered()


async def test_answer_that_ends_with_the_connection_becomes_chunked() -> None:
    async with world() as edge:

        async def script(peer: Peer) -> None:
            await peer.send(b"HTTP/1.1 200 OK\r\n\r\n", b"all ", b"of it")
            peer.close()

        edge.upstream.on("/a", script)
        answer = await edge.client.ask(GET)
        assert (answer.body, answer.says_close) == (b"all of it", False)
        await edge.next_is_answered()


async def test_http_1_0_client_gets_a_stream_without_chunks_until_close() -> None:
    async with world() as edge:
        go = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.send(CHUNKED + b"6\r\nhello \r\n")
            await go.wait()
            await peer.send(b"5\r\nworld\r\n0\r\n\r\n")

        edge.upstream.on("/a", script)
        await edge.client.send(b"GET /a HTTP/1.0\r\nHost: api.test\r\nConnection: keep-alive\r\n\r\n")
        received = b""
        while not received.endswith(b"hello "):
            received += await edge.client.read_some()
        go.set()
        received += await edge.client.rest()
        head, _, body = received.partition(b"\r\n\r\n")
        assert body == b"hello world"
        assert b"\r\nconnection: close" in head
        assert b"transfer-encoding" not in head


async def test_http_1_0_client_may_keep_the_connection_when_it_asks() -> None:
    async with world() as edge:
        answer = await edge.client.ask(b"GET /a HTTP/1.0\r\nHost: api.test\r\nConnection: keep-alive\r\n\r\n")
        assert answer.value(b"connection") == b"keep-alive"
        assert edge.upstream.only.line == b"GET /a HTTP/1.1"
        answer = await edge.client.ask(b"GET /b HTTP/1.0\r\nHost: api.test\r\n\r\n")
        assert (answer.body, answer.says_close) == (b"answer to GET /b", True)
        await edge.client.closed()


async def test_connection_close_is_honoured_and_answered() -> None:
    async with world() as edge:
        answer = await edge.client.ask(b"GET /a HTTP/1.1\r\nHost: api.test\r\nConnection: Close\r\n\r\n")
        assert (answer.body, answer.says_close) == (b"answer to GET /a", True)
        await edge.client.closed()


GARBAGE = {
    "nothing": b"",
    "another protocol": b"SSH-2.0-OpenSSH\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Len",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE.keys())
async def test_unusable_answer_is_a_502_and_the_client_connection_goes_on(answer: bytes) -> None:
    async with world() as edge:

        async def script(peer: Peer) -> None:
            await peer.send(answer)
            peer.close()

        edge.upstream.on("/a", script)
        got = await edge.client.ask(GET)
        assert (got.status, got.problem()) in ((502, "upstream-invalid"), (502, "upstream-unreachable"))
        await edge.next_is_answered()


async def test_upstream_that_is_not_there_is_a_502() -> None:
    # Bound and not listening: nobody else can take the port meanwhile.
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        route = RouteUnderTest(port=closed.getsockname()[1])
        async with gateway(route) as running, running.client() as client:
            answer = await client.ask(GET)
            assert (answer.status, answer.problem()) == (502, "upstream-unreachable")


async def test_silent_upstream_is_a_504_and_its_connection_is_given_up() -> None:
    async with world(deadlines=Deadlines(first_byte=0.1)) as edge:

        async def script(peer: Peer) -> None:
            await peer.gone()

        edge.upstream.on("/a", script)
        answer = await edge.client.ask(GET)
        assert (answer.status, answer.problem()) == (504, "upstream-timeout")
        await edge.upstream.until(lambda upstream: upstream.open_connections == 0)
        await edge.next_is_answered()


async def test_upstream_without_room_is_a_503_with_retry_after() -> None:
    async with world(pool=UpstreamSettings(max_connections=1, max_waiters=0)) as edge:
        go = asyncio.Event()
        edge.upstream.on("/a", when(go, ok(b"late")))
        await edge.client.send(GET)
        await edge.upstream.until(lambda upstream: len(upstream.requests) == 1)
        async with edge.gateway.client() as second:
            answer = await second.ask(NEXT)
            assert (answer.status, answer.problem()) == (503, "upstream-overloaded")
            assert answer.value(b"retry-after") == b"1"
        go.set()
        assert (await edge.client.answer()).body == b"late"


DYING = {
    "with a length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst part",
    "chunked": CHUNKED + b"a\r\nfirst part\r\n",
    "chunked, inside a chunk": CHUNKED + b"ff\r\nfirst part",
    "chunked, before the last line": CHUNKED + b"a\r\nfirst part\r\n0\r\n",
}


@pytest.mark.parametrize("start", DYING.values(), ids=DYING.keys())
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_answer_that_breaks_off_is_no_whole_answer_and_no_second_one_follows(start: bytes, reset: bool) -> None:
    async with world() as edge:
        go = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.send(start)
            await go.wait()
            if reset:
                peer.reset()
            else:
                peer.close()

        edge.upstream.on("/a", script)
        await edge.client.send(GET)
        received = b""
        while b"first part" not in received:
            received += await edge.client.read_some()
        go.set()
        received += await edge.client.rest()
        assert received.count(b"HTTP/1.1") == 1
        assert not received.endswith(b"0\r\n\r\n")
        assert b"problem" not in received


async def test_upstream_that_lies_about_the_length_gives_the_rest_to_nobody() -> None:
    async with world() as edge:
        edge.upstream.on("/a", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + ok(b"of another user"))
        assert (await edge.client.ask(GET)).body == b"ok"
        await edge.next_is_answered()


async def test_early_answer_stops_the_upload_and_closes() -> None:
    async with world() as edge:

        async def script(peer: Peer) -> None:
            await peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            await peer.gone()

        edge.upstream.on("/a", script)
        await edge.client.send(b"POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 100000\r\n\r\n", b"start")
        answer = await edge.client.answer()
        assert (answer.status, answer.body, answer.says_close) == (403, b"no", True)
        edge.client.half_close()
        await edge.client.closed()
        await edge.upstream.until(lambda upstream: upstream.open_connections == 0)


@pytest.mark.parametrize("polite", [True, False], ids=["close", "reset"])
async def test_client_that_leaves_cancels_the_call_to_the_upstream(polite: bool) -> None:
    async with world() as edge:
        gone = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.gone()
            gone.set()

        edge.upstream.on("/a", script)
        await edge.client.send(GET)
        await edge.upstream.until(lambda upstream: len(upstream.requests) == 1)
        if polite:
            edge.client.close()
        else:
            edge.client.reset()
        async with asyncio.timeout(5):
            await gone.wait()


async def test_client_that_leaves_in_the_middle_of_an_answer_ends_the_upstream_stream() -> None:
    async with world() as edge:
        gone = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.send(CHUNKED)
            try:
                while True:
                    await peer.send(b"4000\r\n" + b"a" * 0x4000 + b"\r\n")
            except ConnectionError:
                gone.set()

        edge.upstream.on("/a", script)
        await edge.client.send(GET)
        await edge.client.read_exactly(1000)
        edge.client.reset()
        async with asyncio.timeout(5):
            await gone.wait()


async def test_large_answer_arrives_whole() -> None:
    body = bytes(range(256)) * 8192
    async with world() as edge:
        edge.upstream.on("/a", ok(body))
        assert (await edge.client.ask(GET)).body == body
        await edge.next_is_answered()


async def test_large_upload_arrives_whole() -> None:
    body = bytes(range(256)) * 8192
    async with world() as edge:
        await edge.client.send(b"POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: %d\r\n\r\n" % len(body), body)
        assert (await edge.client.answer()).status == 200
        assert edge.upstream.only.body == body
        await edge.next_is_answered()


async def test_compressed_body_passes_untouched() -> None:
    body = gzip.compress(b"content of a body")
    async with world() as edge:
        head = b"POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
        await edge.client.send(head + body)
        assert (await edge.client.answer()).status == 200
        assert edge.upstream.only.body == body
        assert edge.upstream.only.values(b"content-encoding") == [b"gzip"]
        await edge.next_is_answered()
