"""Small counters: exponentially decayed sums, windowed distinct sets, distributions of a population.

Rules kept: O(1) per event; event time only; results depend on nothing but the calls made (no `hash()` of text, whose
value differs between processes); memory is bounded whatever is counted. Not here: which of them belong to which key.
"""

from __future__ import annotations

from hashlib import blake2b
from math import exp, log, sqrt
from typing import Final

EXACT: Final = 96
_REGISTERS: Final = 256
_ALPHA: Final = 0.7213 / (1 + 1.079 / _REGISTERS)


def stable(text: str) -> int:
    """Return 64 bits that are the same in every process."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


class Decay:
    """A sum that loses all but 1/e in `tau` milliseconds."""

    __slots__ = ("at", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.at = 0

    def add(self, now: int, tau: float, weight: float = 1.0) -> float:
        """Add `weight` at `now` and return the sum; an event that comes late is worth what is left of it."""
        gap = now - self.at
        if gap > 0:
            self.value = self.value * exp(-gap / tau) + weight
            self.at = now
        else:
            self.value += weight * exp(gap / tau)
        return self.value

    def read(self, now: int, tau: float) -> float:
        """Return the sum as it is at `now`."""
        gap = now - self.at
        return self.value * exp(-gap / tau) if gap > 0 else self.value


class Sketch:
    """HyperLogLog over two generations of half a window each: how many distinct values, within about 7 %."""

    __slots__ = ("born", "merged", "new", "old", "total")

    def __init__(self, now: int) -> None:
        self.born = now
        self.old = bytes(_REGISTERS)
        self.new = bytearray(_REGISTERS)
        self.merged = bytearray(_REGISTERS)
        self.total = float(_REGISTERS)

    def add(self, value: str, now: int, window: int) -> None:
        """Count `value` once."""
        if now - self.born > window // 2:
            self._rotate(now, window)
        bits = stable(value)
        index = bits & (_REGISTERS - 1)
        rank = 57 - (bits >> 8).bit_length()
        if rank > self.new[index]:
            self.new[index] = rank
            held = self.merged[index]
            if rank > held:
                self.merged[index] = rank
                self.total += 2.0**-rank - 2.0**-held

    def _rotate(self, now: int, window: int) -> None:
        self.old = bytes(self.new) if now - self.born <= window else bytes(_REGISTERS)
        self.new = bytearray(_REGISTERS)
        self.merged = bytearray(self.old)
        self.total = sum(2.0**-rank for rank in self.merged)
        self.born = now

    def count(self) -> float:
        """Return the estimate."""
        raw = _ALPHA * _REGISTERS * _REGISTERS / self.total
        if raw < 2.5 * _REGISTERS and (zeros := self.merged.count(0)):
            return _REGISTERS * log(_REGISTERS / zeros)
        return raw


class Recent:
    """Distinct values of the last `window` milliseconds, exact up to 96, estimated beyond."""

    __slots__ = ("items", "sketch", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.items: dict[str, int] = {}
        self.sketch: Sketch | None = None

    def add(self, value: str, now: int) -> bool:
        """Note `value`; return whether it was not there already."""
        items = self.items
        fresh = items.pop(value, None) is None
        items[value] = now
        horizon = now - self.window
        first = next(iter(items))
        while items[first] < horizon:
            del items[first]
            first = next(iter(items))
        if self.sketch is not None:
            self.sketch.add(value, now, self.window)
        if len(items) > EXACT:
            if self.sketch is None:
                self.sketch = Sketch(now)
                for held in items:
                    self.sketch.add(held, now, self.window)
            del items[first]
        return fresh

    def count(self, now: int) -> int:
        """Return how many distinct values the window holds at `now`."""
        items = self.items
        horizon = now - self.window
        while items:
            first = next(iter(items))
            if items[first] >= horizon:
                break
            del items[first]
        if self.sketch is None:
            return len(items)
        if now - self.sketch.born > self.window:
            self.sketch = None
            return len(items)
        return max(len(items), round(self.sketch.count()))

    def holds(self, value: str, now: int) -> bool:
        """Say whether `value` is among the (up to 96 latest) values of the window."""
        at = self.items.get(value)
        return at is not None and at >= now - self.window

    def discard(self, value: str) -> None:
        """Forget `value`, while the count is exact."""
        if self.sketch is None:
            self.items.pop(value, None)

    def clear(self) -> None:
        """Forget everything."""
        self.items.clear()
        self.sketch = None


class Spread:
    """A distribution of positive numbers in 64 logarithmic buckets, with quantiles; old samples fade by halving."""

    __slots__ = ("buckets", "total")
    _BASE: Final = log(1.2)
    _FULL: Final = 100_000

    def __init__(self) -> None:
        self.buckets = [0] * 64
        self.total = 0

    def add(self, value: float) -> None:
        """Note one sample."""
        index = min(63, int(log(value) / self._BASE) + 1) if value >= 1 else 0
        self.buckets[index] += 1
        self.total += 1
        if self.total > self._FULL:
            self.buckets = [count // 2 for count in self.buckets]
            self.total = sum(self.buckets)

    def quantile(self, share: float) -> float:
        """Return the upper bound of the bucket that the quantile falls into; 0 without samples."""
        if not self.total:
            return 0.0
        above = self.total * (1 - share)
        for index in range(63, -1, -1):
            above -= self.buckets[index]
            if above < 0:
                return float(1.2**index)
        return 0.0


def unusual(mean: float) -> float:
    """Return what a count with this mean hardly ever exceeds: at least 20 more, and half as many again.

    Anscombe's transform, so that nothing is divided by a spread that may be zero.
    """
    return max(mean + 20, (sqrt(mean + 0.375) + 4) ** 2, 1.5 * mean)


def note(sample: list[str], event_id: str) -> None:
    """Keep the last twenty event ids."""
    sample.append(event_id)
    if len(sample) > 20:
        del sample[0]
