"""Access tokens of OAuth 2 issuers: read strictly, verified fully, remembered briefly."""

from haetae_oidc.access_claims import AccessToken
from haetae_oidc.access_token import AccessTokenVerifier, IssuerKeys
from haetae_oidc.bearer import (
    Challenge,
    PresentedToken,
    bearer_challenge,
    dpop_challenge,
    parse_bearer,
    parse_presented,
)
from haetae_oidc.breaker import Breaker, BreakerLimits, BreakerState
from haetae_oidc.dpop import DpopNonces, DpopPolicy, DpopProof, verify_dpop_proof
from haetae_oidc.errors import (
    BearerMalformed,
    DpopInvalid,
    DpopNonceRequired,
    IntrospectionUnavailable,
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
from haetae_oidc.introspection import IntrospectionPolicy
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
    "Breaker",
    "BreakerLimits",
    "BreakerState",
    "Challenge",
    "DpopInvalid",
    "DpopNonceRequired",
    "DpopNonces",
    "DpopPolicy",
    "DpopProof",
    "EndedSession",
    "Finished",
    "IntrospectionPolicy",
    "IntrospectionUnavailable",
    "IssuerKeys",
    "KeyUnknown",
    "KeysUnavailable",
    "Loaded",
    "LoginInvalid",
    "LoginStale",
    "LogoutTokenInvalid",
    "OidcError",
    "PresentedToken",
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
    "dpop_challenge",
    "parse_bearer",
    "parse_presented",
    "verify_dpop_proof",
]
