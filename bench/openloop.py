"""The load generator, open loop: requests are due at random times of a fixed mean rate, answered or not.

Latency counts from the moment a request was *due*, so a gateway that stalls pays for everything that queued
up meanwhile (no coordinated omission). Arrivals are Poisson: callers do not take turns. The same seed gives
the same arrivals to every peer.

`epoll` in Python waits in whole milliseconds, which is as long as what is being measured, and spinning would
take the core from the upstream that shares it. So the next arrival is a timerfd among the sockets.

Not done: opening more connections under pressure. A request that finds no idle connection waits for one; that
wait is part of its latency.
"""

import ctypes
import os
import random
import select
import socket
import time
from array import array
from collections.abc import Callable
from itertools import accumulate

from bench.errors import BadAnswer, NotAvailable, Stalled
from bench.loader import RECV_BYTES, Address, Expect, LoadResult, Shape, connect, no_gc, translated

__all__ = ["Timer", "arrivals_ns", "run_open"]

OVERRUN_SECONDS = 5.0
TFD_TIMER_ABSTIME = 1


class _TimerSpec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "at_s", "at_ns")]


class Timer:
    """A one-shot timer on the monotonic clock that epoll can wait for; `at_ns` in nanoseconds of that
    clock.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(self._libc, "timerfd_create"):
            raise NotAvailable("open-loop load needs timerfd (Linux)")
        self.fd: int = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise NotAvailable(f"timerfd_create: {os.strerror(ctypes.get_errno())}")
        self._spec = _TimerSpec(0, 0, 0, 0)
        self._spec_ref = ctypes.byref(self._spec)

    def arm(self, at_ns: int) -> None:
        """Become readable at `at_ns`; an instant in the past fires at once."""
        self._spec.at_s, self._spec.at_ns = divmod(at_ns, 1_000_000_000)
        self._libc.timerfd_settime(self.fd, TFD_TIMER_ABSTIME, self._spec_ref, None)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)


def arrivals_ns(*, rate: float, seconds: float, seed: int) -> list[int]:
    """Offsets (nanoseconds) of Poisson arrivals of `rate` per second over `seconds`; the same for the same
    seed.
    """
    chance = random.Random(seed)  # noqa: S311 - load, not secrets
    count = max(1, round(rate * seconds))
    return [int(offset * 1e9) for offset in accumulate(chance.expovariate(rate) for _ in range(count))]


def run_open(
    address: Address,
    next_request: Callable[[], bytes],
    *,
    rate: float,
    connections: int,
    warmup: float,
    seconds: float,
    expect: Expect | None = None,
    seed: int = 1,
) -> LoadResult:
    """Send at `rate` per second for `warmup` + `seconds`; latencies are of the requests due after the
    warm-up.

    Raises:
        BadAnswer: any unexpected answer, a refused or closed connection.
        Stalled: the peer is more than five seconds behind the schedule.
    """
    offsets = arrivals_ns(rate=rate, seconds=warmup + seconds, seed=seed)
    socks: list[socket.socket] = []
    timer = Timer()
    loop = _OpenLoop(next_request, Shape(expect or Expect()), timer)
    try:
        with translated(address), no_gc():
            socks += connect(address, connections)
            for sock in socks:
                sock.setblocking(False)
                loop.add(sock)
            return loop.run(offsets, skip=int(rate * warmup))
    finally:
        loop.close()
        timer.close()
        for sock in socks:
            sock.close()


class _OpenLoop:
    def __init__(self, next_request: Callable[[], bytes], shape: Shape, timer: Timer) -> None:
        self._next = next_request
        self._shape = shape
        self._timer = timer
        self._poll = select.epoll()
        self._poll.register(timer.fd, select.EPOLLIN | select.EPOLLET)
        self._socks: dict[int, socket.socket] = {}
        self._idle: list[int] = []
        self._partial: dict[int, bytes] = {}
        self._serving: dict[int, int] = {}

    def add(self, sock: socket.socket) -> None:
        self._socks[sock.fileno()] = sock
        self._idle.append(sock.fileno())
        self._poll.register(sock.fileno(), select.EPOLLIN)

    def close(self) -> None:
        self._poll.close()

    def run(self, offsets: list[int], *, skip: int) -> LoadResult:
        """Play the schedule to its end and wait for the last answer; the first `skip` requests are not
        recorded.
        """
        latencies = array("q")
        clock, idle, serving = time.monotonic_ns, self._idle, self._serving
        base = clock() + 1_000_000
        due = [base + offset for offset in offsets]
        give_up = due[-1] + int(OVERRUN_SECONDS * 1e9)
        sent, total = 0, len(due)
        while sent < total or serving:
            now = clock()
            if now > give_up:
                raise Stalled(f"{total - sent + len(serving)} of {total} requests still open at the end")
            while sent < total and idle and due[sent] <= now:
                self._dispatch(idle.pop(), sent)
                sent += 1
            if sent < total and idle:
                self._timer.arm(due[sent])
            for fd, _mask in self._poll.poll(OVERRUN_SECONDS):
                if fd != self._timer.fd and self._answered(fd):
                    index = serving.pop(fd)
                    if index >= skip:
                        latencies.append(clock() - due[index])
                    idle.append(fd)
        return LoadResult(answers=len(latencies), seconds=(clock() - due[skip]) / 1e9, latencies_ns=latencies)

    def _dispatch(self, fd: int, index: int) -> None:
        request = self._next()
        self._serving[fd] = index
        if self._socks[fd].send(request) != len(request):
            raise BadAnswer("request did not fit the socket buffer: the peer stopped reading")

    def _answered(self, fd: int) -> bool:
        data = self._socks[fd].recv(RECV_BYTES)
        if not data or fd not in self._serving:
            raise BadAnswer("the peer closed a keep-alive connection or spoke unasked")
        if not self._partial and self._shape.is_whole(data):
            return True
        joined = self._partial.pop(fd, b"") + data
        if self._shape.check(joined) is None:
            self._partial[fd] = joined
            return False
        return True
