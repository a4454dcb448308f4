"""Answers that could be read in two ways, or not at all, end as BadResponse and close the connection."""

import pytest
from haetae_edge.io.upstream import BadResponse, UpstreamRequest, UpstreamSettings

from tests.edge.upstream.scripted_upstream import GET, OK, PATIENT, Peer, fetch, get, read_all, scripted

START = b"HTTP/1.1 200 OK\r\n"

AMBIGUOUS = {
    "two lengths that differ": START + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    "two lengths that agree": START + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "a list of lengths": START + b"Content-Length: 2, 2\r\n\r\nok",
    "negative length": START + b"Content-Length: -2\r\n\r\nok",
    "signed length": START + b"Content-Length: +2\r\n\r\nok",
    "hexadecimal length": START + b"Content-Length: 0x2\r\n\r\nok",
    "empty length": START + b"Content-Length:\r\n\r\nok",
    "length beyond 64 bits": START + b"Content-Length: 18446744073709551618\r\n\r\nok",
    "length and chunked": START + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": START + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    "chunked twice": START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice in a list": START + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": START + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity coding": START + b"Transfer-Encoding: identity\r\n\r\nok",
    "nearly chunked": START + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked with a control character": START + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded field": START + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "folded first field": START + b" X: a\r\nContent-Length: 2\r\n\r\nok",
    "field with a bare LF": START + b"X: a\nContent-Length: 2\r\n\r\nok",
    "field ended by CR alone": START + b"X: a\rContent-Length: 2\r\n\r\nok",
    "LF only": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "LF only after the status line": b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok",
    "NUL in a value": START + b"X: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    "NUL in a name": START + b"X\x00: a\r\nContent-Length: 2\r\n\r\nok",
    "DEL in a value": START + b"X: a\x7fb\r\nContent-Length: 2\r\n\r\nok",
    "space before the colon": START + b"Content-Length : 2\r\n\r\nok",
    "space in a name": START + b"Content Length: 2\r\n\r\nok",
    "no colon": START + b"Content-Length 2\r\n\r\nok",
    "empty name": START + b": 2\r\nContent-Length: 2\r\n\r\nok",
    "non-ASCII name": START + b"X\xe9: 2\r\nContent-Length: 2\r\n\r\nok",
    "status 099": b"HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\nok",
    "status 600": b"HTTP/1.1 600 High\r\nContent-Length: 2\r\n\r\nok",
    "status 999": b"HTTP/1.1 999 High\r\nContent-Length: 2\r\n\r\nok",
    "status with two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    "status with four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
    "status with a letter": b"HTTP/1.1 2o0 OK\r\nContent-Length: 2\r\n\r\nok",
    "two spaces before the status": b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok",
    "NUL in the reason": b"HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nok",
    "CR in the reason": b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/0.9": b"<html>hello</html>",
    "lower-case http": b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "empty line first": b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "204 with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
    "204 with chunks": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "103 with a length": b"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nok" + OK,
    "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "too many informational": b"HTTP/1.1 102 Processing\r\n\r\n" * 17 + OK,
    "head over 64 KiB in one line": START + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
    "head over 64 KiB in many lines": START + (b"X: " + b"a" * 1000 + b"\r\n") * 70 + b"\r\n",
    "endless head": START + b"X: " + b"a" * 200_000,
    "129 fields": START + b"X: a\r\n" * 129 + b"\r\n",
}


@pytest.mark.parametrize("answer", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
async def test_ambiguous_answer_is_refused_and_its_connection_closed(answer: bytes, split: bool) -> None:
    async def bad(peer: Peer) -> None:
        await peer.read_head()
        try:
            if split:
                await peer.send(answer[:11], answer[11:])
            else:
                await peer.send(answer)
        except ConnectionError:
            return
        await peer.closed()

    async def good(peer: Peer) -> None:
        await peer.answer()
        await peer.closed()

    async with scripted(bad, good) as (upstream, fake):
        with pytest.raises(BadResponse) as refused:
            await fetch(upstream)
        assert (refused.value.code, refused.value.retry_safe) == ("upstream_bad_response", False)
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 2


CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"
BAD_CHUNKS = {
    "not hexadecimal": b"g\r\nx\r\n0\r\n\r\n",
    "empty size": b"\r\nx\r\n0\r\n\r\n",
    "signed size": b"-1\r\nx\r\n0\r\n\r\n",
    "0x size": b"0x2\r\nok\r\n0\r\n\r\n",
    "space before the size": b" 2\r\nok\r\n0\r\n\r\n",
    "space after the size": b"2 \r\nok\r\n0\r\n\r\n",
    "space before an extension": b"2 ;a\r\nok\r\n0\r\n\r\n",
    "size beyond 60 bits": b"1000000000000000\r\nok\r\n0\r\n\r\n",
    "size beyond 64 bits": b"10000000000000002\r\nok\r\n0\r\n\r\n",
    "size line ended by LF": b"2\nok\r\n0\r\n\r\n",
    "chunk ended by LF": b"2\r\nok\n0\r\n\r\n",
    "chunk longer than its size": b"2\r\nokay\r\n0\r\n\r\n",
    "CR in an extension": b"2;a\rb\r\nok\r\n0\r\n\r\n",
    "LF in an extension": b"2;a\nb\r\nok\r\n0\r\n\r\n",
    "NUL in an extension": b"2;a\x00b\r\nok\r\n0\r\n\r\n",
    "endless extension": b"2;" + b"a" * 5000,
    "long extension": b"2;" + b"a" * 5000 + b"\r\nok\r\n0\r\n\r\n",
    "trailer without a colon": b"0\r\nX\r\n\r\n",
    "folded trailer": b"0\r\nX: a\r\n b\r\n\r\n",
    "trailer ended by LF": b"0\r\nX: a\n\r\n",
    "end ended by LF": b"0\r\n\n",
    "endless trailers": b"0\r\n" + b"X: a\r\n" * 5000,
}


@pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
async def test_malformed_chunks_are_refused_and_the_connection_closed(chunks: bytes, split: bool) -> None:
    async def bad(peer: Peer) -> None:
        await peer.read_head()
        try:
            if split:
                await peer.send(CHUNKED, chunks[:1], chunks[1:2], chunks[2:])
            else:
                await peer.send(CHUNKED + chunks)
        except ConnectionError:
            return
        await peer.closed()

    async def good(peer: Peer) -> None:
        await peer.answer()
        await peer.closed()

    async with scripted(bad, good) as (upstream, fake):
        with pytest.raises(BadResponse):
            await fetch(upstream)
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 2


async def test_bytes_before_a_framing_error_are_delivered_before_it() -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(CHUNKED + b"2\r\nok\r\n", b"zz\r\n")
        await peer.closed()

    async with scripted(play) as (upstream, _):
        response = await upstream.exchange(get(), PATIENT)
        assert response.body is None
        assert await response.read() == b"ok"
        for _ in range(2):
            with pytest.raises(BadResponse):
                await response.read()


TOLERATED = {
    "no reason, no space": b"HTTP/1.1 204\r\n\r\n",
    "no reason": b"HTTP/1.1 204 \r\n\r\n",
    "204 with length 0": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "304 with a length": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n",
    "304 with chunks": b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
    "no fields but a length": START + b"Content-Length:0\r\n\r\n",
    "128 fields": b"HTTP/1.1 204 No Content\r\n" + b"X: a\r\n" * 128 + b"\r\n",
    "Apache's offer to upgrade": START
    + b"Upgrade: h2,h2c\r\nConnection: Upgrade, Keep-Alive\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("answer", TOLERATED.values(), ids=TOLERATED.keys())
async def test_unambiguous_answer_without_body_leaves_the_connection_usable(answer: bytes) -> None:
    async def play(peer: Peer) -> None:
        await peer.answer(answer)
        await peer.answer()
        await peer.closed()

    async with scripted(play) as (upstream, fake):
        response = await upstream.exchange(get(), PATIENT)
        assert response.body == b""
        assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 1


async def test_head_of_exactly_the_limit_is_read_and_one_byte_more_is_not() -> None:
    base = len(START + b"X: \r\nContent-Length: 0\r\n\r\n")

    def head(size: int) -> bytes:
        return START + b"X: " + b"a" * (size - base) + b"\r\nContent-Length: 0\r\n\r\n"

    async def play(peer: Peer) -> None:
        await peer.answer(head(512))
        await peer.read_head()
        await peer.send(head(513))
        await peer.closed()

    async with scripted(play, settings=UpstreamSettings(max_head_bytes=512)) as (upstream, _):
        assert await fetch(upstream) == (200, b"")
        with pytest.raises(BadResponse):
            await fetch(upstream)


async def test_informational_responses_are_handed_on_but_100_is_swallowed() -> None:
    async def play(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 1")
        await peer.send(b"02 Processing\r\n\r\n", OK)
        await peer.closed()

    seen: list[tuple[int, list[tuple[bytes, bytes]]]] = []
    async with scripted(play) as (upstream, _):
        response = await upstream.exchange(
            get(), PATIENT, on_informational=lambda status, headers: seen.append((status, headers))
        )
        assert await read_all(response) == b"ok"
    assert seen == [(103, [(b"link", b"</a>")]), (102, [])]


async def test_head_request_gets_no_body_and_the_connection_stays() -> None:
    async def play(peer: Peer) -> None:
        for framing in (b"Content-Length: 500\r\n", b"Transfer-Encoding: chunked\r\n", b""):
            await peer.expect(b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n")
            await peer.send(START + framing + b"\r\n")
        await peer.answer()
        await peer.closed()

    async with scripted(play) as (upstream, fake):
        for length in (500, None, None):
            head = UpstreamRequest("HEAD", b"HEAD / HTTP/1.1\r\nhost: a\r\n")
            response = await upstream.exchange(head, PATIENT)
            assert (response.body, response.length) == (b"", length)
        assert await fetch(upstream, UpstreamRequest("GET", GET)) == (200, b"ok")
        assert fake.connections == 1
