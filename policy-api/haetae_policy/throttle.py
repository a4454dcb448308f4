"""Counting for `throttle` policies: one token bucket per subject, in a bounded map.

A bucket holds up to `limit` tokens and refills at `limit` per `per_seconds`; a request takes one. When the map is
full the subject seen longest ago is forgotten, and starts again with a full bucket: bounded memory is worth more
here than one attacker's exact count. Per worker: with n workers a subject may reach n times the rate.

Does not decide who is throttled (`table` does) and reads no clock.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from haetae_policy.model import Rate

_NEARLY_ONE: Final = 1.0 - 1e-9  # sums of fractions; what is lent here is owed in the next sum


class TokenBuckets:
    """Buckets by subject, at most `capacity` of them."""

    __slots__ = ("_buckets", "_capacity")

    def __init__(self, *, capacity: int = 100_000) -> None:
        self._buckets: OrderedDict[Hashable, tuple[float, int, Rate]] = OrderedDict()
        self._capacity = capacity

    def __len__(self) -> int:
        """Subjects remembered."""
        return len(self._buckets)

    def take(self, bucket: Hashable, rate: Rate, now_ms: int) -> int:
        """Take one token of `bucket`; return 0 when there was one, else milliseconds until there will be.

        A clock that goes back refills nothing. A changed rate starts with a full bucket.
        """
        tokens, seen_ms = float(rate.limit), now_ms
        held = self._buckets.get(bucket)
        if held is not None and held[2] == rate:
            seen_ms = max(held[1], now_ms)
            refilled = (seen_ms - held[1]) * rate.limit / (rate.per_seconds * 1000)
            tokens = min(float(rate.limit), held[0] + refilled)
        elif held is None and len(self._buckets) >= self._capacity:
            self._buckets.popitem(last=False)
        wait_ms = 0
        if tokens > _NEARLY_ONE:
            tokens -= 1.0
        else:
            wait_ms = max(1, -int(-(1.0 - tokens) * rate.per_seconds * 1000 // rate.limit))
        self._buckets[bucket] = (tokens, seen_ms, rate)
        self._buckets.move_to_end(bucket)
        return wait_ms
