"""The composition root of a worker: one `GatewayConfig` in, everything that serves it out.

Made after the fork and on the worker's loop, because connections belong to both. What needs no network is made at
once; what does (issuer keys, the policy feed) starts in the background and says in `not_ready` what is still missing.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from haetae_oidc import AccessTokenVerifier, TokenPolicy
from haetae_oidc.io.jwks import IssuerAddress, KeySource
from haetae_policy.model import Subject
from haetae_policy.reference import KEY_BYTES, ReferenceMaker

from haetae_edge.address import AddressReader
from haetae_edge.config.gateway import GatewayConfig, IssuerSettings, UpstreamPoolSettings
from haetae_edge.filter import BuildContext
from haetae_edge.fingerprint import Fingerprints
from haetae_edge.io.certificates import add_certificates
from haetae_edge.io.events import Events, open_events
from haetae_edge.io.forward import Forwarder
from haetae_edge.io.identity import HttpIdentityService
from haetae_edge.io.introspection import add_dpop_nonces, add_introspection, forget_tokens_on_policy
from haetae_edge.io.keys import GatewayKeys
from haetae_edge.io.nonces import RedisNonces
from haetae_edge.io.policies import EdgePolicies
from haetae_edge.io.reference import References
from haetae_edge.io.session_watch import SessionWatch
from haetae_edge.io.staff import add_staff
from haetae_edge.io.token_store import add_token_store
from haetae_edge.io.tokens import IssuerTokens
from haetae_edge.io.upstream import Origin, Upstream, UpstreamSettings
from haetae_edge.route import Route, RouteDefinition, compiled
from haetae_edge.services import Services
from haetae_edge.table import RouteTable
from haetae_edge.well_known import WellKnown

_KEY_REFRESH_SECONDS = 5.0


@dataclass(slots=True, kw_only=True)
class Composition:
    """What a worker serves with."""

    table: RouteTable
    services: Services
    well_known: WellKnown
    addresses: AddressReader
    via: bytes
    policies: EdgePolicies | None
    nonces: RedisNonces | None
    references: References
    session_watch: SessionWatch | None
    events: Events | None

    def not_ready(self) -> str | None:
        """Why this worker should not be sent requests yet, or None."""
        if self.policies is not None and not self.policies.loaded:
            return "the policy snapshot has not been loaded"
        return None


@asynccontextmanager
async def compose(config: GatewayConfig, *, worker: str) -> AsyncIterator[Composition]:
    """Build the parts and close them in reverse order. `worker` names this worker to the policy feed.

    Raises CryptoError for unusable keys, EdgeError for a filter whose dependency is not configured.
    """
    async with AsyncExitStack() as stack:
        well_known = WellKnown()
        services = Services(clock=time.time, random_bytes=os.urandom)
        add_certificates(config, services, stack)
        await _add_identity(config, services, stack)
        await _add_tokens(config, services, stack)
        await add_introspection(config, services, stack)
        await add_token_store(config, services, stack)
        policies, nonces = await _add_redis(config, services, stack, worker=worker)
        keys = await _add_keys(config, services, stack, well_known)
        add_dpop_nonces(keys, services)
        if policies is not None:
            _forget_on_policy(policies, services)
            forget_tokens_on_policy(policies, services)
        session_watch = await add_staff(config, services, stack, well_known, policies)
        services.fingerprints = Fingerprints(keys.event_key()) if keys is not None else None
        events = await stack.enter_async_context(open_events(config, worker=worker, prints=services.fingerprints))
        via = f"haetae-{config.name}".encode("ascii")
        routes = _Routes(config, services, via)
        stack.push_async_callback(routes.close)
        yield Composition(
            table=RouteTable([routes.build(index, definition) for index, definition in enumerate(config.routes)]),
            services=services,
            well_known=well_known,
            addresses=AddressReader(config.trusted_proxies),
            via=via,
            policies=policies,
            nonces=nonces,
            session_watch=session_watch,
            references=References(
                ReferenceMaker(key=keys.reference_key() if keys is not None else os.urandom(KEY_BYTES)), policies
            ),
            events=events,
        )


async def _add_identity(config: GatewayConfig, services: Services, stack: AsyncExitStack) -> None:
    if config.identity is None:
        return
    session = await stack.enter_async_context(
        aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            connector=aiohttp.TCPConnector(limit=64),
        )
    )
    token = config.identity.token
    services.identity = HttpIdentityService(
        session,
        config.identity.uri.rstrip("/"),
        token=token.value if token is not None else None,
        timeout=config.identity.timeout,
        context_seconds=config.passport.ttl if config.passport is not None else 0.0,
    )


async def _add_tokens(config: GatewayConfig, services: Services, stack: AsyncExitStack) -> None:
    if not config.issuers:
        return
    keys = await stack.enter_async_context(
        KeySource(
            IssuerAddress(issuer=item.issuer, jwks_url=item.jwks_uri, loopback_http=True) for item in config.issuers
        )
    )
    verifiers = [AccessTokenVerifier(_token_policy(item), keys.keys_of(item.issuer)) for item in config.issuers]
    services.tokens = IssuerTokens(verifiers, keys)


def _token_policy(item: IssuerSettings) -> TokenPolicy:
    return TokenPolicy(
        issuer=item.issuer,
        audience=item.audience,
        algorithms=frozenset(item.algorithms),
        types=frozenset(item.types),
        leeway=int(item.leeway),
        max_lifetime=int(item.max_lifetime),
        required=frozenset(item.required_claims),
    )


async def _add_redis(
    config: GatewayConfig, services: Services, stack: AsyncExitStack, *, worker: str
) -> tuple[EdgePolicies | None, RedisNonces | None]:
    if config.redis is None:
        return None, None
    policies = await stack.enter_async_context(EdgePolicies(config.redis, worker=worker))
    nonces = RedisNonces(config.redis.uri, prefix=config.redis.prefix, deadline=config.redis.timeout)
    stack.push_async_callback(nonces.close)
    await nonces.start()
    services.policies = policies
    services.nonces = nonces
    return policies, nonces


async def _add_keys(
    config: GatewayConfig, services: Services, stack: AsyncExitStack, well_known: WellKnown
) -> GatewayKeys | None:
    if config.passport is None:
        return None
    keys = GatewayKeys(
        config.keys_directory,
        passport_issuer=config.passport.issuer,
        passport_ttl=int(config.passport.ttl),
        now=time.time(),
    )
    keys.publish(well_known, now=time.time())
    services.content_keys = keys.opener
    services.passports = keys.minter
    task = asyncio.create_task(_keep_keys_fresh(keys, well_known))
    stack.callback(task.cancel)
    return keys


def _forget_on_policy(policies: EdgePolicies, services: Services) -> None:
    """A policy that names somebody takes effect on what is remembered of them, too; for tokens see `introspection`."""
    identity = services.identity

    def forget(subject: Subject) -> None:
        if identity is not None and (subject.user is not None or subject.device is not None):
            identity.forget(user=subject.user, device=subject.device)

    policies.on_subject(forget)


async def _keep_keys_fresh(keys: GatewayKeys, well_known: WellKnown) -> None:
    while True:
        await asyncio.sleep(_KEY_REFRESH_SECONDS)
        keys.refresh(well_known, now=time.time())


class _Routes:
    """Compiles routes; routes to one origin share its connections."""

    def __init__(self, config: GatewayConfig, services: Services, via: bytes) -> None:
        self._config = config
        self._services = services
        self._via = via
        self._upstreams: dict[Origin, Upstream] = {}

    def build(self, index: int, definition: RouteDefinition) -> Route:
        """Bind one route's filters to the services, in the order of their phases."""
        origin = Origin.parse(definition.uri)
        auth_events = definition.metadata.get("auth-events") == "true"
        context = BuildContext(
            gateway=self._config.name,
            route_id=definition.id,
            upstream=origin.host,
            services=self._services,
            auth_events=auth_events,
        )
        built = [filter_.build(context) for filter_ in definition.filters]
        forwarder = Forwarder(
            self._upstream(origin),
            host=_host_of(definition.uri),
            via=self._via,
            auth_events=auth_events,
        )
        return compiled(definition, index=index, built=built, send=forwarder.send)

    def _upstream(self, origin: Origin) -> Upstream:
        found = self._upstreams.get(origin)
        if found is None:
            pool = self._config.upstream
            found = self._upstreams[origin] = Upstream(
                origin, settings=_pool_settings(pool), ssl_context=_tls(pool) if origin.scheme == "https" else None
            )
        return found

    async def close(self) -> None:
        """Close every connection to every upstream."""
        for upstream in self._upstreams.values():
            await upstream.close()


def _host_of(uri: str) -> bytes:
    return urlsplit(uri).netloc.encode("ascii")


def _pool_settings(pool: UpstreamPoolSettings) -> UpstreamSettings:
    return UpstreamSettings(
        max_connections=pool.max_connections,
        max_waiters=pool.max_waiters,
        idle_timeout=pool.idle_timeout,
        max_requests=pool.max_requests,
        max_age=pool.max_age,
        max_head_bytes=pool.max_head_bytes,
        dns_ttl=pool.dns_ttl,
    )


def _tls(pool: UpstreamPoolSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pool.ca_file) if pool.ca_file is not None else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
