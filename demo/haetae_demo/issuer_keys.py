"""The token issuer's signing keys: ES256, rotated without a refused token.

Rules kept: a new key is published before it signs (``lead`` seconds), so that every verifier that refreshes
its key set within that time knows it; an old key stays published until the last token it signed has run out.
Time is an argument. Keys live in memory: a restarted issuer starts with a new key, and tokens last minutes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric import ec
from haetae_crypto.jwk import public_jwk_of

from haetae_demo.errors import CapacityReached

MAX_KEYS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerKey:
    """One key. Times in Unix seconds; ``publish_until`` is None while no successor is known."""

    kid: str
    private: ec.EllipticCurvePrivateKey
    sign_from: float
    publish_until: float | None

    def public_jwk(self) -> dict[str, str]:
        """The public half, as it appears in the key set (RFC 7517, RFC 7518 section 6.2)."""
        public = public_jwk_of(self.private.public_key(), kid=self.kid, alg="ES256")
        return public.to_dict() | {"use": "sig"}


class IssuerKeys:
    """The ring.

    Args:
        now: Unix seconds; the first key signs from here.
        token_lifetime: seconds a token lives; old keys stay published that long (and a minute of skew) after
        their
            last signature.
    """

    def __init__(self, *, now: float, token_lifetime: int) -> None:
        self._retain = token_lifetime + 60
        self._made = 0
        self._keys: tuple[IssuerKey, ...] = (self._fresh(sign_from=now),)

    def _fresh(self, *, sign_from: float) -> IssuerKey:
        self._made += 1
        private = ec.generate_private_key(ec.SECP256R1())
        point = private.public_key().public_numbers().x.to_bytes(32, "big")
        return IssuerKey(
            kid=f"iss-{self._made}-{point.hex()[:8]}",
            private=private,
            sign_from=sign_from,
            publish_until=None,
        )

    def rotate(self, *, now: float, lead: int) -> IssuerKey:
        """Publish a new key at once; it signs ``lead`` seconds from ``now``. Returns it.

        Raises:
            CapacityReached: too many keys are still published; wait for old ones to run out.
        """
        self._prune(now)
        if len(self._keys) >= MAX_KEYS:
            raise CapacityReached("too many signing keys are still published")
        successor = self._fresh(sign_from=now + lead)
        until = successor.sign_from + self._retain
        self._keys = (
            *(replace(key, publish_until=key.publish_until or until) for key in self._keys),
            successor,
        )
        return successor

    def signing(self, *, now: float) -> IssuerKey:
        """The key that signs now: the youngest whose time has come."""
        return max((key for key in self._keys if key.sign_from <= now), key=lambda key: key.sign_from)

    def jwks(self, *, now: float) -> Mapping[str, object]:
        """The key set to publish (RFC 7517 section 5): future, current and still needed keys."""
        self._prune(now)
        return {"keys": [key.public_jwk() for key in self._keys]}

    def _prune(self, now: float) -> None:
        self._keys = tuple(key for key in self._keys if key.publish_until is None or key.publish_until > now)
