"""Counts events into minutes, by their own time. A minute is closed when events of the one after the next arrive."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from haetae_fds.alerts.spikes import Window
from haetae_fds.event import Event

MINUTE_MS: Final = 60_000
#: A minute stays open this long into the next one but one, for events that come late.
_BEHIND: Final = 1
_MAX_CONTRIBUTORS: Final = 200
_MAX_ROUTES: Final = 5000
KINDS: Final = ("4xx", "5xx")
_MOST_AT_ONCE: Final = 120


@dataclass(slots=True)
class _Count:
    requests: int = 0
    errors: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    contributors: Counter[str] = field(default_factory=Counter)


class WindowCounter:
    """Events in, closed minutes out. `late` counts events of minutes that were closed before they came."""

    def __init__(self) -> None:
        self._open: dict[int, dict[tuple[str, str], _Count]] = {}
        self._closed: int | None = None
        self.late = 0

    def observe(self, event: Event) -> list[tuple[int, list[Window]]]:
        """Count one event; return the minutes that are complete now, in order, empty ones included."""
        minute = event.ts // MINUTE_MS
        if self._closed is None:
            self._closed = minute - 1
        if minute <= self._closed:
            self.late += 1
            return []
        self._count(minute, event)
        return self._close(self._closed + 1, minute - _BEHIND)

    def _count(self, minute: int, event: Event) -> None:
        routes = self._open.setdefault(minute, {})
        key = (event.gw, event.route or "-")
        count = routes.get(key)
        if count is None:
            if len(routes) >= _MAX_ROUTES:
                return
            count = routes[key] = _Count()
        count.requests += 1
        status = event.status or 0
        if status < 400 or event.pol in ("block", "challenge", "throttle"):
            return  # what a policy refused is no fault of a service
        count.errors[KINDS[0] if status < 500 else KINDS[1]] += 1
        if len(count.contributors) < _MAX_CONTRIBUTORS:
            names = (f"status {status}", f"version {event.ver}", f"network {event.net}", f"route {event.route}")
            count.contributors.update(name for name in names if not name.endswith("None"))

    def _close(self, start: int, end: int) -> list[tuple[int, list[Window]]]:
        """Close the minutes from `start` up to, not including, `end`; of a long gap only the last two hours."""
        if end <= start:
            return []
        closed = []
        for minute in range(max(start, end - _MOST_AT_ONCE), end):
            routes = self._open.pop(minute, {})
            windows = [
                Window(
                    minute=minute, gateway=gateway, route=route, requests=count.requests, errors=count.errors,
                    contributors=dict(count.contributors),
                )
                for (gateway, route), count in routes.items()
            ]  # fmt: skip
            closed.append((minute, windows))
        self._closed = end - 1
        for minute in [minute for minute in self._open if minute < end]:
            del self._open[minute]
        return closed
