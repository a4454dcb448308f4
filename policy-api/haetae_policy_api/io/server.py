"""The composition root: from options to a running service. Reads the files that are named; no environment.

Rules kept: outside of development the store must be durable and somebody must be able to prove who they are, or the
service does not start; tokens' keys come from a file or address that configuration binds to one issuer.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from haetae_crypto.errors import KeyFormatInvalid
from haetae_crypto.jwks import JwkSet, parse_jwks
from haetae_fds.io.feedback import Labels
from haetae_fds.io.modes import Modes
from haetae_oidc.access_token import AccessTokenVerifier
from haetae_oidc.token_policy import TokenPolicy
from haetae_passport.io.gate import PassportGate
from haetae_passport.io.jwks import PassportKeys
from haetae_passport.verifier import PassportPolicy, PassportVerifier
from haetae_policy.io.commands import Commands
from haetae_policy.io.connect import RedisSettings, connect, connect_blocking
from haetae_policy.io.ledger import Ledger
from haetae_policy.io.refusals import RefusalStore
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.io.workers import WorkerReports
from haetae_policy.reference import ReferenceMaker

from haetae_policy_api.console.io.mount import mount_console
from haetae_policy_api.errors import SettingsInvalid
from haetae_policy_api.io.app import make_app
from haetae_policy_api.io.durability import require_durable
from haetae_policy_api.io.events import EventFollower
from haetae_policy_api.io.feed import Feed
from haetae_policy_api.io.identify import Development, Identify, Verified
from haetae_policy_api.io.keeper import Keeper
from haetae_policy_api.service.context import Context, epoch
from haetae_policy_api.settings import Settings
from haetae_policy_api.traffic import TrafficRing

AUDIENCE = "haetae-policy-api"
_LOG = logging.getLogger("haetae.policy-api")
_STORE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What one process is started with. `development` lets everybody in as administrator."""

    host: str
    port: int
    redis_url: str
    settings: Settings
    passport_issuer: str | None = None
    passport_jwks_url: str | None = None
    token_issuer: str | None = None
    token_jwks: Path | None = None
    reference_key: bytes | None = None
    loopback_http: bool = False
    volatile_store: bool = False
    development: bool = False


@dataclass(frozen=True, slots=True)
class FileKeys:
    """The keys of a token issuer, from a file that was read once."""

    current: JwkSet | None


async def serve(options: Options) -> None:
    """Serve until a signal; raises SettingsInvalid before anything listens."""
    async with AsyncExitStack() as stack:
        app = await compose(options, stack)
        config = uvicorn.Config(
            app,
            host=options.host,
            port=options.port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=5,
            h11_max_incomplete_event_size=32_768,
        )
        await uvicorn.Server(config).serve()


async def compose(options: Options, stack: AsyncExitStack) -> FastAPI:
    """Return the application; `stack` closes its connections. Raises SettingsInvalid."""
    identify = _identify(options, stack)
    connection = RedisSettings(
        url=options.redis_url, pool=16, connect_s=_STORE_S, reply_s=_STORE_S, pool_wait_s=_STORE_S
    )
    client = connect(connection)
    stack.push_async_callback(client.aclose)
    reader = connect_blocking(connection, block_s=_STORE_S)
    stack.push_async_callback(reader.aclose)
    if not options.development and not options.volatile_store:
        await require_durable(client)
    settings = options.settings
    rules = settings.rules()
    store_settings = StoreSettings(prefix=settings.prefix, deadline_s=_STORE_S)
    ring = TrafficRing(most=settings.traffic_events, span_ms=settings.traffic_s * 1000)
    commands = Commands(client, deadline_s=_STORE_S)
    context = Context(
        store=PolicyStore(client, store_settings, rules=rules),
        ledger=Ledger(client, store_settings, rules=rules),
        refusals=RefusalStore(client, prefix=settings.prefix, deadline_s=_STORE_S),
        workers=WorkerReports(client, store_settings),
        traffic=ring,
        settings=settings,
        rules=rules,
        labels=Labels(commands, prefix=settings.prefix),
        modes=Modes(commands, prefix=settings.prefix),
        references=None if options.reference_key is None else ReferenceMaker(key=options.reference_key),
    )
    follower = EventFollower(
        reader, ring, prefix=settings.prefix, shards=settings.event_shards, span_s=settings.traffic_s
    )

    @asynccontextmanager
    async def beside() -> AsyncIterator[None]:
        tasks = [_beside(Keeper(context).run(), "keeper"), _beside(follower.run(), "recent traffic")]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    feed = Feed(client, prefix=settings.prefix, deadline_s=_STORE_S)
    app = make_app(context, identify=identify, feed=feed, beside=beside)
    mount_console(app, context, identify=identify, client=client, deadline_s=_STORE_S)
    return app


async def establish(redis_url: str, settings: Settings, *, now_ms: int) -> bool:
    """Begin the policy log of a new store; one that exists is left as it is."""
    client = connect(RedisSettings(url=redis_url, connect_s=_STORE_S, reply_s=_STORE_S))
    try:
        store = PolicyStore(client, StoreSettings(prefix=settings.prefix, deadline_s=_STORE_S))
        return await store.establish(now_ms=now_ms, epoch_randomness=epoch())
    finally:
        await client.aclose()


def _beside(work: Awaitable[None], name: str) -> asyncio.Task[None]:
    async def run() -> None:
        await work

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.critical("%s ended by a fault", name, exc_info=error)

    task = asyncio.create_task(run(), name=name)
    task.add_done_callback(ended)
    return task


def _identify(options: Options, stack: AsyncExitStack) -> Identify:
    if options.development:
        _LOG.warning("INSECURE DEVELOPMENT MODE: everybody who reaches this service is an administrator")
        return Development()
    gate = _gate(options, stack)
    tokens = _tokens(options)
    if gate is None and tokens is None:
        raise SettingsInvalid(
            "nobody could sign in: give --passport-issuer with --passport-jwks-url, or --token-issuer with"
            " --token-jwks; on a laptop: --insecure-development"
        )
    return Verified(settings=options.settings, gate=gate, tokens=tokens)


def _gate(options: Options, stack: AsyncExitStack) -> PassportGate | None:
    if (options.passport_issuer is None) != (options.passport_jwks_url is None):
        raise SettingsInvalid("--passport-issuer and --passport-jwks-url belong together")
    if options.passport_issuer is None or options.passport_jwks_url is None:
        return None
    try:
        keys = PassportKeys(options.passport_jwks_url, loopback_http=options.loopback_http)
    except KeyFormatInvalid as error:
        raise SettingsInvalid(f"--passport-jwks-url: {error}") from error
    stack.push_async_callback(keys.aclose)
    policy = PassportPolicy(issuer=options.passport_issuer, audience=AUDIENCE)
    return PassportGate(verifier=PassportVerifier(policy), keys=keys)


def _tokens(options: Options) -> AccessTokenVerifier | None:
    if (options.token_issuer is None) != (options.token_jwks is None):
        raise SettingsInvalid("--token-issuer and --token-jwks belong together")
    if options.token_issuer is None or options.token_jwks is None:
        return None
    try:
        keys = parse_jwks(options.token_jwks.read_bytes())
    except (OSError, KeyFormatInvalid) as error:
        raise SettingsInvalid(f"--token-jwks: {error}") from error
    policy = TokenPolicy(
        issuer=options.token_issuer,
        audience=AUDIENCE,
        algorithms=frozenset({"EdDSA", "ES256"}),
        max_lifetime=900,
    )
    return AccessTokenVerifier(policy, FileKeys(keys))
