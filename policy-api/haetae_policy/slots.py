"""Where the table keeps its policies: one 64-byte packed row ("slot") each, addressed by number.

A million Python objects would cost several times the memory, make every full garbage collection walk them,
and scatter one policy's fields over the heap. A row is one cache line: at a million policies that is what a
look-up waits for. What a scan needs comes first. Freed slots are used again.
"""

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

NONE: Final = -1

# flags: the action's rank in the low three bits, then one bit each
RANK_BITS: Final = 7
SHADOW: Final = 8
HARD: Final = 16
MACHINE: Final = 32
UNTRUSTED: Final = 64
RESIDUAL: Final = 128

SHIFT: Final = 6
SCAN: Final = struct.Struct("<qIiBB")  # exp, api, next, flags, kind
ROW: Final = struct.Struct("<qIiBBxxIqQQQII")  # the same, then why, seq, pid (high, low), digest, ver, mark
_EXP: Final = struct.Struct("<q")
_NEXT: Final = struct.Struct("<i")
_MARK: Final = struct.Struct("<I")
_NEXT_AT: Final = 12
_MARK_AT: Final = 60
_SIZE: Final = 1 << SHIFT
_EMPTY: Final = bytes(_SIZE)


class Row(NamedTuple):
    """One slot's fields. `exp` is Unix milliseconds; `api` and `why` are interned, `kind` is the index it
    is in.
    """

    exp: int
    api: int
    next: int
    flags: int
    kind: int
    why: int
    seq: int
    pid_high: int
    pid_low: int
    digest: int
    ver: int
    mark: int

    @property
    def pid(self) -> int:
        """The policy as a 128-bit integer."""
        return self.pid_high << 64 | self.pid_low


class Slots:
    """The rows, and beside them the key each is filed under (shared with the index's own key object)."""

    __slots__ = ("_free", "keys", "rows")

    def __init__(self) -> None:
        self.rows = bytearray()
        self.keys: list[str | int | None] = []
        self._free: list[int] = []

    def __len__(self) -> int:
        """Slots ever used, free ones included."""
        return len(self.keys)

    @property
    def free(self) -> int:
        """How many of them are free."""
        return len(self._free)

    def take(self, count: int) -> list[int]:
        """Return `count` empty slots, to be written by `ROW.pack_into` and `keys`, or given back."""
        reused = min(count, len(self._free))
        slots = [self._free.pop() for _ in range(reused)]
        if reused < count:
            first, more = len(self.keys), count - reused
            self.rows += bytes(more << SHIFT)
            self.keys += [None] * more
            slots += range(first, first + more)
        return slots

    def give_back(self, slots: Iterable[int]) -> None:
        """Give back slots that were taken and not written."""
        self._free += slots

    def release(self, slot: int) -> None:
        """Empty a slot and give it back. An expiry of 0 marks it as empty."""
        self.rows[slot << SHIFT : (slot + 1) << SHIFT] = _EMPTY
        self.keys[slot] = None
        self._free.append(slot)

    def read(self, slot: int) -> Row:
        """Return a slot's fields."""
        return Row._make(ROW.unpack_from(self.rows, slot << SHIFT))

    def expiry(self, slot: int) -> int:
        """Return only the expiry, for sweeps; 0 for an empty slot."""
        expiry: int = _EXP.unpack_from(self.rows, slot << SHIFT)[0]
        return expiry

    def set_next(self, slot: int, after: int) -> None:
        """Chain `after` behind `slot`."""
        _NEXT.pack_into(self.rows, (slot << SHIFT) + _NEXT_AT, after)

    def next(self, slot: int) -> int:
        """Return what is chained behind `slot`."""
        after: int = _NEXT.unpack_from(self.rows, (slot << SHIFT) + _NEXT_AT)[0]
        return after

    def set_mark(self, slot: int, mark: int) -> None:
        """Note the pass in which this slot was seen last."""
        _MARK.pack_into(self.rows, (slot << SHIFT) + _MARK_AT, mark)
