"""Canonical base64url (RFC 4648 section 5, without padding).

Rules kept: one byte string has exactly one text. Padding, whitespace, the `+/` alphabet, impossible lengths
and non-zero trailing bits are refused, so that a text can be compared, cached or used as an identity.

Not done here: limits on length. Callers bound what they pass in.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

# Last characters whose unused low bits are zero, for a final group of two and of three characters.
_CANONICAL = re.compile(r"(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])?")


def b64url_encode(data: bytes) -> str:
    """The one canonical text of `data`, without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64url_decode(text: str) -> bytes:
    """The bytes of a canonical base64url text.

    Raises ValueError when `text` is not the text that `b64url_encode` would have given.
    """
    if _CANONICAL.fullmatch(text) is None:
        raise ValueError("not canonical base64url")
    return urlsafe_b64decode(text + "==="[: -len(text) % 4])
