"""Who comes when: the plain traffic of everybody, for the warm-up and as the background of every case."""

from __future__ import annotations

import math
from random import Random

from haetae_demo.attack.calls import Call, Pause, Script, Truth
from haetae_demo.attack.chance import chance
from haetae_demo.attack.habits import visit
from haetae_demo.attack.town import Town

_HOUR_MS = 3_600_000
_VISITS_AN_HOUR = 1.0
_CASE_RUSH = 1.75
_MONITOR_PERIOD_S = 10.0

Scripts = list[tuple[int, Script]]


def warm_up(town: Town) -> Scripts:
    """The hours before a case."""
    shape = town.shape
    return _traffic(town, shape.start_ms, shape.case_ms, rate=_VISITS_AN_HOUR, name="warm")


def background(town: Town) -> Scripts:
    """Everybody's life while a case runs: somewhat busier than the hours before."""
    shape = town.shape
    return _traffic(
        town, shape.case_ms, shape.case_ms + shape.minutes * 60_000, rate=_VISITS_AN_HOUR * _CASE_RUSH, name="case"
    )


def _traffic(town: Town, start_ms: int, end_ms: int, *, rate: float, name: str) -> Scripts:
    shape = town.shape
    rng = chance("day", shape.name, shape.seed, name)
    scripts: Scripts = []
    hours = (end_ms - start_ms) / _HOUR_MS
    for person in town.populace.people:
        for _ in range(_poisson(rng, rate * hours * shape.pace * person.busy)):
            at_ms = rng.randrange(start_ms, end_ms)
            device = person.devices[0] if rng.random() < 0.75 else rng.choice(person.devices)
            line = person.place(rng, hour=at_ms // _HOUR_MS % 24)
            actor = chance("visit", shape.seed, name, len(scripts))
            scripts.append((at_ms, visit(town, person, device, line, actor, start_ms=at_ms)))
    scripts.append((start_ms, _monitoring(town)))
    scripts.append((start_ms, _partner(town, chance("partner", shape.seed, name), period_s=20.0 / shape.pace)))
    return scripts


def _monitoring(town: Town) -> Script:
    """Our own health checks, for ever."""
    software = town.populace.software[-1]
    while True:
        yield Call(
            api=town.services.health,
            line=town.monitor,
            software=software,
            truth=Truth(kind="monitoring", user="monitor"),
        )
        yield Pause(_MONITOR_PERIOD_S)


def _partner(town: Town, rng: Random, *, period_s: float) -> Script:
    """A partner's programs, with their certificate, one object after the other."""
    obj = town.lowest
    while True:
        obj = town.lowest + (obj + 1 - town.lowest) % (town.highest - town.lowest)
        yield Call(
            api=town.services.batch,
            line=town.partner,
            software=town.populace.software[-2],
            truth=Truth(kind="partner", user="partner"),
            san="batch.partner.example",
            user="partner",
            user_v=True,
            obj=obj,
        )
        yield Pause(period_s * rng.uniform(0.8, 1.2))


def _poisson(rng: Random, mean: float) -> int:
    limit, product, count = math.exp(-min(mean, 50.0)), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count
