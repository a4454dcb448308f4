"""Whatever arrives, in whatever pieces: the same value, or a declared error, and never another exchange's bytes."""

import asyncio
from itertools import pairwise
from typing import Any

import httptools
import pytest
from haetae_edge.io.upstream import UpstreamError, UpstreamRequest, UpstreamResponse, UpstreamSettings
from haetae_edge.io.upstream.connection import Connection
from haetae_edge.io.upstream.head import HeadReader
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.edge.upstream.scripted_upstream import GET, PATIENT

TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCDEF0123456789!#$%&'*+-.^_`|~", min_size=1, max_size=12)
VALUE = st.binary(max_size=20).map(
    lambda raw: bytes(octet if octet == 9 or (octet >= 32 and octet != 127) else 97 for octet in raw)
)


class MemoryTransport(asyncio.Transport):
    """Takes what is written and does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high

    def pause_reading(self) -> None:
        assert not self.closed

    def resume_reading(self) -> None:
        assert not self.closed


class OnePool:
    """Counts what a connection reports."""

    def __init__(self) -> None:
        self.given_back = 0

    def give_back(self, connection: Connection) -> None:
        self.given_back += 1

    def idle_ended(self, connection: Connection) -> None:
        pass

    def lost(self, connection: Connection) -> None:
        pass


Outcome = tuple[Any, ...]


def play(pieces: list[bytes], *, ended: bool = True) -> Outcome:
    """Feed one response to a connection without a network; everything a caller can see of it."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_play(pieces, ended=ended))
    finally:
        loop.close()


async def _play(pieces: list[bytes], *, ended: bool) -> Outcome:
    loop = asyncio.get_running_loop()
    pool = OnePool()
    reader = HeadReader(max_bytes=65_536, max_count=128)
    connection = Connection(pool=pool, loop=loop, settings=UpstreamSettings(), reader=reader, tls=False)
    connection.connection_made(MemoryTransport())
    interim: list[Any] = []
    waiter = connection.start(
        UpstreamRequest("GET", GET), PATIENT, loop.time(), lambda status, headers: interim.append((status, headers))
    )
    for piece in pieces:
        connection.data_received(piece)
    reusable = pool.given_back == 1 and connection.usable
    if ended:
        if not connection.eof_received():
            connection.connection_lost(None)
    else:
        connection.discard()
    outcome: Outcome
    try:
        response = await waiter
        outcome = (*_head(response), await _body(response), interim, reusable)
    except UpstreamError as error:
        outcome = (type(error).__name__, interim, reusable)
    connection.connection_lost(None)
    assert pool.given_back <= 1
    return outcome


def _head(response: UpstreamResponse) -> Outcome:
    return response.status, response.reason, tuple(response.headers), response.length


async def _body(response: UpstreamResponse) -> bytes | str:
    body = b""
    try:
        while piece := await response.read():
            body += piece
    except UpstreamError as error:
        return type(error).__name__
    return body


@st.composite
def responses(draw: st.DrawFn) -> tuple[bytes, int, bytes, list[tuple[bytes, bytes]]]:
    """A valid response: its bytes, status, body and fields."""
    status = draw(st.integers(200, 599).filter(lambda code: code not in (204, 304)))
    body = draw(st.binary(max_size=200))
    fields = [
        (name.encode(), value.strip(b" \t"))
        for name, value in draw(st.lists(st.tuples(TOKEN, VALUE), max_size=6))
        if name.lower() not in ("content-length", "transfer-encoding", "connection")
    ]
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    payload = body
    if framing == "length":
        fields.insert(draw(st.integers(0, len(fields))), (b"Content-Length", b"%d" % len(body)))
    elif framing == "chunked":
        fields.append((b"Transfer-Encoding", b"chunked"))
        cuts = sorted(draw(st.sets(st.integers(1, max(1, len(body) - 1)), max_size=4)))
        bounds = [0, *[cut for cut in cuts if cut < len(body)], len(body)]
        chunks = [body[a:b] for a, b in pairwise(bounds) if b > a]
        payload = b"".join(
            b"%x%b\r\n%b\r\n" % (len(c), draw(st.sampled_from([b"", b";x", b";x=y"])), c) for c in chunks
        )
        payload += b"0\r\n" + draw(st.sampled_from([b"", b"X-Trailer: a\r\n"])) + b"\r\n"
    padding = draw(st.sampled_from([b"", b" ", b"\t "]))
    lines = b"".join(b"%b:%b%b%b\r\n" % (name, padding, value, padding) for name, value in fields)
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nA: b\r\n\r\n"]))
    wire = interim + b"HTTP/1.1 %d Fine\r\n%b\r\n%b" % (status, lines, payload)
    return wire, status, body, [(name.lower(), value) for name, value in fields]


def cut(data: bytes, at: list[int]) -> list[bytes]:
    bounds = [0, *sorted({place % (len(data) + 1) for place in at} - {0, len(data)}), len(data)]
    return [data[a:b] for a, b in pairwise(bounds) if b > a]


@settings(max_examples=100, deadline=None)
@given(responses(), st.lists(st.integers(0, 2000), max_size=30))
def test_any_segmentation_of_a_response_gives_the_same_result(
    response: tuple[bytes, int, bytes, list[tuple[bytes, bytes]]], at: list[int]
) -> None:
    wire, status, body, fields = response
    whole = play([wire])
    assert whole[0] == status
    assert list(whole[2]) == fields
    assert whole[4] == body
    assert play(cut(wire, at)) == whole


@settings(max_examples=15, deadline=None)
@given(responses())
def test_a_response_byte_by_byte_gives_the_same_result(
    response: tuple[bytes, int, bytes, list[tuple[bytes, bytes]]],
) -> None:
    wire = response[0]
    assert play([wire[at : at + 1] for at in range(len(wire))]) == play([wire])


MUTATION = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 400), st.integers(0, 255)),
    st.tuples(st.just("insert"), st.integers(0, 400), st.sampled_from(list(b"\r\n \t:;,0\x00\x7f\xff"))),
    st.tuples(st.just("delete"), st.integers(0, 400), st.integers(1, 8)),
)


def mutate(data: bytes, mutations: list[tuple[str, int, int]]) -> bytes:
    changed = bytearray(data)
    for kind, place, argument in mutations:
        at = place % (len(changed) + 1)
        if kind == "insert":
            changed.insert(at, argument)
        elif kind == "delete":
            del changed[at : at + argument]
        elif at < len(changed):
            changed[at] = argument
    return bytes(changed)


class Llhttp:
    """What llhttp makes of the same bytes."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.messages: list[tuple[int, bytes]] = []
        self.fields: list[tuple[bytes, bytes]] = []
        self._body = b""
        self._heads = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._heads:
            self.fields.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        if self.parser.get_status_code() < 200:
            self.fields.clear()
        else:
            self._heads += 1

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self.parser.get_status_code() >= 200:
            self.messages.append((self.parser.get_status_code(), self._body))
        self._body = b""


@settings(max_examples=150, deadline=None)
@given(responses(), st.lists(MUTATION, min_size=1, max_size=4), st.lists(st.integers(0, 2000), max_size=4))
def test_a_damaged_response_is_a_value_or_a_declared_error_however_it_is_cut(
    response: tuple[bytes, int, bytes, list[tuple[bytes, bytes]]],
    mutations: list[tuple[str, int, int]],
    at: list[int],
) -> None:
    wire = mutate(response[0], mutations)
    if not wire:
        return
    whole = play([wire])
    pieces = play(cut(wire, at))
    if whole[-1]:  # reusable: the whole of it was one response, so no cut can make it another
        assert pieces == whole
        if b"\t" in wire:
            return  # llhttp takes "chunked\t" for an unknown coding
        oracle = Llhttp()
        try:
            oracle.parser.feed_data(wire)
        except httptools.HttpParserError:
            assert b";" in wire  # llhttp reads the inside of chunk extensions, we only bound them
            return
        assert oracle.messages[:1] == [(whole[0], whole[4])]
        assert tuple(oracle.fields) == whole[2]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=60), max_size=8), st.booleans())
def test_noise_is_a_value_or_a_declared_error(pieces: list[bytes], ended: bool) -> None:
    outcome = play(pieces, ended=ended)
    assert outcome[-1] is False


@pytest.mark.parametrize("count", [50_000])
def test_hostile_sizes_take_linear_time(count: int) -> None:
    head = b"HTTP/1.1 200 OK\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
    for wire in (
        head + b"X: " + b" " * count + b"\x00\r\n\r\n",
        head + b"X" * count + b"\r\n\r\n",
        head + b"X:" * count,
        head + b"\t" * count + b"\r\n\r\n",
        chunked + b"1\r\na\r\n" * count,
        chunked + b"0" * count,
        chunked + b"0\r\n" + b"X: \r\n" * count,
    ):
        play([wire])
        play([wire[at : at + 7] for at in range(0, len(wire), 7)])
