"""Verifying a Passport (RFC 8725 applied to our one token kind).

Rules kept: one algorithm (`EdDSA`) and one key type (Ed25519; never Ed448, never a symmetric key); `typ` is
exactly `passport+jwt`; a `kid` is required and only ever compared; `iss` and `aud` are equal to what is
configured, and `aud` is one string; every claim has its type; the token is young, short-lived and bounded in
size. Claims are read only after the signature held. PyJWT
checks the signature; it never sees the token, whose strict reading is `haetae_crypto.compact_jwt`'s work.

One Passport serves many requests, so that a signature held is remembered, and nothing else: claims are read
and judged anew, and what one request's handler does to them is no other's business.

Not done here: fetching keys (`io/jwks.py`), one-time use.
"""

from dataclasses import dataclass, field
from typing import Final

from haetae_crypto.compact_jwt import UnverifiedJwt, read_unverified_jwt
from haetae_crypto.errors import JwsInvalid
from haetae_crypto.jwk import PublicJwk
from haetae_crypto.jwks import JwkSet
from jwt import get_algorithm_by_name

from haetae_passport.claims import Passport, parse_claims
from haetae_passport.errors import PassportInvalid, PassportKeyUnknown

PASSPORT_ALG: Final = "EdDSA"
PASSPORT_TYP: Final = "passport+jwt"
PASSPORT_LIFETIME: Final = 60
#: Signatures that a verifier remembers: of the order of 1 KB each.
HELD_LIMIT: Final = 4096
_EDDSA: Final = get_algorithm_by_name(PASSPORT_ALG)
MAX_PASSPORT_CHARS: Final = 8000
"""One header line that common servers still accept (aiohttp 8190, nginx and Node 8 KiB and more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassportPolicy:
    """Which Passports a service accepts. Times in seconds.

    `issuer` is the gateway's `iss`, `audience` this service's own name. `leeway` covers clocks that differ.
    """

    issuer: str
    audience: str
    max_lifetime: int = PASSPORT_LIFETIME
    leeway: int = 5

    def __post_init__(self) -> None:
        if not self.issuer or not self.audience:
            raise ValueError("issuer and audience are required")
        if self.max_lifetime <= 0 or not 0 <= self.leeway <= 60:
            raise ValueError("max_lifetime is positive, leeway 0 to 60 seconds")


@dataclass(frozen=True, slots=True)
class UnverifiedPassport:
    """A token whose header asks for what we accept. `kid` says which key to look for, and nothing more."""

    unverified_kid: str
    jwt: UnverifiedJwt


class HeldSignatures:
    """Signatures that held lately, each with the very key it was checked with. Bounded: the oldest goes first."""

    __slots__ = ("_held", "_limit")

    def __init__(self, limit: int = HELD_LIMIT) -> None:
        """`limit` is a number of signatures; 0 remembers none."""
        self._limit = limit
        self._held: dict[tuple[bytes, bytes], PublicJwk] = {}

    def __len__(self) -> int:
        return len(self._held)

    def holds(self, jwt: UnverifiedJwt, jwk: PublicJwk) -> bool:
        """Whether `jwk` signed this text, checked now or before. A key that was withdrawn is not asked for again."""
        signed = (jwt.signing_input, jwt.signature)
        if self._held.get(signed) is jwk:
            return True
        if not _EDDSA.verify(jwt.signing_input, jwk.key, jwt.signature):
            return False
        self._held[signed] = jwk
        if len(self._held) > self._limit:
            for oldest in self._held:
                self._held.pop(oldest, None)
                break
        return True


@dataclass(frozen=True, slots=True)
class PassportVerifier:
    """Verifies Passports under one policy: `verify`, or `read_unverified`, find the keys, `verify_read`."""

    policy: PassportPolicy
    held: HeldSignatures = field(default_factory=HeldSignatures, repr=False, compare=False)

    def verify(self, token: str, *, keys: JwkSet, now: float) -> Passport:
        """The Passport in `token`, signed by one of `keys`, valid at `now` (Unix seconds).

        Raises PassportInvalid, or its subclass PassportKeyUnknown when fresher keys might help.
        """
        return self.verify_read(self.read_unverified(token), keys=keys, now=now)

    def read_unverified(self, token: str) -> UnverifiedPassport:
        """Take the token apart and check its header, so that only plausible tokens cause a look-up of keys.

        Next: `verify_read`. Raises PassportInvalid.
        """
        try:
            jwt = read_unverified_jwt(token, max_chars=MAX_PASSPORT_CHARS)
        except JwsInvalid as why:
            raise PassportInvalid("malformed") from why
        header = jwt.unverified_header
        if header.alg != PASSPORT_ALG:
            raise PassportInvalid("algorithm")
        if header.typ != PASSPORT_TYP:
            raise PassportInvalid("type")
        if header.kid is None:
            raise PassportInvalid("key-id")
        return UnverifiedPassport(unverified_kid=header.kid, jwt=jwt)

    def verify_read(self, unverified: UnverifiedPassport, *, keys: JwkSet, now: float) -> Passport:
        """See `verify`."""
        jwk = keys.find(unverified.unverified_kid, PASSPORT_ALG)
        if jwk is None:
            raise PassportKeyUnknown
        jwt = unverified.jwt
        if not self.held.holds(jwt, jwk):
            raise PassportInvalid("signature")
        try:
            claims = jwt.read_unverified_claims()
        except JwsInvalid as why:
            raise PassportInvalid("malformed") from why
        passport = parse_claims(claims)
        self._check(passport, now=now)
        return passport

    def _check(self, passport: Passport, *, now: float) -> None:
        policy = self.policy
        if passport.issuer != policy.issuer:
            raise PassportInvalid("issuer")
        if passport.audience != policy.audience:
            raise PassportInvalid("audience")
        if not 0 < passport.expires_at - passport.issued_at <= policy.max_lifetime:
            raise PassportInvalid("lifetime")
        if passport.issued_at > now + policy.leeway:
            raise PassportInvalid("issued-in-the-future")
        if now >= passport.expires_at + policy.leeway:
            raise PassportInvalid("expired")
