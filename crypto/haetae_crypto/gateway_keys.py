"""The gateway's HPKE key pairs (RFC 9180) and the suites of the app channel (section 6).

| name | KEM id | raw public key |
|---|---|---|
| `MLKEM768-X25519` | 0x647a | ML-KEM-768 encapsulation key (1184 bytes) then X25519 public key (32 bytes) |
| `X25519` | 0x0020 | X25519 public key (32 bytes) |

Both with HKDF-SHA256 and AES-128-GCM. A private key is kept as its 32-byte seed: for X25519 the scalar
itself, for the hybrid the X-Wing seed, expanded with SHAKE-256 as its draft says.

Rules kept: the suite belongs to the key, never to the message; a secret never shows in `repr`; sealing draws
its ephemeral randomness from OpenSSL (the library offers no other way), everything else comes as an argument.

Not done here: what is sealed (`content_key`), publishing (`discovery`), rotation (`keyring`).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from haetae_crypto.b64url import b64url_decode, b64url_encode
from haetae_crypto.errors import ContentKeyInvalid, KeyFormatInvalid
from haetae_crypto.keyring import KeyRing, KeyState, RingEntry

DAY: Final = 86_400
SEED_BYTES: Final = 32
KDF_NAME: Final = "HKDF-SHA256"
AEAD_NAME: Final = "AES-128-GCM"
HYBRID: Final = "MLKEM768-X25519"
CLASSIC: Final = "X25519"
_MLKEM_PUBLIC_BYTES: Final = 1184


@dataclass(frozen=True, slots=True)
class HpkeSuite:
    """One row of the suites table; sizes in bytes."""

    name: str
    kem_id: int
    enc_bytes: int
    public_bytes: int
    suite: Suite


SUITES: Final[Mapping[str, HpkeSuite]] = {
    HYBRID: HpkeSuite(HYBRID, 0x647A, 1120, 1216, Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)),
    CLASSIC: HpkeSuite(CLASSIC, 0x0020, 32, 32, Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)),
}


@dataclass(frozen=True, slots=True)
class GatewayPublicKey:
    """A gateway key as published: what an app seals its content key to."""

    kid: str
    suite: HpkeSuite
    raw: bytes
    _key: X25519PublicKey | MLKEM768X25519PublicKey

    @classmethod
    def from_raw(cls, *, kid: str, kem: str, raw: bytes) -> "GatewayPublicKey":
        """Check a raw public key of the KEM named `kem`. Raises KeyFormatInvalid."""
        suite = _suite(kem)
        if len(raw) != suite.public_bytes:
            raise KeyFormatInvalid(f"a {kem} public key has {suite.public_bytes} bytes")
        try:
            key: X25519PublicKey | MLKEM768X25519PublicKey = X25519PublicKey.from_public_bytes(raw[-32:])
            if kem == HYBRID:
                encapsulation = MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_PUBLIC_BYTES])
                key = MLKEM768X25519PublicKey(encapsulation, X25519PublicKey.from_public_bytes(raw[-32:]))
        except ValueError as why:
            raise KeyFormatInvalid(f"not a {kem} public key") from why
        return cls(kid=kid, suite=suite, raw=raw, _key=key)

    def seal(self, plaintext: bytes, *, info: bytes) -> bytes:
        """HPKE base mode, single shot: `enc || ct`. Raises KeyFormatInvalid when the key is of low order."""
        try:
            return self.suite.suite.encrypt(plaintext, self._key, info)
        except ValueError as why:
            raise KeyFormatInvalid("the public key takes no part in the agreement") from why


@dataclass(frozen=True, slots=True, repr=False)
class GatewayKeyPair:
    """A gateway HPKE key pair under its key id."""

    kid: str
    seed: bytes
    public: GatewayPublicKey
    _key: X25519PrivateKey | MLKEM768X25519PrivateKey

    def __repr__(self) -> str:
        return f"GatewayKeyPair(kid={self.kid!r}, kem={self.public.suite.name!r})"

    @classmethod
    def from_seed(cls, seed: bytes, *, kid: str, kem: str = HYBRID) -> "GatewayKeyPair":
        """A key pair from 32 random bytes. Raises KeyFormatInvalid for another size or KEM."""
        _suite(kem)
        if len(seed) != SEED_BYTES:
            raise KeyFormatInvalid(f"a gateway key seed has {SEED_BYTES} bytes")
        if kem == CLASSIC:
            scalar = X25519PrivateKey.from_private_bytes(seed)
            raw = scalar.public_key().public_bytes_raw()
            return cls(kid, seed, GatewayPublicKey.from_raw(kid=kid, kem=kem, raw=raw), scalar)
        # draft-connolly-cfrg-xwing-kem section 5.2: d || z of ML-KEM-768, then the X25519 scalar.
        expanded = hashlib.shake_256(seed).digest(96)
        decapsulation = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        scalar = X25519PrivateKey.from_private_bytes(expanded[64:])
        raw = decapsulation.public_key().public_bytes_raw() + scalar.public_key().public_bytes_raw()
        public = GatewayPublicKey.from_raw(kid=kid, kem=kem, raw=raw)
        return cls(kid, seed, public, MLKEM768X25519PrivateKey(decapsulation, scalar))

    @classmethod
    def from_secret_dict(cls, kid: str, members: Mapping[str, object]) -> "GatewayKeyPair":
        """Read what `to_secret_dict` wrote. Raises KeyFormatInvalid."""
        kem, seed = members.get("kem"), members.get("seed")
        if set(members) != {"kem", "seed"} or not isinstance(kem, str) or not isinstance(seed, str):
            raise KeyFormatInvalid("a gateway key needs exactly kem and seed")
        try:
            return cls.from_seed(b64url_decode(seed), kid=kid, kem=kem)
        except ValueError:
            raise KeyFormatInvalid("a gateway key seed is canonical base64url") from None

    def to_secret_dict(self) -> dict[str, str]:
        """KEM name and seed. For key files only."""
        return {"kem": self.public.suite.name, "seed": b64url_encode(self.seed)}

    def open(self, sealed: bytes, *, info: bytes) -> bytes:
        """Open `enc || ct`. Raises ContentKeyInvalid for all that was not sealed to this key and `info`."""
        try:
            return self.public.suite.suite.decrypt(sealed, self._key, info)
        except (InvalidTag, ValueError):
            raise ContentKeyInvalid("the content key does not open") from None


GatewayRing = KeyRing[GatewayKeyPair]


def new_gateway_ring(seed: bytes, *, kid: str, now: int, kem: str = HYBRID, life: int = 30 * DAY) -> GatewayRing:
    """A ring with one active key from 32 random bytes, good for `life` seconds from `now`."""
    key = GatewayKeyPair.from_seed(seed, kid=kid, kem=kem)
    return KeyRing((RingEntry(kid=kid, key=key, state=KeyState.ACTIVE, not_before=now, not_after=now + life),))


def next_gateway_entry(
    seed: bytes, *, kid: str, now: int, kem: str = HYBRID, lead: int = DAY, life: int = 30 * DAY
) -> RingEntry[GatewayKeyPair]:
    """A fresh key for `KeyRing.rotate`: published at `now`, used `lead` seconds later for `life` seconds."""
    key = GatewayKeyPair.from_seed(seed, kid=kid, kem=kem)
    start = now + lead
    return RingEntry(kid=kid, key=key, state=KeyState.NEXT, not_before=start, not_after=start + life)


def _suite(kem: str) -> HpkeSuite:
    try:
        return SUITES[kem]
    except KeyError:
        raise KeyFormatInvalid("unknown KEM") from None
