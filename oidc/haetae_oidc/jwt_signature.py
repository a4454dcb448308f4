"""Checking the signature of a JWT with a key of its issuer (RFC 7518 section 3, RFC 8037), by PyJWT's algorithms.

Rules kept: the key decides what it can verify, the token only asks; `JwkSet.find` has matched the two. ECDSA
signatures are `r || s` of exactly 64 bytes, never DER. PyJWT sees the signing input, the key and the signature, never
the token: reading tokens strictly is `haetae_crypto.compact_jwt`'s work. Errors of the libraries stop here.

Not done here: choosing the key; claims.
"""

from typing import Final

from haetae_crypto.jwk import PublicJwk
from haetae_crypto.jwks import fits
from jwt import get_algorithm_by_name

from haetae_oidc.errors import TokenInvalid

#: RFC 9864 gives EdDSA with this curve a name of its own, which PyJWT does not know.
_SAME: Final = {"Ed25519": "EdDSA"}


def verify_jwt_signature(jwk: PublicJwk, alg: str, *, signing_input: bytes, signature: bytes) -> None:
    """Check `signature` over `signing_input`. Raises TokenInvalid when it does not hold or `alg` is not the
    key's.
    """
    if not fits(jwk, alg):
        raise TokenInvalid("algorithm")
    algorithm = get_algorithm_by_name(_SAME.get(alg, alg))
    if not algorithm.verify(signing_input, jwk.key, signature):
        raise TokenInvalid("signature")
