"""What goes out, byte for byte."""

from collections.abc import Callable

import pytest
from haetae_edge.io.upstream import UpstreamRequest, UpstreamSettings

from tests.edge.upstream.scripted_upstream import GET, OK, PATIENT, POST, Peer, PieceSource, fetch, scripted


@pytest.mark.parametrize(
    ("ask", "wire"),
    [
        (lambda: UpstreamRequest("GET", GET), GET + b"\r\n"),
        (lambda: UpstreamRequest("GET", GET, b""), GET + b"\r\n"),
        (lambda: UpstreamRequest("POST", POST), POST + b"Content-Length: 0\r\n\r\n"),
        (lambda: UpstreamRequest("POST", POST, b"abc"), POST + b"Content-Length: 3\r\n\r\nabc"),
        (
            lambda: UpstreamRequest("POST", POST, PieceSource(b"ab", b"c", length=3)),
            POST + b"Content-Length: 3\r\n\r\nabc",
        ),
        (
            lambda: UpstreamRequest("POST", POST, PieceSource(b"x" * 26, b"c")),
            POST + b"Transfer-Encoding: chunked\r\n\r\n1a\r\n" + b"x" * 26 + b"\r\n1\r\nc\r\n0\r\n\r\n",
        ),
        (
            lambda: UpstreamRequest("POST", POST, PieceSource(length=0)),
            POST + b"Content-Length: 0\r\n\r\n",
        ),
        (
            lambda: UpstreamRequest("GET", GET + b"upgrade: websocket\r\n", upgrade=True),
            GET + b"upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        ),
    ],
)
async def test_framing_is_written_from_the_body_alone(ask: Callable[[], UpstreamRequest], wire: bytes) -> None:
    async def play(peer: Peer) -> None:
        await peer.expect(wire)
        await peer.send(OK)
        await peer.closed()

    async with scripted(play) as (upstream, _):
        assert await fetch(upstream, ask()) == (200, b"ok")


@pytest.mark.parametrize("size", [65_535, 65_536, 3_000_000])
async def test_large_body_in_memory_arrives_whole(size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)

    async def play(peer: Peer) -> None:
        await peer.expect(POST + b"Content-Length: %d\r\n\r\n" % len(body))
        await peer.expect(body)
        await peer.send(OK)
        await peer.expect(GET + b"\r\n")
        await peer.send(OK)
        await peer.closed()

    async with scripted(play) as (upstream, _):
        assert await fetch(upstream, UpstreamRequest("POST", POST, body)) == (200, b"ok")
        assert await fetch(upstream) == (200, b"ok")


async def test_last_request_of_a_connection_announces_its_end() -> None:
    async def play(peer: Peer) -> None:
        await peer.expect(GET + b"\r\n")
        await peer.send(OK)
        await peer.expect(GET + b"Connection: close\r\n\r\n")
        await peer.send(OK)
        await peer.closed()

    async with scripted(play, settings=UpstreamSettings(max_requests=2)) as (upstream, fake):
        for _ in range(4):
            assert await fetch(upstream) == (200, b"ok")
        assert fake.connections == 2


@pytest.mark.parametrize(
    "head",
    [
        b"",
        GET[:-2],
        GET + b"\r\n",
        GET + b"x: a\nb\r\n",
        GET + b"\r\nGET /admin HTTP/1.1\r\n",
        GET + b"Content-Length: 5\r\n",
        GET + b"tRANSFER-eNCODING: chunked\r\n",
        GET + b"connection: close\r\n",
        b"GET / HTTP/1.1\nhost: a\r\n",
    ],
)
def test_head_that_frames_or_splits_itself_is_refused_before_a_byte_is_sent(head: bytes) -> None:
    with pytest.raises(ValueError, match="head"):
        UpstreamRequest("GET", head)


def test_upgrade_with_a_body_is_refused() -> None:
    with pytest.raises(ValueError, match="upgrade"):
        UpstreamRequest("POST", POST, b"x", upgrade=True)


async def test_response_is_returned_as_received() -> None:
    async def play(peer: Peer) -> None:
        await peer.answer(
            b"HTTP/1.1 201 Made it\r\nSet-Cookie: a\r\nX:\r\nset-COOKIE:  b \t\r\nY: \xff\r\nContent-Length: 0\r\n\r\n"
        )
        await peer.closed()

    async with scripted(play) as (upstream, _):
        response = await upstream.exchange(UpstreamRequest("GET", GET), PATIENT)
        assert (response.status, response.reason, response.length) == (201, b"Made it", 0)
        assert response.headers == [
            (b"set-cookie", b"a"),
            (b"x", b""),
            (b"set-cookie", b"b"),
            (b"y", b"\xff"),
            (b"content-length", b"0"),
        ]
        assert (response.body, await response.read()) == (b"", b"")
