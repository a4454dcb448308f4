"""Opening tokens that a provider signed for us: ID tokens and logout tokens (RFC 8725).

Rules kept: length, kind (`typ`) and algorithm are checked against what was registered before a key is looked up; the
signature before any claim is read. Claims have exactly their types.

Not done here: which claims a token must have; see `id_token.py` and `logout_token.py`.
"""

from collections.abc import Mapping
from typing import Final

from haetae_crypto.compact_jwt import read_unverified_jwt
from haetae_crypto.errors import JwsInvalid
from haetae_crypto.jwks import JwkSet

from haetae_oidc.errors import KeyUnknown, TokenInvalid
from haetae_oidc.jwt_signature import verify_jwt_signature

MAX_TOKEN_CHARS: Final = 32_768
MAX_TEXT: Final = 512
MAX_AUDIENCES: Final = 16


def open_signed(
    token: str, *, algorithms: frozenset[str], types: frozenset[str | None], keys: JwkSet
) -> tuple[dict[str, object], str]:
    """The claims of a token whose signature holds, and its algorithm. Raises TokenInvalid, or its subclass
    KeyUnknown when fresher keys might help.
    """
    try:
        unverified = read_unverified_jwt(token, max_chars=MAX_TOKEN_CHARS)
    except JwsInvalid as why:
        raise TokenInvalid("malformed") from why
    header = unverified.unverified_header
    if header.alg not in algorithms:
        raise TokenInvalid("algorithm")
    if header.typ not in types:
        raise TokenInvalid("type")
    jwk = keys.find(header.kid, header.alg)
    if jwk is None:
        if header.kid is not None and keys.knows(header.kid):
            raise TokenInvalid("algorithm")
        raise KeyUnknown(header.kid)
    verify_jwt_signature(jwk, header.alg, signing_input=unverified.signing_input, signature=unverified.signature)
    try:
        return unverified.read_unverified_claims(), header.alg
    except JwsInvalid as why:
        raise TokenInvalid("malformed") from why


def text(claims: Mapping[str, object], name: str, *, most: int = MAX_TEXT) -> str:
    """A claim that must be there. Raises TokenInvalid unless it is a string of 1 to `most` characters."""
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise TokenInvalid(f"claim-{name}")
    return value


def optional_text(claims: Mapping[str, object], name: str) -> str | None:
    """A claim that may be missing or null."""
    return text(claims, name) if claims.get(name) is not None else None


def seconds(claims: Mapping[str, object], name: str) -> int:
    """A time that must be there, in Unix seconds. Raises TokenInvalid."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TokenInvalid(f"claim-{name}")
    return value


def check_issuer(claims: Mapping[str, object], issuer: str) -> None:
    """Raises TokenInvalid unless `iss` is exactly `issuer`."""
    if text(claims, "iss") != issuer:
        raise TokenInvalid("issuer")


def audience(claims: Mapping[str, object], client_id: str, *, trusted: frozenset[str]) -> frozenset[str]:
    """`aud`, which names us and nobody we do not trust (Core 3.1.3.7 point 3). Raises TokenInvalid."""
    value = claims.get("aud")
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not 0 < len(values) <= MAX_AUDIENCES:
        raise TokenInvalid("claim-aud")
    if not all(isinstance(item, str) and 0 < len(item) <= MAX_TEXT for item in values):
        raise TokenInvalid("claim-aud")
    found = frozenset(values)
    if client_id not in found or not found <= trusted | {client_id}:
        raise TokenInvalid("audience")
    return found


def check_fresh(claims: Mapping[str, object], *, now: float, leeway: int, oldest: int) -> tuple[int, int]:
    """`iat` and `exp`, which must fit `now`; the token may be `oldest` seconds old. Raises TokenInvalid."""
    issued, expires = seconds(claims, "iat"), seconds(claims, "exp")
    if now >= expires + leeway or expires <= issued:
        raise TokenInvalid("expired")
    if issued > now + leeway:
        raise TokenInvalid("issued-in-the-future")
    if issued < now - oldest - leeway:
        raise TokenInvalid("issued-long-ago")
    if "nbf" in claims and seconds(claims, "nbf") > now + leeway:
        raise TokenInvalid("not-yet-valid")
    return issued, expires
