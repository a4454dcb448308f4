"""A closed loop around a detector: its decisions are in force for the requests that follow.

`judge` before a request, `observe` after it; the two calls are what a simulated world needs of a defence. `detector` is
anything that turns a flat event into decisions in their JSON form. No I/O, no clock: time is the events'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from haetae_fds.evaluation.gate import DEFAULT_DELAY_MS, Gate

Detector = Callable[[Mapping[str, Any]], Iterable[Mapping[str, Any]]]


class ClosedLoop:
    """A detector whose decisions act. `decisions` is everything it has decided, in order."""

    def __init__(self, detector: Detector, *, delay_ms: int = DEFAULT_DELAY_MS) -> None:
        self._detector = detector
        self.gate = Gate(delay_ms=delay_ms)
        self.decisions: list[Mapping[str, Any]] = []

    def judge(self, event: Mapping[str, Any], *, established: bool) -> tuple[str, str | None]:
        """What happens to a request whose event is not finished yet, and the policy's id."""
        return self.gate.judge(event, established=established)

    def observe(self, event: Mapping[str, Any]) -> None:
        """Learn of a finished request; what is decided acts after the gate's delay."""
        for decision in self._detector(event):
            self.decisions.append(decision)
            self.gate.take(decision)
