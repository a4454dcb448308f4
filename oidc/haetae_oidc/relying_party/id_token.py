"""ID tokens (OpenID Connect Core 1.0 sections 2, 3.1.3.7, 3.1.3.8 and 12.2).

Rules kept: every check of 3.1.3.7, with the signature always verified although the code flow would allow trusting TLS;
`at_hash` whenever it is there; `acr` and `auth_time` whenever they were asked for; a refreshed token speaks of the same
person, for the same client, of the same login.

Not done here: keys (an argument), groups and presets (`session/person.py`), sessions.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256, sha384, sha512
from typing import Any, Final

from haetae_crypto.b64url import b64url_encode
from haetae_crypto.jwks import JwkSet

from haetae_oidc.errors import TokenInvalid
from haetae_oidc.relying_party.settings import ProviderSettings
from haetae_oidc.relying_party.signed import (
    audience,
    check_fresh,
    check_issuer,
    open_signed,
    optional_text,
    seconds,
    text,
)

#: An ID token is made for the answer it comes in; an older one was kept somewhere.
MAX_AGE: Final = 600
_MAX_SUBJECT: Final = 255
_MAX_AMR: Final = 16
# Access and logout tokens say what they are; an ID token says JWT or nothing.
_TYPES: Final = frozenset({None, "jwt"})
_HASHES: Final = {"256": sha256, "384": sha384, "512": sha512}


@dataclass(frozen=True, slots=True, kw_only=True)
class IdToken:
    """A verified ID token. Times are Unix seconds."""

    issuer: str
    subject: str
    audience: frozenset[str]
    azp: str | None
    issued_at: int
    expires_at: int
    auth_time: int | None
    nonce: str | None = field(repr=False)
    acr: str | None
    amr: tuple[str, ...]
    sid: str | None
    claims: Mapping[str, Any] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the login asked for: `nonce`, acceptable `acr` (empty is any), `max_age` in seconds."""

    nonce: str = field(repr=False)
    acr: tuple[str, ...] = ()
    max_age: int | None = None


def verify_id_token(
    token: str, *, settings: ProviderSettings, keys: JwkSet, asked: Asked, access_token: str, now: float
) -> IdToken:
    """The ID token of a login. Raises TokenInvalid, or KeyUnknown when fresher keys might help."""
    verified = _verify(token, settings=settings, keys=keys, access_token=access_token, now=now)
    if verified.nonce is None or not hmac.compare_digest(verified.nonce.encode(), asked.nonce.encode()):
        raise TokenInvalid("nonce")
    if asked.acr and verified.acr not in asked.acr:
        raise TokenInvalid("acr")
    if asked.max_age is not None and (
        verified.auth_time is None or now - verified.auth_time > asked.max_age + settings.leeway
    ):
        raise TokenInvalid("auth-time")
    return verified


def verify_refreshed_id_token(
    token: str,
    *,
    settings: ProviderSettings,
    keys: JwkSet,
    subject: str,
    auth_time: int | None,
    nonce: str,
    access_token: str,
    now: float,
) -> IdToken:
    """The ID token that came with a refresh (Core 12.2); `subject`, `auth_time` and `nonce` are the login's.

    Raises TokenInvalid, or KeyUnknown when fresher keys might help.
    """
    verified = _verify(token, settings=settings, keys=keys, access_token=access_token, now=now)
    if verified.subject != subject:
        raise TokenInvalid("subject")
    if verified.nonce not in (None, nonce):
        raise TokenInvalid("nonce")
    if verified.auth_time is not None and auth_time is not None and verified.auth_time != auth_time:
        raise TokenInvalid("auth-time")
    return verified


def _verify(token: str, *, settings: ProviderSettings, keys: JwkSet, access_token: str, now: float) -> IdToken:
    claims, alg = open_signed(token, algorithms=settings.algorithms, types=_TYPES, keys=keys)
    check_issuer(claims, settings.issuer)
    audiences = audience(claims, settings.client_id, trusted=settings.trusted_audiences)
    azp = optional_text(claims, "azp")
    if azp not in (None, settings.client_id) or (azp is None and len(audiences) > 1):
        raise TokenInvalid("azp")
    if "events" in claims:
        raise TokenInvalid("type")  # a logout token without its type
    issued, expires = check_fresh(claims, now=now, leeway=settings.leeway, oldest=MAX_AGE)
    if "at_hash" in claims and text(claims, "at_hash") != half_hash(access_token, alg):
        raise TokenInvalid("at-hash")
    auth_time = seconds(claims, "auth_time") if claims.get("auth_time") is not None else None
    if auth_time is not None and auth_time > now + settings.leeway:
        raise TokenInvalid("auth-time")
    return IdToken(
        issuer=settings.issuer,
        subject=text(claims, "sub", most=_MAX_SUBJECT),
        audience=audiences,
        azp=azp,
        issued_at=issued,
        expires_at=expires,
        auth_time=auth_time,
        nonce=optional_text(claims, "nonce"),
        acr=optional_text(claims, "acr"),
        amr=_amr(claims),
        sid=optional_text(claims, "sid"),
        claims=claims,
    )


def half_hash(value: str, alg: str) -> str:
    """The left half of the hash that goes with `alg`, in base64url (Core 3.1.3.6)."""
    # RFC 8037 gives EdDSA no hash; with Ed25519, SHA-512 is the one inside and what providers use.
    digest = _HASHES.get(alg[-3:], sha512)(value.encode()).digest()
    return b64url_encode(digest[: len(digest) // 2])


def _amr(claims: Mapping[str, object]) -> tuple[str, ...]:
    value = claims.get("amr")
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > _MAX_AMR:
        raise TokenInvalid("claim-amr")
    words = [word for word in value if isinstance(word, str) and 0 < len(word) <= 64]
    if len(words) != len(value):
        raise TokenInvalid("claim-amr")
    return tuple(words)
