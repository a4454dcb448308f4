"""What is normal for one route and one class of errors, and how far a minute is from it.

Errors are compared with `expected = requests x ratio`, so that a busy hour is no spike. The difference is measured on a
scale where counts have a constant spread (Anscombe): `z = 2 (sqrt(x + 3/8) - sqrt(expected + 3/8)) / sqrt(spread)`.
There is no division by an observed deviation, so a route that never failed cannot explode at its first error.

While a minute is abnormal the baseline stands still; after half an hour it goes on at a tenth of its speed, so that a
change which stays becomes normal within hours rather than alarming for ever.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import Final

HALF_LIFE_MIN: Final = 180.0
SLOW: Final = 0.1
FROZEN_MIN: Final = 30
ABNORMAL: Final = 4.0
#: How much the true ratio may wobble by itself, relative to the expected count.
WOBBLE: Final = 0.02
_STEP: Final = 1.0 - exp(-log(2.0) / HALF_LIFE_MIN)
_PRIOR_ERRORS: Final = 0.5
_PRIOR_REQUESTS: Final = 200.0
_CLIP: Final = 3.0
_MAX_SPREAD: Final = 50.0
#: Minutes after which something is known; until then everything is taken for normal, and nothing is said of it.
WARM_MIN: Final = 10
#: Minutes in which a young baseline learns faster than its half-life, as a plain mean would.
_YOUNG: Final = 60


class Baseline:
    """The slow ratio of errors to requests and the spread around it."""

    __slots__ = ("frozen_min", "ratio", "seen", "spread")

    def __init__(self) -> None:
        self.ratio = _PRIOR_ERRORS / _PRIOR_REQUESTS
        self.spread = 1.0
        self.seen = 0
        self.frozen_min = 0

    def expected(self, requests: int) -> float:
        """Errors that so many requests normally have."""
        return requests * self.ratio

    @property
    def warm(self) -> bool:
        """Whether enough was seen to say what is normal."""
        return self.seen >= WARM_MIN

    def z(self, requests: int, errors: int) -> float:
        """How far a minute is from normal, in standard deviations; negative when there are fewer errors."""
        expected = self.expected(requests)
        plain = 2.0 * (sqrt(errors + 0.375) - sqrt(expected + 0.375))
        return plain / sqrt(self.spread + WOBBLE * expected)

    def learn(self, requests: int, errors: int, z: float) -> None:
        """Take a minute in, with what `z` said of it before."""
        if requests <= 0:
            return
        if not self.warm:
            self.ratio += (errors / requests - self.ratio) * requests / (requests * (self.seen + 1) + _PRIOR_REQUESTS)
            self.seen += 1
            return
        speed = self._speed(z)
        if speed == 0.0:
            return
        expected = self.expected(requests)
        # One bad minute among good ones moves the baseline by no more than three deviations' worth.
        most = expected + _CLIP * sqrt((expected + 0.375) * self.spread) + 1.0
        seen = min(float(errors), most)
        weight = min(1.0, requests / (requests + _PRIOR_REQUESTS * speed))
        self.ratio += speed * weight * (seen / requests - self.ratio)
        bounded = max(-_CLIP, min(_CLIP, z))
        raw = bounded * bounded * (self.spread + WOBBLE * expected) - WOBBLE * expected
        self.spread = max(1.0, min(_MAX_SPREAD, self.spread + speed * (raw - self.spread)))
        self.seen += 1

    def _speed(self, z: float) -> float:
        if abs(z) < ABNORMAL:
            self.frozen_min = 0
            return max(_STEP, 1.0 / (self.seen + 2)) if self.seen < _YOUNG else _STEP
        self.frozen_min += 1
        return 0.0 if self.frozen_min <= FROZEN_MIN else _STEP * SLOW
