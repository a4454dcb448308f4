"""Access tokens for the measured routes: an issuer with one P-256 key, and a token for each of many callers.

Many different tokens, because a gateway that remembers verified tokens would otherwise be measured
remembering one.
"""

import base64
import hashlib
import json
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["AUDIENCE", "ISSUER", "SCOPE", "Caller", "Issuer", "b64url"]

ISSUER = "https://issuer.bench.example"
AUDIENCE = "https://api.bench.example"
SCOPE = "accounts:read"
LIFETIME_SECONDS = 900


def b64url(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a token speaks of. `jkt` binds it to a device key (RFC 9449 thumbprint)."""

    sub: str
    jkt: str | None = None


class Issuer:
    """Signs RFC 9068 access tokens with ES256."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        numbers = self._key.public_key().public_numbers()
        public = {
            "crv": "P-256",
            "kty": "EC",
            "x": b64url(numbers.x.to_bytes(32, "big")),
            "y": b64url(numbers.y.to_bytes(32, "big")),
        }
        canonical = json.dumps(public, separators=(",", ":"), sort_keys=True).encode()
        self.kid = b64url(hashlib.sha256(canonical).digest())
        self.jwks = json.dumps({"keys": [{**public, "kid": self.kid, "use": "sig", "alg": "ES256"}]})

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """For those who verify."""
        return self._key.public_key()

    def token(self, caller: Caller, *, now: int, number: int) -> str:
        """A token for `caller`, valid from `now` (Unix seconds) for 15 minutes; `number` makes its `jti`
        unique.
        """
        claims: dict[str, object] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": caller.sub,
            "client_id": "bench-app",
            "scope": SCOPE,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
            "jti": f"bench-{now}-{number}",
        }
        if caller.jkt is not None:
            claims["cnf"] = {"jkt": caller.jkt}
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"typ": "at+jwt", "kid": self.kid})
