"""What `gateway.yaml` says of signing in: the provider under `oidc`, the sessions under `session`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from haetae_edge.config.values import ArgumentError, Doc, Duration, FilePath, From, Secret, parse_http_url
from haetae_edge.staff.origins import parse_web_origin

Algorithm = Literal["EdDSA", "Ed25519", "ES256", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]


def _parse_issuer(text: str) -> str:
    """An issuer, kept to the letter: some end in a slash. Raises ValueError."""
    parse_http_url(text)
    return text


IssuerUrl = Annotated[str, From(_parse_issuer, "an http or https URL, as the provider writes it")]
WebOrigin = Annotated[str, From(parse_web_origin, "an origin such as `https://kibana.example.org`")]
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSettings:
    """The OpenID provider that staff sign in with."""

    issuer: Annotated[IssuerUrl, Doc("Its issuer, compared exactly; the discovery document is below it.")]
    client_id: Annotated[str, Doc("Our name at the provider.")]
    origins: Annotated[
        tuple[WebOrigin, ...], Doc("The tools' addresses in browsers; each has its redirect URI `…/.haetae/callback`.")
    ]
    client_secret: Annotated[Secret | None, Doc("Our password there; write `${NAME}`.")] = None
    client_key: Annotated[FilePath | None, Doc("Private JWK for `client-auth: private_key_jwt`.")] = None
    client_auth: Annotated[
        Literal["client_secret_basic", "client_secret_post", "private_key_jwt"], Doc("How we prove who we are.")
    ] = "client_secret_basic"
    scopes: Annotated[tuple[str, ...], Doc("What is asked for.")] = ("openid", "profile", "email")
    groups_claim: Annotated[str, Doc("Where groups are; dots lead into objects.")] = "groups"
    algorithms: Annotated[tuple[Algorithm, ...], Doc("Accepted signatures of ID and logout tokens.")] = ("RS256",)
    userinfo: Annotated[bool, Doc("Ask the UserInfo endpoint, too.")] = False
    portal: Annotated[WebOrigin | None, Doc("The origin whose `/` lists the tools; one of `origins`.")] = None
    timeout: Annotated[Duration, Doc("For one call to the provider.")] = 5.0
    leeway: Annotated[Duration, Doc("For clocks that differ, at most 5m.")] = 30.0

    def __post_init__(self) -> None:
        if not self.client_id or not self.client_id.isprintable() or len(self.client_id) > 256:
            raise ArgumentError("client_id", "has 1 to 256 printable characters")
        if not self.origins:
            raise ArgumentError("origins", "list at least one, such as `https://kibana.example.org`")
        hosts = [urlsplit(origin).netloc for origin in self.origins]
        if len(set(hosts)) != len(hosts):
            raise ArgumentError("origins", "each host is listed once")
        for origin in self.origins:
            parts = urlsplit(origin)
            host = parts.hostname or ""
            if parts.scheme == "http" and host not in _LOOPBACK and not host.endswith(".localhost"):
                raise ArgumentError(
                    "origins", "is https: browsers keep our cookies on http for `localhost` and `*.localhost` only"
                )
        if self.portal is not None and self.portal not in self.origins:
            raise ArgumentError("portal", "is one of `origins`")
        if "openid" not in self.scopes:
            raise ArgumentError("scopes", "contain `openid`")
        if not self.algorithms:
            raise ArgumentError("algorithms", "list at least one, such as `ES256`")
        if (self.client_auth == "private_key_jwt") is not (self.client_key is not None):
            raise ArgumentError("client_key", "goes with `client-auth: private_key_jwt`, and only with it")
        if not 0 < self.timeout <= 60 or self.leeway > 300:
            raise ArgumentError("timeout", "is more than zero and at most 1m; `leeway` at most 5m")

    def hosts(self) -> dict[str, str]:
        """What `Host` says for each origin."""
        return {urlsplit(origin).netloc: origin for origin in self.origins}

    def __repr__(self) -> str:
        return f"OidcSettings(issuer={self.issuer!r}, client_id={self.client_id!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """How long somebody stays signed in."""

    idle: Annotated[Duration, Doc("Without activity.")] = 1800.0
    absolute: Annotated[Duration, Doc("At any rate.")] = 43_200.0
    refresh_before: Annotated[float, Doc("Part of a token's life that is left when it is refreshed.")] = 0.2
    grace: Annotated[Duration, Doc("How long a replaced ticket is good, for requests under way.")] = 10.0
    remembered: Annotated[
        Duration, Doc("How long a copy in memory serves while the store does not answer; at most 1m.")
    ] = 0.0
    recheck: Annotated[
        Duration, Doc("How long a session that was just looked up is believed while endings are heard; at most 2s.")
    ] = 1.0
    timeout: Annotated[Duration, Doc("For one call to the store; then it counts as unavailable.")] = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.recheck <= 2:
            raise ArgumentError("recheck", "is at most 2s; `0s` looks every session up for every request")
        if not 30 <= self.idle <= self.absolute <= 30 * 86_400:
            raise ArgumentError("idle", "is at least 30s and at most `absolute`, which is at most 30d")
        if not 0 <= self.refresh_before <= 0.9:
            raise ArgumentError("refresh_before", "is from 0 to 0.9")
        if not 0 <= self.grace <= 60 or not 0 <= self.remembered <= 60:
            raise ArgumentError("remembered", "is at most 1m, and so is `grace`")
        if not 0.01 <= self.timeout <= 10:
            raise ArgumentError("timeout", "is from 10ms to 10s")
