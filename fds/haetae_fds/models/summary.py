"""What there is to see of the models of an engine, for people and metrics. Needs no library; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """One model. `role`: what its stage lets it do, `drifted`: it only watches for now. `warm`: it
    has seen enough of this service's harmless traffic to act. `learnt`: events or labels it
    learnt from; None for a trained one. `judged`, `beyond`: events it judged, and those beyond its boundary.
    `over_budget`: findings kept in shadow since the process began, for it had asked enough people. `segments`: those
    that have a boundary of their own.
    """

    model: str
    version: int
    role: str
    drifted: bool
    warm: bool
    learnt: int | None
    judged: int
    beyond: int
    over_budget: int
    segments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All models. `gate`: events learnt from and held back, by reason. `drifts`: alarms since the process began."""

    models: tuple[ModelSummary, ...]
    gate: Mapping[str, int]
    drifts: int


@runtime_checkable
class Summarised(Protocol):
    """A scorer of which there is something to see."""

    def summary(self, now: int) -> Summary:
        """Return it, as of an event time (ms)."""
