"""The access log never holds up a request: a slow, stuck or closed reader costs lines, and the loss is told."""

import asyncio
import fcntl
import os
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import orjson
from haetae_edge.io.access_log import AccessLog

_F_SETPIPE_SZ = 1031


@asynccontextmanager
async def piped() -> AsyncIterator[tuple[AccessLog, int]]:
    """A log that writes into a small pipe, and the end to read from."""
    read, write = os.pipe()
    fcntl.fcntl(write, _F_SETPIPE_SZ, 4096)
    log = AccessLog(write, loop=asyncio.get_running_loop())
    try:
        yield log, read
    finally:
        os.close(read)
        log.close()
        os.close(write)


async def _lines(read: int, count: int) -> list[bytes]:
    """Read until so many lines are here."""
    received = b""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        while received.count(b"\n") < count:
            received += await loop.run_in_executor(None, os.read, read, 65_536)
    return received.splitlines()


async def test_lines_arrive_in_order_and_a_close_writes_the_last() -> None:
    async with piped() as (log, read):
        for number in range(100):
            log.append(lambda number=number: b"%d\n" % number, important=False)  # type: ignore[misc]  # bound early
        assert await _lines(read, 100) == [b"%d" % number for number in range(100)]
        log.append(lambda: b"last\n", important=False)
        log.close()
        assert os.read(read, 100) == b"last\n"


async def test_stuck_reader_blocks_nothing_costs_ordinary_lines_first_and_the_loss_is_written() -> None:
    loop = asyncio.get_running_loop()
    async with piped() as (log, read):
        block = b"x" * 8191 + b"\n"
        log.append(lambda: block, important=False)
        await asyncio.sleep(0.1)  # the thread now waits in a full pipe
        started = loop.time()
        for _ in range(35_000):
            log.append(lambda: b"ordinary\n", important=False)
        ordinary = log.dropped
        for _ in range(1000):
            log.append(lambda: b"refusal\n", important=True)
        assert loop.time() - started < 2
        assert ordinary == 15_000
        assert log.dropped == ordinary
        lines = await _lines(read, 1 + 20_000 + 1000 + 1)
        assert lines.count(b"refusal") == 1000
        assert orjson.loads(lines[-1])["haetae.log.dropped"] == ordinary


async def test_memory_is_bounded_when_the_reader_never_comes_back() -> None:
    async with piped() as (log, _):
        wide = b"y" * 4095 + b"\n"
        for _ in range(20):
            for _ in range(5000):
                log.append(lambda: wide, important=False)
            await asyncio.sleep(0.06)
        assert log.dropped > 0
        assert log._pending_bytes == sum(map(len, log._lines)) <= 16 * 1024 * 1024 + len(wide)
        assert log._queued_bytes - log._taken_bytes <= (32 + 16) * 1024 * 1024 + len(wide)
        for _ in range(5000):
            log.append(lambda: wide, important=True)
        assert log._pending_bytes <= (16 + 8) * 1024 * 1024 + len(wide)


async def test_waiting_line_keeps_nothing_of_its_request_alive() -> None:
    class Secret(bytearray):
        """A body that can be watched."""

    async with piped() as (log, read):
        body = Secret(b"opened body")
        alive = weakref.ref(body)
        log.append(partial(lambda of: b"%d\n" % len(of), body), important=False)
        del body
        assert alive() is None
        assert await _lines(read, 1) == [b"11"]


async def test_one_line_that_cannot_be_made_does_not_cost_the_others() -> None:
    async with piped() as (log, read):
        log.append(lambda: b"before\n", important=False)
        log.append(lambda: orjson.dumps("\ud800"), important=False)
        log.append(lambda: b"after\n", important=False)
        lines = await _lines(read, 3)
        assert lines[:2] == [b"before", b"after"]
        assert orjson.loads(lines[2])["haetae.log.dropped"] == 1


async def test_closed_reader_costs_the_lines_and_nothing_else() -> None:
    read, write = os.pipe()
    log = AccessLog(write, loop=asyncio.get_running_loop())
    os.close(read)
    log.append(lambda: b"lost\n", important=True)
    async with asyncio.timeout(5):
        while log.dropped == 0:  # noqa: ASYNC110 - counted in the writing thread
            await asyncio.sleep(0.01)
    log.close()
    os.close(write)
    assert log.dropped == 1
