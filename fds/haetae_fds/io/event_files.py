"""Keeps the events that a worker sees, as lines to train from and to replay: one file a day, `events-2026-11-23.jsonl`.

Rules kept: nobody else may read them; bounded in days and bytes, the oldest file first out; a worker that was killed in
the middle of a line leaves no broken one behind; a full disk costs events here, counted, and the worker nothing. Not
here: who reads them (`haetae fds train`, `replay`, `evaluate`).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import orjson

from haetae_fds.event import Event
from haetae_fds.flat import flat
from haetae_fds.state import DAY

_log = logging.getLogger("haetae.fds")
DAYS: Final = 30
MOST_BYTES: Final = 20 * 1024**3
_BUFFER: Final = 1024 * 1024
_REST_MS: Final = 60_000
_LOOK_EVERY: Final = 64 * 1024 * 1024
_NAME: Final = re.compile(r"events-\d{4}-\d\d-\d\d\.jsonl", re.ASCII)


class EventFiles:
    """Call `write` with every event, `flush` now and then, `close` at the end. `lost` counts what could not be kept."""

    def __init__(
        self, folder: Path, *, clock_ms: Callable[[], int], days: int = DAYS, most_bytes: int = MOST_BYTES
    ) -> None:
        """`folder` is this worker's alone. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._clock_ms = clock_ms
        self._days = days
        self._most = most_bytes
        self._file: IO[bytes] | None = None
        self._day = 0
        self._written = 0
        self._rest_until = 0
        self.lost = 0

    def write(self, event: Event) -> None:
        """Keep one event."""
        if self._clock_ms() < self._rest_until:
            self.lost += 1
            return
        try:
            file = self._today()
            self._written += file.write(orjson.dumps(flat(event), option=orjson.OPT_APPEND_NEWLINE))
            if self._written >= _LOOK_EVERY:
                self._clear()
        except OSError as error:
            self._give_up(error)

    def flush(self) -> None:
        """Hand over to the system what is held back."""
        try:
            if self._file is not None:
                self._file.flush()
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Finish."""
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        except OSError as error:
            self._give_up(error)

    def _today(self) -> IO[bytes]:
        """The day's file: that of the day on which an event came, whatever its own clock says."""
        day = self._clock_ms() // DAY
        if self._file is None or day != self._day:
            self.close()
            name = datetime.fromtimestamp(day * DAY // 1000, UTC).strftime("events-%Y-%m-%d.jsonl")
            self._file, self._day = _opened(self._folder / name), day
            self._clear()
        return self._file

    def _clear(self) -> None:
        """Drop the oldest files beyond the bounds; today's stays."""
        self._written = 0
        kept = sorted(path for path in self._folder.iterdir() if _NAME.fullmatch(path.name))
        sizes = {path: path.stat().st_size for path in kept}
        while len(kept) > 1 and (len(kept) > self._days or sum(sizes[path] for path in kept) > self._most):
            kept.pop(0).unlink()

    def _give_up(self, error: OSError) -> None:
        """Leave what could not be written, and try again in a minute."""
        self.lost += 1
        self._rest_until = self._clock_ms() + _REST_MS
        _log.error("events cannot be kept: %s", error.strerror)
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()


def _opened(path: Path) -> IO[bytes]:
    """Open for appending, without what a crash left of a line."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", buffering=_BUFFER)
    size = file.seek(0, os.SEEK_END)
    while size:
        start = max(0, size - _BUFFER)
        file.seek(start)
        at = file.read(size - start).rfind(b"\n")
        if at >= 0:
            size = start + at + 1
            break
        size = start
    file.seek(size)
    file.truncate()
    return file
