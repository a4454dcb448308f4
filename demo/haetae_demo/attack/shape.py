"""What a simulated world is like: its size, its pace, how it is named. Everything is drawn from the seed.

A detector cannot be tuned to these worlds' strings, because there are no fixed ones; and the `strange` worlds differ
in rate, naming, address family and size from the ordinary ones. Does not build anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from haetae_demo.attack.chance import between, chance

START_MS = 1_772_409_600_000
"""Virtual time begins on a Monday at midnight UTC; worlds begin some hours later, by seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One world's parameters. `pace` multiplies people's rates, `vigour` attackers'; `ipv6` is the share of homes
    with IPv6; `warm_hours` of plain life precede a case of `minutes`; `attack_after_s` is when trouble begins. The same
    may happen `later_days`.
    """

    name: str
    seed: int
    people: int
    pace: float = 1.0
    vigour: float = 1.0
    ipv6: float = 0.25
    warm_hours: int = 3
    minutes: int = 14
    attack_after_s: int = 120
    challenge_pass: float = 0.9
    wild_names: bool = False
    later_days: int = 0

    @property
    def start_ms(self) -> int:
        """When the warm-up begins: between six and ten in the morning, on some day of four weeks."""
        rng = chance("start", self.name, self.seed)
        return (
            START_MS + (rng.randrange(28) + self.later_days) * 86_400_000 + rng.randrange(6 * 3_600, 10 * 3_600) * 1000
        )

    @property
    def case_ms(self) -> int:
        """When a case begins: after the warm-up."""
        return self.start_ms + self.warm_hours * 3_600_000


def ordinary(seed: int, *, people: int = 1200) -> Shape:
    """A world of the usual kind; rates still differ a little from seed to seed."""
    rng = chance("ordinary", seed)
    return Shape(
        name="ordinary", seed=seed, people=people, pace=between(rng, 0.8, 1.25), vigour=between(rng, 0.8, 1.25)
    )


def small(seed: int) -> Shape:
    """A quick world for tests that run on every change."""
    return Shape(name="small", seed=seed, people=300, minutes=9, attack_after_s=60)


def strange(seed: int) -> Shape:
    """A held-out world: a small population, other names, mostly IPv6, rates between a third and three times as high."""
    rng = chance("strange", seed)
    return Shape(
        name="strange",
        seed=seed,
        people=rng.randrange(150, 500),
        pace=between(rng, 0.3, 3.0),
        vigour=between(rng, 0.3, 3.0),
        ipv6=0.75,
        challenge_pass=0.8,
        wild_names=True,
    )


SHAPES = {"ordinary": ordinary, "small": small, "strange": strange}
