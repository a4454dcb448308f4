"""What a service answers when it refuses a request for its Passport (RFC 9457, RFC 9110 section 11.6.1).

Rules kept: 401 when the caller has no good Passport, 503 when the service lacks the keys to tell; the answer
says which of the two and nothing about why, because why helps only who forges one. The reason goes to the
service's log.

Not done here: sending the answer.
"""

from dataclasses import dataclass
from math import ceil
from typing import Final

import orjson

from haetae_passport.errors import (
    PassportError,
    PassportInvalid,
    PassportKeysUnavailable,
    PassportMissing,
)

PROBLEM_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer: `headers` without Content-Length."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def refusal_for(error: PassportError, *, audience: str) -> Refusal:
    """The answer to a request refused with `error` by the service named `audience`."""
    if isinstance(error, PassportKeysUnavailable):
        extra = (("Retry-After", str(max(1, ceil(error.retry_after)))),)
        return _refusal(503, "Service Unavailable", error.code, extra)
    realm = "".join(char for char in audience if char.isascii() and char.isprintable() and char not in '"\\')
    challenge = f'Passport realm="{realm}"'
    if not isinstance(error, PassportMissing):
        challenge += ', error="invalid_token"'
    code = error.code if isinstance(error, PassportMissing) else PassportInvalid.code
    return _refusal(401, "Unauthorized", code, (("WWW-Authenticate", challenge),))


def _refusal(status: int, title: str, code: str, extra: tuple[tuple[str, str], ...]) -> Refusal:
    body = orjson.dumps({"type": "about:blank", "title": title, "status": status, "code": code})
    headers = (("Content-Type", PROBLEM_TYPE), ("Cache-Control", "no-store"), *extra)
    return Refusal(status=status, headers=headers, body=body)
