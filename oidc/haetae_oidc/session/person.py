"""Who signed in: the session's view of verified claims.

Rules kept: claims have their types or the login is refused; numbers and sizes are bounded; what belongs to the protocol
is left behind. UserInfo adds what the ID token does not say and never replaces what it says. An address that the
provider calls unverified is nobody's: anyone could have typed in a colleague's.

Not done here: verifying tokens; deciding what a group may do.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from haetae_oidc.errors import LoginInvalid

MAX_GROUPS: Final = 1000
MAX_GROUP_CHARS: Final = 256
MAX_CLAIMS_BYTES: Final = 16 * 1024
_MAX_TEXT: Final = 512
_PROTOCOL: Final = frozenset(
    {"iss", "sub", "aud", "azp", "exp", "iat", "nbf", "nonce", "at_hash", "c_hash", "s_hash", "jti", "sid", "auth_time"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Names and groups of a person, and the other claims about them."""

    name: str | None
    email: str | None
    username: str | None
    groups: frozenset[str]
    claims: Mapping[str, Any] = field(repr=False)


def read_person(id_claims: Mapping[str, Any], userinfo: Mapping[str, Any] | None, *, groups_claim: str) -> Person:
    """The person of verified claims. Raises LoginInvalid for claims of the wrong type, too many or too large."""
    merged = {**(userinfo or {}), **id_claims}
    claims = {name: value for name, value in merged.items() if name not in _PROTOCOL and name != groups_claim}
    if len(json.dumps(claims)) > MAX_CLAIMS_BYTES:
        raise LoginInvalid("claims-too-large")
    return Person(
        name=_text(merged, "name"),
        email=_email(merged),
        username=_text(merged, "preferred_username"),
        groups=_groups(merged, groups_claim),
        claims=claims,
    )


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise LoginInvalid(f"claim-{name}")
    return value or None


def _email(claims: Mapping[str, Any]) -> str | None:
    """The address; None when `email_verified` (OpenID Connect Core 5.1) is there and is not true."""
    # Some providers write the boolean as text; those that leave it out vouch for what they say at all.
    verified = claims.get("email_verified", True)
    return _text(claims, "email") if verified is True or verified == "true" else None


def _groups(claims: Mapping[str, Any], path: str) -> frozenset[str]:
    value: Any = claims
    # The whole name first: a claim may be named by a URL, which has dots.
    for step in (path,) if path in claims else path.split("."):
        if not isinstance(value, Mapping):
            raise LoginInvalid("claim-groups")
        value = value.get(step)
        if value is None:
            return frozenset()
    if not isinstance(value, list) or len(value) > MAX_GROUPS:
        raise LoginInvalid("claim-groups")
    if not all(isinstance(group, str) and 0 < len(group) <= MAX_GROUP_CHARS for group in value):
        raise LoginInvalid("claim-groups")
    return frozenset(value)
