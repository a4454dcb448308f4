"""Policy identifiers: `pol_` and a ULID (26 characters of Crockford's base 32, 48 bits of time, 80 of
chance).

The clock and the randomness are arguments. Inside tables and records an identifier is its 128-bit integer.
Only the canonical upper-case spelling is accepted, so that one policy has one name.
"""

from typing import Final

from haetae_policy.errors import PolicyInvalid, Problem
from haetae_policy.faults import fault

PREFIX: Final = "pol_"
RANDOM_BYTES: Final = 10
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = [first + second for first in _ALPHABET for second in _ALPHABET]
_VALUES: Final = "0123456789abcdefghijklmnopqrstuv"
_DIGITS: Final = {ord(letter): ord(digit) for letter, digit in zip(_ALPHABET, _VALUES, strict=True)}
_TO_PYTHON: Final = bytes(_DIGITS.get(byte, ord("!")) for byte in range(256))
_LENGTH: Final = len(PREFIX) + 26


def make_policy_id(*, now_ms: int, randomness: bytes) -> str:
    """Return a new identifier from `now_ms` (Unix milliseconds) and ten random bytes (ULID specification).

    Raises ValueError when either argument is out of range: that is a programming error, not input.
    """
    if not 0 <= now_ms < 1 << 48 or len(randomness) != RANDOM_BYTES:
        raise ValueError("a ULID needs 48 bits of time and ten bytes of randomness")
    return format_policy_id(now_ms << 80 | int.from_bytes(randomness))


def format_policy_id(pid: int) -> str:
    """Return the text of the 128-bit integer `pid`."""
    return PREFIX + "".join([_PAIRS[pid >> shift & 1023] for shift in range(120, -1, -10)])


def made_at_ms(pid: int) -> int:
    """Return when the policy of a 128-bit integer was made, Unix milliseconds."""
    return pid >> 80


def parse_policy_id(text: str) -> int:
    """Return the 128-bit integer of a canonical identifier; raises PolicyInvalid otherwise."""
    if len(text) == _LENGTH and text.startswith(PREFIX):
        try:
            # What is no letter of a ULID becomes a sign that `int` refuses; so no text has another meaning there.
            pid = int(text[len(PREFIX) :].encode().translate(_TO_PYTHON), 32)
        except ValueError:
            pid = -1
        if 0 <= pid < 1 << 128:
            return pid
    raise PolicyInvalid((Problem("id", fault("policy_id")),))
