"""An issuer that writes good tokens, and any other token one could think of.

Signatures come from `cryptography` directly, so that nothing under test helps to make what it has to judge.
"""

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from haetae_crypto.jwk import public_jwk_of
from haetae_crypto.jwks import JwkSet

NOW = 1_800_000_000
ISSUER = "https://login.example"
AUDIENCE = "https://api.example"
HASHES = {"256": SHA256(), "384": SHA384(), "512": SHA512()}
PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey | RSAPrivateKey


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@cache
def ec_key() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


@cache
def ed_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@cache
def rsa_key() -> RSAPrivateKey:
    return generate_rsa(65537, 2048)


@cache
def issuer_keys() -> JwkSet:
    """The issuer's published set: `ec`, `ed` and `rsa`; the RSA key names no algorithm."""
    return JwkSet(
        (
            public_jwk_of(ec_key().public_key(), kid="ec", alg="ES256"),
            public_jwk_of(ed_key().public_key(), kid="ed", alg="EdDSA"),
            public_jwk_of(rsa_key().public_key(), kid="rsa"),
        )
    )


@dataclass
class Keys:
    """Keys that a test can change under the verifier."""

    current: JwkSet | None


def sign(alg: str, message: bytes, key: PrivateKey) -> bytes:
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(message)
    if isinstance(key, EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(message, ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    digest = HASHES[alg[2:]]
    if alg.startswith("PS"):
        return key.sign(message, PSS(mgf=MGF1(digest), salt_length=digest.digest_size), digest)
    return key.sign(message, PKCS1v15(), digest)


def claims(**changes: object) -> dict[str, object]:
    """Good claims with `changes`; a change to `...` removes the claim."""
    good: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "u-1029",
        "client_id": "app",
        "jti": "t-1",
        "iat": NOW,
        "exp": NOW + 600,
        "scope": "read transfer",
    }
    return {name: value for name, value in (good | changes).items() if value is not ...}


def header(**changes: object) -> dict[str, object]:
    """A good header for the key `ec`, with `changes` as for claims."""
    good: dict[str, object] = {"alg": "ES256", "typ": "at+jwt", "kid": "ec"}
    return {name: value for name, value in (good | changes).items() if value is not ...}


def token(
    body: dict[str, object] | bytes | None = None,
    head: dict[str, object] | bytes | None = None,
    *,
    key: PrivateKey | None = None,
    alg: str = "ES256",
) -> str:
    """A token with a correct signature by `key` (the key `ec` by default) over whatever it is given."""
    raw_head = head if isinstance(head, bytes) else json.dumps(header() if head is None else head).encode()
    raw_body = body if isinstance(body, bytes) else json.dumps(claims() if body is None else body).encode()
    signing_input = f"{b64(raw_head)}.{b64(raw_body)}"
    return f"{signing_input}.{b64(sign(alg, signing_input.encode(), key or ec_key()))}"
