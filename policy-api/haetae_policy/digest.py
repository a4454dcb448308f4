"""A digest of the live policies that needs no order and that expiry cannot disturb.

The digest is the sum, modulo 2**48, of every policy's record digest, with a count beside it. Edges drop expired
policies whenever they like, so policies are summed per minute of expiry, and a heartbeat names the minute ("floor")
from which on it counts. Both sides leave out everything before the floor; nothing else has to be agreed upon.
"""

from collections.abc import Iterable, Sequence
from typing import Final

BUCKET_MS: Final = 60_000
MODULUS: Final = 1 << 48
_ONE: Final = 1 << 64
_LOW: Final = _ONE - 1


class ExpiryDigest:
    """The running sum. `floor_ms` is a multiple of `BUCKET_MS` and only grows."""

    __slots__ = ("_buckets", "count", "floor_ms", "total")

    def __init__(self, *, floor_ms: int) -> None:
        self._buckets: dict[int, tuple[int, int]] = {}
        self.floor_ms = floor_ms
        self.count = 0
        self.total = 0

    def add(self, exp_ms: int, digest: int) -> None:
        """Count a policy in; one that expired before the floor is left out."""
        self._change(exp_ms, digest, 1)

    def add_many(self, expiries_ms: Sequence[int], digests: Sequence[int], *, but: Iterable[int] = ()) -> None:
        """Count up to 65 536 policies in, except those at the positions `but`."""
        sums: dict[int, int] = {}  # by bucket: how many, times 2**64, plus the sum of their digests
        for exp_ms, digest in zip(expiries_ms, digests, strict=True):
            bucket = exp_ms - exp_ms % BUCKET_MS
            sums[bucket] = sums.get(bucket, 0) + _ONE + digest
        for position in but:
            sums[expiries_ms[position] - expiries_ms[position] % BUCKET_MS] -= _ONE + digests[position]
        for bucket, packed in sums.items():
            more, total = packed >> 64, packed & _LOW
            if more and bucket >= self.floor_ms:
                count, before = self._buckets.get(bucket, (0, 0))
                self._buckets[bucket] = (count + more, (before + total) % MODULUS)
                self.count += more
                self.total = (self.total + total) % MODULUS

    def remove(self, exp_ms: int, digest: int) -> None:
        """Count a policy out that was counted in; one before the floor has been left out already."""
        self._change(exp_ms, -digest, -1)

    def _change(self, exp_ms: int, digest: int, step: int) -> None:
        bucket = exp_ms - exp_ms % BUCKET_MS
        if bucket < self.floor_ms:
            return
        count, total = self._buckets.get(bucket, (0, 0))
        if count + step:
            self._buckets[bucket] = (count + step, (total + digest) % MODULUS)
        else:
            del self._buckets[bucket]
        self.count += step
        self.total = (self.total + digest) % MODULUS

    def advance(self, floor_ms: int) -> None:
        """Leave out what expired before `floor_ms`; an earlier floor than now is ignored."""
        if floor_ms <= self.floor_ms:
            return
        self.floor_ms = floor_ms
        for bucket in [bucket for bucket in self._buckets if bucket < floor_ms]:
            count, total = self._buckets.pop(bucket)
            self.count -= count
            self.total = (self.total - total) % MODULUS
