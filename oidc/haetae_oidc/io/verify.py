"""Verifying an access token while its issuer may just have rotated its keys.

Rules kept: the usual case costs no await; an unknown key causes one look and one more try.
Not done here: HTTP.
"""

from haetae_oidc.access_claims import AccessToken
from haetae_oidc.access_token import AccessTokenVerifier
from haetae_oidc.errors import KeyUnknown
from haetae_oidc.io.jwks import IssuerKeySet


async def verify_access_token(
    token: str, *, verifier: AccessTokenVerifier, keys: IssuerKeySet, now: float
) -> AccessToken:
    """The verified token at `now` (Unix seconds). `keys` are those that `verifier` was made with.

    Raises TokenInvalid (401) or KeysUnavailable (503).
    """
    try:
        return verifier.verify(token, now=now)
    except KeyUnknown as unknown:
        await keys.learn(unknown.unverified_kid)
        return verifier.verify(token, now=now)
