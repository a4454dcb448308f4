"""Writes access-log lines without ever holding up a request.

A line is made when its request ends, so that nothing of the request (its opened body least of all) waits with it.
Lines are joined to batches on the loop and written by one thread, because a full pipe blocks. What waits is bounded in
lines and bytes. When it is full, ordinary lines are dropped and counted; lines of refusals are kept as long as the
reserve lasts. What was lost is written as a line of its own as soon as there is room.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import orjson

_FLUSH_SECONDS: Final = 0.05
_MAX_BATCHES: Final = 64
_MAX_LINES: Final = 20_000
_RESERVE: Final = 10_000
#: Bytes that wait to become a batch: ordinary lines, and what refusals may add.
_MAX_PENDING: Final = 16 * 1024 * 1024
_RESERVE_BYTES: Final = 8 * 1024 * 1024
_MAX_QUEUED: Final = 32 * 1024 * 1024


class AccessLog:
    """Batches lines to a file descriptor."""

    def __init__(self, descriptor: int, *, loop: asyncio.AbstractEventLoop) -> None:
        self._descriptor = descriptor
        self._loop = loop
        self._lines: list[bytes] = []
        self._pending_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._batches: queue.Queue[bytes | None] = queue.Queue(_MAX_BATCHES)
        # Each number has one writer, the loop or the thread, so that none needs a lock.
        self._refused = 0
        self._unwritten = 0
        self._queued_bytes = 0
        self._taken_bytes = 0
        self._reported = 0
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines lost so far."""
        return self._refused + self._unwritten

    def append(self, line: Callable[[], bytes], *, important: bool) -> None:
        """Make and queue a line, if there is room for it. `important` lines (refusals) may use the reserve."""
        if self._is_full(important=important):
            self._refused += 1
            return
        try:
            made = line()
        except (TypeError, ValueError):
            # A value that JSON cannot hold, such as half of a surrogate pair.
            self._refused += 1
        else:
            self._lines.append(made)
            self._pending_bytes += len(made)
        if self._timer is None:
            self._timer = self._loop.call_later(_FLUSH_SECONDS, self._flush)

    def _is_full(self, *, important: bool) -> bool:
        lines, size = len(self._lines), self._pending_bytes
        if lines < _MAX_LINES and size < _MAX_PENDING:
            return False
        return not important or lines >= _MAX_LINES + _RESERVE or size >= _MAX_PENDING + _RESERVE_BYTES

    def _flush(self) -> None:
        self._timer = None
        if self._batches.full() or self._queued_bytes - self._taken_bytes > _MAX_QUEUED:
            # The reader of the log is slow; keep the lines (bounded above) and try again.
            self._timer = self._loop.call_later(_FLUSH_SECONDS, self._flush)
            return
        lines, self._lines = self._lines, []
        self._pending_bytes = 0
        batch = b"".join(lines) + self._losses()
        self._queued_bytes += len(batch)
        self._batches.put_nowait(batch)

    def _losses(self) -> bytes:
        dropped = self.dropped
        if dropped == self._reported:
            return b""
        lost, self._reported = dropped - self._reported, dropped
        now = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"@timestamp": now, "event.kind": "pipeline_error", "haetae.log.dropped": lost}
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)

    def _write(self) -> None:
        while (batch := self._batches.get()) is not None:
            view = memoryview(batch)
            while view:
                try:
                    view = view[os.write(self._descriptor, view) :]
                except OSError:
                    # The descriptor is gone (a closed pipe): nothing can be logged, serving goes on.
                    self._unwritten += bytes(view).count(b"\n")
                    break
            self._taken_bytes += len(batch)

    def close(self) -> None:
        """Write what is queued, wait at most two seconds for it."""
        if self._timer is not None:
            self._timer.cancel()
        if self._lines:
            self._flush()
            if self._timer is not None:
                self._timer.cancel()
        try:
            self._batches.put(None, timeout=1)
        except queue.Full:
            return
        self._thread.join(timeout=2)
