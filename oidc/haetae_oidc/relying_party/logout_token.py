"""Logout tokens (OpenID Connect Back-Channel Logout 1.0 sections 2.4 and 2.6).

Rules kept: signed like an ID token, never `none`; `iss`, `aud`, `iat`, `exp` and `jti` required; the event member is an
object; `nonce` is absent, so that an ID token never passes; `sub` or `sid` or both; recent.

Not done here: using each `jti` once and ending sessions (`io/staff_sign_in.py`).
"""

from dataclasses import dataclass
from typing import Final

from haetae_crypto.jwks import JwkSet

from haetae_oidc.errors import TokenInvalid
from haetae_oidc.relying_party.settings import ProviderSettings
from haetae_oidc.relying_party.signed import audience, check_fresh, check_issuer, open_signed, optional_text, text

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
#: Seconds: logout tokens are sent at once, and the standard recommends that they live two minutes at most.
MAX_AGE: Final = 300
_TYPES: Final = frozenset({None, "jwt", "logout+jwt"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutToken:
    """A verified logout token: `sid` names one session at the provider, `subject` alone all of a person's."""

    issuer: str
    subject: str | None
    sid: str | None
    token_id: str
    expires_at: int


def verify_logout_token(token: str, *, settings: ProviderSettings, keys: JwkSet, now: float) -> LogoutToken:
    """The logout token at `now` (Unix seconds). Raises TokenInvalid, or KeyUnknown when fresher keys might help."""
    claims, _ = open_signed(token, algorithms=settings.algorithms, types=_TYPES, keys=keys)
    check_issuer(claims, settings.issuer)
    audience(claims, settings.client_id, trusted=settings.trusted_audiences)
    _, expires = check_fresh(claims, now=now, leeway=settings.leeway, oldest=MAX_AGE)
    if "nonce" in claims:
        raise TokenInvalid("nonce")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise TokenInvalid("claim-events")
    subject, sid = optional_text(claims, "sub"), optional_text(claims, "sid")
    if subject is None and sid is None:
        raise TokenInvalid("claim-sub")
    if expires > now + 86_400:
        raise TokenInvalid("lifetime")  # its jti must be remembered for as long as it is good
    return LogoutToken(
        issuer=settings.issuer, subject=subject, sid=sid, token_id=text(claims, "jti"), expires_at=expires
    )
