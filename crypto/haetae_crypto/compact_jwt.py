"""Reading a compact JWT (RFC 7519, RFC 7515 section 7.1) without believing it.

One reader for Passports and for access tokens, so that no two parsers disagree on what a token says (RFC
8725).

Rules kept: bounded length before any work; exactly three segments of canonical base64url, so that a token has
one spelling; header and claims are UTF-8 JSON objects with no member twice; `crit`, `b64` and `zip` are
refused because none of their extensions is understood (RFC 7515 section 4.1.11, RFC 7797, RFC 8725 section
3.6); nested tokens are refused. `jku`, `jwk`, `x5u` and `x5c` are never followed nor used.

Not done here: finding keys, verifying signatures, and every rule on claims. What comes out is unverified and
says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from haetae_crypto.b64url import b64url_decode
from haetae_crypto.errors import JwsInvalid
from haetae_crypto.jwk import MAX_KID_CHARS
from haetae_crypto.strict_json import read_json_object

MAX_HEADER_CHARS: Final = 2048
MAX_ALG_CHARS: Final = 32
_NOT_UNDERSTOOD: Final = ("crit", "b64", "zip", "cty", "enc")


@dataclass(frozen=True, slots=True)
class UnverifiedHeader:
    """The header parameters that matter, with their types checked. `typ` is lower case without
    `application/`.
    """

    alg: str
    typ: str | None
    kid: str | None
    members: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class UnverifiedJwt:
    """A token taken apart. Nothing in it may be believed before its signature was checked over
    `signing_input`.
    """

    unverified_header: UnverifiedHeader
    unverified_claims_json: bytes
    signing_input: bytes
    signature: bytes

    def read_unverified_claims(self) -> dict[str, object]:
        """The claims. Call it after the signature was verified; before that only to show or to sort.

        Raises JwsInvalid when they are not one unambiguous JSON object.
        """
        return _read_json(self.unverified_claims_json, "claims")


def read_unverified_jwt(token: str, *, max_chars: int) -> UnverifiedJwt:
    """Take a compact token apart. Raises JwsInvalid for every text outside the rules of this module."""
    if len(token) > max_chars:
        raise JwsInvalid(f"token longer than {max_chars} characters")
    segments = token.split(".", 3)
    if len(segments) != 3:
        raise JwsInvalid("not a compact JWS of three segments")
    header_text, claims_text, signature_text = segments
    if len(header_text) > MAX_HEADER_CHARS:
        raise JwsInvalid(f"header longer than {MAX_HEADER_CHARS} characters")
    header = _read_header(header_text)
    try:
        claims, signature = b64url_decode(claims_text), b64url_decode(signature_text)
    except ValueError:
        raise JwsInvalid("segment is not canonical base64url") from None
    return UnverifiedJwt(
        unverified_header=header,
        unverified_claims_json=claims,
        signing_input=token[: len(header_text) + 1 + len(claims_text)].encode("ascii"),
        signature=signature,
    )


# An issuer writes the same few headers for all its tokens. Bounded, and pure: a memo of text, not of trust.
@lru_cache(maxsize=128)
def _read_header(text: str) -> UnverifiedHeader:
    try:
        raw = b64url_decode(text)
    except ValueError:
        raise JwsInvalid("segment is not canonical base64url") from None
    members = _read_json(raw, "header")
    for name in _NOT_UNDERSTOOD:
        if name in members:
            raise JwsInvalid(f"header parameter {name!r} is not understood")
    alg = _text(members, "alg", MAX_ALG_CHARS)
    if alg is None:
        raise JwsInvalid("header without an algorithm")
    typ = _text(members, "typ", MAX_HEADER_CHARS)
    # RFC 7515 section 4.1.9: the prefix may be omitted; media types compare without case (RFC 2045 section
    # 5.1).
    short_typ = None if typ is None else typ.lower().removeprefix("application/")
    return UnverifiedHeader(alg=alg, typ=short_typ, kid=_text(members, "kid", MAX_KID_CHARS), members=members)


def _read_json(raw: bytes, what: str) -> dict[str, object]:
    try:
        return read_json_object(raw)
    except ValueError as why:
        raise JwsInvalid(f"token {what} is not one unambiguous JSON object") from why


def _text(members: Mapping[str, object], name: str, max_chars: int) -> str | None:
    if name not in members:
        return None
    value = members[name]
    if not isinstance(value, str) or not 0 < len(value) <= max_chars:
        raise JwsInvalid(f"header parameter {name!r} is not a bounded, non-empty string")
    return value
