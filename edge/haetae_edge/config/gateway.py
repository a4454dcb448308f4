"""What `gateway.yaml` says: one frozen settings object per gateway, every limit with a unit and a default.

Reading is the loader's; this is the vocabulary. `docs/settings.md` is generated from these classes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Final, Literal

from haetae_edge.config.certificates import ClientCertificateSettings, TlsSettings
from haetae_edge.config.staff import OidcSettings, SessionSettings
from haetae_edge.config.values import (
    ArgumentError,
    DataSize,
    Derived,
    Doc,
    Duration,
    FilePath,
    HttpUrl,
    Network,
    RedisUrl,
    Secret,
    SecretText,
)
from haetae_edge.deadlines import Deadlines
from haetae_edge.filter import Filter
from haetae_edge.limits import Limits
from haetae_edge.route import RouteDefinition

Algorithm = Literal["EdDSA", "Ed25519", "ES256", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]

_LIMITS: Final = Limits()
_DEADLINES: Final = Deadlines()
_SESSION: Final = SessionSettings()
_CLIENT_CERTIFICATES: Final = ClientCertificateSettings()


def _positive(settings: object, *names: str) -> None:
    for name in names:
        if getattr(settings, name) <= 0:
            raise ArgumentError(name, "must be more than zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """Bounds of one worker's client side."""

    header_bytes: Annotated[DataSize, Doc("Request line and header fields together.")] = _LIMITS.header_bytes
    header_count: Annotated[int, Doc("Header fields of one request.")] = _LIMITS.header_count
    body_bytes: Annotated[DataSize, Doc("Request body; a route may ask for less.")] = _LIMITS.body_bytes
    header_timeout: Annotated[Duration, Doc("From the first byte of a request to the end of its header.")] = (
        _LIMITS.header_timeout
    )
    body_timeout: Annotated[Duration, Doc("For a body, plus one second per `body-rate` received.")] = (
        _LIMITS.body_timeout
    )
    body_rate: Annotated[DataSize, Doc("Bytes a second below which a body is too slow.")] = _LIMITS.body_rate
    keepalive_timeout: Annotated[Duration, Doc("How long an idle connection is kept.")] = _LIMITS.keepalive_timeout
    write_timeout: Annotated[Duration, Doc("How long the client may leave an answer unread.")] = _LIMITS.write_timeout
    drain_timeout: Annotated[Duration, Doc("How long running requests may finish at a stop or reload.")] = (
        _LIMITS.drain_timeout
    )
    connections: Annotated[int, Doc("Open client connections of one worker.")] = _LIMITS.connections

    def __post_init__(self) -> None:
        _positive(self, *(item.name for item in fields(self)))

    def limits(self) -> Limits:
        """The part the server enforces on connections."""
        return Limits(**{item.name: getattr(self, item.name) for item in fields(Limits)})


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """The shared store: nonces, policy feed, records of refusals."""

    uri: Annotated[RedisUrl, Doc("Where it is; may hold a password, so write `${NAME}`.")]
    prefix: Annotated[str, Doc("Put before every key.")] = "haetae:"
    timeout: Annotated[Duration, Doc("For one command; then the store counts as unavailable.")] = 0.05
    connections: Annotated[int, Doc("Open connections of one worker.")] = 16

    def __post_init__(self) -> None:
        _positive(self, "timeout", "connections")
        if not self.prefix.isascii() or not self.prefix.isprintable() or len(self.prefix) > 64 or " " in self.prefix:
            raise ArgumentError("prefix", "has at most 64 visible ASCII characters, such as `haetae:`")

    def __repr__(self) -> str:
        return f"RedisSettings(prefix={self.prefix!r}, timeout={self.timeout!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """The identity service: devices and people."""

    uri: Annotated[HttpUrl, Doc("Base URL.")]
    token: Annotated[Secret | None, Doc("Bearer token sent to it; write `${NAME}`.")] = None
    timeout: Annotated[Duration, Doc("For one call; then the service counts as unavailable.")] = 1.0

    def __post_init__(self) -> None:
        _positive(self, "timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerSettings:
    """One issuer of access tokens."""

    issuer: Annotated[str, Doc("The `iss` of its tokens, compared exactly.")]
    audience: Annotated[str, Doc("Must be among the `aud` of its tokens.")]
    jwks_uri: Annotated[HttpUrl, Doc("Where its keys are.")]
    algorithms: Annotated[tuple[Algorithm, ...], Doc("Accepted signature algorithms.")] = ("ES256",)
    types: Annotated[tuple[str, ...], Doc("Accepted `typ`, lower case, without `application/`.")] = ("at+jwt",)
    max_lifetime: Annotated[Duration, Doc("Longest `exp - iat`.")] = 3600.0
    leeway: Annotated[Duration, Doc("For clocks that differ, at most 5m.")] = 30.0
    required_claims: Annotated[tuple[str, ...], Doc("Beyond `iss`, `sub`, `aud`, `exp`, `iat`.")] = (
        "client_id",
        "jti",
    )

    def __post_init__(self) -> None:
        _positive(self, "max_lifetime")
        if not self.issuer:
            raise ArgumentError("issuer", "must not be empty")
        if not self.audience:
            raise ArgumentError("audience", "must not be empty")
        if not self.algorithms:
            raise ArgumentError("algorithms", "list at least one, such as `ES256`")
        if not self.types or any(kind != kind.lower() or "/" in kind or not kind for kind in self.types):
            raise ArgumentError("types", "are written in lower case and without `application/`, such as `at+jwt`")
        if self.leeway > 300:
            raise ArgumentError("leeway", "is at most 5m")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectionSettings:
    """One token service that is asked about tokens (RFC 7662)."""

    name: Annotated[str, Doc("What `Introspect` calls it.")]
    uri: Annotated[HttpUrl, Doc("Its introspection endpoint.")]
    issuer: Annotated[str, Doc("Whose tokens it knows; an answer with another `iss` is refused.")]
    audience: Annotated[str, Doc("Must be among the `aud` of its answers.")]
    client_id: Annotated[str, Doc("Our name there.")]
    client_secret: Annotated[Secret | None, Doc("Our secret there; write `${NAME}`.")] = None
    timeout: Annotated[Duration, Doc("For one call with its wait; then the service counts as unavailable.")] = 1.0
    calls: Annotated[int, Doc("Calls of one worker at a time; ten times as many wait.")] = 32
    remember: Annotated[Duration, Doc("How long an active answer is used again, never past `exp`; at most 5m.")] = 30.0
    remember_inactive: Annotated[Duration, Doc("The same for an inactive one.")] = 5.0
    remembered: Annotated[int, Doc("Active answers kept, and as many inactive ones.")] = 10_000
    leeway: Annotated[Duration, Doc("For clocks that differ, at most 5m; a token is never used past its `exp`.")] = 30.0

    def __post_init__(self) -> None:
        _positive(self, "timeout", "calls", "remembered")
        for name in ("name", "issuer", "audience", "client_id"):
            if not getattr(self, name):
                raise ArgumentError(name, "must not be empty")
        for name in ("leeway", "remember", "remember_inactive"):
            if getattr(self, name) > 300:
                raise ArgumentError(name, "is at most 5m")


@dataclass(frozen=True, slots=True, kw_only=True)
class PassportSettings:
    """The Passport this gateway mints for services."""

    issuer: Annotated[str, Doc("Its `iss`.")]
    ttl: Annotated[Duration, Doc("How long one is valid: whole seconds, 1s to 5m.")] = 60.0

    def __post_init__(self) -> None:
        if not 0 < len(self.issuer) <= 256:
            raise ArgumentError("issuer", "has 1 to 256 characters, such as `https://app.gateway.example`")
        if not 1 <= self.ttl <= 300 or self.ttl != int(self.ttl):
            raise ArgumentError("ttl", "is a whole number of seconds from `1s` to `5m`")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamPoolSettings:
    """Connections from one worker to each upstream, and the deadlines of calls that have no `Timeout`
    filter."""

    max_connections: Annotated[int, Doc("Open connections to one upstream.")] = 512
    max_waiters: Annotated[int, Doc("Requests waiting for one; more are answered 503.")] = 1024
    idle_timeout: Annotated[
        Duration, Doc("How long an unused connection is kept; less than the upstream keeps it.")
    ] = 4.0
    max_requests: Annotated[int, Doc("Requests after which a connection is replaced.")] = 100_000
    max_age: Annotated[Duration, Doc("Age at which a connection is replaced.")] = 600.0
    max_head_bytes: Annotated[DataSize, Doc("Status line and header fields of an answer.")] = 65_536
    dns_ttl: Annotated[Duration, Doc("How long a resolved name is used.")] = 10.0
    ca_file: Annotated[FilePath | None, Doc("PEM bundle that https upstreams are checked against.")] = None
    connect: Annotated[Duration, Doc("Until the connection stands.")] = _DEADLINES.connect
    first_byte: Annotated[Duration, Doc("From the end of the request to the head of the answer.")] = (
        _DEADLINES.first_byte
    )
    idle: Annotated[Duration, Doc("Between two pieces of a body.")] = _DEADLINES.idle
    total: Annotated[Duration | None, Doc("The whole call; not set leaves streams open-ended.")] = _DEADLINES.total

    def __post_init__(self) -> None:
        _positive(self, "max_connections", "idle_timeout", "max_requests", "max_age", "max_head_bytes")
        _positive(self, "connect", "first_byte", "idle")
        if self.max_waiters < 0:
            raise ArgumentError("max_waiters", "must not be negative")
        if self.total is not None:
            _positive(self, "total")

    def deadlines(self) -> Deadlines:
        """The deadlines of a call whose route says nothing else."""
        return Deadlines(connect=self.connect, first_byte=self.first_byte, idle=self.idle, total=self.total)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSettings:
    """Behaviour events for fraud detection, one per request; they need `redis` and `passport`."""

    enabled: Annotated[bool, Doc("Whether events are sent.")] = True
    shards: Annotated[int, Doc("Streams that events are spread over, by network; the same at every gateway.")] = 1
    ring: Annotated[int, Doc("Events that may wait while the store is away.")] = 50_000
    ceiling: Annotated[int, Doc("Stream entries kept at most when nobody reads them.")] = 10_000
    networks_file: Annotated[
        FilePath | None, Doc("Whose an address is: lines of `CIDR,asn,country,kind`. Read at the start.")
    ] = None

    def __post_init__(self) -> None:
        _positive(self, "ring", "ceiling")
        if not 1 <= self.shards <= 64:
            raise ArgumentError("shards", "is 1 to 64")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLogSettings:
    """Where the line of each request goes."""

    target: Annotated[Literal["stdout", "file", "off"], Doc("`file` needs `path`.")] = "stdout"
    path: Annotated[FilePath | None, Doc("The file; appended to, reopened on SIGHUP.")] = None

    def __post_init__(self) -> None:
        if (self.target == "file") is not (self.path is not None):
            raise ArgumentError("path", "`path` goes with `target: file`, and only with it")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """One gateway: `gateway.yaml` and the routes beside it.

    `default_filters` are those of the file; each route's own `filters` already contain them. `revision` is
    the SHA-256 of everything read, in hexadecimal.
    """

    name: Annotated[str, Doc("The gateway's name in policies, logs and Passports.")]
    profile: Annotated[str, Doc("Which rules its routes must keep; see [routes](routes.md#profiles).")]
    trusted_proxies: Annotated[tuple[Network, ...], Doc("Peers whose `X-Forwarded-*` are believed.")] = ()
    keys_directory: Annotated[FilePath, Doc("Where key files are; relative to the gateway's directory.")] = Path("keys")
    limits: Annotated[LimitSettings, Doc("Bounds of one worker's client side.")] = LimitSettings()
    redis: Annotated[RedisSettings | None, Doc("The shared store.")] = None
    identity: Annotated[IdentitySettings | None, Doc("The identity service.")] = None
    issuers: Annotated[tuple[IssuerSettings, ...], Doc("Issuers of access tokens.")] = ()
    introspection: Annotated[tuple[IntrospectionSettings, ...], Doc("Token services that are asked.")] = ()
    passport: Annotated[PassportSettings | None, Doc("The Passport minted for services.")] = None
    oidc: Annotated[OidcSettings | None, Doc("The OpenID provider that staff sign in with; needs `redis`.")] = None
    session: Annotated[SessionSettings, Doc("How long staff stay signed in.")] = _SESSION
    tls: Annotated[TlsSettings | None, Doc("TLS on the listener; without it, plain HTTP behind a proxy.")] = None
    client_certificates: Annotated[ClientCertificateSettings, Doc("Where callers' certificates come from.")] = (
        _CLIENT_CERTIFICATES
    )
    upstream: Annotated[UpstreamPoolSettings, Doc("Connections to upstreams.")] = UpstreamPoolSettings()
    events: Annotated[EventSettings, Doc("Behaviour events for fraud detection.")] = EventSettings()
    access_log: Annotated[AccessLogSettings, Doc("One JSON line per request.")] = AccessLogSettings()
    default_filters: Annotated[tuple[Filter, ...], Derived] = ()
    routes: Annotated[tuple[RouteDefinition, ...], Derived] = ()
    revision: Annotated[str, Derived] = ""

    def __post_init__(self) -> None:
        if (
            not self.name
            or len(self.name) > 64
            or not all(c.isascii() and (c.isalnum() or c in "-_") for c in self.name)
        ):
            raise ArgumentError("name", "has 1 to 64 letters, digits, `-` or `_`")
        issuers = [issuer.issuer for issuer in self.issuers]
        if len(set(issuers)) != len(issuers):
            raise ArgumentError("issuers", "each issuer is listed once")
        if self.client_certificates.source in ("tls", "any") and (
            self.tls is None or self.tls.client_certificates == "none"
        ):
            raise ArgumentError(
                "client_certificates", "`source: tls` needs `tls:` with `client-certificates: optional` or `required`"
            )
        asked = [item.name for item in self.introspection]
        if len(set(asked)) != len(asked):
            raise ArgumentError("introspection", "each name is used once")


__all__ = [
    "AccessLogSettings",
    "EventSettings",
    "GatewayConfig",
    "IdentitySettings",
    "IntrospectionSettings",
    "IssuerSettings",
    "LimitSettings",
    "PassportSettings",
    "RedisSettings",
    "SecretText",
    "UpstreamPoolSettings",
]
