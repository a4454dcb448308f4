"""Divide rows in time: train on the oldest, calibrate on what follows, test on the newest.

No attack stands on both sides: a campaign belongs whole to the part it begins in, and what of it comes later is left
out. No caller does either: harmless callers are dealt to the parts by name. So a figure on the test part is about
attacks and people that the model has never seen, from a time it has never seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from haetae_fds.counters import stable
from haetae_fds.errors import TrainingFailed
from haetae_fds.models.rows import Row

LEAST_CAMPAIGNS: Final = 3
LEAST_ROWS: Final = 50
#: Which part (0 train, 1 calibrate, 2 test) a name falls into, of ten.
_DEALT: Final = (0, 0, 0, 0, 0, 0, 1, 1, 2, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The three parts. Calibration begins at `calibrate_ms`, the test at `test_ms`."""

    train: tuple[Row, ...]
    calibrate: tuple[Row, ...]
    test: tuple[Row, ...]
    calibrate_ms: int
    test_ms: int


def part_of(name: str) -> int:
    """Return the part a harmless caller belongs to."""
    return _DEALT[stable(name) % 10]


def _border(start: int, before: Sequence[int]) -> int:
    """Return where a part begins: half way from the last attack that is over to the one it begins with."""
    over = max((end for end in before if end < start), default=start)
    return start if any(end >= start for end in before) else (over + start) // 2


def split(rows: Sequence[Row]) -> Parts:
    """Divide rows. Raises TrainingFailed: fewer than three campaigns at different times, or too few rows in a part."""
    begins: dict[str, int] = {}
    ends: dict[str, int] = {}
    for row in rows:
        if row.campaign is not None:
            begins[row.campaign] = min(row.ts, begins.get(row.campaign, row.ts))
            ends[row.campaign] = max(row.ts, ends.get(row.campaign, row.ts))
    order = sorted(begins, key=lambda name: (begins[name], name))
    starts = [begins[name] for name in order]
    if len(starts) < LEAST_CAMPAIGNS:
        raise TrainingFailed(f"{len(starts)} attacks are labelled; at least {LEAST_CAMPAIGNS} are needed")
    first, second = max(1, round(len(starts) * 0.6)), max(2, round(len(starts) * 0.8))
    borders = tuple(_border(starts[at], [ends[name] for name in order[:at]]) for at in (first, second))
    if not starts[0] < borders[0] < borders[1]:
        raise TrainingFailed("the labelled attacks begin at the same time; they must follow each other")
    parts: tuple[list[Row], ...] = ([], [], [])
    for row in rows:
        when = (row.ts >= borders[0]) + (row.ts >= borders[1])
        if row.campaign is None:
            owner = part_of(row.person)
        else:
            begun = begins[row.campaign]
            owner = (begun >= borders[0]) + (begun >= borders[1])
        if when == owner:
            parts[when].append(row)
    for name, part in zip(("train", "calibrate", "test"), parts, strict=True):
        fraud = sum(row.campaign is not None for row in part)
        if not fraud or len(part) - fraud < LEAST_ROWS:
            raise TrainingFailed(
                f"too little to {name} on: {fraud} rows of attacks, {len(part) - fraud} of harmless callers "
                f"(at least 1 and {LEAST_ROWS}); record more, or longer"
            )
    train, calibrate, test = (tuple(part) for part in parts)
    return Parts(train=train, calibrate=calibrate, test=test, calibrate_ms=borders[0], test_ms=borders[1])
