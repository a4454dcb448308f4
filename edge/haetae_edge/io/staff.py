"""Signing in, put together: the provider and the session store behind the port that filters and endpoints use.

One per worker. What the session package raises is translated here; sessions that end close what they hold open; a
policy that blocks a user or a session here ends it, so that unblocking means signing in again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import orjson
from haetae_crypto.errors import KeyFormatInvalid
from haetae_crypto.jwk import PrivateJwk, parse_private_jwk
from haetae_oidc import (
    LoginInvalid,
    LoginStale,
    LogoutTokenInvalid,
    ProviderSettings,
    ProviderUnavailable,
    SessionMissing,
    SessionSettings,
    SessionStoreUnavailable,
    SettingsInvalid,
)
from haetae_oidc.io.staff_sign_in import StaffSignIn
from haetae_policy import Action, Api, Record, Subject

from haetae_edge.config.gateway import GatewayConfig
from haetae_edge.config.staff import OidcSettings
from haetae_edge.errors import EdgeError
from haetae_edge.exchange import Step
from haetae_edge.filter import BuildContext
from haetae_edge.filters.block import Block
from haetae_edge.filters.oidc_session import OidcSession
from haetae_edge.io.policies import EdgePolicies
from haetae_edge.io.session_watch import SessionWatch
from haetae_edge.services import DependencyUnavailable, Services, StoreUnavailable
from haetae_edge.staff.endpoints import StaffEndpoints
from haetae_edge.staff.gate import StaffGate
from haetae_edge.staff.pages import Tool
from haetae_edge.staff.ports import Begun, Finished, Loaded, LogoutRefused, NoSession, SignInRefused, SignInStale
from haetae_edge.staff.tools import ToolRoute, Tools, origin_of_route
from haetae_edge.well_known import WellKnown

_log = logging.getLogger("haetae.staff")
_CALM_SECONDS: Final = (1.0, 3.0)
_MAX_CALMING: Final = 256
_STATE_BYTES: Final = 16
_ENDPOINTS: Final = "haetae-sign-in"


class OidcSignIn:
    """The `SignIn` port over the session package."""

    def __init__(self, staff: StaffSignIn, services: Services) -> None:
        self._staff = staff
        self._random_bytes = services.random_bytes
        self.watch = SessionWatch(self._alive, clock=services.clock)
        self._calming = 0
        staff.on_ended(self.watch.ended)

    async def begin(
        self,
        *,
        redirect_uri: str,
        return_to: str,
        browser: str | None,
        acr: tuple[str, ...],
        max_age: int | None,
        now: float,
    ) -> Begun:
        """Raises StoreUnavailable, DependencyUnavailable, SignInRefused."""
        try:
            begun = await self._staff.begin(
                redirect_uri=redirect_uri, return_to=return_to, browser=browser, acr=acr, max_age=max_age, now=now
            )
        except SessionStoreUnavailable as error:
            raise StoreUnavailable from error
        except ProviderUnavailable as error:
            raise DependencyUnavailable from error
        except LoginInvalid as error:
            raise SignInRefused(error.reason) from error
        states = parse_qs(urlsplit(begun.location).query).get("state", [""])
        return Begun(location=begun.location, state=states[0], browser=begun.browser)

    async def finish(
        self,
        *,
        params: Mapping[str, list[str]],
        redirect_uri: str,
        browser: str | None,
        previous_ticket: str | None,
        now: float,
    ) -> Finished:
        """Raises StoreUnavailable, DependencyUnavailable, SignInRefused, SignInStale."""
        try:
            done = await self._staff.finish(
                params=params, redirect_uri=redirect_uri, browser=browser, previous_ticket=previous_ticket, now=now
            )
        except LoginStale as error:
            raise SignInStale(error.return_to) from error
        except LoginInvalid as error:
            raise SignInRefused(error.reason) from error
        except SessionStoreUnavailable as error:
            raise StoreUnavailable from error
        except ProviderUnavailable as error:
            raise DependencyUnavailable from error
        return Finished(ticket=done.ticket, session=done.session, return_to=done.return_to)

    async def load(self, ticket: str, *, activity: bool, now: float) -> Loaded:
        """Raises NoSession, StoreUnavailable."""
        try:
            loaded = await self._staff.load(ticket, activity=activity, now=now)
        except SessionMissing as error:
            raise NoSession(error.reason) from error
        except SessionStoreUnavailable as error:
            raise StoreUnavailable from error
        session = loaded.session
        self.watch.note(session.id, idle_end=session.idle_end, absolute_end=session.absolute_end)
        return Loaded(session=session, new_ticket=loaded.new_ticket)

    async def end(self, ticket: str, *, return_uri: str, now: float) -> str | None:
        """Raises NoSession, StoreUnavailable. What comes back as `state` is not read: it changes nothing."""
        try:
            ended = await self._staff.end(ticket, now=now)
        except SessionMissing as error:
            raise NoSession(error.reason) from error
        except SessionStoreUnavailable as error:
            raise StoreUnavailable from error
        if ended.session is not None:
            self.watch.ended(frozenset({ended.session.id}))
        return ended.logout_url(return_uri, self._random_bytes(_STATE_BYTES).hex())

    async def back_channel_logout(self, logout_token: str, *, now: float) -> int:
        """Raises LogoutRefused, StoreUnavailable, DependencyUnavailable."""
        try:
            return await self._staff.back_channel_logout(logout_token, now=now)
        except LogoutTokenInvalid as error:
            raise LogoutRefused(error.reason) from error
        except SessionStoreUnavailable as error:
            raise StoreUnavailable from error
        except ProviderUnavailable as error:
            raise DependencyUnavailable from error

    async def calm(self) -> bool:
        """Wait between one and three seconds, unless too many wait already."""
        if self._calming >= _MAX_CALMING:
            return False
        self._calming += 1
        try:
            await asyncio.sleep(random.uniform(*_CALM_SECONDS))  # noqa: S311 - spreads load, hides nothing
        finally:
            self._calming -= 1
        return True

    async def _alive(self, sessions: Iterable[str]) -> frozenset[str]:
        try:
            return await self._staff.alive(sessions)
        except SessionStoreUnavailable as error:
            raise StoreUnavailable from error


async def add_staff(
    config: GatewayConfig,
    services: Services,
    stack: AsyncExitStack,
    well_known: WellKnown,
    policies: EdgePolicies | None,
) -> SessionWatch | None:
    """Let staff sign in, where the gateway is told how. Raises EdgeError for settings that cannot work together."""
    oidc = config.oidc
    if oidc is None:
        return None
    if config.redis is None:
        raise EdgeError("`oidc` needs `redis` in gateway.yaml: that is where sessions are")
    try:
        settings = _provider(oidc), _sessions(config)
    except SettingsInvalid as error:
        raise EdgeError(f"`oidc` in gateway.yaml: {error}") from error
    staff = await stack.enter_async_context(
        StaffSignIn(provider=settings[0], session=settings[1], redis_url=config.redis.uri)
    )
    sign_in = OidcSignIn(staff, services)
    gate = StaffGate(sign_in=sign_in, origins=oidc.hosts(), clock=services.clock, random_bytes=services.random_bytes)
    services.staff = gate
    endpoints = StaffEndpoints(gate, tools_of(config), portal=oidc.portal, guard=_guard(config, services))
    well_known.mount(endpoints.find)
    watching = asyncio.create_task(sign_in.watch.run())
    stack.push_async_callback(_finish, watching)
    if policies is not None:
        ending = _Ending(staff, policies, gateway=config.name)
        policies.on_put(ending.consider)
        stack.push_async_callback(ending.close)
    return sign_in.watch


def tools_of(config: GatewayConfig) -> Tools:
    """The routes that staff use, with their entries on the landing page."""
    origins = config.oidc.hosts() if config.oidc is not None else {}
    found: dict[str, ToolRoute] = {}
    for route in config.routes:
        for item in route.filters:
            if isinstance(item, OidcSession):
                url = origin_of_route(route, origins) if item.title is not None else None
                entry = Tool(url=url, title=item.title or "", description=item.description) if url else None
                found[route.id] = ToolRoute(requirement=item.requirement, entry=entry)
    return Tools(found)


class _Ending:
    """Policies that block somebody here end their sessions; told of each one that takes effect while we serve."""

    def __init__(self, staff: StaffSignIn, policies: EdgePolicies, *, gateway: str) -> None:
        self._staff = staff
        self._policies = policies
        self._gateway = gateway
        self._tasks: set[asyncio.Task[None]] = set()

    def consider(self, record: Record) -> None:
        """Only what shuts the person out of this whole gateway, without further conditions, ends a session.

        A policy that also wants an address or a device, or is about one API, refuses those requests itself; a shadow
        policy refuses nothing.
        """
        subject, api = record.subject, record.api
        if record.shadow or not self._policies.loaded or record.action not in (Action.BLOCK, Action.CHALLENGE):
            return
        if api not in (Api(), Api(gateway=self._gateway)):
            return
        if subject != Subject(session=subject.session, user=subject.user):
            return
        if subject.session is not None or subject.user is not None:
            task = asyncio.create_task(self._end(subject.session, subject.user))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _end(self, session: str | None, user: str | None) -> None:
        try:
            if session is not None:
                await self._staff.end_session(session)
            elif user is not None:
                await self._staff.end_user(user)
        except SessionStoreUnavailable:
            _log.warning("a policy's sessions could not be ended: the store does not answer; requests are refused")

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _guard(config: GatewayConfig, services: Services) -> Step | None:
    """What policies say of the address, before anybody may sign in."""
    if services.policies is None:
        return None
    context = BuildContext(gateway=config.name, route_id=_ENDPOINTS, upstream="", services=services)
    return Block().build(context).request[0][1]


def _provider(oidc: OidcSettings) -> ProviderSettings:
    return ProviderSettings(
        issuer=oidc.issuer,
        client_id=oidc.client_id,
        client_secret=oidc.client_secret.value if oidc.client_secret is not None else None,
        client_key=_client_key(oidc.client_key) if oidc.client_key is not None else None,
        client_auth=oidc.client_auth,
        scopes=oidc.scopes,
        groups_claim=oidc.groups_claim,
        algorithms=frozenset(oidc.algorithms),
        use_userinfo=oidc.userinfo,
        leeway=int(oidc.leeway),
        timeout=oidc.timeout,
        loopback_http=True,
    )


def _client_key(path: Path) -> PrivateJwk:
    try:
        return parse_private_jwk(orjson.loads(path.read_bytes()))
    except (OSError, ValueError, KeyFormatInvalid) as error:
        raise EdgeError(f"`client-key` in gateway.yaml is no private key as JWK: {path}") from error


def _sessions(config: GatewayConfig) -> SessionSettings:
    session = config.session
    return SessionSettings(
        idle=int(session.idle),
        absolute=int(session.absolute),
        refresh_before=session.refresh_before,
        grace=int(session.grace),
        remembered=session.remembered,
        recheck=session.recheck,
        deadline=session.timeout,
        prefix=config.redis.prefix if config.redis is not None else "haetae:",
    )


async def _finish(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
