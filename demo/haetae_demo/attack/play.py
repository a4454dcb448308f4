"""Plays a world: some hours of plain life, then one case, through a defence.

The warm-up is the same for every case of a world, so it can be run once and the town copied (`pickle`).
"""

from __future__ import annotations

from collections.abc import Iterator

from haetae_demo.attack.calls import Moment
from haetae_demo.attack.cases import Case
from haetae_demo.attack.clockwork import run
from haetae_demo.attack.day import background, warm_up
from haetae_demo.attack.town import Defence, Town


def play_warm_up(town: Town, defence: Defence) -> Iterator[Moment]:
    """The hours before: yields every event with its truth."""
    return run(town, warm_up(town), defence, until_ms=town.shape.case_ms, name="warm")


def play_case(town: Town, case: Case, defence: Defence) -> Iterator[Moment]:
    """One case beside everybody's plain traffic."""
    until_ms = town.shape.case_ms + town.shape.minutes * 60_000
    return run(town, [*background(town), *case.plan(town)], defence, until_ms=until_ms, name=case.name)
