"""From how strange a raw score is to a score everybody can read: conformal p-values of gated traffic, per segment.

A p-value is the share of the harmless traffic of a segment that was at least as strange; whatever the model, at most
`alpha` of exchangeable harmless traffic lies beyond its boundary. The score of p is ln p / (2 ln alpha): 0.5 where
p = alpha, monotone, 1 at alpha squared.

Rules kept: the table that judges is frozen and renewed daily, or once there are twice as many samples as it was made
of; without enough samples the answer is None ("warming up") and never "normal"; 1,024 counters a segment. Not here:
which traffic is harmless (`gate`).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import accumulate
from math import log
from typing import Final

from haetae_fds.facts import Facts
from haetae_fds.state import DAY

BINS: Final = 1024
POOL: Final = "all"


def segment_of(f: Facts) -> str:
    """Return the segment of an event: how the caller comes in, and whether device and place are known together."""
    event = f.event
    if event.san is not None:
        kind = "partner"
    elif event.dev is not None or event.ver is not None or event.sig is not None:
        kind = "app"
    else:
        kind = "web"
    return f"{kind} {'old' if f.trusted or f.known_device else 'new'}"


class Tail:
    """How strange one segment's harmless traffic is."""

    __slots__ = ("counts", "made_at", "made_of", "since", "table", "total")

    def __init__(self) -> None:
        self.counts = array("I", bytes(4 * BINS))
        self.total = 0
        self.since = 0
        self.table: array[int] | None = None
        self.made_of = 0
        self.made_at = 0

    def add(self, strangeness: float, now: int, *, least: int) -> bool:
        """Count one harmless event's strangeness in [0, 1]; return whether the table was renewed."""
        if not self.total:
            self.since = now
        self.counts[_bin(strangeness)] += 1
        self.total += 1
        day_over = now - self.since >= DAY
        if self.total < least or not (day_over or self.table is None or self.total >= 2 * self.made_of):
            return False
        self.table = array("I", reversed(list(accumulate(reversed(self.counts)))))
        self.made_of, self.made_at = self.total, now
        if day_over:
            self.counts = array("I", bytes(4 * BINS))
            self.total = 0
        return True

    def p(self, strangeness: float) -> float | None:
        """Return the p-value, in (0, 1]; None while warming up."""
        if self.table is None:
            return None
        return (1 + self.table[_bin(strangeness)]) / (1 + self.made_of)


class Thresholds:
    """One model's tails by segment; a segment without enough samples of its own is judged by all segments together.

    `least` samples make a table, so that alpha can be resolved it is never below 1 / alpha. `early`: of all segments
    together 1 / alpha are enough, for a model that has a threshold of its own, of which this is only the second.
    """

    __slots__ = ("alpha", "early", "least", "tails")

    def __init__(self, *, alpha: float, least: int, early: bool = False) -> None:
        if not 0 < alpha < 0.5:
            raise ValueError("alpha lies between 0 and 0.5")
        self.alpha = alpha
        self.least = max(least, round(1 / alpha))
        self.early = early
        self.tails: dict[str, Tail] = {}

    def add(self, segment: str, strangeness: float, now: int) -> bool:
        """Count a harmless event; return whether a table was renewed."""
        renewed = False
        for name in (segment, POOL):
            tail = self.tails.get(name)
            if tail is None:
                tail = self.tails[name] = Tail()
            least = round(1 / self.alpha) if self.early and name == POOL else self.least
            renewed |= tail.add(strangeness, now, least=least)
        return renewed

    def p(self, segment: str, strangeness: float) -> float | None:
        """Return the p-value; None while warming up."""
        for name in (segment, POOL):
            tail = self.tails.get(name)
            if tail is not None and (found := tail.p(strangeness)) is not None:
                return found
        return None

    @property
    def warm(self) -> bool:
        """Whether there is a table that judges."""
        return any(tail.table is not None for tail in self.tails.values())

    def score(self, p: float) -> float:
        """Map a p-value to a score: 0.5 at alpha."""
        return min(1.0, max(0.0, log(p) / (2 * log(self.alpha))))

    def states(self) -> Iterator[tuple[str, int, bool]]:
        """Say of each segment how many samples it has, and whether it judges by itself."""
        for name, tail in sorted(self.tails.items()):
            yield name, tail.total, tail.table is not None


def _bin(strangeness: float) -> int:
    return min(BINS - 1, int(strangeness * BINS)) if strangeness > 0 else 0
