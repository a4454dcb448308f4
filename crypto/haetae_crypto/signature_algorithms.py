"""The two signature primitives of this package: Ed25519 (RFC 8032) and ECDSA on P-256 with SHA-256.

Rules kept: verification raises SignatureInvalid and returns nothing; both signatures have exactly 64 bytes
(ECDSA as `r || s`, RFC 9421 section 3.3.4; DER is refused); errors of the libraries stop here.

Ed25519 runs on libsodium, which refuses non-canonical S, small-order points and non-canonical encodings, and
is twice as fast as the other library at hand. P-256 runs on OpenSSL.

Not done here: choosing an algorithm. That is a property of the registered key, never of the message.
"""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from haetae_crypto.errors import SignatureInvalid

SIGNATURE_BYTES: Final = 64
_ECDSA_SHA256 = ECDSA(SHA256())


def verify_ed25519(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Check a signature with the 32-byte public key. Raises SignatureInvalid."""
    if len(signature) != SIGNATURE_BYTES or len(public_key) != 32:
        raise SignatureInvalid("signature does not have 64 bytes")
    try:
        crypto_sign_open(signature + message, public_key)
    except (BadSignatureError, ValueError):
        raise SignatureInvalid("signature does not verify") from None


def sign_ed25519(expanded_key: bytes, message: bytes) -> bytes:
    """Sign with the 64-byte key that `expand_ed25519_seed` gives (seed || public key)."""
    return crypto_sign(message, expanded_key)[:crypto_sign_BYTES]


def expand_ed25519_seed(seed: bytes) -> bytes:
    """The 64-byte signing key (seed || public key) of a 32-byte seed, computed once per key."""
    _, expanded = crypto_sign_seed_keypair(seed)
    return expanded


def verify_p256(public_key: EllipticCurvePublicKey, message: bytes, signature: bytes) -> None:
    """Check an `r || s` signature over SHA-256. Raises SignatureInvalid."""
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureInvalid("signature does not have 64 bytes")
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        public_key.verify(der, message, _ECDSA_SHA256)
    except (InvalidSignature, ValueError):
        raise SignatureInvalid("signature does not verify") from None


def sign_p256(private_key: EllipticCurvePrivateKey, message: bytes) -> bytes:
    """Sign with a fresh random `k` of the library; gives the 64 bytes `r || s`."""
    r, s = decode_dss_signature(private_key.sign(message, _ECDSA_SHA256))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
