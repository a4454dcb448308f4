"""A made-up fortnight of minutes: daily rhythm, volumes that wander, error ratios that spread, and real incidents."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, pi, sin

from haetae_fds.alerts import Window

DAY = 1440


@dataclass(frozen=True, slots=True)
class Incident:
    """More errors on one route for some minutes."""

    route: int
    start: int
    minutes: int
    extra_share: float


class Traffic:
    """`routes` routes over `days` days, seeded."""

    def __init__(self, *, seed: int, routes: int, days: int, incidents: int) -> None:
        self._chance = random.Random(seed)
        chance = self._chance
        self.minutes = days * DAY
        self._base = [exp(chance.uniform(1.5, 7.0)) for _ in range(routes)]
        self._ratio = [exp(chance.uniform(-7.0, -3.0)) for _ in range(routes)]
        self._phase = [chance.uniform(-0.5, 0.5) for _ in range(routes)]
        self._wander = [0.0] * routes
        busy = [route for route in range(routes) if self._base[route] >= 60]
        self.incidents = [
            Incident(chance.choice(busy), chance.randrange(DAY, self.minutes - 20), chance.randrange(4, 16), share)
            for share in (chance.uniform(0.02, 0.4) for _ in range(incidents))
        ]

    def __iter__(self) -> Iterator[tuple[int, list[Window]]]:
        """Minute by minute."""
        chance = self._chance
        for minute in range(self.minutes):
            clock = 2 * pi * (minute % DAY) / DAY
            weekday = 0.7 if minute // DAY % 7 >= 5 else 1.0
            windows = []
            for route, base in enumerate(self._base):
                self._wander[route] = 0.95 * self._wander[route] + chance.gauss(0, 0.05)
                mean = base * weekday * (1 + 0.7 * sin(clock + self._phase[route])) * exp(self._wander[route])
                requests = max(0, round(chance.gauss(mean, mean**0.5)))
                if not requests:
                    continue
                ratio = min(1.0, self._ratio[route] * exp(chance.gauss(0, 0.3)) + self._extra(route, minute))
                errors = min(requests, max(0, round(chance.gauss(requests * ratio, (requests * ratio) ** 0.5))))
                windows.append(
                    Window(
                        minute=minute, gateway="app", route=f"r{route}", requests=requests, errors={"5xx": errors},
                        contributors={f"route r{route}": errors},
                    )
                )  # fmt: skip
            yield minute, windows

    def _extra(self, route: int, minute: int) -> float:
        return sum(
            item.extra_share
            for item in self.incidents
            if item.route == route and item.start <= minute < item.start + item.minutes
        )

    def material(self) -> list[Incident]:
        """Incidents of at least eight more errors a minute at the route's mean volume; others nobody would miss."""
        return [item for item in self.incidents if self._base[item.route] * 0.4 * item.extra_share >= 8]
