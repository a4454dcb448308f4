"""Drift: whether a model still sees the world it was made for.

ADWIN over the model's own scores of harmless traffic, and over means of a few hundred rows of every feature. A change
is told only if it is also large enough to matter, for with enough traffic every change is significant. A model that
drifted goes to shadow for a day and people are told; nothing is retrained in silence.

Rules kept: bounded; event time; deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from river.drift import ADWIN

from haetae_fds.decision import Number
from haetae_fds.models.vector import FEATURES
from haetae_fds.state import DAY

SURE: Final = 1e-5
#: Means of batches are few, and hardly vary by chance.
SURE_MEANS: Final = 0.002
BATCH: Final = 250
MATERIAL: Final = 0.1


class Moved(NamedTuple):
    """What people are told of a drift, and by how much."""

    what: str
    number: Number


class Watched:
    """One number: its level is the mean of its first samples, or what it moved to since."""

    __slots__ = ("adwin", "changed", "level", "seen", "total")

    def __init__(self, *, delta: float, clock: int) -> None:
        self.adwin = ADWIN(delta=delta, clock=clock)  # type: ignore[no-untyped-call]
        self.changed = False
        self.level: float | None = None
        self.seen = 0
        self.total = 0.0

    def moved(self, value: float, *, settle: int) -> tuple[float, float] | None:
        """Take one value in [0, 1]; return (from, to) when the level has moved for good and far enough."""
        self.adwin.update(value)  # type: ignore[no-untyped-call]
        if self.level is None:
            self.seen += 1
            self.total += value
            if self.seen >= settle:
                self.level = self.total / self.seen
            return None
        # At the moment of detection the window still holds much of what was before; its mean follows.
        self.changed |= self.adwin.drift_detected
        before, after = self.level, float(self.adwin.estimation)
        if not self.changed or abs(after - before) < MATERIAL:
            return None
        self.level, self.changed = after, False
        return before, after


class Drift:
    """What one set of models watches. `until`: model → when it may act again (ms)."""

    __slots__ = ("features", "rows", "scores", "sums", "until")

    def __init__(self) -> None:
        self.scores: dict[str, Watched] = {}
        self.features = [Watched(delta=SURE_MEANS, clock=1) for _ in FEATURES]
        self.sums = [0.0] * len(FEATURES)
        self.rows = 0
        self.until: dict[str, int] = {}

    def score(self, model: str, score: float, now: int) -> Moved | None:
        """Take a model's score of harmless traffic; return what is to be told about it."""
        watched = self.scores.get(model)
        if watched is None:
            watched = self.scores[model] = Watched(delta=SURE, clock=32)
        moved = watched.moved(score, settle=1000)
        if moved is None:
            return None
        self.until[model] = now + DAY
        return _moved(f"the scores of {model}", *moved)

    def row(self, scaled: Sequence[float], models: Sequence[str], now: int) -> list[Moved]:
        """Take the features of harmless traffic; return what is to be told. All models go to shadow."""
        for index, value in enumerate(scaled):
            self.sums[index] += value
        self.rows += 1
        if self.rows < BATCH:
            return []
        told = []
        for feature, watched, total in zip(FEATURES, self.features, self.sums, strict=True):
            moved = watched.moved(total / BATCH, settle=8)
            if moved is not None:
                told.append(_moved(f"the mean of {feature.name}", *moved))
        self.sums, self.rows = [0.0] * len(FEATURES), 0
        if told:
            for model in models:
                self.until[model] = now + DAY
        return told

    def shadowed(self, model: str, now: int) -> bool:
        """Whether a model is kept from acting."""
        return now < self.until.get(model, 0)


def _moved(what: str, before: float, after: float) -> Moved:
    number = Number(name="change of the mean", value=abs(after - before), limit=MATERIAL)
    return Moved(f"{what} moved from {before:.2f} to {after:.2f}", number)
