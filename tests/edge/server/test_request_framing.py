"""Where one request ends and the next begins: whoever disagrees with the upstream about it could smuggle.

Each message goes in as bytes on one connection. What must come of it: a refusal that closes, with nothing of it at the
upstream, or exactly one request there, byte for byte, and the next request on the connection gets its own answer.
"""

import pytest
from haetae_edge.limits import Limits

from tests.simulator.upstream import Peer
from tests.simulator.world import NEXT, world

POST = b"POST /a HTTP/1.1\r\nHost: api.test\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: api.test\r\n\r\n"

MALFORMED = {
    "length and chunked": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths that differ": POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
    "two lengths that agree": POST + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "a list of lengths": POST + b"Content-Length: 4, 4\r\n\r\nabcd",
    "negative length": POST + b"Content-Length: -4\r\n\r\nabcd",
    "signed length": POST + b"Content-Length: +4\r\n\r\nabcd",
    "hexadecimal length": POST + b"Content-Length: 0x4\r\n\r\nabcd",
    "length with an underscore": POST + b"Content-Length: 1_0\r\n\r\nabcdefghij",
    "empty length": POST + b"Content-Length:\r\n\r\n",
    "length beyond 64 bits": POST + b"Content-Length: 18446744073709551617\r\n\r\na",
    "length with a space before the colon": POST + b"Content-Length : 4\r\n\r\nabcd",
    "length in Arabic digits": POST + "Content-Length: ٤\r\n\r\nabcd".encode(),
    "chunked, identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice in a list": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked quoted": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunked after a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked after a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunked with underscore and length": POST
    + b"Content-Length: 5\r\nTransfer\x5fEncoding: chunked\x00\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare LF after the request line": b"GET /a HTTP/1.1\nHost: api.test\r\n\r\n",
    "bare LF after a field": b"GET /a HTTP/1.1\r\nHost: api.test\nX: y\r\n\r\n",
    "bare LF at the end of the head": b"GET /a HTTP/1.1\r\nHost: api.test\r\n\n",
    "LF only": b"GET /a HTTP/1.1\nHost: api.test\n\n",
    "bare CR in a value": b"GET /a HTTP/1.1\r\nHost: api.test\r\nX: a\rContent-Length: 4\r\n\r\n",
    "bare CR after the request line": b"GET /a HTTP/1.1\rHost: api.test\r\n\r\n",
    "folded field": b"GET /a HTTP/1.1\r\nHost: api.test\r\nX: a\r\n b\r\n\r\n",
    "folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "space before the first field": b"GET /a HTTP/1.1\r\n Host: api.test\r\n\r\n",
    "NUL in a value": b"GET /a HTTP/1.1\r\nHost: api.test\r\nX: a\x00b\r\n\r\n",
    "NUL in a name": b"GET /a HTTP/1.1\r\nHost: api.test\r\nX\x00: b\r\n\r\n",
    "DEL in a value": b"GET /a HTTP/1.1\r\nHost: api.test\r\nX: a\x7fb\r\n\r\n",
    "escape character in a value": b"GET /a HTTP/1.1\r\nHost: api.test\r\nX: a\x1bb\r\n\r\n",
    "no colon": b"GET /a HTTP/1.1\r\nHost: api.test\r\nX\r\n\r\n",
    "empty name": b"GET /a HTTP/1.1\r\nHost: api.test\r\n: x\r\n\r\n",
    "space in a name": b"GET /a HTTP/1.1\r\nHost: api.test\r\nX Y: z\r\n\r\n",
    "name above ASCII": b"GET /a HTTP/1.1\r\nHost: api.test\r\nX\xe9: z\r\n\r\n",
    "an empty name first": b"GET /a HTTP/1.1\r\n: x\r\nHost: api.test\r\n\r\n",
}


@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
async def test_malformed_request_is_refused_and_what_follows_it_never_runs(message: bytes, split: bool) -> None:
    async with world() as edge:
        if split:
            await edge.client.send(message[:17], message[17:-3], message[-3:] + SMUGGLED)
        else:
            await edge.client.send(message + SMUGGLED)
        await edge.refused("request-malformed", 400, closes=True)
        assert edge.upstream.requests == []


async def test_unknown_transfer_coding_never_reaches_the_upstream_as_a_length() -> None:
    async with world() as edge:
        await edge.client.send(POST + b"Transfer-Encoding: gzip\r\n\r\nabcd" + SMUGGLED)
        await edge.refused("request-malformed", 400, closes=True)
        assert edge.upstream.requests == []


async def test_tab_before_chunked_is_only_white_space_and_is_written_anew() -> None:
    async with world() as edge:
        await edge.client.send(POST + b"Transfer-Encoding:\tchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        assert (await edge.client.answer()).status == 200
        assert edge.upstream.only.values(b"transfer-encoding") == [b"chunked"]
        assert edge.upstream.only.content == b"abc"
        await edge.next_is_answered()


async def test_chunked_in_another_case_is_chunked() -> None:
    async with world() as edge:
        await edge.client.send(POST + b"Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        assert (await edge.client.answer()).status == 200
        assert edge.upstream.only.content == b"abc"
        await edge.next_is_answered()


async def test_length_arrives_with_exactly_its_bytes_and_the_rest_is_the_next_request() -> None:
    async with world() as edge:
        await edge.client.send(POST + b"Content-Length: 4\r\n\r\nabcd" + NEXT)
        assert (await edge.client.answer()).body == b"answer to POST /a"
        assert (await edge.client.answer()).body == b"answer to GET /next"
        assert edge.upstream.requests[0].values(b"content-length") == [b"4"]
        assert edge.upstream.requests[0].body == b"abcd"
        assert edge.upstream.lines == [b"POST /a HTTP/1.1", b"GET /next HTTP/1.1"]


async def test_body_longer_than_its_length_is_read_as_the_next_request_and_refused() -> None:
    async with world() as edge:
        await edge.client.send(POST + b"Content-Length: 4\r\n\r\nabcd")
        assert (await edge.client.answer()).status == 200
        await edge.client.send(b"EFGH\r\n\r\n")
        await edge.refused("request-malformed", 400, closes=True)
        assert edge.upstream.only.body == b"abcd"


async def test_body_shorter_than_its_length_never_ends_at_the_upstream() -> None:
    async def wait(peer: Peer) -> None:
        peer.request.body = await peer.gone()

    async with world() as edge:
        edge.upstream.on("/a", wait)
        await edge.client.send(POST + b"Content-Length: 10\r\n\r\nabcd")
        await edge.upstream.until(lambda upstream: len(upstream.requests) == 1)
        edge.client.half_close()
        assert await edge.client.rest() == b""
        await edge.upstream.until(lambda upstream: upstream.open_connections == 0)
        assert edge.upstream.only.body in (b"abcd", b"")


async def test_chunked_body_arrives_chunk_by_chunk_with_its_own_framing() -> None:
    async with world() as edge:
        await edge.client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n", b"1\r\n!\r\n0\r\n\r\n")
        assert (await edge.client.answer()).status == 200
        assert edge.upstream.only.content == b"hello!"
        assert edge.upstream.only.values(b"content-length") == []
        await edge.next_is_answered()


BAD_CHUNKS = {
    "size beyond 64 bits": b"10000000000000001\r\na\r\n0\r\n\r\n",
    "negative size": b"-1\r\na\r\n0\r\n\r\n",
    "signed size": b"+1\r\na\r\n0\r\n\r\n",
    "0x size": b"0x1\r\na\r\n0\r\n\r\n",
    "empty size": b"\r\na\r\n0\r\n\r\n",
    "size that is no number": b"zz\r\na\r\n0\r\n\r\n",
    "space before the size": b" 1\r\na\r\n0\r\n\r\n",
    "size line ended by LF": b"1\na\r\n0\r\n\r\n",
    "chunk ended by LF": b"1\r\na\n0\r\n\r\n",
    "chunk longer than its size": b"1\r\nabc\r\n0\r\n\r\n",
    "bare CR in an extension": b"1;a\rb\r\na\r\n0\r\n\r\n",
    "bare LF in an extension": b"1;a\nb\r\na\r\n0\r\n\r\n",
    "NUL in an extension": b"1;a\x00b\r\na\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
async def test_malformed_chunks_never_become_a_whole_request(chunks: bytes, split: bool) -> None:
    async def wait(peer: Peer) -> None:
        peer.request.body = await peer.gone()

    async with world() as edge:
        edge.upstream.on("/a", wait)
        head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
        if split:
            await edge.client.send(head, chunks[:1], chunks[1:] + SMUGGLED)
        else:
            await edge.client.send(head + chunks + SMUGGLED)
        await edge.refused("request-malformed", 400, closes=True)
        await edge.upstream.until(lambda upstream: upstream.open_connections == 0)
        for request in edge.upstream.requests:
            assert request.line == b"POST /a HTTP/1.1"
            assert not request.body.endswith(b"0\r\n\r\n")


async def test_chunk_of_a_size_that_never_comes_is_given_up_and_does_not_overflow_into_the_next_request() -> None:
    async def wait(peer: Peer) -> None:
        peer.request.body = await peer.gone()

    async with world(limits=Limits(body_timeout=0.3)) as edge:
        edge.upstream.on("/a", wait)
        await edge.client.send(
            POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\na\r\n0\r\n\r\n" + SMUGGLED
        )
        await edge.refused("request-timeout", 408, closes=True)
        await edge.upstream.until(lambda upstream: upstream.open_connections == 0)
        assert edge.upstream.lines == [b"POST /a HTTP/1.1"]


async def test_chunk_extensions_are_passed_over_and_not_forwarded() -> None:
    async with world() as edge:
        await edge.client.send(POST + b'Transfer-Encoding: chunked\r\n\r\n3;name=value;x="y"\r\nabc\r\n0\r\n\r\n')
        assert (await edge.client.answer()).status == 200
        assert edge.upstream.only.body == b"3\r\nabc\r\n0\r\n\r\n"
        await edge.next_is_answered()


async def test_endless_chunk_extension_is_refused() -> None:
    async with world() as edge:
        await edge.client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n3;", b"a" * 100_000)
        await edge.refused("request-malformed", 400, closes=True)


TRAILERS = {
    "a length": b"Content-Length: 400\r\n",
    "a signature": b"Signature: app=:AAAA:\r\nSignature-Input: app=()\r\n",
    "a passport": b"X-Passport: forged\r\n",
    "an authorization": b"Authorization: Bearer stolen\r\n",
    "another coding": b"Transfer-Encoding: chunked\r\n",
    "a host": b"Host: other.test\r\n",
}


@pytest.mark.parametrize("trailer", TRAILERS.values(), ids=TRAILERS.keys())
async def test_trailers_are_never_merged_into_the_headers_nor_forwarded(trailer: bytes) -> None:
    async with world() as edge:
        await edge.client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" + trailer + b"\r\n" + NEXT)
        answer = await edge.client.answer()
        for request in edge.upstream.requests:
            assert trailer.split(b"\r\n")[0].lower() not in (request.head + request.body).lower()
        if answer.status == 200:
            assert edge.upstream.requests[0].content == b"abc"
            assert (await edge.client.answer()).body == b"answer to GET /next"
        else:
            assert answer.problem() == "request-malformed"
            await edge.client.closed()


async def test_a_length_of_zero_sends_no_body_and_the_connection_goes_on() -> None:
    async with world() as edge:
        await edge.client.send(POST + b"Content-Length: 0\r\n\r\n" + NEXT)
        assert (await edge.client.answer()).status == 200
        assert (await edge.client.answer()).body == b"answer to GET /next"
        assert edge.upstream.requests[0].values(b"content-length") == [b"0"]


async def test_empty_chunked_body_is_framed_and_the_connection_goes_on() -> None:
    async with world() as edge:
        await edge.client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT)
        assert (await edge.client.answer()).status == 200
        assert (await edge.client.answer()).body == b"answer to GET /next"
        assert edge.upstream.requests[0].content == b""


async def test_body_of_a_get_is_framed_not_left_on_the_connection() -> None:
    async with world() as edge:
        length = b"Content-Length: %d\r\n\r\n" % len(SMUGGLED)
        await edge.client.send(b"GET /a HTTP/1.1\r\nHost: api.test\r\n" + length + SMUGGLED + NEXT)
        assert (await edge.client.answer()).body == b"answer to GET /a"
        assert (await edge.client.answer()).body == b"answer to GET /next"
        assert edge.upstream.lines == [b"GET /a HTTP/1.1", b"GET /next HTTP/1.1"]


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with world() as edge:
        targets = [b"/%d" % number for number in range(20)]
        await edge.client.send(b"".join(b"GET %b HTTP/1.1\r\nHost: api.test\r\n\r\n" % target for target in targets))
        for target in targets:
            assert (await edge.client.answer()).body == b"answer to GET " + target


async def test_refusal_in_the_middle_of_a_pipeline_ends_it_and_only_earlier_requests_ran() -> None:
    async with world() as edge:
        await edge.client.send(NEXT + b"GET /a HTTP/1.1\r\nHost: a b\r\n\r\n" + SMUGGLED)
        assert (await edge.client.answer()).body == b"answer to GET /next"
        await edge.refused("request-malformed", 400, closes=True)
        assert edge.upstream.lines == [b"GET /next HTTP/1.1"]


async def test_empty_lines_before_a_request_are_passed_over() -> None:
    async with world() as edge:
        await edge.client.send(b"\r\n\r\n" + NEXT)
        assert (await edge.client.answer()).body == b"answer to GET /next"
