"""Access tokens of the configured issuers: which one a token claims to be from, fresh keys when needed."""

from __future__ import annotations

from collections.abc import Sequence

from haetae_crypto.compact_jwt import read_unverified_jwt
from haetae_crypto.errors import JwsInvalid
from haetae_oidc import AccessToken, AccessTokenVerifier, KeysUnavailable, KeyUnknown, TokenInvalid
from haetae_oidc.io.jwks import KeySource

from haetae_edge.services import DependencyUnavailable


class IssuerTokens:
    """One verifier per issuer. The unverified `iss` only chooses which rules apply; those rules then check it."""

    def __init__(self, verifiers: Sequence[AccessTokenVerifier], keys: KeySource) -> None:
        self._verifiers = {verifier.policy.issuer: verifier for verifier in verifiers}
        self._only = verifiers[0] if len(verifiers) == 1 else None
        self._keys = keys

    def verify(self, token: str, *, now: float) -> AccessToken:
        """Raises TokenInvalid, or its subclass KeyUnknown when `refresh` may help."""
        return self._verifier(token).verify(token, now=now)

    async def refresh(self, token: str, unverified_kid: str | None) -> None:
        """Fetch the keys this token needs. Raises TokenInvalid or DependencyUnavailable."""
        issuer = self._verifier(token).policy.issuer
        try:
            await self._keys.keys_of(issuer).learn(unverified_kid)
        except KeyUnknown:
            raise
        except KeysUnavailable as error:
            raise DependencyUnavailable from error

    def forget_user(self, subject: str) -> None:
        """Drop remembered tokens of a user: the next use of each is verified in full."""
        for verifier in self._verifiers.values():
            verifier.forget_user(subject)

    def _verifier(self, token: str) -> AccessTokenVerifier:
        if self._only is not None:
            return self._only
        try:
            unverified = read_unverified_jwt(token, max_chars=8000)
            unverified_issuer = unverified.read_unverified_claims().get("iss")
        except JwsInvalid as error:
            raise TokenInvalid("malformed") from error
        verifier = self._verifiers.get(unverified_issuer) if isinstance(unverified_issuer, str) else None
        if verifier is None:
            raise TokenInvalid("issuer")
        return verifier
