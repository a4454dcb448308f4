"""Logs faults of our own with their traceback, but not each of a flood of identical ones: that would fill the disk.

Faults are told apart by their type and the line that raised them. Of each kind the first few in a minute are written;
the next one that is written says how many were not. What is never lost is the count of requests that failed: every
500 has its access-log line and its metric.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from types import TracebackType
from typing import Final

WINDOW: Final = 60.0
PER_WINDOW: Final = 5
_MAX_KINDS: Final = 256

_log = logging.getLogger("haetae.edge")

_Kind = tuple[str, str, int]


@dataclass(slots=True)
class _Seen:
    since: float
    written: int = 0
    held_back: int = 0


class FaultLog:
    """What one worker has logged of its faults lately."""

    def __init__(self) -> None:
        self._seen: dict[_Kind, _Seen] = {}

    def report(self, error: Exception, *, now: float) -> None:
        """Log `error` unless enough of its kind were logged in this window. `now`: any clock, seconds."""
        kind = _kind(error)
        seen = self._seen.get(kind)
        if seen is None:
            if len(self._seen) >= _MAX_KINDS:
                self._seen.clear()
            seen = self._seen[kind] = _Seen(now)
        elif now - seen.since >= WINDOW:
            seen.since, seen.written = now, 0
        if seen.written >= PER_WINDOW:
            seen.held_back += 1
            return
        seen.written += 1
        held_back, seen.held_back = seen.held_back, 0
        more = f" ({held_back} more like it were not logged)" if held_back else ""
        _log.error("a request failed inside the gateway%s", more, exc_info=error)


def _kind(error: Exception) -> _Kind:
    """Where it was raised: the innermost frame."""
    trace: TracebackType | None = error.__traceback__
    name, line = "", 0
    while trace is not None:
        name, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    return type(error).__qualname__, name, line
