"""The whole local stack as child processes: store, identity, issuer, provider, gateways, bank, tools.

Rules kept: all addresses are known before anything starts, so parts find each other; each part is waited
for, never slept for; secrets travel in private files and the environment of children, not in arguments;
when anything fails, everything that was started ends. Does not print: the caller is told by the values it
gets.
"""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson
from haetae_fds import Mode

from haetae_cli.blocks import open_blocks
from haetae_cli.children import Child, Children
from haetae_cli.errors import InputInvalid
from haetae_cli.fds_service import start_fds, switched
from haetae_cli.key_material import KeyMaterial
from haetae_cli.policy_service import policy_api_words
from haetae_cli.ports import HOST, ReservedPort, reserve_run
from haetae_cli.protected import protected_of
from haetae_cli.secure import SECURE_GATEWAY, make_certificates, secure_environment, secure_envoy_command
from haetae_cli.staff import DASHBOARD_AUDIENCE, INTERNAL_GATEWAY, INTERNAL_ISSUER, clients_file, gateway_environment
from haetae_cli.state import RunningStack, StateDirectory
from haetae_cli.store import Store, describe, start_embedded

DEFAULT_PORT_BASE = 8080
PASSPORT_ISSUER = "haetae-app"
MAX_GATEWAYS = 16
# Offsets from the port base; gateways themselves take the first ones.
_IDENTITY, _ISSUER, _BANK, _PROVIDER, _DASHBOARD, _ENVOY, _ADMIN = 21, 22, 23, 24, 25, 26, 31
_POLICY_API, _FDS = 27, 28
_JWKS = "/.well-known/haetae/passport-jwks.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """What to run. ``port_base`` 0 takes free ports; ``redis_url`` None runs the embedded store."""

    state: StateDirectory
    config: Path
    port_base: int = DEFAULT_PORT_BASE
    workers: int = 1
    redis_url: str | None = None
    store_port: int | None = None
    envoy: bool = False
    fds: Mode | None = None
    """Switch fraud detection to this; None leaves it as it is switched."""
    fds_models: Path | None = None
    """A folder of models for it; None is rules only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A stack that is ready, and what happened on the way."""

    running: RunningStack
    children: Children
    store: Store
    remarks: tuple[str, ...]
    fds: Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gateway:
    name: str
    folder: Path
    port: ReservedPort
    admin: ReservedPort


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ports:
    identity: ReservedPort
    issuer: ReservedPort
    bank: ReservedPort
    provider: ReservedPort
    dashboard: ReservedPort
    envoy: ReservedPort
    policy_api: ReservedPort
    fds: ReservedPort
    gateways: tuple[_Gateway, ...]

    @property
    def internal(self) -> ReservedPort | None:
        """Where staff go, if this stack has an Internal gateway."""
        return next((gateway.port for gateway in self.gateways if gateway.name == INTERNAL_GATEWAY), None)

    @property
    def secure(self) -> ReservedPort | None:
        """Where callers with certificates go, if this stack has a Secure gateway."""
        return next((gateway.port for gateway in self.gateways if gateway.name == SECURE_GATEWAY), None)

    def urls(self, *, envoy: bool) -> dict[str, str]:
        """The base URL of each gateway, as clients use it."""
        urls = {gateway.name: gateway.port.url for gateway in self.gateways}
        if self.secure is not None:
            urls[SECURE_GATEWAY] = (self.envoy if envoy else self.secure).url.replace("http:", "https:", 1)
        return urls


def find_gateways(config: Path) -> list[Path]:
    """The folders below ``config`` that hold a gateway, by name.

    Raises:
        InputInvalid: there is none, or there are too many.
    """
    try:
        folders = sorted(path.parent for path in config.glob("*/gateway.yaml"))
    except OSError as error:
        raise InputInvalid(f"cannot read {config}: {(error.strerror or 'failed').lower()}") from error
    if not folders:
        raise InputInvalid(
            f"{config} holds no gateway (a folder with gateway.yaml); name another one with --config DIR"
        )
    if len(folders) > MAX_GATEWAYS:
        raise InputInvalid(f"{config} holds more than {MAX_GATEWAYS} gateways")
    return folders


@asynccontextmanager
async def run_stack(options: StackOptions) -> AsyncIterator[Started]:
    """Start everything, hand it over when it is ready, end it afterwards.

    Raises:
        CliError: something cannot start; nothing is left running.
    """
    folders = find_gateways(options.config)
    state = options.state
    state.create()
    with ExitStack() as held:
        state.lock()
        held.callback(state.unlock)
        ports = _reserve(options.port_base, folders, held, workers=options.workers)
        remarks, material = _prepare_keys(state)
        if ports.secure is not None:
            make_certificates(state.keys, now=time.time())
        elif options.envoy:
            raise InputInvalid(f"{options.config} has no gateway `{SECURE_GATEWAY}` for Envoy to stand in front of")
        async with Children(logs=state.logs) as children:
            store = await _start(options, ports, children)
            running = RunningStack(
                pid=os.getpid(),
                redis_url=store.url,
                identity=ports.identity.url,
                issuer=ports.issuer.url,
                bank=ports.bank.url,
                root_key=orjson.loads(material.publish("root", now=time.time())),
                gateways=ports.urls(envoy=options.envoy),
                provider=ports.provider.url,
                dashboard=ports.dashboard.url if ports.internal else "",
                policy_api=ports.policy_api.url,
                fds=ports.fds.url,
            )
            state.announce(running)
            mode = await switched(store.url)
            yield Started(running=running, children=children, store=store, remarks=tuple(remarks), fds=mode)


def _reserve(base: int, folders: list[Path], held: ExitStack, *, workers: int) -> _Ports:
    def reserve(offset: int, what: str, count: int = 1) -> ReservedPort:
        ports = reserve_run(base + offset if base else 0, count=count, what=what)
        for port in ports:
            held.callback(port.release)
        return ports[0]

    gateways = tuple(
        _Gateway(
            name=folder.name,
            folder=folder,
            port=reserve(index, f"the {folder.name} gateway"),
            # One side port per worker, in a row.
            admin=reserve(_ADMIN + index * workers, f"the side ports of the {folder.name} gateway", workers),
        )
        for index, folder in enumerate(folders)
    )
    return _Ports(
        identity=reserve(_IDENTITY, "the identity service"),
        issuer=reserve(_ISSUER, "the token issuer"),
        bank=reserve(_BANK, "the bank"),
        provider=reserve(_PROVIDER, "the OpenID provider"),
        dashboard=reserve(_DASHBOARD, "the dashboard"),
        envoy=reserve(_ENVOY, "Envoy"),
        policy_api=reserve(_POLICY_API, "the policy API"),
        fds=reserve(_FDS, "fraud detection"),
        gateways=gateways,
    )


def _prepare_keys(state: StateDirectory) -> tuple[list[str], KeyMaterial]:
    material = KeyMaterial(state.keys)
    now = time.time()
    made = material.init(now=now, random_bytes=secrets.token_bytes)
    renewed = material.renew_expired(now=now, random_bytes=secrets.token_bytes)
    remarks = [f"made {', '.join(made)} keys in {state.keys}"] if made else []
    if renewed:
        remarks.append(f"{' and '.join(renewed)} keys had run out and were replaced")
    return remarks, material


async def _start(options: StackOptions, ports: _Ports, children: Children) -> Store:
    """Start all parts in the order in which they need each other."""
    state = options.state
    token = state.secret(state.service_token_file, secrets.token_urlsafe(32))
    token_file = str(state.service_token_file)
    oidc_secret = state.secret(state.oidc_secret_file, secrets.token_urlsafe(32))
    internal_port = ports.internal.number if ports.internal else None
    state.write(state.oidc_clients_file, clients_file(oidc_secret, internal_port=internal_port))
    waiting = [
        await _demo(
            children,
            "identity",
            ports.identity,
            "--service-token-file", token_file, "--state-file", str(state.identity_file),
        ),
        await _demo(
            children,
            "issuer",
            ports.issuer,
            "--service-token-file", token_file, "--identity-url", ports.identity.url,
        ),
        await _demo(
            children,
            "provider",
            ports.provider,
            "--service-token-file", token_file, "--clients", str(state.oidc_clients_file),
        ),
    ]  # fmt: skip
    if options.redis_url is None:
        store = await start_embedded(children, state, port=options.store_port)
    else:
        store = Store(url=options.redis_url, description=await describe(options.redis_url))
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        await _all_ready(children, session, waiting)
        await _begin_policies(store.url)
        environment = {
            "HAETAE_REDIS_URL": store.url,
            "HAETAE_KEYS": str(state.keys),
            "IDENTITY_URI": ports.identity.url,
            "IDENTITY_TOKEN": token,
            "ISSUER_URI": ports.issuer.url,
            "ISSUER_JWKS_URI": f"{ports.issuer.url}/jwks.json",
            "PASSPORT_ISSUER": PASSPORT_ISSUER,
            "BANK_URI": ports.bank.url,
            "CONSOLE_URI": ports.policy_api.url,
            **gateway_environment(
                oidc_secret, provider=ports.provider.url, dashboard=ports.dashboard.url, internal_port=internal_port
            ),
        }
        fronts = [await _policy_api(children, state, ports, store.url, protected_of(options.config))]
        fronts.append(await _fraud_detection(children, options, ports, store.url))
        fronts += [await _edge(children, options, gateway, environment) for gateway in ports.gateways]
        await _all_ready(children, session, fronts)
        await _all_ready(children, session, await _behind_gateways(ports, children))
    if options.envoy and ports.secure is not None:
        await _envoy(state, ports.envoy, ports.secure, children)
    return store


async def _envoy(state: StateDirectory, port: ReservedPort, gateway: ReservedPort, children: Children) -> None:
    command = secure_envoy_command(state.path, state.keys, port=port.number, gateway=gateway.number)
    child = await children.start("envoy", command)

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection(HOST, port.number)
        except OSError:
            return False
        writer.transport.abort()
        return True

    await children.ready(child, listens)


async def _behind_gateways(ports: _Ports, children: Children) -> list[tuple[Child, str]]:
    """Services that fetch a gateway's Passport keys as their first act."""
    started = [
        await _demo(
            children,
            "bank",
            ports.bank,
            "--passport-jwks-url", ports.gateways[0].port.url + _JWKS, "--passport-issuer", PASSPORT_ISSUER,
        )
    ]  # fmt: skip
    if ports.internal is not None:
        dashboard = await _demo(
            children,
            "dashboard",
            ports.dashboard,
            "--passport-jwks-url", ports.internal.url + _JWKS,
            "--passport-issuer", INTERNAL_ISSUER,
            "--audience", DASHBOARD_AUDIENCE,
        )  # fmt: skip
        started.append(dashboard)
    return started


async def _begin_policies(redis_url: str) -> None:
    """Gateways are ready once they have loaded the policies; a new store has no log of them yet."""
    async with open_blocks(redis_url) as blocks:
        await blocks.establish()
        await blocks.keep()


async def _policy_api(
    children: Children, state: StateDirectory, ports: _Ports, redis_url: str, protected: Path | None
) -> tuple[Child, str]:
    """The writer of policies, whose heartbeats the gateways expect."""
    port, internal = ports.policy_api, ports.internal
    words = policy_api_words(
        state,
        listen=f"{HOST}:{port.number}",
        issuer=None if internal is None else INTERNAL_ISSUER,
        jwks_url=None if internal is None else internal.url + _JWKS,
        protected=protected,
    )
    command = [sys.executable, "-m", "haetae_cli.main", "policy-api", *words]
    child = await children.start("policy-api", command, environment={"HAETAE_REDIS_URL": redis_url})
    return child, f"{port.url}/readyz"


async def _fraud_detection(
    children: Children, options: StackOptions, ports: _Ports, redis_url: str
) -> tuple[Child, str]:
    return await start_fds(
        children,
        options.state,
        redis_url,
        listen=f"{HOST}:{ports.fds.number}",
        mode=options.fds,
        models=options.fds_models,
        protected=protected_of(options.config),
    )


async def _demo(children: Children, name: str, port: ReservedPort, *words: str) -> tuple[Child, str]:
    command = [sys.executable, "-m", "haetae_demo", name, "--host", HOST, "--port", str(port.number), *words]
    return await children.start(name, command), f"{port.url}/readyz"


async def _edge(
    children: Children, options: StackOptions, gateway: _Gateway, environment: Mapping[str, str]
) -> tuple[Child, str]:
    command = [
        sys.executable, "-m", "haetae_edge",
        "--config", str(gateway.folder),
        "--listen", f"{HOST}:{gateway.port.number}",
        "--admin", f"{HOST}:{gateway.admin.number}",
        "--workers", str(options.workers),
    ]  # fmt: skip
    if gateway.name == SECURE_GATEWAY:
        environment = {**environment, **secure_environment(options.state.keys, envoy=options.envoy)}
    child = await children.start(f"gateway-{gateway.name}", command, environment=environment)
    return child, f"{gateway.admin.url}/readyz"


async def _all_ready(children: Children, session: aiohttp.ClientSession, waiting: list[tuple[Child, str]]) -> None:
    for child, url in waiting:

        async def answers(url: str = url) -> bool:
            try:
                async with session.get(url) as answer:
                    return answer.status == 200
            except (aiohttp.ClientError, TimeoutError):
                return False

        await children.ready(child, answers)
