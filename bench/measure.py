"""The vocabulary of results: one measured number, one goal, and how they are told apart.

A `Measure` is the median of its samples, with all samples kept for the JSON file. A `Goal` compares measures
taken in the same run; with one of them missing it is not judged, never taken as reached.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Literal

__all__ = ["GOALS", "Goal", "Judged", "Measure", "Results"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of the table. `key` is `section/contender[/what]`; `value` is the median of `samples` in
    `unit`.
    """

    key: str
    unit: str
    samples: tuple[float, ...]
    note: str = ""

    @property
    def value(self) -> float:
        """The median of all samples."""
        return median(self.samples)

    @property
    def spread(self) -> float:
        """Half the range of the samples relative to the median; 0 with one sample."""
        if len(self.samples) < 2 or not self.value:
            return 0.0
        return (max(self.samples) - min(self.samples)) / 2 / self.value


@dataclass(frozen=True, slots=True)
class Goal:
    """`work` must be at least or at most `bound`, times the median of `against` where that is given."""

    title: str
    work: str
    relation: Literal["at least", "at most"]
    bound: float
    against: str = ""

    @property
    def wanted(self) -> str:
        """The goal in words."""
        sign = "≥" if self.relation == "at least" else "≤"
        return f"{sign} {self.bound:g}" + (f" × {self.against}" if self.against else "")


@dataclass(frozen=True, slots=True)
class Judged:
    """A goal with what was measured: `value` is the ratio for relative goals, else in the measure's unit."""

    goal: Goal
    value: float
    reached: bool


class Results:
    """All measures of a run by key, in the order they were added."""

    def __init__(self, measures: Iterable[Measure] = ()) -> None:
        self._by_key: dict[str, Measure] = {}
        for measure in measures:
            self.add(measure)

    def __iter__(self) -> Iterator[Measure]:
        return iter(self._by_key.values())

    def add(self, measure: Measure) -> None:
        """Keep a measure; a second one under the same key is a mistake.

        Raises:
            ValueError: the key is taken, or there are no samples.
        """
        if measure.key in self._by_key or not measure.samples:
            raise ValueError(f"measure {measure.key!r} is doubled or empty")
        self._by_key[measure.key] = measure

    def get(self, key: str) -> Measure | None:
        """A measure by key."""
        return self._by_key.get(key)

    def judge(self, goals: Iterable[Goal]) -> Iterator[Judged]:
        """Judge each goal whose measures were all taken."""
        for goal in goals:
            work = self.get(goal.work)
            base = self.get(goal.against) if goal.against else None
            if work is None or (goal.against and base is None):
                continue
            value = work.value / base.value if base is not None else work.value
            reached = value >= goal.bound if goal.relation == "at least" else value <= goal.bound
            yield Judged(goal, value, reached)


GOALS = (
    Goal("plain route", "plain/haetae", "at least", 1.0, "plain/envoy"),
    Goal("plain route", "plain/haetae", "at least", 0.35, "plain/nginx"),
    Goal("web route", "web/haetae, no events", "at least", 1.0, "web/envoy jwt_authn"),
    Goal("web route, telling fraud detection", "web/haetae", "at least", 1.0, "web/envoy jwt_authn"),
    Goal(
        "web route, where Envoy remembers tokens",
        "web/haetae, no events",
        "at least",
        1.0,
        "web/envoy jwt_authn, cache",
    ),
    Goal("session route", "session/haetae", "at least", 2.0, "session/oauth2-proxy"),
    Goal("app channel, requests a second", "app/haetae", "at least", 4000.0),
    Goal("app channel", "app/haetae", "at least", 0.25, "plain/envoy"),
    Goal("added latency at half rate, p50, µs", "latency/haetae/added p50", "at most", 1000.0),
    Goal("added latency at half rate, p99, µs", "latency/haetae/added p99", "at most", 3000.0),
    Goal(
        "two workers on two cores, per worker CPU",
        "workers/2 per CPU second",
        "at least",
        0.9,
        "workers/1 per CPU second",
    ),
    Goal("two workers on two cores", "workers/2", "at least", 1.8, "workers/1"),
    Goal("block check at 1 000 000 policies, µs", "block/1000000/hit", "at most", 3.0),
    Goal("block policy, bytes", "block/1000000/bytes", "at most", 400.0),
    Goal("memory of an idle worker, MB", "memory/haetae/idle", "at most", 80.0),
    Goal("memory with 10 000 connections, MB", "memory/haetae/10000 connections", "at most", 400.0),
    Goal("cold start to first answer, s", "start/haetae", "at most", 1.5),
)
