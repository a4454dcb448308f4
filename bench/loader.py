"""The load generator, closed loop: N keep-alive connections, each sends its next request when the last was
answered.

One thread, non-blocking sockets, epoll, and request bytes rendered before the timed part: the point is to
cost so little that the gateway's core is the only one that is full. The shape of the first answer (status
line, length line) is learned, and later answers of the same shape are recognised by three byte searches; any
other answer goes through `bench.framing`. Every answer is checked for its status and for ending where its
framing says.

Rules kept: an unexpected status, a closed connection or silence of five seconds ends the run with an error.
Not done: TLS, pipelining, decoding. Answers at a fixed rate are `bench.openloop`'s business.
"""

import gc
import select
import socket
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.errors import BadAnswer, Stalled
from bench.framing import Answer, parse_answer

__all__ = ["Address", "Expect", "LoadResult", "Shape", "connect", "exchange_once", "no_gc", "run_closed", "translated"]

Address = tuple[str, int]
RECV_BYTES = 64 * 1024
SILENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Expect:
    """What counts as a good answer: this status. Anything else is fatal."""

    status: int = 200


@dataclass(frozen=True, slots=True)
class LoadResult:
    """One timed run: answers counted after the warm-up, its length in seconds, and latencies in
    nanoseconds.
    """

    answers: int
    seconds: float
    latencies_ns: "array[int]"

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds if self.seconds else 0.0

    def percentile_us(self, percent: float) -> float:
        """Latency at a percentile (nearest rank), in microseconds; 0 when nothing was answered."""
        if not self.latencies_ns:
            return 0.0
        ranked = sorted(self.latencies_ns)
        return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100.0))] / 1000.0


class Shape:
    """The learned shape of a target's answers, for the fast path, and the checked slow path behind it."""

    __slots__ = ("_body_and_gap", "_expect", "_length_line", "_status_line")

    def __init__(self, expect: Expect) -> None:
        self._expect = expect
        self._status_line = b""
        self._length_line = b""
        self._body_and_gap = 0

    def is_whole(self, data: bytes) -> bool:
        """Whether `data` is exactly one good answer of the learned shape; `False` says only: not known to
        be.
        """
        return (
            bool(self._length_line)
            and data.startswith(self._status_line)
            and self._length_line in data
            and len(data) - data.find(b"\r\n\r\n") == self._body_and_gap
        )

    def check(self, data: bytes) -> Answer | None:
        """Parse in full; `None` while incomplete. Learns the shape.

        Raises:
            BadAnswer: another status than expected, or broken framing.
        """
        answer = parse_answer(data)
        if answer is None:
            return None
        if answer.status != self._expect.status:
            raise BadAnswer(f"status {answer.status}, expected {self._expect.status}: {data[:600]!r}")
        head = answer.head.lower()
        start = head.find(b"\r\ncontent-length:")
        if start >= 0:
            self._status_line = answer.head[: answer.head.index(b"\r\n") + 2]
            self._length_line = answer.head[start : head.index(b"\r\n", start + 2) + 2]
            self._body_and_gap = len(answer.body) + 4
        return answer


def connect(address: Address, count: int, *, sources: tuple[str, ...] = ()) -> list[socket.socket]:
    """Open `count` connections; `sources` are local addresses to spread them over (for very many)."""
    made: list[socket.socket] = []
    for index in range(count):
        source = (sources[index % len(sources)], 0) if sources else None
        sock = socket.create_connection(address, timeout=5.0, source_address=source)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.append(sock)
    return made


def exchange_once(address: Address, request: bytes, *, timeout: float = 5.0) -> Answer:
    """One request on its own connection, any status.

    Raises:
        BadAnswer: no connection, no answer within `timeout` seconds, closed early, or no framing.
    """
    data = b""
    with translated(address), socket.create_connection(address, timeout=timeout) as sock:
        sock.sendall(request)
        while (answer := parse_answer(data)) is None:
            more = sock.recv(RECV_BYTES)
            if not more:
                raise BadAnswer(f"connection closed after {len(data)} bytes: {data[:200]!r}")
            data += more
        return answer


@contextmanager
def translated(address: Address) -> Iterator[None]:
    """A connection that fails is an answer that did not come."""
    try:
        yield
    except OSError as error:
        raise BadAnswer(f"connection to {address[0]}:{address[1]}: {error}") from error


@contextmanager
def no_gc() -> Iterator[None]:
    """Keep the collector out of the timed part; the loader makes no cycles."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def run_closed(
    address: Address,
    next_request: Callable[[], bytes],
    *,
    connections: int,
    warmup: float,
    seconds: float,
    expect: Expect | None = None,
) -> LoadResult:
    """Load `address` for `warmup` + `seconds` and count what was answered in the last `seconds`.

    `next_request` returns the bytes of one request each time; `StopIteration` from it ends the run early, and
    the rate is then over the time that passed.

    Raises:
        BadAnswer: any unexpected answer, a refused or closed connection.
        Stalled: no answer for five seconds.
    """
    loop = _ClosedLoop(next_request, Shape(expect or Expect()))
    socks: list[socket.socket] = []
    try:
        with translated(address), no_gc():
            socks += connect(address, connections)
            for sock in socks:
                sock.setblocking(False)
                loop.add(sock)
            if warmup > 0:
                loop.run(warmup)
            return loop.run(seconds)
    finally:
        loop.close()
        for sock in socks:
            sock.close()


class _ClosedLoop:
    """The epoll loop and its connections; `run` may be called again and goes on where it was."""

    def __init__(self, next_request: Callable[[], bytes], shape: Shape) -> None:
        self._next = next_request
        self._shape = shape
        self._poll = select.epoll()
        self._recv: dict[int, Callable[[int], bytes]] = {}
        self._send: dict[int, Callable[[bytes], int]] = {}
        self._sent_at: dict[int, int] = {}
        self._partial: dict[int, bytes] = {}
        self._dry = False

    def add(self, sock: socket.socket) -> None:
        fd = sock.fileno()
        self._recv[fd], self._send[fd] = sock.recv, sock.send
        self._poll.register(fd, select.EPOLLIN)
        self._start(fd)

    def close(self) -> None:
        self._poll.close()

    def _start(self, fd: int) -> None:
        try:
            request = self._next()
        except StopIteration:
            self._dry = True
            return
        self._sent_at[fd] = time.perf_counter_ns()
        if self._send[fd](request) != len(request):
            raise BadAnswer("request did not fit the socket buffer: the peer stopped reading")

    def _incomplete(self, fd: int, data: bytes) -> bool:
        if not data:
            raise BadAnswer("the peer closed a keep-alive connection")
        joined = self._partial.pop(fd, b"") + data
        if self._shape.check(joined) is None:
            self._partial[fd] = joined
            return True
        return False

    def run(self, seconds: float) -> LoadResult:
        clock, poll, is_whole = time.perf_counter_ns, self._poll.poll, self._shape.is_whole
        recv, send, sent_at, partial = self._recv, self._send, self._sent_at, self._partial
        next_request, latencies = self._next, array("q")
        record = latencies.append
        begin = now = clock()
        end = begin + int(seconds * 1e9)
        while now < end and not self._dry:
            events = poll(SILENCE_SECONDS)
            if not events:
                raise Stalled(f"no answer for {SILENCE_SECONDS:.0f} s")
            for fd, _mask in events:
                data = recv[fd](RECV_BYTES)
                if (partial or not is_whole(data)) and self._incomplete(fd, data):
                    continue
                try:
                    request = next_request()
                except StopIteration:
                    self._dry = True
                    break
                now = clock()
                record(now - sent_at[fd])
                sent_at[fd] = now
                if send[fd](request) != len(request):
                    raise BadAnswer("request did not fit the socket buffer: the peer stopped reading")
            now = clock()
        return LoadResult(answers=len(latencies), seconds=(now - begin) / 1e9, latencies_ns=latencies)
