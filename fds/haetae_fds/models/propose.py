"""Propose a rule for a confirmed attack: at most three conditions that catch it and leave people alone.

Greedy: the condition that leaves most of the attack and fewest people, then another, until nobody honest is left. It
is found on the first half of the attack and six in ten callers, and back-tested on the rest of both, which it has not
seen. Needs the extra `training` (numpy).

Rules kept: a proposal is in shadow and ends by itself; a person decides whether it ever acts. Deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from haetae_fds.decision import Action
from haetae_fds.models.measures import Hits
from haetae_fds.models.rows import Collected, Row
from haetae_fds.models.rulefile import Condition, Rule
from haetae_fds.models.split import part_of
from haetae_fds.models.vector import FEATURES
from haetae_fds.state import DAY

DEPTH: Final = 3
MAX_CAMPAIGNS: Final = 50
LEAST_ROWS: Final = 4
#: How many of the attack's rows one wrongly hit caller in a thousand is worth.
_AVERSION: Final = 50.0
_RISING: Final = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5)
_FALLING: Final = (1.0, 0.98, 0.95, 0.9, 0.75, 0.5)
_RECALL: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class BackTest(Hits):
    """What a rule would have done to what it was not made from."""

    people_hit: int
    span_days: float

    @property
    def people_per_day(self) -> float:
        """Honest people it would hit on one day."""
        return self.days_hit / max(1.0, self.span_days)

    def to_dict(self) -> dict[str, Any]:
        """Return the form in the file."""
        return {
            "precision": round(self.precision, 4),
            "precision_bounds": [round(bound, 4) for bound in self.precision_bounds],
            "recall": round(self.recall, 4),
            "caller_minutes_of_the_attack": self.fraud,
            "honest_caller_minutes": self.harmless,
            "people_hit": self.people_hit,
            "people_hit_per_day": round(self.people_per_day, 3),
            "share_of_people_days_hit": round(self.day_rate, 6),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A rule, the attack it is for, and its back-test."""

    rule: Rule
    campaign: str
    backtest: BackTest


def propose(collected: Collected, *, expires: int) -> list[Proposal]:
    """Return a rule for each attack that a simple one catches, the newest attack first; equal rules once."""
    attacks: dict[str, list[Row]] = {}
    for row in collected.rows:
        if row.campaign is not None:
            attacks.setdefault(row.campaign, []).append(row)
    harmless = [row for row in collected.rows if row.campaign is None]
    newest = sorted(attacks.items(), key=lambda item: (-item[1][0].ts, item[0]))[:MAX_CAMPAIGNS]
    seen: set[tuple[Condition, ...]] = set()
    proposals = []
    for campaign, rows in newest:
        if len(rows) < 2 * LEAST_ROWS or not harmless:
            continue
        half = len(rows) // 2
        known = [row for row in harmless if part_of(row.person) == 0]
        when = _conditions(rows[:half], known)
        when = when and _relaxed(when, known)
        if when is None or when in seen:
            continue
        seen.add(when)
        unseen = [row for row in harmless if part_of(row.person) != 0]
        rule = Rule(
            name=f"proposed_{len(seen)}",
            when=when,
            action=Action.CHALLENGE,
            enforce=False,
            expires=expires,
            why="".join(c if c.isprintable() else "?" for c in f"found from the attack {campaign}")[:300],
        )
        days = {day for day in collected.days if part_of(day[0]) != 0}
        proposals.append(Proposal(rule=rule, campaign=campaign, backtest=_backtest(when, rows[half:], unseen, days)))
    return proposals


def _conditions(fraud: Sequence[Row], harmless: Sequence[Row]) -> tuple[Condition, ...] | None:
    ours, theirs = (np.array([row.values for row in rows]) for rows in (fraud, harmless))
    whole, most = len(ours), max(1, len(theirs))
    chosen: list[Condition] = []
    while len(chosen) < DEPTH and len(theirs):
        best: tuple[float, Condition] | None = None
        for condition in _candidates(ours):
            index = _INDEX[condition.feature]
            left, wrong = (_mask(condition, matrix[:, index]).mean() * len(matrix) for matrix in (ours, theirs))
            worth = left / whole - _AVERSION * wrong / most
            if best is None or worth > best[0] + 1e-12:
                best = worth, condition
        before = len(ours) / whole - _AVERSION * len(theirs) / most
        if best is None or best[0] <= before:
            break
        chosen.append(best[1])
        index = _INDEX[best[1].feature]
        ours, theirs = (matrix[_mask(best[1], matrix[:, index])] for matrix in (ours, theirs))
    if not chosen or len(ours) < _RECALL * whole or len(theirs) > 0.001 * most + 1:
        return None
    return tuple(chosen)


def _relaxed(when: tuple[Condition, ...], harmless: Sequence[Row]) -> tuple[Condition, ...]:
    """Move each limit half way towards people, as far as the others keep them out: the attack need not be in full
    swing to be seen.
    """
    held = list(when)
    for at, condition in enumerate(when):
        others = [other for index, other in enumerate(held) if index != at]
        index = _INDEX[condition.feature]
        values = [
            row.values[index]
            for row in harmless
            if all(other.holds(row.values[_INDEX[other.feature]]) for other in others)
        ]
        nearest = (max if condition.at_least else min)(values, default=None)
        if nearest is None or condition.holds(nearest):
            continue
        middle = float(np.expm1((np.log1p(nearest) + np.log1p(condition.value)) / 2))
        moved = _round(middle, up=condition.at_least, whole=FEATURES[index].counts)
        if not Condition(feature=condition.feature, at_least=condition.at_least, value=moved).holds(nearest):
            held[at] = Condition(feature=condition.feature, at_least=condition.at_least, value=moved)
    return tuple(held)


def _candidates(ours: Any) -> list[Condition]:
    """Return comparisons worth trying: where the attack's own values lie, in numbers that people would write."""
    found: dict[Condition, None] = {}
    for index, feature in enumerate(FEATURES):
        column = ours[:, index]
        for share in _RISING:
            value = _round(float(np.quantile(column, share)), up=False, whole=feature.counts)
            if value > 0:
                found[Condition(feature=feature.name, at_least=True, value=value)] = None
        if feature.rises:
            continue  # nobody becomes suspicious by having fewer faults
        for share in _FALLING:
            value = _round(float(np.quantile(column, share)), up=True, whole=feature.counts)
            if value < feature.limit:
                found[Condition(feature=feature.name, at_least=False, value=value)] = None
    return list(found)


def _round(value: float, *, up: bool, whole: bool) -> float:
    digits = 0 if whole and value >= 1 else 2
    step = 10.0**digits
    scaled = value * step
    return float(np.ceil(scaled - 1e-9) if up else np.floor(scaled + 1e-9)) / step


def _mask(condition: Condition, column: Any) -> Any:
    return column >= condition.value if condition.at_least else column <= condition.value


def _backtest(
    when: Sequence[Condition], fraud: Sequence[Row], harmless: Sequence[Row], days: set[tuple[str, int]]
) -> BackTest:
    def hit(row: Row) -> bool:
        return all(condition.holds(row.values[_INDEX[condition.feature]]) for condition in when)

    false = [row for row in harmless if hit(row)]
    times = [row.ts for row in harmless] or [0]
    return BackTest(
        caught=sum(hit(row) for row in fraud),
        fraud=len(fraud),
        false=len(false),
        harmless=len(harmless),
        people_hit=len({row.person for row in false}),
        days_hit=len({(row.person, row.ts // DAY) for row in false}),
        days=len(days),
        span_days=len({ts // DAY for ts in times}),
    )


_INDEX: Final = {feature.name: index for index, feature in enumerate(FEATURES)}
