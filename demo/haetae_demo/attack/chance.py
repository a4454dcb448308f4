"""Chance in the simulated world: every draw comes from a generator seeded by words, so that a world can be repeated.

Rules kept: no global generator, no clock; the same words give the same draws on every machine and in every process.
Not for secrets: nothing here is unpredictable.
"""

from __future__ import annotations

import hashlib
from random import Random
from typing import Final

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def chance(*words: object) -> Random:
    """A generator of its own for the thing that `words` name."""
    return Random("/".join(str(word) for word in words))  # noqa: S311 - a simulation that must be repeatable


def digest(*words: object, length: int = 16) -> str:
    """A stable keyed-hash look-alike: `length` hexadecimal digits of the SHA-256 of the words."""
    return hashlib.sha256("\x1f".join(str(word) for word in words).encode()).hexdigest()[:length]


def ulid(now_ms: int, number: int, salt: int) -> str:
    """An event id in ULID form: 48 bits of milliseconds, then bits that differ for every number and salt."""
    value = now_ms << 80 | (salt & 0xFFFFFF) << 56 | number & (1 << 56) - 1
    letters = []
    for _ in range(26):
        letters.append(_CROCKFORD[value & 31])
        value >>= 5
    return "".join(reversed(letters))


def between(rng: Random, low: float, high: float) -> float:
    """Log-uniform between two positive bounds: a factor of three up is as likely as one of three down."""
    return float(low * (high / low) ** rng.random())
