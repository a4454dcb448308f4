"""A closed loop around a detector: its decisions are in force for the requests that follow.

`judge` before a request, `observe` after it; the two calls are what a simulated world needs of a defence. `detector` is
anything that turns a flat event into decisions in their JSON form. No I/O, no clock: time is the events'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from haetae_fds.evaluation.gate import DEFAULT_DELAY_MS, Gate

Detector = Callable[[Mapping[str, Any]], Iterable[Mapping[str, Any]]]


class ClosedLoop:
    """A detector whose decisions act. `decisions` is everything it has decided, in order.

    `trust` says whom `untrusted` passes by: "established" callers, or every "verified" user or device, however new.
    """

    def __init__(
        self,
        detector: Detector,
        *,
        delay_ms: int = DEFAULT_DELAY_MS,
        trust: Literal["established", "verified"] = "established",
    ) -> None:
        self._detector = detector
        self._trust_verified = trust == "verified"
        self.gate = Gate(delay_ms=delay_ms)
        self.decisions: list[Mapping[str, Any]] = []

    def judge(self, event: Mapping[str, Any], *, established: bool) -> tuple[str, str | None]:
        """What happens to a request whose event is not finished yet, and the policy's id."""
        verified = self._trust_verified and bool(event.get("dev_v") or event.get("user_v"))
        return self.gate.judge(event, established=established or verified)

    def observe(self, event: Mapping[str, Any]) -> None:
        """Learn of a finished request; what is decided acts after the gate's delay."""
        for decision in self._detector(event):
            self.decisions.append(decision)
            self.gate.take(decision)
