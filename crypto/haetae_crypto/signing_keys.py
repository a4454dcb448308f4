"""Our own Ed25519 signing keys: those that sign Passports, and the root key that signs the published key
list.

Rules kept: a key is named by its ring; its secret never shows in `repr`; the public half is published as a
JWK with `kid`, `alg` and `use`.

Not done here: rotation (`keyring`), files (`io.key_files`), tokens (`jws`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from haetae_crypto.errors import KeyFormatInvalid
from haetae_crypto.jwk import PrivateJwk, PublicJwk, ed25519_private_from_seed, parse_private_jwk
from haetae_crypto.keyring import KeyRing, KeyState, RingEntry
from haetae_crypto.signature_algorithms import expand_ed25519_seed, sign_ed25519

DAY: Final = 86_400


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """An Ed25519 key pair under a key id."""

    kid: str
    jwk: PrivateJwk
    _expanded: bytes

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r}, thumbprint={self.jwk.public.thumbprint!r})"

    @classmethod
    def from_seed(cls, seed: bytes, *, kid: str | None = None) -> "SigningKey":
        """A key from 32 random bytes, named by its thumbprint unless `kid` is given.

        Raises KeyFormatInvalid when `seed` does not have 32 bytes.
        """
        name = kid or ed25519_private_from_seed(seed).public.thumbprint
        return cls(kid=name, jwk=ed25519_private_from_seed(seed, kid=name), _expanded=expand_ed25519_seed(seed))

    @classmethod
    def from_secret_dict(cls, kid: str, members: Mapping[str, object]) -> "SigningKey":
        """Read what `to_secret_dict` wrote. Raises KeyFormatInvalid when it is not such a key named `kid`."""
        jwk = parse_private_jwk(members)
        if jwk.public.kty != "OKP" or jwk.public.kid != kid:
            raise KeyFormatInvalid("not an Ed25519 signing key of that id")
        seed = jwk.ed25519_seed()
        return cls(kid=kid, jwk=jwk, _expanded=expand_ed25519_seed(seed))

    @property
    def public(self) -> PublicJwk:
        """The public half."""
        return self.jwk.public

    def to_secret_dict(self) -> dict[str, str]:
        """The private JWK. For key files only."""
        return self.jwk.to_secret_dict()

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature of `message`."""
        return sign_ed25519(self._expanded, message)


SigningRing = KeyRing[SigningKey]


def new_signing_ring(seed: bytes, *, now: int, life: int = 90 * DAY) -> SigningRing:
    """A ring with one active key from 32 random bytes, good for `life` seconds from `now`."""
    key = SigningKey.from_seed(seed)
    return KeyRing((RingEntry(kid=key.kid, key=key, state=KeyState.ACTIVE, not_before=now, not_after=now + life),))


def next_signing_entry(seed: bytes, *, now: int, lead: int = DAY, life: int = 90 * DAY) -> RingEntry[SigningKey]:
    """A fresh key for `KeyRing.rotate`: published at `now`, used `lead` seconds later for `life` seconds."""
    key = SigningKey.from_seed(seed)
    start = now + lead
    return RingEntry(kid=key.kid, key=key, state=KeyState.NEXT, not_before=start, not_after=start + life)


def public_jwks(ring: SigningRing, *, now: float) -> dict[str, object]:
    """The JSON Web Key Set that verifiers fetch: next, active and verify-only keys, without secrets.

    Raises KeyUnavailable when there is none.
    """
    keys = [entry.key.public.to_dict() | {"use": "sig"} for entry in ring.published_for_verification(now=now)]
    return {"keys": keys}
