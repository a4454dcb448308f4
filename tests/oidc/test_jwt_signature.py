"""Signatures of JWTs: published vectors, and tokens of other implementations."""

import json
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from haetae_crypto.compact_jwt import read_unverified_jwt
from haetae_crypto.jwk import parse_public_jwk
from haetae_oidc import AccessTokenVerifier, TokenInvalid, TokenPolicy
from haetae_oidc.jwt_signature import verify_jwt_signature
from joserfc import jwk as jose_jwk
from joserfc import jwt as jose_jwt

from tests.oidc.forge import AUDIENCE, ISSUER, NOW, Keys, PrivateKey, claims, ec_key, ed_key, issuer_keys, rsa_key

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "jose_signatures.json").read_text()
)["vectors"]
POLICY = TokenPolicy(
    issuer=ISSUER, audience=AUDIENCE, algorithms=frozenset({"ES256", "EdDSA", "Ed25519", "RS256", "PS256"})
)
PEERS: list[tuple[str, str, PrivateKey]] = [
    ("ES256", "ec", ec_key()),
    ("EdDSA", "ed", ed_key()),
    ("RS256", "rsa", rsa_key()),
    ("PS256", "rsa", rsa_key()),
]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_published_signature_verifies_and_any_changed_byte_does_not(vector: dict[str, Any]) -> None:
    key = parse_public_jwk(vector["jwk"])
    token = read_unverified_jwt(vector["compact"], max_chars=8000)
    assert token.unverified_header.alg == vector["alg"]
    verify_jwt_signature(key, vector["alg"], signing_input=token.signing_input, signature=token.signature)
    for index in range(len(token.signature)):
        broken = bytearray(token.signature)
        broken[index] ^= 1
        with pytest.raises(TokenInvalid):
            verify_jwt_signature(key, vector["alg"], signing_input=token.signing_input, signature=bytes(broken))
    with pytest.raises(TokenInvalid):
        verify_jwt_signature(key, vector["alg"], signing_input=token.signing_input + b"x", signature=token.signature)


def test_algorithm_that_is_not_the_keys_is_refused() -> None:
    key = parse_public_jwk(VECTORS[0]["jwk"])
    for alg in ("ES256", "HS256", "none", ""):
        with pytest.raises(TokenInvalid, match="algorithm"):
            verify_jwt_signature(key, alg, signing_input=b"", signature=b"")


def test_rsa_padding_of_another_algorithm_is_refused() -> None:
    rs256 = read_unverified_jwt(VECTORS[2]["compact"], max_chars=8000)
    key = parse_public_jwk(VECTORS[2]["jwk"])
    for alg in ("PS256", "RS512"):
        with pytest.raises(TokenInvalid, match="signature"):
            verify_jwt_signature(key, alg, signing_input=rs256.signing_input, signature=rs256.signature)


@pytest.mark.parametrize(("alg", "kid", "key"), PEERS, ids=[peer[0] for peer in PEERS])
def test_token_of_pyjwt_is_verified(alg: str, kid: str, key: PrivateKey) -> None:
    token = pyjwt.encode(claims(), key, algorithm=alg, headers={"kid": kid, "typ": "at+jwt"})
    access = AccessTokenVerifier(POLICY, Keys(issuer_keys())).verify(token, now=NOW)
    assert access.subject == "u-1029"


@pytest.mark.parametrize(("alg", "kid", "key"), PEERS, ids=[peer[0] for peer in PEERS])
def test_token_of_joserfc_is_verified(alg: str, kid: str, key: PrivateKey) -> None:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    kind = {"ES": "EC", "Ed": "OKP"}.get(alg[:2], "RSA")
    own = "Ed25519" if alg == "EdDSA" else alg  # its own name for it, after RFC 9864
    token = jose_jwt.encode(
        {"alg": own, "kid": kid, "typ": "application/at+jwt"},
        claims(),
        jose_jwk.import_key(pem, kind),  # type: ignore[call-overload]
        algorithms=[own],
    )
    keys = issuer_keys()
    if own == "Ed25519":
        named = [key.to_dict() | {"alg": "Ed25519"} for key in keys.keys if key.kid == "ed"]
        keys = type(keys)(tuple(parse_public_jwk(key) for key in named))
    assert AccessTokenVerifier(POLICY, Keys(keys)).verify(token, now=NOW).client_id == "app"
