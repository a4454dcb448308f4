"""Cold start and memory: what one gateway costs before and beside its work.

Cold start is from the start of the process to the first good answer of a route. Memory is that of the largest
process of the gateway's session (its one worker), idle and while ten thousand clients hold a connection that
each has been used once.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from bench.contender import Contender
from bench.errors import BadAnswer
from bench.framing import parse_answer
from bench.loader import RECV_BYTES, connect, translated
from bench.measure import Measure
from bench.processes import Process

__all__ = ["cold_starts", "memory_of"]

BATCH = 500
MEGA = 1e6
LOCAL_ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


def cold_starts(name: str, start: Callable[[], tuple[Process, float]], *, times: int) -> Measure:
    """Seconds to the first answer, `times` over; `start` starts a fresh gateway, waits, and says how long it
    took.
    """
    samples: list[float] = []
    for _ in range(times):
        process, seconds = start()
        process.stop()
        samples.append(seconds)
    return Measure(f"start/{name}", "s", tuple(samples))


def memory_of(contender: Contender, process: Process, *, connections: int) -> Iterator[Measure]:
    """Resident memory in megabytes, idle and with `connections` idle clients.

    Raises:
        BadAnswer: a client was refused or not answered, or there are too few file descriptors here.
    """
    yield _memory(f"memory/{contender.name}/idle", process)
    request = contender.supply.prepare(connections)
    with ExitStack() as held, translated(contender.address):
        for done in range(0, connections, BATCH):
            batch = connect(contender.address, min(BATCH, connections - done), sources=LOCAL_ADDRESSES)
            for sock in batch:
                held.callback(sock.close)
                sock.sendall(request())
            for sock in batch:
                _await_answer(sock)
        yield _memory(f"memory/{contender.name}/{connections} connections", process)


def _memory(key: str, process: Process) -> Measure:
    found = process.memory()
    largest = found[0]
    total = sum(memory.pss for memory in found)
    note = f"PSS {largest.pss / MEGA:.0f} MB; all {len(found)} processes PSS {total / MEGA:.0f} MB"
    return Measure(key, "MB", (largest.rss / MEGA,), note=note)


def _await_answer(sock: socket.socket) -> None:
    data = b""
    while (answer := parse_answer(data)) is None:
        more = sock.recv(RECV_BYTES)
        if not more:
            raise BadAnswer("an idle client was cut off")
        data += more
    if answer.status != 200:
        raise BadAnswer(f"an idle client got status {answer.status}")
