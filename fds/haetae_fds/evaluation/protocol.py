"""Evaluates a detector on recorded events: replays them, puts its decisions in force, and scores what would have been.

A recording cannot react: an attacker who would have given up goes on, so let-through is an upper bound, and people who
were refused in the recording stay refused. Established callers are those whose verified device was answered normally
before, at least `ESTABLISHED_MS` earlier: what a gateway can know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from haetae_fds.evaluation.labels import UNKNOWN, Label
from haetae_fds.evaluation.loop import ClosedLoop
from haetae_fds.evaluation.scope import Recorded, Scope, scopes
from haetae_fds.evaluation.score import AttackResult, PeopleResult, PolicyResult, Scoreboard

ESTABLISHED_MS: Final = 600_000
_RECORDED: Final = frozenset({"block", "throttle", "challenge"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The results of one case or recording. `span_ms` is from the first to the last event."""

    events: int
    span_ms: int
    decisions: int
    acting: int
    attacks: tuple[AttackResult, ...]
    people: PeopleResult
    policies: PolicyResult
    scopes: tuple[Scope, ...] = ()

    @property
    def exact(self) -> float | None:
        """The share of decisions for which nothing narrower would have done."""
        return sum(scope.exact for scope in self.scopes) / len(self.scopes) if self.scopes else None

    @property
    def acting_per_day(self) -> float:
        """Decisions that act, scaled to a day."""
        return self.acting * 86_400_000 / max(1, self.span_ms)


class Devices:
    """Which verified devices have been answered normally for a while."""

    def __init__(self) -> None:
        self._first: dict[str, int] = {}

    def established(self, event: Mapping[str, Any]) -> bool:
        """Whether this request comes from such a device."""
        first = self._first.get(event.get("dev") or "") if event.get("dev_v") else None
        return first is not None and first <= event["ts"] - ESTABLISHED_MS

    def learn(self, event: Mapping[str, Any]) -> None:
        """Note a device that was answered normally."""
        if event.get("dev") and event.get("dev_v") and 200 <= (event.get("status") or 0) < 300:
            self._first.setdefault(event["dev"], event["ts"])


def evaluate(events: Iterable[Mapping[str, Any]], labels: Mapping[str, Label], loop: ClosedLoop) -> Report:
    """Replay a recording, in its order, through a detector."""
    board, devices = Scoreboard(), Devices()
    recorded: list[Recorded] = []
    first_ms = last_ms = None
    for original in events:
        event = dict(original)
        established = devices.established(event)
        if event.get("pol") not in _RECORDED:
            verdict, pid = loop.judge(event, established=established)
            if verdict != "allow":
                event.update(pol=verdict, pid=pid, rl=verdict == "throttle", auth=None)
        loop.observe(event)
        devices.learn(event)
        label = labels.get(event["id"], UNKNOWN)
        board.add(event, label)
        recorded.append((event, label, established))
        first_ms = event["ts"] if first_ms is None else first_ms
        last_ms = event["ts"]
    return report(board, loop, recorded, span_ms=(last_ms or 0) - (first_ms or 0))


def report(board: Scoreboard, loop: ClosedLoop, recorded: list[Recorded], *, span_ms: int, since: int = 0) -> Report:
    """Gather what a scoreboard and a loop have seen; decisions before index `since` belong to an earlier time."""
    decisions = loop.decisions[since:]
    puts = [decision for decision in decisions if decision.get("op", "put") == "put"]
    found = scopes(decisions, recorded)
    acting = sum(
        decision.get("mode") == "enforce" and decision.get("action") != "alert" and not decision.get("approval")
        for decision in puts
    )
    return Report(
        events=board.events,
        span_ms=span_ms,
        decisions=len(puts),
        acting=acting,
        attacks=tuple(board.attacks()),
        people=board.people(),
        policies=board.policies(),
        scopes=tuple(found),
    )
