"""Facts and rows for tests of single parts."""

import random

from haetae_fds.event import Event
from haetae_fds.facts import Facts
from haetae_fds.flat import event_of
from haetae_fds.models.rows import Collected, Row
from haetae_fds.models.vector import FEATURES, INDEX

START = 1_772_409_600_000
HOUR = 3_600_000
DAY = 24 * HOUR


def event(number: int = 1, **fields: object) -> Event:
    return event_of({"id": f"e{number}", "ts": START + number, "gw": "app", **fields})


def facts(number: int = 1, **fields: object) -> Facts:
    made = Facts(event(number, **fields), START + number)
    made.actor = f"u:{number % 10}"
    return made


def values(**named: float) -> tuple[float, ...]:
    row = [0.0] * len(FEATURES)
    for name, value in named.items():
        row[INDEX[name]] = value
    return tuple(row)


def row(at: int, entity: str, campaign: str | None = None, **named: float) -> Row:
    return Row(ts=at, entity=entity, person=entity, campaign=campaign, values=values(**named))


def world(*, seed: int = 1, days: int = 12, people: int = 400) -> Collected:
    """Some days of people who fail at a log-in now and then, and each day an attack that fails much more."""
    rng = random.Random(seed)
    made = Collected()
    for day in range(days):
        for person in range(people):
            at = START + day * DAY + rng.randrange(DAY // 2)
            made.rows.append(
                row(
                    at, f"p{person}", login=1.0, address_accounts_10m=float(rng.randrange(3)),
                    device_age_hours=rng.random() * 700,
                )
            )  # fmt: skip
            made.days.add((f"p{person}", at // DAY))
        begin = START + day * DAY + DAY // 2
        for minute in range(30):
            at, entity = begin + minute * 60_000, f"i:{day}.{minute % 4}"
            made.rows.append(row(at, entity, f"attack {day}", login=1.0, address_accounts_10m=6.0 + rng.randrange(30)))
    made.rows.sort(key=lambda one: one.ts)
    return made
