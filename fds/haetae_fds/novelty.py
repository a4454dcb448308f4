"""Which (API, object) was asked for before: two generations of a Bloom filter, half a day each.

Rules kept: fixed memory (2 MiB), event time only, the same answers in every process. A name may be taken for known by
mistake (about 2 % at a million names in half a day), never for new once it was added. Not here: what novelty means.
"""

from __future__ import annotations

from typing import Final

from haetae_fds.counters import stable

_BITS: Final = 1 << 23
_HASHES: Final = 4
_LIFE: Final = 43_200_000


class Asked:
    """Names seen in the last half to whole day."""

    __slots__ = ("born", "new", "old")

    def __init__(self) -> None:
        self.born = 0
        self.old = bytes(_BITS // 8)
        self.new = bytearray(_BITS // 8)

    def add(self, name: str, now: int) -> bool:
        """Note a name; return whether it was not known."""
        if now - self.born >= _LIFE:
            self.old = bytes(self.new) if now - self.born < 2 * _LIFE else bytes(_BITS // 8)
            self.new = bytearray(_BITS // 8)
            self.born = now
        bits = stable(name)
        step, fresh_new, fresh_old = (bits >> 32) | 1, False, False
        for number in range(_HASHES):
            index = (bits + number * step) & (_BITS - 1)
            byte, mask = index >> 3, 1 << (index & 7)
            if not self.new[byte] & mask:
                fresh_new = True
                self.new[byte] |= mask
            if not self.old[byte] & mask:
                fresh_old = True
        return fresh_new and fresh_old
