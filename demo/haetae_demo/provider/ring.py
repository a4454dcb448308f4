"""The provider's signing keys, rotated without a refused token.

Rules kept: a new key is published before it signs; an old one stays published until the last token it signed
has run out; bounded. Time is an argument. Keys live in memory: a restarted provider has new ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey, RSAKey

from haetae_demo.errors import CapacityReached, CredentialsInvalid

ALGORITHMS = ("RS256", "ES256")
MAX_KEYS = 16
_SKEW = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RingKey:
    """One key. Times in Unix seconds; ``publish_until`` is None while it has no successor."""

    kid: str
    key: RSAKey | ECKey
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    sign_from: float
    publish_until: float | None


class KeyRing:
    """The ring.

    Args:
        algorithm: ``RS256`` or ``ES256``.
        now: Unix seconds; the first key signs from here.
        retain: seconds a key stays published after its successor signs: the longest life of a token.
    """

    def __init__(self, *, algorithm: str, now: float, retain: int) -> None:
        self.algorithm = algorithm
        self._retain = retain + _SKEW
        self._made = 0
        self._keys: tuple[RingKey, ...] = (self._fresh(now),)

    def _fresh(self, sign_from: float) -> RingKey:
        self._made += 1
        if self.algorithm == "RS256":
            private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
            private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            kind: type[RSAKey | ECKey] = RSAKey
        else:
            private = ec.generate_private_key(ec.SECP256R1())
            kind = ECKey
        key = kind.import_key(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        kid = f"op-{self._made}-{key.thumbprint()[:8]}"
        return RingKey(kid=kid, key=key, private=private, sign_from=sign_from, publish_until=None)

    def rotate(self, *, now: float, lead: int) -> RingKey:
        """Publish a new key at once; it signs ``lead`` seconds from ``now``.

        Raises:
            CapacityReached: too many keys are still published.
        """
        self._prune(now)
        if len(self._keys) >= MAX_KEYS:
            raise CapacityReached("too many signing keys are still published")
        successor = self._fresh(now + lead)
        until = successor.sign_from + self._retain
        self._keys = (
            *(replace(key, publish_until=key.publish_until or until) for key in self._keys),
            successor,
        )
        return successor

    def signing(self, *, now: float) -> RingKey:
        """The key that signs now."""
        return max((key for key in self._keys if key.sign_from <= now), key=lambda key: key.sign_from)

    def sign(self, claims: Mapping[str, Any], *, typ: str, now: float) -> str:
        """A compact JWT."""
        key = self.signing(now=now)
        return jwt.encode(dict(claims), key.private, algorithm=self.algorithm, headers={"typ": typ, "kid": key.kid})

    def open(self, token: str, *, issuer: str, now: float) -> dict[str, Any]:
        """The claims of a JWT this ring signed, run out or not (for ``id_token_hint``).

        Raises:
            CredentialsInvalid: not ours.
        """
        self._prune(now)
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            found = next((key for key in self._keys if key.kid == kid), None)
            if found is None:
                raise CredentialsInvalid("this token was not signed here")
            claims: dict[str, Any] = jwt.decode(
                token,
                found.private.public_key(),
                algorithms=[self.algorithm],
                issuer=issuer,
                options={"verify_exp": False, "verify_aud": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError as error:
            raise CredentialsInvalid("this token was not signed here") from error
        return claims

    def jwks(self, *, now: float) -> Mapping[str, object]:
        """The key set to publish (RFC 7517 section 5)."""
        self._prune(now)
        return {
            "keys": [
                {**key.key.as_dict(private=False), "kid": key.kid, "use": "sig", "alg": self.algorithm}
                for key in self._keys
            ]
        }

    def _prune(self, now: float) -> None:
        self._keys = tuple(key for key in self._keys if key.publish_until is None or key.publish_until > now)
