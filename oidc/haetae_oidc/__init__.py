"""Access tokens of OAuth 2 issuers: read strictly, verified fully, remembered briefly."""

from haetae_oidc.access_claims import AccessToken
from haetae_oidc.access_token import AccessTokenVerifier, IssuerKeys
from haetae_oidc.bearer import Challenge, bearer_challenge, parse_bearer
from haetae_oidc.errors import (
    BearerMalformed,
    KeysUnavailable,
    KeyUnknown,
    LoginInvalid,
    LoginStale,
    LogoutTokenInvalid,
    OidcError,
    ProviderUnavailable,
    ScopeInsufficient,
    SessionMissing,
    SessionStoreUnavailable,
    SettingsInvalid,
    TokenInvalid,
    TokenRefused,
)
from haetae_oidc.relying_party import ProviderSettings
from haetae_oidc.session import Begun, EndedSession, Finished, Loaded, SessionSettings, StaffSession
from haetae_oidc.token_policy import ACCESS_TOKEN_TYPES, ASYMMETRIC_ALGORITHMS, TokenPolicy

__all__ = [
    "ACCESS_TOKEN_TYPES",
    "ASYMMETRIC_ALGORITHMS",
    "AccessToken",
    "AccessTokenVerifier",
    "BearerMalformed",
    "Begun",
    "Challenge",
    "EndedSession",
    "Finished",
    "IssuerKeys",
    "KeyUnknown",
    "KeysUnavailable",
    "Loaded",
    "LoginInvalid",
    "LoginStale",
    "LogoutTokenInvalid",
    "OidcError",
    "ProviderSettings",
    "ProviderUnavailable",
    "ScopeInsufficient",
    "SessionMissing",
    "SessionSettings",
    "SessionStoreUnavailable",
    "SettingsInvalid",
    "StaffSession",
    "TokenInvalid",
    "TokenPolicy",
    "TokenRefused",
    "bearer_challenge",
    "parse_bearer",
]
