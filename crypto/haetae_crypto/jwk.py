"""Strict JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037) and their thumbprints (RFC 7638).

Rules kept:
- Three kinds only: OKP Ed25519, EC P-256 and (public only, for token issuers) RSA of 2048 to 8192 bits.
- A public key with a private member is refused: a secret that travelled is not a key to trust.
- Coordinates have their exact length in canonical base64url; points lie on the curve; an Ed25519 key lies in
  the main subgroup, so that no signature verifies for every message.
- `use`, `key_ops` and `alg`, when present, must fit signatures by this kind of key. Other members are
  ignored, as RFC 7517 section 4 asks, and never followed (`x5u`, `jku`).

Not done here: choosing a key for a token or request; fetching key sets.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from nacl.bindings import crypto_core_ed25519_is_valid_point

from haetae_crypto.b64url import b64url_decode, b64url_encode
from haetae_crypto.errors import KeyFormatInvalid
from haetae_crypto.strict_json import canonical_json

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey
PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey
KeyType = Literal["OKP", "EC", "RSA"]

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
MAX_KID_CHARS: Final = 256
P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

_ALGORITHMS: Final[dict[KeyType, frozenset[str]]] = {
    "OKP": frozenset({"EdDSA", "Ed25519"}),
    "EC": frozenset({"ES256"}),
    "RSA": frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
}
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class PublicJwk:
    """A public key that passed every check of this module.

    `members` are the canonical required members (RFC 7638 section 3.2); `thumbprint` is their SHA-256 in
    base64url. `kid` and `alg` are as written in the JWK, or None.
    """

    kty: KeyType
    kid: str | None
    alg: str | None
    key: PublicKey
    members: Mapping[str, str]
    thumbprint: str

    def to_dict(self) -> dict[str, str]:
        """The JWK: required members, then `kid` and `alg` where known."""
        return dict(self.members) | _labels(self.kid, self.alg)

    def raw_ed25519(self) -> bytes:
        """The 32 bytes of an Ed25519 key. Raises KeyFormatInvalid for other kinds."""
        if not isinstance(self.key, Ed25519PublicKey):
            raise KeyFormatInvalid("not an Ed25519 key")
        return self.key.public_bytes_raw()


@dataclass(frozen=True, slots=True, repr=False)
class PrivateJwk:
    """A private Ed25519 or P-256 signing key of our own, with its public half."""

    key: PrivateKey
    public: PublicJwk

    def __repr__(self) -> str:
        return f"PrivateJwk(kty={self.public.kty!r}, thumbprint={self.public.thumbprint!r})"

    def ed25519_seed(self) -> bytes:
        """The 32 secret bytes of an Ed25519 key. Raises KeyFormatInvalid for other kinds."""
        if not isinstance(self.key, Ed25519PrivateKey):
            raise KeyFormatInvalid("not an Ed25519 key")
        return self.key.private_bytes_raw()

    def to_secret_dict(self) -> dict[str, str]:
        """The JWK with its secret member `d`. For key files only."""
        if isinstance(self.key, Ed25519PrivateKey):
            secret = self.key.private_bytes_raw()
        else:
            secret = self.key.private_numbers().private_value.to_bytes(32, "big")
        return self.public.to_dict() | {"d": b64url_encode(secret)}


def parse_public_jwk(jwk: Mapping[str, object]) -> PublicJwk:
    """Check a public JWK given as a parsed JSON object.

    Raises KeyFormatInvalid for every key outside the rules of this module.
    """
    if not _PRIVATE_MEMBERS.isdisjoint(jwk):
        raise KeyFormatInvalid("private member in a public JWK")
    return _parse_public(jwk, operation="verify")


def parse_private_jwk(jwk: Mapping[str, object]) -> PrivateJwk:
    """Check a private Ed25519 or P-256 JWK; the public members must belong to the secret.

    Raises KeyFormatInvalid for every key outside the rules of this module.
    """
    public = _parse_public(jwk, operation="sign")
    secret = _octets(jwk, "d", 32)
    private: PrivateKey
    if public.kty == "OKP":
        private = Ed25519PrivateKey.from_private_bytes(secret)
    elif public.kty == "EC":
        scalar = int.from_bytes(secret, "big")
        if not 0 < scalar < P256_ORDER:
            raise KeyFormatInvalid("private scalar out of range")
        private = derive_private_key(scalar, SECP256R1())
    else:
        raise KeyFormatInvalid("private RSA keys are not used")
    if private.public_key() != public.key:
        raise KeyFormatInvalid("public and private members do not belong together")
    return PrivateJwk(key=private, public=public)


def public_jwk_of(key: PublicKey, *, kid: str | None = None, alg: str | None = None) -> PublicJwk:
    """The checked JWK of a key object. Raises KeyFormatInvalid for curves or sizes outside the rules."""
    members: dict[str, object] = {}
    if isinstance(key, Ed25519PublicKey):
        members |= {"kty": "OKP", "crv": "Ed25519", "x": b64url_encode(key.public_bytes_raw())}
    elif isinstance(key, EllipticCurvePublicKey):
        if not isinstance(key.curve, SECP256R1):
            raise KeyFormatInvalid("only the curve P-256 is used")
        point = key.public_numbers()
        x, y = (b64url_encode(value.to_bytes(32, "big")) for value in (point.x, point.y))
        members |= {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    else:
        numbers = key.public_numbers()
        members |= {"kty": "RSA", "n": _uint_text(numbers.n), "e": _uint_text(numbers.e)}
    return parse_public_jwk(members | _labels(kid, alg))


def private_jwk_of(key: PrivateKey, *, kid: str | None = None, alg: str | None = None) -> PrivateJwk:
    """The checked private JWK of a key object. Raises KeyFormatInvalid for curves outside the rules."""
    return PrivateJwk(key=key, public=public_jwk_of(key.public_key(), kid=kid, alg=alg))


def ed25519_private_from_seed(seed: bytes, *, kid: str | None = None) -> PrivateJwk:
    """An Ed25519 signing key from 32 random bytes. Raises KeyFormatInvalid when there are not exactly 32."""
    if len(seed) != 32:
        raise KeyFormatInvalid("an Ed25519 seed has 32 bytes")
    return private_jwk_of(Ed25519PrivateKey.from_private_bytes(seed), kid=kid, alg="EdDSA")


def _parse_public(jwk: Mapping[str, object], *, operation: str) -> PublicJwk:
    kty = jwk.get("kty")
    if kty == "OKP":
        members, key = _parse_okp(jwk)
        return _finish(jwk, "OKP", members, key, operation)
    if kty == "EC":
        members, key = _parse_ec(jwk)
        return _finish(jwk, "EC", members, key, operation)
    if kty == "RSA":
        members, key = _parse_rsa(jwk)
        return _finish(jwk, "RSA", members, key, operation)
    raise KeyFormatInvalid("key type is not OKP, EC or RSA")


def _finish(
    jwk: Mapping[str, object], kty: KeyType, members: dict[str, str], key: PublicKey, operation: str
) -> PublicJwk:
    kid, alg = _optional_text(jwk, "kid"), _optional_text(jwk, "alg")
    if alg is not None and alg not in _ALGORITHMS[kty]:
        raise KeyFormatInvalid("algorithm does not fit the key type")
    if "use" in jwk and jwk["use"] != "sig":
        raise KeyFormatInvalid("key is not for signatures")
    operations = jwk.get("key_ops", [operation])
    if not isinstance(operations, list) or operation not in operations:
        raise KeyFormatInvalid(f"key operations do not include {operation!r}")
    thumbprint = b64url_encode(hashlib.sha256(canonical_json(members)).digest())
    return PublicJwk(kty=kty, kid=kid, alg=alg, key=key, members=members, thumbprint=thumbprint)


def _parse_okp(jwk: Mapping[str, object]) -> tuple[dict[str, str], PublicKey]:
    if jwk.get("crv") != "Ed25519":
        raise KeyFormatInvalid("only the curve Ed25519 is used with OKP")
    raw = _octets(jwk, "x", 32)
    if not crypto_core_ed25519_is_valid_point(raw):
        raise KeyFormatInvalid("not a point of the main Ed25519 subgroup")
    return {"crv": "Ed25519", "kty": "OKP", "x": b64url_encode(raw)}, Ed25519PublicKey.from_public_bytes(raw)


def _parse_ec(jwk: Mapping[str, object]) -> tuple[dict[str, str], PublicKey]:
    if jwk.get("crv") != "P-256":
        raise KeyFormatInvalid("only the curve P-256 is used with EC")
    raw_x, raw_y = _octets(jwk, "x", 32), _octets(jwk, "y", 32)
    numbers = EllipticCurvePublicNumbers(int.from_bytes(raw_x, "big"), int.from_bytes(raw_y, "big"), SECP256R1())
    members = {"crv": "P-256", "kty": "EC", "x": b64url_encode(raw_x), "y": b64url_encode(raw_y)}
    try:
        return members, numbers.public_key()
    except ValueError as why:
        raise KeyFormatInvalid("not a point of P-256") from why


def _parse_rsa(jwk: Mapping[str, object]) -> tuple[dict[str, str], PublicKey]:
    modulus, exponent = _uint(jwk, "n", MAX_RSA_BITS), _uint(jwk, "e", 32)
    if modulus.bit_length() < MIN_RSA_BITS:
        raise KeyFormatInvalid(f"RSA modulus under {MIN_RSA_BITS} bits")
    if exponent < 3:
        raise KeyFormatInvalid("RSA exponent too small")
    members = {"e": _uint_text(exponent), "kty": "RSA", "n": _uint_text(modulus)}
    try:
        return members, RSAPublicNumbers(e=exponent, n=modulus).public_key()
    except (ValueError, UnsupportedAlgorithm) as why:
        raise KeyFormatInvalid("not an RSA key") from why


def _text(jwk: Mapping[str, object], name: str, max_chars: int) -> str:
    value = jwk.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= max_chars:
        raise KeyFormatInvalid(f"JWK member {name!r} is missing, not a string, or too long")
    return value


def _optional_text(jwk: Mapping[str, object], name: str) -> str | None:
    return _text(jwk, name, MAX_KID_CHARS) if name in jwk else None


def _octets(jwk: Mapping[str, object], name: str, size: int) -> bytes:
    try:
        raw = b64url_decode(_text(jwk, name, 2 * size))
    except ValueError as why:
        raise KeyFormatInvalid(f"JWK member {name!r} is not canonical base64url") from why
    if len(raw) != size:
        raise KeyFormatInvalid(f"JWK member {name!r} does not have {size} bytes")
    return raw


def _uint(jwk: Mapping[str, object], name: str, max_bits: int) -> int:
    try:
        raw = b64url_decode(_text(jwk, name, max_bits))
    except ValueError as why:
        raise KeyFormatInvalid(f"JWK member {name!r} is not canonical base64url") from why
    value = int.from_bytes(raw, "big")
    # RFC 7518 section 2: the minimum number of octets, so no leading zero octet.
    if not raw or raw[0] == 0 or value.bit_length() > max_bits:
        raise KeyFormatInvalid(f"JWK member {name!r} is not a canonical integer of at most {max_bits} bits")
    return value


def _uint_text(value: int) -> str:
    return b64url_encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _labels(kid: str | None, alg: str | None) -> dict[str, str]:
    return ({} if kid is None else {"kid": kid}) | ({} if alg is None else {"alg": alg})
