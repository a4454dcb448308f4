"""Writes access-log lines without ever holding up a request.

Lines are made in batches on the loop (they are small) and written by one thread, because a full pipe blocks. Between
the two stands a bounded queue. When it is full, ordinary lines are dropped and counted; lines of refusals are kept as
long as the reserve lasts, and the count of anything lost is written as soon as there is room.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable
from typing import Final

_FLUSH_SECONDS: Final = 0.2
_MAX_BATCHES: Final = 64
_MAX_LINES: Final = 20_000
_RESERVE: Final = 10_000


class AccessLog:
    """Batches lines to a file descriptor."""

    def __init__(self, descriptor: int, *, loop: asyncio.AbstractEventLoop) -> None:
        self._descriptor = descriptor
        self._loop = loop
        self._lines: list[Callable[[], bytes]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._batches: queue.Queue[bytes | None] = queue.Queue(_MAX_BATCHES)
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()
        self.dropped = 0

    def append(self, line: Callable[[], bytes], *, important: bool) -> None:
        """Queue a line; it is made when the batch is. `important` lines (refusals) may use the reserve."""
        if len(self._lines) >= _MAX_LINES and not (important and len(self._lines) < _MAX_LINES + _RESERVE):
            self.dropped += 1
            return
        self._lines.append(line)
        if self._timer is None:
            self._timer = self._loop.call_later(_FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._timer = None
        if self._batches.full():
            # The reader of the log is slow; keep the lines (bounded above) and try again.
            self._timer = self._loop.call_later(_FLUSH_SECONDS, self._flush)
            return
        lines, self._lines = self._lines, []
        self._batches.put_nowait(b"".join([line() for line in lines]))

    def _write(self) -> None:
        while (batch := self._batches.get()) is not None:
            view = memoryview(batch)
            while view:
                try:
                    view = view[os.write(self._descriptor, view) :]
                except OSError:
                    # The descriptor is gone (a closed pipe): nothing can be logged, serving goes on.
                    self.dropped += bytes(view).count(b"\n")
                    break

    def close(self) -> None:
        """Write what is queued, wait at most two seconds for it."""
        if self._timer is not None:
            self._timer.cancel()
        if self._lines:
            self._flush()
        try:
            self._batches.put(None, timeout=1)
        except queue.Full:
            return
        self._thread.join(timeout=2)
