"""Bearer tokens in the Authorization header (RFC 6750, RFC 9110 section 11) and the challenges that go with
them.

Rules kept: one header line; one token; the characters of token68 only; bounded. No header, or another scheme,
is "not mine" rather than an error, so that another authenticator may look. A challenge after no credentials
names no error code (RFC 6750 section 3.1).

Not done here: tokens in a form or query, which the caller refuses; what the token is worth.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from haetae_oidc.errors import BearerMalformed, OidcError, ScopeInsufficient, SettingsInvalid, TokenInvalid

MAX_BEARER_CHARS: Final = 8000
_SCHEME: Final = "bearer"
# RFC 9110 section 11.2: token68.
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
# What may stand in a quoted string without escapes (RFC 6750 section 3 forbids quote and backslash anyway).
_QUOTABLE: Final = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]*")


def parse_bearer(lines: Sequence[str], *, max_chars: int = MAX_BEARER_CHARS) -> str | None:
    """The token of the `Authorization` header lines of one request.

    None when there is no such line, or a single one of another scheme. Raises BearerMalformed for several
    lines, and for a line of the scheme Bearer that does not hold exactly one token of at most `max_chars`.
    """
    if not lines:
        return None
    if len(lines) > 1:
        raise BearerMalformed("several Authorization headers")
    scheme, space, token = lines[0].partition(" ")
    if scheme.lower() != _SCHEME:
        return None
    token = token.strip(" ")  # RFC 9110 section 11.4: 1*SP between scheme and token68
    if not space or len(token) > max_chars or _TOKEN68.fullmatch(token) is None:
        raise BearerMalformed("Authorization: Bearer does not hold one token")
    return token


@dataclass(frozen=True, slots=True)
class Challenge:
    """The status and the value of `WWW-Authenticate` to refuse a request with."""

    status: int
    www_authenticate: str


def bearer_challenge(error: OidcError | None, *, realm: str, scopes: frozenset[str] = frozenset()) -> Challenge:
    """The challenge for a request without credentials (`error` None) or refused with `error` (RFC 6750
    section 3.1).

    `scopes` are those that the route needs, shown where that helps a client. Raises SettingsInvalid when
    `realm` or a scope holds characters that a quoted string cannot.
    """
    parts = [f'Bearer realm="{_quotable(realm)}"']
    status, code = _status_and_code(error)
    if code is not None:
        parts.append(f'error="{code}"')
    needed = error.required if isinstance(error, ScopeInsufficient) else scopes
    if needed:
        parts.append(f'scope="{_quotable(" ".join(sorted(needed)))}"')
    return Challenge(status, ", ".join(parts))


def _status_and_code(error: OidcError | None) -> tuple[int, str | None]:
    if error is None:
        return 401, None
    if isinstance(error, BearerMalformed):
        return 400, "invalid_request"
    if isinstance(error, ScopeInsufficient):
        return 403, "insufficient_scope"
    if isinstance(error, TokenInvalid):
        return 401, "invalid_token"
    raise SettingsInvalid(f"{type(error).__name__} is not answered with a challenge")


def _quotable(text: str) -> str:
    if _QUOTABLE.fullmatch(text) is None:
        raise SettingsInvalid("realm or scope cannot be quoted")
    return text
