"""JWT access tokens (RFC 9068) checked by the rules of RFC 8725.

Rules kept:
- The header is checked against the policy before any key is looked up; the signature before any claim is
  read.
- Exact comparison of issuer, audience and type; every claim has its type; numbers are whole seconds.
- A token that says it is bound to a key (`cnf`, RFC 7800) in a way we cannot check is refused: reading it as
  a plain bearer token would undo the binding.
- A verified token is remembered under the hash of its signing input, together with its signature, until it
  expires. The memory is bounded, forgets everything when the issuer publishes other keys, and never skips the
  time check.

Not done here: fetching keys (`io/jwks.py`), proof of the bound key, one-time use (`jti`), introspection,
sessions.
"""

from hashlib import sha256
from typing import Final, Protocol

from haetae_crypto.compact_jwt import UnverifiedJwt, read_unverified_jwt
from haetae_crypto.errors import JwsInvalid
from haetae_crypto.jwks import JwkSet

from haetae_oidc.access_claims import AccessToken, parse_access_claims
from haetae_oidc.errors import KeyUnknown, TokenInvalid
from haetae_oidc.jwt_signature import verify_jwt_signature
from haetae_oidc.token_memory import TokenMemory
from haetae_oidc.token_policy import TokenPolicy

DEFAULT_REMEMBERED: Final = 10_000


class IssuerKeys(Protocol):
    """The keys of one issuer, kept fresh by somebody else."""

    @property
    def current(self) -> JwkSet | None:
        """The newest good set, the same object until the keys change; None when there is no usable one."""


class AccessTokenVerifier:
    """Verifies access tokens under one policy with the keys of its issuer. One per event loop and policy."""

    __slots__ = ("_keys", "_memory", "policy")

    def __init__(self, policy: TokenPolicy, keys: IssuerKeys, *, remembered: int = DEFAULT_REMEMBERED) -> None:
        """`remembered` bounds the number of verified tokens kept; 0 keeps none (for one-time tokens)."""
        self.policy = policy
        self._keys = keys
        self._memory = TokenMemory(remembered)

    def verify(self, token: str, *, now: float) -> AccessToken:
        """The verified token; `now` is Unix seconds.

        Raises TokenInvalid; or its subclass KeyUnknown, after which `KeySource.learn` and one more try may
        help.
        """
        if len(token) > self.policy.max_chars:
            raise TokenInvalid("malformed")
        keys = self._keys.current
        signed, _, signature = token.rpartition(".")
        digest = sha256(signed.encode("utf-8", "surrogatepass")).digest()
        known = None if keys is None else self._memory.recall(digest, signature, keys)
        if known is not None:
            self._check_times(known, now=now)
            return known
        unverified = self._read(token)
        if keys is None:
            raise KeyUnknown(unverified.unverified_header.kid)
        access = self._verify_read(unverified, keys, now=now)
        self._memory.remember(digest, signature, keys, access, now=now)
        return access

    def clear(self) -> None:
        """Forget every remembered token: the next use of each is verified in full."""
        self._memory.clear()

    def forget_user(self, subject: str) -> None:
        """Forget the remembered tokens of one `sub`."""
        self._memory.forget_user(subject)

    def _read(self, token: str) -> UnverifiedJwt:
        try:
            unverified = read_unverified_jwt(token, max_chars=self.policy.max_chars)
        except JwsInvalid as why:
            raise TokenInvalid("malformed") from why
        header = unverified.unverified_header
        if header.alg not in self.policy.algorithms:
            raise TokenInvalid("algorithm")
        if header.typ not in self.policy.types:
            raise TokenInvalid("type")
        return unverified

    def _verify_read(self, unverified: UnverifiedJwt, keys: JwkSet, *, now: float) -> AccessToken:
        header = unverified.unverified_header
        jwk = keys.find(header.kid, header.alg)
        if jwk is None:
            if header.kid is not None and keys.knows(header.kid):
                raise TokenInvalid("algorithm")
            if header.kid is None:
                raise TokenInvalid("key-id")
            raise KeyUnknown(header.kid)
        verify_jwt_signature(jwk, header.alg, signing_input=unverified.signing_input, signature=unverified.signature)
        try:
            claims = unverified.read_unverified_claims()
        except JwsInvalid as why:
            raise TokenInvalid("malformed") from why
        access = parse_access_claims(claims)
        self._check_claims(access)
        self._check_times(access, now=now)
        return access

    def _check_claims(self, access: AccessToken) -> None:
        policy = self.policy
        if access.issuer != policy.issuer:
            raise TokenInvalid("issuer")
        if policy.audience not in access.audience:
            raise TokenInvalid("audience")
        if not 0 < access.expires_at - access.issued_at <= policy.max_lifetime:
            raise TokenInvalid("lifetime")
        for name in policy.required:
            if access.claims.get(name) is None:
                raise TokenInvalid(f"claim-{name}")

    def _check_times(self, access: AccessToken, *, now: float) -> None:
        leeway = self.policy.leeway
        if now >= access.expires_at + leeway:
            raise TokenInvalid("expired")
        if access.issued_at > now + leeway:
            raise TokenInvalid("issued-in-the-future")
        if access.not_before > now + leeway:
            raise TokenInvalid("not-yet-valid")
