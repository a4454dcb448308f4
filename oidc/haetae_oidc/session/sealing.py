"""Sealing what goes into the store (AES-256-GCM), with keys that the store never sees.

Rules kept: the key comes from a secret that only the browser keeps; what is sealed is bound to its purpose, to the
session or login it belongs to and to its version, so that nothing can be put in another's place. Nonces are random: a
key seals a few hundred texts in its life, far from the 2^32 that random nonces allow.

What it does not prevent: someone who can write to the store may put back an older version of the same session.

Not done here: randomness (an argument); deciding what a text that does not open means.
"""

import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES: Final = 12
_LABEL: Final = b"haetae staff session v1\0"


class NotOpened(Exception):
    """The text was not sealed with this secret for this place."""


def seal(secret: bytes, plain: bytes, *, bound_to: tuple[str, ...], nonce: bytes) -> bytes:
    """`plain` sealed; `nonce` is 12 fresh random bytes. Opens only with the same `secret` and `bound_to`."""
    return nonce + AESGCM(_key(secret)).encrypt(nonce, plain, _context(bound_to))


def unseal(secret: bytes, sealed: bytes, *, bound_to: tuple[str, ...]) -> bytes:
    """The text again. Raises NotOpened."""
    if len(sealed) < NONCE_BYTES + 16:
        raise NotOpened
    try:
        return AESGCM(_key(secret)).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _context(bound_to))
    except InvalidTag:
        raise NotOpened from None


def _key(secret: bytes) -> bytes:
    # The secret is uniformly random, so one HMAC is the whole of HKDF-Expand that is needed (RFC 5869 section 3.3).
    return hmac.digest(secret, _LABEL + b"\x01", "sha256")


def _context(bound_to: tuple[str, ...]) -> bytes:
    """Every part with its length before it, so that no two lists look the same."""
    return _LABEL + b"".join(len(part).to_bytes(4, "big") + part for part in (text.encode() for text in bound_to))
