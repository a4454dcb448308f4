"""Access tokens as RFC 9068 wants them, bound to a device key.

The binding is the ``cnf`` member of RFC 7800 with the thumbprint form of RFC 9449 section 6.1. Time and the
token id are arguments. Does not decide who gets a token: see :mod:`haetae_demo.assertions`.
"""

from collections.abc import Collection
from dataclasses import dataclass

import jwt

from haetae_demo.errors import RequestInvalid
from haetae_demo.issuer_keys import IssuerKeys

SCOPES = frozenset({"accounts:read", "transfers:write", "profile"})
CLIENT_ID = "haetae-demo-mobile"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTerms:
    """What every token of one issuer says: who issued it, for which resource, for how many seconds."""

    issuer: str
    audience: str
    lifetime: int = 300


def requested_scopes(text: str | None) -> frozenset[str]:
    """The scopes of a token request (RFC 6749 section 3.3); None asks for all of them.

    Raises:
        RequestInvalid: a scope this issuer does not have.
    """
    if text is None:
        return SCOPES
    asked = frozenset(text.split(" "))
    if not asked <= SCOPES:
        raise RequestInvalid("scope: knows only " + " ".join(sorted(SCOPES)))
    return asked


def issue_access_token(
    *,
    keys: IssuerKeys,
    terms: TokenTerms,
    sub: str,
    scopes: Collection[str],
    jkt: str,
    jti: str,
    now: float,
    client_id: str = CLIENT_ID,
) -> str:
    """A signed token for ``sub`` that only the holder of the device key with thumbprint ``jkt`` can use."""
    key = keys.signing(now=now)
    issued = int(now)
    claims = {
        "iss": terms.issuer,
        "sub": sub,
        "aud": terms.audience,
        "client_id": client_id,
        "scope": " ".join(sorted(scopes)),
        "iat": issued,
        "exp": issued + terms.lifetime,
        "jti": jti,
        "cnf": {"jkt": jkt},
    }
    return jwt.encode(claims, key.private, algorithm="ES256", headers={"typ": "at+jwt", "kid": key.kid})


def server_metadata(*, issuer: str) -> dict[str, object]:
    """Authorization server metadata (RFC 8414 section 2)."""
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks.json",
        "scopes_supported": sorted(SCOPES),
        "response_types_supported": [],
        "grant_types_supported": ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
        "token_endpoint_auth_methods_supported": ["none"],
    }
