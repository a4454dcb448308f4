"""What the provider promises: its name, lifetimes, and the discovery document."""

from dataclasses import dataclass

SCOPES = ("openid", "profile", "email", "groups", "offline_access")
ACR_VALUES = ("pwd", "mfa")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """All times in seconds. ``issuer`` is the base URL without a trailing slash."""

    issuer: str
    code: int = 60
    access: int = 300
    id_token: int = 300
    refresh: int = 12 * 3600
    sign_in: int = 12 * 3600

    @property
    def longest(self) -> int:
        """The longest life of anything signed."""
        return max(self.access, self.id_token)


def discovery(terms: Terms, *, algorithm: str, scopes: tuple[str, ...]) -> dict[str, object]:
    """OpenID Connect Discovery section 3, RFC 8414, RFC 9207, back-channel and RP-initiated logout."""
    issuer = terms.issuer
    methods = ["client_secret_basic", "client_secret_post"]
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks.json",
        "introspection_endpoint": f"{issuer}/introspect",
        "revocation_endpoint": f"{issuer}/revoke",
        "end_session_endpoint": f"{issuer}/logout",
        "scopes_supported": list(scopes),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [algorithm],
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "code_challenge_methods_supported": ["S256"],
        "acr_values_supported": list(ACR_VALUES),
        "prompt_values_supported": ["none", "login", "select_account"],
        "ui_locales_supported": ["en", "ko"],
        "claims_supported": [
            "sub", "sid", "auth_time", "acr", "amr", "nonce", "name", "preferred_username", "email",
            "email_verified", "groups",
        ],
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }  # fmt: skip
