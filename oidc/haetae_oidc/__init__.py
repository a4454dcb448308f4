"""Access tokens of OAuth 2 issuers: read strictly, verified fully, remembered briefly."""

from haetae_oidc.access_claims import AccessToken
from haetae_oidc.access_token import AccessTokenVerifier, IssuerKeys
from haetae_oidc.bearer import Challenge, bearer_challenge, parse_bearer
from haetae_oidc.errors import (
    BearerMalformed,
    KeysUnavailable,
    KeyUnknown,
    OidcError,
    ScopeInsufficient,
    SettingsInvalid,
    TokenInvalid,
)
from haetae_oidc.token_policy import ACCESS_TOKEN_TYPES, ASYMMETRIC_ALGORITHMS, TokenPolicy

__all__ = [
    "ACCESS_TOKEN_TYPES",
    "ASYMMETRIC_ALGORITHMS",
    "AccessToken",
    "AccessTokenVerifier",
    "BearerMalformed",
    "Challenge",
    "IssuerKeys",
    "KeyUnknown",
    "KeysUnavailable",
    "OidcError",
    "ScopeInsufficient",
    "SettingsInvalid",
    "TokenInvalid",
    "TokenPolicy",
    "bearer_challenge",
    "parse_bearer",
]
