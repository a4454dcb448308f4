"""Remembering Passports that were just minted: the next request of the same caller gets the same one.

Rules kept:
- A Passport answers only for exactly what it was minted from: the same inputs, facts that say the same (true is not 1,
  though Python finds them equal), and the very key that signs now.
  A rotated or withdrawn key, a changed fact or another address makes a new one.
- It is handed out during the first half of its life, so that a service always has the other half to use it in.
- Bounded: all live equally long, so the oldest is the one that ends first, and goes first.

Not done here: deciding whether the caller may pass. That is asked for each request, before anything is recalled.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

_SCAN: Final = 2


@dataclass(frozen=True, slots=True)
class _Kept:
    token: str
    facts: object
    key: object
    minted: float


class PassportMemory:
    """A bounded memory of Passports by what went into them."""

    __slots__ = ("_half_life", "_kept", "_limit")

    def __init__(self, limit: int, *, lifetime: int) -> None:
        """`limit` is a number of Passports; 0 remembers nothing. `lifetime` is theirs, in seconds."""
        self._limit = limit
        self._half_life = lifetime / 2
        self._kept: dict[Hashable, _Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def recall(self, inputs: Hashable, facts: object, *, key: object, now: float) -> str | None:
        """The Passport minted from these inputs and facts with this key, or None. `now` is Unix seconds."""
        kept = self._kept.get(inputs)
        # A clock that was put back has not seen the minting: nothing is known about that Passport's age.
        if kept is None or kept.key is not key or not 0 <= now - kept.minted < self._half_life:
            return None
        return kept.token if _say_the_same(kept.facts, facts) else None

    def keep(self, inputs: Hashable, facts: object, token: str, *, key: object, now: float) -> None:
        """Remember a Passport that was minted at `now`. The facts must not change afterwards."""
        if self._limit <= 0:
            return
        self._kept.pop(inputs, None)
        self._kept[inputs] = _Kept(token, facts, key, now)
        # The oldest stand first. A few ended ones leave with each new one, so that no request pays for a sweep.
        for _ in range(_SCAN):
            oldest = next(iter(self._kept))
            if len(self._kept) <= self._limit and now - self._kept[oldest].minted < self._half_life:
                break
            del self._kept[oldest]


def _say_the_same(one: object, other: object) -> bool:
    """Whether both are one JSON value. They are as deep as their JSON was, which its reader bounds."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_say_the_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_say_the_same, one, other))
    return one == other
