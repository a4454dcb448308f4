"""All attacks of several worlds in a few numbers: what a defence lets through, what it prevents, how soon it acts.

Rules kept: every world is summed up by itself and the worst one counts, number by number; an attack that was never
refused counts as refused after all of its requests, and is told apart. Not here: single attacks (`score`), tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from haetae_fds.evaluation.score import AttackResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The worst of `worlds`: mean score, mean requests let through before and after the first refusal, and mean and
    median milliseconds to it, over the attacks of one world. `never`: attacks that were not refused at all, in sum.
    """

    attacks: int
    worlds: int
    score: float
    before: float
    after: float
    mean_first_ms: float | None
    median_first_ms: float | None
    never: int


def summary(worlds: Sequence[Sequence[AttackResult]]) -> Summary | None:
    """Sum up the attacks of each world; None when there are none."""
    played = [world for world in worlds if world]
    if not played:
        return None
    times = [[one.first_refusal_ms for one in world if one.first_refusal_ms is not None] for world in played]
    refused = [world for world in times if world]
    return Summary(
        attacks=max(len(world) for world in played),
        worlds=len(played),
        score=min(fmean(one.score for one in world) for world in played),
        before=max(fmean(one.before for one in world) for world in played),
        after=max(fmean(one.after for one in world) for world in played),
        mean_first_ms=max(fmean(world) for world in refused) if refused else None,
        median_first_ms=max(float(median(world)) for world in refused) if refused else None,
        never=sum(one.first_refusal_ms is None for world in played for one in world),
    )
