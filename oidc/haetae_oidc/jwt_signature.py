"""Checking the signature of a JWT with a key of its issuer (RFC 7518 section 3, RFC 8037).

Rules kept: the key decides what it can verify, the token only asks; `JwkSet.find` has matched the two. ECDSA
signatures are `r || s` of exactly 64 bytes, never DER. Errors of the libraries stop here.

Not done here: choosing the key; claims.
"""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from haetae_crypto.errors import SignatureInvalid
from haetae_crypto.jwk import PublicJwk
from haetae_crypto.jwks import fits
from haetae_crypto.signature_algorithms import verify_ed25519, verify_p256

from haetae_oidc.errors import TokenInvalid

_HASHES: Final[dict[str, HashAlgorithm]] = {"256": SHA256(), "384": SHA384(), "512": SHA512()}


def _pss(digest: HashAlgorithm) -> AsymmetricPadding:
    # RFC 7518 section 3.5: the salt is as long as the hash, and MGF1 uses the same hash.
    return PSS(mgf=MGF1(digest), salt_length=digest.digest_size)


_RSA: Final[dict[str, tuple[AsymmetricPadding, HashAlgorithm]]] = {
    **{f"RS{bits}": (PKCS1v15(), digest) for bits, digest in _HASHES.items()},
    **{f"PS{bits}": (_pss(digest), digest) for bits, digest in _HASHES.items()},
}


def verify_jwt_signature(jwk: PublicJwk, alg: str, *, signing_input: bytes, signature: bytes) -> None:
    """Check `signature` over `signing_input`. Raises TokenInvalid when it does not hold or `alg` is not the
    key's.
    """
    if not fits(jwk, alg):
        raise TokenInvalid("algorithm")
    key = jwk.key
    try:
        if isinstance(key, Ed25519PublicKey):
            verify_ed25519(jwk.raw_ed25519(), signing_input, signature)
        elif isinstance(key, EllipticCurvePublicKey):
            verify_p256(key, signing_input, signature)
        else:
            _verify_rsa(key, alg, signing_input, signature)
    except (SignatureInvalid, InvalidSignature) as why:
        raise TokenInvalid("signature") from why


def _verify_rsa(key: RSAPublicKey, alg: str, signing_input: bytes, signature: bytes) -> None:
    padding, digest = _RSA[alg]
    key.verify(signature, signing_input, padding, digest)
