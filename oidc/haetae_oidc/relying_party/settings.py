"""The provider that staff sign in with, as configured.

Rules kept (RFC 8725, OpenID Connect Core 3.1.3.7): signature algorithms are listed and asymmetric, because a MAC with
the client secret would make every holder of the secret an issuer; the issuer is an https URL, or loopback http when
asked for.

Not done here: what the provider says of itself; see `metadata.py`.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from haetae_crypto.errors import KeyFormatInvalid
from haetae_crypto.jwk import PrivateJwk
from haetae_crypto.jwks import check_jwks_url

from haetae_oidc.errors import SettingsInvalid
from haetae_oidc.token_policy import ASYMMETRIC_ALGORITHMS

ClientAuth = Literal["client_secret_basic", "client_secret_post", "private_key_jwt"]
AUTH_METHODS: Final = ("client_secret_basic", "client_secret_post", "private_key_jwt")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """One provider and our registration with it. Raises SettingsInvalid for what cannot be safe.

    - `issuer`: exactly as the provider writes it; the discovery document is below it.
    - `client_secret` for `client_secret_basic` and `client_secret_post`, `client_key` (with its `kid`) for
      `private_key_jwt`.
    - `scopes`: `openid` must be among them; `offline_access` where the provider wants it for refresh tokens.
    - `groups_claim`: the name of a claim, or a path with dots into objects (`realm_access.roles`).
    - `algorithms`: what ID and logout tokens may be signed with: those registered for us.
    - `trusted_audiences`: further audiences an ID token may have.
    - `use_userinfo`: also ask the UserInfo endpoint, at login and refresh, for claims the ID token does not have.
    - `assertion_audience`: `aud` of our client assertions; None is the issuer.
    - `leeway`: seconds for clocks that differ. `timeout`: seconds of one call. `loopback_http`: for local stacks.
    """

    issuer: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    client_key: PrivateJwk | None = field(default=None, repr=False)
    client_auth: ClientAuth = "client_secret_basic"
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    groups_claim: str = "groups"
    algorithms: frozenset[str] = frozenset({"RS256"})
    trusted_audiences: frozenset[str] = frozenset()
    use_userinfo: bool = False
    assertion_audience: str | None = None
    leeway: int = 30
    timeout: float = 5.0
    loopback_http: bool = False

    def __post_init__(self) -> None:
        try:
            check_jwks_url(self.issuer, loopback_http=self.loopback_http)
        except KeyFormatInvalid as why:
            raise SettingsInvalid("issuer is an https URL without user information and fragment") from why
        if "?" in self.issuer or not 0 < len(self.client_id) <= 256 or not self.client_id.isprintable():
            raise SettingsInvalid("issuer has no query; client_id is 1 to 256 printable characters")
        if not self.algorithms or not self.algorithms <= ASYMMETRIC_ALGORITHMS:
            raise SettingsInvalid("algorithms must be listed, and be asymmetric ones")
        if "openid" not in self.scopes or any(not scope or " " in scope for scope in self.scopes):
            raise SettingsInvalid("scopes are words, and openid is one of them")
        if self.client_auth not in AUTH_METHODS:
            raise SettingsInvalid(f"client_auth is one of {', '.join(AUTH_METHODS)}")
        if (self.client_auth == "private_key_jwt") != (self.client_key is not None):
            raise SettingsInvalid("client_key belongs to private_key_jwt")
        if (self.client_auth == "private_key_jwt") == bool(self.client_secret):
            raise SettingsInvalid("client_secret belongs to client_secret_basic and client_secret_post")
        if not 0 <= self.leeway <= 300 or not 0 < self.timeout <= 60:
            raise SettingsInvalid("leeway is 0 to 300 s, timeout up to 60 s")
