"""What one client may take: bytes, seconds, connections. Honest clients are served while others do their worst."""

import asyncio
import contextlib
import resource
from dataclasses import replace

import pytest
from haetae_edge.limits import Limits

from tests.simulator.upstream import Peer, ok, when
from tests.simulator.world import NEXT, World, world

GET = b"GET /a HTTP/1.1\r\nHost: api.test\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: api.test\r\n"
SMALL = Limits(
    header_timeout=0.3,
    body_timeout=0.3,
    body_rate=1_000_000,
    keepalive_timeout=0.3,
    write_timeout=0.3,
    body_bytes=1000,
    header_bytes=2000,
    header_count=20,
)


async def _honest_client_is_served(edge: World) -> None:
    async with edge.gateway.client() as honest:
        assert (await honest.ask(NEXT)).body == b"answer to GET /next"


async def test_heads_within_the_limits_pass() -> None:
    async with world(limits=SMALL) as edge:
        fields = b"".join(b"X-%d: y\r\n" % number for number in range(19))
        assert (await edge.client.ask(GET + fields + b"\r\n")).status == 200
        assert (await edge.client.ask(GET + b"X: " + b"a" * 1900 + b"\r\n\r\n")).status == 200


TOO_LARGE = {
    "one field too many": b"".join(b"X-%d: y\r\n" % number for number in range(20)),
    "many fields": b"X: y\r\n" * 400,
    "a thousand empty fields": b"X:\r\n" * 1000,
    "total too large": b"X: " + b"a" * 990 + b"\r\nY: " + b"b" * 1010 + b"\r\n",
    "one long value": b"X: " + b"a" * 20_000 + b"\r\n",
    "one long name": b"X" * 20_000 + b": a\r\n",
}


@pytest.mark.parametrize("fields", TOO_LARGE.values(), ids=TOO_LARGE.keys())
@pytest.mark.parametrize("ended", [True, False], ids=["ended", "endless"])
async def test_too_large_head_is_431(fields: bytes, ended: bool) -> None:
    async with world(limits=SMALL) as edge:
        if not ended:
            fields += b"X: " + b"a" * 2000
        await edge.client.send(GET + fields + (b"\r\n" if ended else b""))
        await edge.refused("headers-too-large", 431, closes=True)
        assert edge.upstream.requests == []
        await _honest_client_is_served(edge)


async def test_forty_megabytes_of_headers_take_no_memory() -> None:
    async with world() as edge:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        line = b"X-Filler: " + b"a" * 4000 + b"\r\n"
        sent = 0
        try:
            await edge.client.send(GET)
            for _ in range(10_000):
                await edge.client.send(line)
                sent += len(line)
        except ConnectionError:
            pass
        assert sent < 20_000_000
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # KiB
        assert edge.gateway.codes == ["headers-too-large"]
        await _honest_client_is_served(edge)


async def test_huge_head_behind_a_running_request_ends_the_connection_after_its_answer() -> None:
    async with world(limits=SMALL) as edge:
        go = asyncio.Event()
        edge.upstream.on("/a", when(go, ok(b"ok")))
        await edge.client.send(GET + b"\r\n")
        await edge.upstream.until(lambda upstream: len(upstream.requests) == 1)
        for piece in (b"GET /b HTTP/1.1\r\n", *[b"X: " + b"a" * 1000 + b"\r\n"] * 7):
            await edge.client.send(piece)
            await _honest_client_is_served(edge)
        go.set()
        answer = await edge.client.answer()
        assert (answer.body, answer.says_close) == (b"ok", True)
        await edge.client.closed()


async def test_announced_body_over_the_limit_is_refused_before_it_is_sent() -> None:
    async with world(limits=SMALL) as edge:
        await edge.client.send(POST + b"Content-Length: 1001\r\n\r\n")
        await edge.refused("body-too-large", 413, closes=True)
        assert edge.upstream.requests == []


async def test_chunked_body_over_the_limit_is_refused_and_never_whole_at_the_upstream() -> None:
    async with world(limits=SMALL) as edge:

        async def script(peer: Peer) -> None:
            peer.request.body = await peer.gone()

        edge.upstream.on("/a", script)
        await edge.client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        await edge.client.send(b"1f4\r\n" + b"a" * 500 + b"\r\n", b"1f5\r\n" + b"b" * 501 + b"\r\n0\r\n\r\n")
        await edge.refused("body-too-large", 413, closes=True)
        await edge.upstream.until(lambda upstream: upstream.open_connections == 0)
        for request in edge.upstream.requests:
            assert not request.body.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("framing", [b"Content-Length: 1000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n"])
async def test_body_of_exactly_the_limit_passes(framing: bytes) -> None:
    async with world(limits=SMALL) as edge:
        end = b"\r\n0\r\n\r\n" if b"chunked" in framing else b""
        await edge.client.send(POST + framing + b"a" * 1000 + end)
        assert (await edge.client.answer()).status == 200
        assert edge.upstream.only.content == b"a" * 1000


@pytest.mark.parametrize("start", [b"G", GET, GET + b"X: y\r\n"], ids=["one byte", "a line", "two lines"])
async def test_head_that_does_not_end_is_408(start: bytes) -> None:
    async with world(limits=SMALL) as edge:
        await edge.client.send(start)
        await edge.refused("request-timeout", 408, closes=True)


async def test_head_sent_byte_by_byte_is_408_however_busy_the_client_looks() -> None:
    async with world(limits=SMALL) as edge:
        started = asyncio.get_running_loop().time()

        async def drip() -> None:
            try:
                for byte in GET * 100:
                    await edge.client.send(bytes([byte]))
                    await asyncio.sleep(0.02)
            except ConnectionError:
                return

        dripping = asyncio.create_task(drip())
        await edge.refused("request-timeout", 408, closes=True)
        assert asyncio.get_running_loop().time() - started < 1.5
        dripping.cancel()


async def test_connection_that_never_sends_anything_is_closed() -> None:
    async with world(limits=SMALL) as edge:
        await edge.client.closed()


async def test_idle_connection_is_closed_without_a_word_after_its_answer() -> None:
    async with world(limits=SMALL) as edge:
        await edge.next_is_answered()
        await edge.client.closed()


async def test_second_head_begun_behind_a_running_request_is_timed_like_any_other() -> None:
    async with world(limits=replace(SMALL, keepalive_timeout=30)) as edge:
        go = asyncio.Event()
        edge.upstream.on("/a", when(go, ok(b"ok")))
        await edge.client.send(GET + b"\r\n")
        await edge.upstream.until(lambda upstream: len(upstream.requests) == 1)
        await edge.client.send(b"GET /b HTTP/1.1\r\nHost:")
        await _honest_client_is_served(edge)
        go.set()
        assert (await edge.client.answer()).body == b"ok"
        await edge.refused("request-timeout", 408, closes=True)


@pytest.mark.parametrize("framing", [b"Content-Length: 900\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
async def test_body_of_a_few_bytes_a_second_is_408(framing: bytes) -> None:
    async with world(limits=SMALL) as edge:

        async def script(peer: Peer) -> None:
            peer.request.body = await peer.gone()

        edge.upstream.on("/a", script)
        await edge.client.send(POST + framing)
        piece = b"1\r\na\r\n" if b"chunked" in framing else b"a"

        async def drip() -> None:
            try:
                for _ in range(500):
                    await edge.client.send(piece)
                    await asyncio.sleep(0.02)
            except ConnectionError:
                return

        dripping = asyncio.create_task(drip())
        await edge.refused("request-timeout", 408, closes=True)
        dripping.cancel()
        await edge.upstream.until(lambda upstream: upstream.open_connections == 0)
        assert not edge.upstream.only.body.endswith(b"0\r\n\r\n")


async def test_slow_but_steady_upload_has_time_for_its_size() -> None:
    async with world(limits=replace(SMALL, body_timeout=0.5, body_rate=500)) as edge:
        await edge.client.send(POST + b"Content-Length: 900\r\n\r\n")
        for _ in range(9):
            await edge.client.send(b"a" * 100)
            await asyncio.sleep(0.1)
        assert (await edge.client.answer()).status == 200


@pytest.mark.parametrize("framing", [b"Content-Length: 990\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n384\r\n"])
async def test_large_start_of_a_body_buys_no_time_to_send_nothing(framing: bytes) -> None:
    # By its size this body would have 90 s.
    async with world(limits=replace(SMALL, body_rate=10)) as edge:
        started = asyncio.get_running_loop().time()
        await edge.client.send(POST + framing + b"a" * 900)
        await edge.refused("request-timeout", 408, closes=True)
        assert asyncio.get_running_loop().time() - started < 5


async def test_pause_of_the_upstream_is_not_held_against_the_client() -> None:
    size = 8 * 1024 * 1024
    async with world(limits=replace(SMALL, body_bytes=size, body_rate=100_000)) as edge:

        async def script(peer: Peer) -> None:
            await asyncio.sleep(1)  # three times what the client may pause
            await peer.read_body()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        edge.upstream.on("/a", script)
        await edge.client.send(POST + b"Content-Length: %d\r\n\r\n" % size, b"a" * size)
        assert (await edge.client.answer()).body == b"ok"


async def test_client_that_does_not_read_is_cut_off_and_the_upstream_stream_ends() -> None:
    async with world(limits=SMALL) as edge:
        gone = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                while True:
                    await peer.send(b"10000\r\n" + b"a" * 0x10000 + b"\r\n")
            except ConnectionError:
                gone.set()

        edge.upstream.on("/a", script)
        async with edge.gateway.client(receive_buffer=4096) as slow:
            await slow.send(GET + b"\r\n")
            async with asyncio.timeout(8):
                await gone.wait()
            await _honest_client_is_served(edge)


async def test_connection_over_the_limit_is_turned_away_with_retry_after_and_others_are_served() -> None:
    async with world(limits=Limits(connections=2)) as edge:
        await edge.next_is_answered()
        async with edge.gateway.client() as second:
            assert (await second.ask(NEXT)).status == 200
            async with edge.gateway.client() as third:
                answer = await third.answer()
                assert (answer.status, answer.problem(), answer.says_close) == (503, "overloaded", True)
                assert answer.value(b"retry-after") == b"1"
                await third.closed()
            await edge.next_is_answered()
            assert (await second.ask(NEXT)).status == 200


async def test_five_thousand_pipelined_requests_are_answered_in_order_in_bounded_memory() -> None:
    async with world() as edge:
        count = 5000
        requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: api.test\r\n\r\n" % number for number in range(count))
        sending = asyncio.create_task(edge.client.send(requests))
        for number in range(count):
            assert (await edge.client.answer()).body == b"answer to GET /%d" % number
            if number == 100:
                await _honest_client_is_served(edge)
        await sending


async def test_pipelined_requests_of_a_client_that_never_reads_are_not_all_executed() -> None:
    async with world(limits=SMALL) as edge:
        big = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"a" * 100_000
        edge.upstream.on("/a", big)
        async with edge.gateway.client(receive_buffer=4096) as slow:
            with contextlib.suppress(ConnectionError):
                await slow.send((GET + b"\r\n") * 2000)
            await edge.gateway.until_connections(1)
            await _honest_client_is_served(edge)
            executed = [line for line in edge.upstream.lines if line == b"GET /a HTTP/1.1"]
            assert 0 < len(executed) < 500


async def test_two_hundred_slow_clients_do_not_keep_an_honest_one_waiting() -> None:
    async with world(limits=Limits(header_timeout=5)) as edge, asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(_half_a_request(edge))
        for _ in range(20):
            await _honest_client_is_served(edge)


async def _half_a_request(edge: World) -> None:
    async with edge.gateway.client() as slow:
        await slow.send(GET)
        await slow.send(b"X: y\r\n")
