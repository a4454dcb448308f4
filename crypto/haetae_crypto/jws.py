"""Minimal compact JWS (RFC 7515) with EdDSA (RFC 8037): one algorithm, exact type, one spelling.

Rules kept:
- The header has exactly `alg`, `kid` and `typ`; `alg` is `EdDSA`; `typ` equals what the caller expects.
  Anything else (`jwk`, `jku`, `crit`, `b64`, …) is refused rather than ignored (RFC 8725 sections 3.1, 3.10,
  3.11).
- All three parts are canonical base64url without padding, so one token has one text.
- `kid` only picks among the keys the caller trusts.
- Bounded: tokens longer than the caller's limit are refused before any work; the memo of headers is bounded.

Not done here: claims. The payload is bytes; who reads it applies its own strict reader.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from haetae_crypto.b64url import b64url_decode, b64url_encode
from haetae_crypto.errors import JwsInvalid, KeyUnavailable, SignatureInvalid
from haetae_crypto.jwk import PublicJwk
from haetae_crypto.keyring import is_key_id
from haetae_crypto.signature_algorithms import verify_ed25519
from haetae_crypto.signing_keys import SigningKey
from haetae_crypto.strict_json import canonical_json, read_json_object

ALG: Final = "EdDSA"
MAX_JWS_CHARS: Final = 16_384
MAX_HEADER_CHARS: Final = 512
_SIGNATURE_CHARS: Final = 86

FindKey = Callable[[str], bytes]
"""Gives the 32-byte Ed25519 public key trusted under a key id; raises KeyUnavailable when there is none."""


@dataclass(frozen=True, slots=True)
class VerifiedJws:
    """A JWS whose signature held: the key id that signed and the payload bytes."""

    kid: str
    typ: str
    payload: bytes


def sign_compact(payload: bytes, *, key: SigningKey, typ: str) -> str:
    """The compact serialisation of `payload` signed by `key`, with the media type `typ` in its header."""
    signing_input = f"{_header_text(key.kid, typ)}.{b64url_encode(payload)}"
    return f"{signing_input}.{b64url_encode(key.sign(signing_input.encode('ascii')))}"


def verify_compact(token: str, *, typ: str, find_key: FindKey, max_chars: int = MAX_JWS_CHARS) -> VerifiedJws:
    """Check a compact JWS of exactly this `typ`.

    Raises JwsInvalid for everything else, an unknown key included.
    """
    if len(token) > max_chars:
        raise JwsInvalid(f"JWS longer than {max_chars} characters")
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        raise JwsInvalid("not a compact JWS")
    header_text, payload_text, signature_text = parts
    if len(signature_text) != _SIGNATURE_CHARS or len(header_text) > MAX_HEADER_CHARS:
        raise JwsInvalid("header or signature of another length than EdDSA has")
    kid, unverified_typ = _read_header(header_text)
    if unverified_typ != typ:
        raise JwsInvalid("JWS of another type")
    try:
        payload, signature = b64url_decode(payload_text), b64url_decode(signature_text)
        verify_ed25519(find_key(kid), f"{header_text}.{payload_text}".encode("ascii"), signature)
    except (ValueError, KeyUnavailable, SignatureInvalid):
        raise JwsInvalid("JWS does not verify with a trusted key") from None
    return VerifiedJws(kid=kid, typ=typ, payload=payload)


def find_among(keys: Mapping[str, PublicJwk]) -> FindKey:
    """A key finder over Ed25519 keys by id. Raises KeyFormatInvalid when one is of another kind."""
    raw = {kid: key.raw_ed25519() for kid, key in keys.items()}

    def find(kid: str) -> bytes:
        try:
            return raw[kid]
        except KeyError:
            raise KeyUnavailable("no trusted key of that id") from None

    return find


@lru_cache(maxsize=256)
def _header_text(kid: str, typ: str) -> str:
    return b64url_encode(canonical_json({"alg": ALG, "kid": kid, "typ": typ}))


@lru_cache(maxsize=256)
def _read_header(text: str) -> tuple[str, str]:
    try:
        header = read_json_object(b64url_decode(text))
    except ValueError:
        raise JwsInvalid("JWS header is not canonical base64url of strict JSON") from None
    kid, typ = header.get("kid"), header.get("typ")
    if set(header) != {"alg", "kid", "typ"} or header["alg"] != ALG:
        raise JwsInvalid("JWS header needs exactly alg EdDSA, kid and typ")
    if not isinstance(kid, str) or not is_key_id(kid) or not isinstance(typ, str):
        raise JwsInvalid("JWS header has a malformed kid or typ")
    return kid, typ
