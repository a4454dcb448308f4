"""Bearer tokens in the Authorization header (RFC 6750, RFC 9110 section 11) and the challenges that go with
them.

Rules kept: one header line; one token; the characters of token68 only; bounded. No header, or another scheme,
is "not mine" rather than an error, so that another authenticator may look. A challenge after no credentials
names no error code (RFC 6750 section 3.1).

Not done here: tokens in a form or query, which the caller refuses; what the token is worth.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from haetae_oidc.errors import (
    BearerMalformed,
    DpopInvalid,
    DpopNonceRequired,
    OidcError,
    ScopeInsufficient,
    SettingsInvalid,
    TokenInvalid,
)

MAX_BEARER_CHARS: Final = 8000
_SCHEME: Final = "bearer"
_DPOP: Final = "dpop"
# RFC 9110 section 11.2: token68, without the padding that may follow it.
_TOKEN68: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
# What may stand in a quoted string without escapes (RFC 6750 section 3 forbids quote and backslash anyway).
_QUOTABLE: Final = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]*")


def _is_token68(token: str) -> bool:
    """A search for a foreign character, which for long tokens is far faster than an expression."""
    plain = token.rstrip("=")
    return bool(plain) and plain.isascii() and not plain.encode("ascii").translate(None, _TOKEN68)


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
    if not space or len(token) > max_chars or not _is_token68(token):
        raise BearerMalformed("Authorization: Bearer does not hold one token")
    return token


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """An access token as it was sent: by `Bearer` (RFC 6750), or by `DPoP` with a proof beside it (RFC 9449)."""

    scheme: Literal["Bearer", "DPoP"]
    token: str = field(repr=False)


def parse_presented(lines: Sequence[str], *, max_chars: int = MAX_BEARER_CHARS) -> PresentedToken | None:
    """As `parse_bearer`, for both schemes in which an access token may be sent."""
    if len(lines) == 1:
        scheme, space, token = lines[0].partition(" ")
        if scheme.lower() == _DPOP:
            token = token.strip(" ")
            if not space or len(token) > max_chars or not _is_token68(token):
                raise BearerMalformed("Authorization: DPoP does not hold one token")
            return PresentedToken("DPoP", token)
    bearer = parse_bearer(lines, max_chars=max_chars)
    return None if bearer is None else PresentedToken("Bearer", bearer)


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


def dpop_challenge(
    error: OidcError | None, *, realm: str, algorithms: frozenset[str], scopes: frozenset[str] = frozenset()
) -> Challenge:
    """The same by the scheme DPoP (RFC 9449 section 7.1): `algorithms` are those of proofs that are accepted."""
    parts = [f'DPoP realm="{_quotable(realm)}"']
    status, code = _status_and_code(error)
    if isinstance(error, DpopNonceRequired):
        code = "use_dpop_nonce"
    elif isinstance(error, DpopInvalid):
        code = "invalid_dpop_proof"
    if code is not None:
        parts.append(f'error="{code}"')
    needed = error.required if isinstance(error, ScopeInsufficient) else scopes
    if needed:
        parts.append(f'scope="{_quotable(" ".join(sorted(needed)))}"')
    parts.append(f'algs="{_quotable(" ".join(sorted(algorithms)))}"')
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
