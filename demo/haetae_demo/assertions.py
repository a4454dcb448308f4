"""Statements a device signs with its own key: "I hold this key" and "give me a token".

A statement is a compact JWS (RFC 7515) with EdDSA or ES256 and the claims ``aud`` (the service it is for),
``iat``, ``exp`` and ``jti``. A request for a token is the assertion of RFC 7523 section 2.1, where ``iss``
and ``sub`` are the device key's id. Rules kept: the algorithm follows from the key, never from the token; an
explicit ``typ``; at most 60 seconds of life; the spelling is canonical. Time is an argument. One-time use is
the caller's: it claims ``Statement.jti`` after this module has verified the signature.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import jwt
from haetae_crypto.b64url import b64url_decode
from haetae_crypto.jwk import PrivateJwk, PublicJwk
from haetae_crypto.strict_json import read_json_object

from haetae_demo.errors import AssertionInvalid

ENROL_TYPE: Final = "haetae-enrol+jwt"
TOKEN_REQUEST_TYPE: Final = "haetae-token-request+jwt"
StatementType = Literal["haetae-enrol+jwt", "haetae-token-request+jwt"]

MAX_CHARS = 4096
MAX_LIFE = 60
SKEW = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A verified statement. ``expires`` in Unix seconds, skew included: nothing accepts it later."""

    claims: Mapping[str, object]
    jti: str
    expires: float


def algorithm_of(key: PublicJwk) -> Literal["EdDSA", "ES256"]:
    """The one JWS algorithm a device key signs with.

    Raises:
        AssertionInvalid: not a kind of key devices have.
    """
    if key.kty == "OKP":
        return "EdDSA"
    if key.kty == "EC":
        return "ES256"
    raise AssertionInvalid("device keys are Ed25519 or P-256")


def sign_statement(
    key: PrivateJwk,
    *,
    statement_type: StatementType,
    audience: str,
    now: float,
    jti: str,
    claims: Mapping[str, object] | None = None,
) -> str:
    """What a device sends: a statement of ``MAX_LIFE`` seconds from ``now``."""
    payload = {**(claims or {}), "aud": audience, "iat": int(now), "exp": int(now) + MAX_LIFE, "jti": jti}
    return jwt.encode(payload, key.key, algorithm=algorithm_of(key.public), headers={"typ": statement_type})


def unverified_subject(unverified_token: str) -> str:
    """The device key id a token request claims to come from, to look the key up. Nothing is verified yet.

    Raises:
        AssertionInvalid: the text is not a compact JWS with such a claim.
    """
    claims = _unverified_claims(unverified_token)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= 128 or claims.get("iss") != subject:
        raise AssertionInvalid("iss and sub must both be the device key's id")
    return subject


def verify_statement(
    unverified_token: str, *, key: PublicJwk, statement_type: StatementType, audience: str, now: float
) -> Statement:
    """Check signature, type, audience and times.

    Raises:
        AssertionInvalid: any of them does not hold.
    """
    claims = _unverified_claims(unverified_token)
    try:
        header = jwt.get_unverified_header(unverified_token)
        # Times are checked below against `now`; PyJWT would read the clock.
        options = {
            "verify_exp": False,
            "verify_iat": False,
            "verify_nbf": False,
            "require": ["aud", "exp", "iat", "jti"],
        }
        jwt.decode(
            unverified_token,
            key.key,
            algorithms=[algorithm_of(key)],
            audience=audience,
            options=options,  # type: ignore[arg-type]  # a plain dict of the documented options
        )
    except (jwt.PyJWTError, ValueError) as error:
        raise AssertionInvalid("the statement's signature or audience does not hold") from error
    if header.get("typ") != statement_type:
        raise AssertionInvalid("the statement is of another type")
    if claims.get("aud") != audience:
        raise AssertionInvalid("the statement is for another service")
    issued, expires, jti = claims.get("iat"), claims.get("exp"), claims.get("jti")
    if type(issued) is not int or type(expires) is not int:
        raise AssertionInvalid("iat and exp must be integers")
    if not isinstance(jti, str) or not 8 <= len(jti) <= 128:
        raise AssertionInvalid("jti must have 8 to 128 characters")
    if not 0 < expires - issued <= MAX_LIFE or not issued - SKEW <= now <= expires + SKEW:
        raise AssertionInvalid("the statement is too old, too early or too long-lived")
    return Statement(claims=claims, jti=jti, expires=expires + SKEW)


def _unverified_claims(unverified_token: str) -> dict[str, object]:
    """The payload, read strictly: PyJWT itself tolerates padding, UTF-16 and duplicate members."""
    parts = unverified_token.split(".") if len(unverified_token) <= MAX_CHARS else []
    if len(parts) != 3:
        raise AssertionInvalid("not a compact JWS")
    try:
        read_json_object(b64url_decode(parts[0]))
        b64url_decode(parts[2])
        return read_json_object(b64url_decode(parts[1]))
    except ValueError as error:
        raise AssertionInvalid("not a canonical compact JWS") from error
