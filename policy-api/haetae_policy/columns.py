"""Where the table keeps its policies: one row number ("slot") each, one packed column per field.

A million Python objects would cost three times the memory and make every full garbage collection walk them;
packed arrays are a few dozen bytes a policy and invisible to the collector. Freed slots are used again.
"""

from array import array
from typing import Final

NONE: Final = -1

# flags: the action's rank in the low three bits, then one bit each
RANK_BITS: Final = 7
SHADOW: Final = 8
HARD: Final = 16
MACHINE: Final = 32
UNTRUSTED: Final = 64
RESIDUAL: Final = 128


class Columns:
    """Parallel arrays. `key` is what the slot is indexed by, shared with the index's own key object."""

    __slots__ = (
        "api",
        "digest",
        "exp",
        "flags",
        "free",
        "index",
        "key",
        "mark",
        "next",
        "pid_high",
        "pid_low",
        "seq",
        "ver",
        "why",
    )

    def __init__(self) -> None:
        self.pid_high = array("Q")
        self.pid_low = array("Q")
        self.exp = array("q")
        self.seq = array("q")
        self.ver = array("L")
        self.digest = array("Q")
        self.flags = array("B")
        self.index = array("B")
        self.mark = array("I")
        self.api = array("I")
        self.why = array("I")
        self.next = array("i")
        self.key: list[str | int | None] = []
        self.free: list[int] = []

    def __len__(self) -> int:
        return len(self.exp)

    def allocate(self) -> int:
        """Return a slot to be filled."""
        if self.free:
            return self.free.pop()
        for column in (self.pid_high, self.pid_low, self.digest):
            column.append(0)
        self.exp.append(0)
        self.seq.append(0)
        self.ver.append(0)
        self.flags.append(0)
        self.index.append(0)
        self.mark.append(0)
        self.api.append(0)
        self.why.append(0)
        self.next.append(NONE)
        self.key.append(None)
        return len(self.exp) - 1

    def release(self, slot: int) -> None:
        """Give a slot back. An expiry of 0 marks it as empty."""
        self.exp[slot] = 0
        self.next[slot] = NONE
        self.key[slot] = None
        self.free.append(slot)

    def pid(self, slot: int) -> int:
        """Return the slot's policy as a 128-bit integer."""
        return self.pid_high[slot] << 64 | self.pid_low[slot]
