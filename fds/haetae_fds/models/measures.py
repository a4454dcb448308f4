"""What a trained model is worth: shares with their bounds, and thresholds from what mistakes cost.

A rate per event says nothing (one in ten thousand of a thousand million is a hundred thousand); what counts is the
share of people's days on which somebody was wrongly asked or refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import Final

from haetae_fds.models.rows import Row
from haetae_fds.state import DAY

CHALLENGE_RATE: Final = 0.002
BLOCK_RATE: Final = 0.0002
_Z: Final = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """`false`: what losing a good customer costs, `drop_out`: the share of them that a challenge loses, `missed`: what
    a minute of an attacker costs.
    """

    false: float = 20.0
    drop_out: float = 0.1
    missed: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """What something would have done to a part: rows caught of an attack's rows, honest ones hit, people's days hit."""

    caught: int
    fraud: int
    false: int
    harmless: int
    days_hit: int
    days: int

    @property
    def precision(self) -> float:
        """The share of rows hit that are attacks."""
        return self.caught / max(1, self.caught + self.false)

    @property
    def precision_bounds(self) -> tuple[float, float]:
        """The 95 % bounds of the precision."""
        return wilson(self.caught, self.caught + self.false)

    @property
    def recall(self) -> float:
        """The share of attacks' rows that are hit."""
        return self.caught / max(1, self.fraud)

    @property
    def day_rate(self) -> float:
        """The share of people's days on which it would have acted wrongly."""
        return self.days_hit / max(1, self.days)


@dataclass(frozen=True, slots=True, kw_only=True)
class At(Hits):
    """What acting from a threshold on does; how many campaigns are caught with at least one row."""

    threshold: float
    campaigns_caught: int
    campaigns: int


def wilson(right: int, of: int) -> tuple[float, float]:
    """Return the 95 % bounds of a share (Wilson's score interval)."""
    if not of:
        return 0.0, 1.0
    share, z2 = right / of, _Z * _Z
    centre, spread = share + z2 / (2 * of), _Z * sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, (centre - spread) / (1 + z2 / of)), min(1.0, (centre + spread) / (1 + z2 / of))


def at(threshold: float, rows: Sequence[Row], probabilities: Sequence[float], *, days: int) -> At:
    """Count what acting from `threshold` on would have done; `days` of honest people in all."""
    beyond = [row for row, p in zip(rows, probabilities, strict=True) if p >= threshold]
    caught = [row for row in beyond if row.campaign is not None]
    return At(
        threshold=threshold,
        caught=len(caught),
        fraud=sum(row.campaign is not None for row in rows),
        false=len(beyond) - len(caught),
        harmless=sum(row.campaign is None for row in rows),
        campaigns_caught=len({row.campaign for row in caught}),
        campaigns=len(_campaigns(rows)),
        days_hit=len({(row.person, row.ts // DAY) for row in beyond if row.campaign is None}),
        days=days,
    )


def thresholds(
    rows: Sequence[Row], probabilities: Sequence[float], *, days: int, costs: Costs
) -> tuple[float, float | None]:
    """Choose (challenge, block): the cheapest that keeps to the share of people's days; block also without a mistake.

    A part with few people cannot show a small rate; then nobody at all may be hit.
    """
    best: tuple[float, float] | None = None
    block: float | None = None
    for threshold in _candidates(probabilities):
        one = at(threshold, rows, probabilities, days=days)
        if one.days_hit <= CHALLENGE_RATE * days:
            price = costs.false * costs.drop_out * one.false + costs.missed * (one.fraud - one.caught)
            if best is None or price <= best[0]:
                best = price, threshold
        if block is None and one.false == 0 and one.days_hit <= BLOCK_RATE * days and one.caught:
            block = threshold
    # Where no threshold is innocent enough, only certainty is left, which calibration never gives: it never acts.
    return (best[1] if best is not None else 1.0), block


def _candidates(probabilities: Iterable[float], most: int = 200) -> list[float]:
    """Return possible thresholds, lowest first: half way between neighbours, or between quantiles of many.

    Not the probabilities themselves: an attack that is a little less like those seen must not slip below, and what
    lies on a step of the calibration is beyond the boundary, not on it.
    """
    seen = sorted({p for p in probabilities if p > 0})
    if len(seen) > most:
        seen = [seen[index * (len(seen) - 1) // (most - 1)] for index in range(most)]
    return [(low + high) / 2 for low, high in pairwise([0.0, *seen])]


def _campaigns(rows: Iterable[Row]) -> set[str]:
    return {row.campaign for row in rows if row.campaign is not None}
