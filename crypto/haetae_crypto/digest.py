"""`Content-Digest` (RFC 9530 section 2): make it, and verify every active digest in it.

Rules kept: only `sha-256` and `sha-512` count. The deprecated algorithms are ignored (section 5), and a field
without an active one is refused. All active digests present must hold, never "any" (section 6.7). The digest
is over the bytes as sent: after content coding, before transfer coding.

Not done here: `Repr-Digest`, `Want-*`, trailers.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from haetae_crypto.errors import SignatureInvalid
from haetae_crypto.structured import join_lines, parse_dictionary

MAX_FIELD_CHARS: Final = 1024


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


_ACTIVE: Final[Mapping[str, Callable[[], _Hash]]] = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
_ONLY_SHA256 = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


def content_digest(body: bytes) -> str:
    """The field value with the SHA-256 of `body`."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode('ascii')}:"


def parse_content_digest(lines: Sequence[str]) -> Mapping[str, bytes]:
    """The active digests in the `Content-Digest` field lines, by algorithm.

    Raises SignatureInvalid when the field is absent, malformed, too long or without an active algorithm.
    """
    try:
        value = join_lines(lines, max_chars=MAX_FIELD_CHARS)
        fast = _ONLY_SHA256.fullmatch(value)
        if fast is not None:
            return {"sha-256": binascii.a2b_base64(fast[1])}
        members = parse_dictionary(value)
    except (ValueError, IndexError):
        raise SignatureInvalid("Content-Digest is absent, too long or malformed") from None
    active: dict[str, bytes] = {}
    for algorithm, member in members.items():
        digest = member[0]
        if type(digest) is not bytes:
            raise SignatureInvalid("Content-Digest member is not a byte sequence")
        if algorithm in _ACTIVE:
            active[algorithm] = digest
    if not active:
        raise SignatureInvalid("Content-Digest without sha-256 or sha-512")
    return active


def verify_content_digest(lines: Sequence[str], body: bytes) -> None:
    """Check a whole body against the field. Raises SignatureInvalid."""
    checker = DigestChecker(lines)
    checker.update(body)
    checker.finish()


class DigestChecker:
    """Checks a body that arrives in pieces: `update` for each piece, then `finish`, which raises or is
    silent.

    Raises SignatureInvalid when made, if the field itself is refused. Whatever was forwarded before `finish`
    must be taken back when it raises.
    """

    __slots__ = ("_expected", "_running")

    def __init__(self, lines: Sequence[str]) -> None:
        self._expected = parse_content_digest(lines)
        self._running = {algorithm: _ACTIVE[algorithm]() for algorithm in self._expected}

    def update(self, piece: bytes) -> None:
        """Take the next bytes of the body."""
        for running in self._running.values():
            running.update(piece)

    def finish(self) -> None:
        """The body is complete. Raises SignatureInvalid when any active digest differs."""
        for algorithm, expected in self._expected.items():
            if not hmac.compare_digest(self._running[algorithm].digest(), expected):
                raise SignatureInvalid("the body does not have the digest that was announced")
