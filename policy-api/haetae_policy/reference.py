"""Block references: what a refused caller is shown and support can look up.

Sixteen characters of Crockford's base 32 in groups of four, `7KQ2-M0ZD-...`: six opaque bytes and a four-byte tag,
both keyed BLAKE2b. A reference says nothing about rule, score or subject; without the key nobody can make one that
passes `ReferenceMaker.parse`, so guesses and typing slips are refused before any look-up. What it stands for is in the
store's refusal records, for a week.
"""

from hashlib import blake2b
from hmac import compare_digest
from typing import Final

from haetae_policy.errors import ReferenceInvalid

KEY_BYTES: Final = 32
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Crockford: people read O as 0 and I or L as 1; case and hyphens do not matter.
_READ: Final = {char: number for number, char in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_BODY: Final = 6
_TAG: Final = 4


class ReferenceMaker:
    """Makes and checks references with one 32-byte key shared by the edges and the policy service."""

    __slots__ = ("_key",)

    def __init__(self, *, key: bytes) -> None:
        """Raises ValueError for a key of another length."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"the reference key has {KEY_BYTES} bytes")
        self._key = key

    def make(self, *, pid: int, now_ms: int, randomness: bytes) -> str:
        """Return a new reference for a refusal by policy `pid`; `randomness` is at least eight bytes."""
        if len(randomness) < 8:
            raise ValueError("a reference needs eight random bytes")
        message = pid.to_bytes(16) + now_ms.to_bytes(8) + randomness
        body = blake2b(message, digest_size=_BODY, key=self._key, person=b"haetae-ref-body").digest()
        number = int.from_bytes(body + self._tag(body))
        text = "".join(_ALPHABET[number >> shift & 31] for shift in range(75, -1, -5))
        return "-".join(text[at : at + 4] for at in range(0, 16, 4))

    def parse(self, text: str) -> str:
        """Return the canonical spelling of a reference we made; raises ReferenceInvalid."""
        letters = text[:64].upper().replace("-", "").replace(" ", "")
        numbers = [_READ.get(letter) for letter in letters]
        if len(text) > 64 or len(numbers) != 16 or None in numbers:
            raise ReferenceInvalid("not a block reference")
        value = 0
        for number in numbers:
            value = value << 5 | (number or 0)
        raw = value.to_bytes(_BODY + _TAG)
        if not compare_digest(raw[_BODY:], self._tag(raw[:_BODY])):
            raise ReferenceInvalid("not a block reference")
        canonical = "".join(_ALPHABET[number or 0] for number in numbers)
        return "-".join(canonical[at : at + 4] for at in range(0, 16, 4))

    def _tag(self, body: bytes) -> bytes:
        return blake2b(body, digest_size=_TAG, key=self._key, person=b"haetae-ref-tag").digest()
