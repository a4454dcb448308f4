"""Answers of the token and UserInfo endpoints (RFC 6749 section 5, OpenID Connect Core 3.1.3.3 and 5.3).

Rules kept: JSON of the right media type, read strictly, bounded; bearer tokens only; the `sub` of UserInfo is the ID
token's, or the answer is about somebody else (5.3.2).

Not done here: HTTP; ID tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from haetae_crypto.strict_json import read_json_object

from haetae_oidc.errors import LoginInvalid, ProviderUnavailable, TokenRefused

MAX_ANSWER_BYTES: Final = 128 * 1024
_MAX_TOKEN_CHARS: Final = 32_768
_MAX_LIFETIME: Final = 30 * 86_400
#: RFC 6749 section 5.2.
_ERRORS: Final = frozenset(
    {
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAnswer:
    """What the token endpoint gave. `expires_in` is in seconds, None when it does not say."""

    access_token: str = field(repr=False)
    expires_in: int | None
    refresh_token: str | None = field(repr=False)
    id_token: str | None = field(repr=False)


def read_token_answer(*, status: int, content_type: str, body: bytes) -> TokenAnswer:
    """The tokens. Raises TokenRefused for an error answer (400, 401), ProviderUnavailable for anything else."""
    document = _json(status, content_type, body, allowed=(200, 400, 401))
    if status != 200:
        error = document.get("error")
        raise TokenRefused(error if isinstance(error, str) and error in _ERRORS else "other")
    kind = document.get("token_type")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise ProviderUnavailable("token answer without bearer tokens")
    access = _token(document, "access_token")
    if access is None:
        raise ProviderUnavailable("token answer without an access token")
    expires = document.get("expires_in")
    if expires is not None and (isinstance(expires, bool) or not isinstance(expires, int) or expires <= 0):
        raise ProviderUnavailable("token answer with a malformed lifetime")
    return TokenAnswer(
        access_token=access,
        expires_in=None if expires is None else min(expires, _MAX_LIFETIME),
        refresh_token=_token(document, "refresh_token"),
        id_token=_token(document, "id_token"),
    )


def read_userinfo(*, status: int, content_type: str, body: bytes, subject: str) -> Mapping[str, Any]:
    """The claims of UserInfo, which must be about `subject`. Raises LoginInvalid, ProviderUnavailable."""
    if status in (401, 403):
        raise LoginInvalid("userinfo-refused")
    claims = _json(status, content_type, body, allowed=(200,))
    if claims.get("sub") != subject:
        raise LoginInvalid("userinfo-subject")
    return claims


def _json(status: int, content_type: str, body: bytes, *, allowed: tuple[int, ...]) -> dict[str, object]:
    if status not in allowed:
        raise ProviderUnavailable(f"answered with status {status}")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise ProviderUnavailable("answered in another media type than JSON")
    try:
        return read_json_object(body, max_bytes=MAX_ANSWER_BYTES)
    except ValueError as why:
        raise ProviderUnavailable("answered with ambiguous JSON") from why


def _token(document: Mapping[str, object], name: str) -> str | None:
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TOKEN_CHARS or not value.isascii():
        raise ProviderUnavailable(f"token answer with a malformed {name}")
    return value
