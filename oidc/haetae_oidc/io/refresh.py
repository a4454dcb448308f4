"""Refreshing a session's tokens ahead of their end, once across all workers.

Rules kept:
- A provider that rotates refresh tokens takes a second redemption for theft. So one task a session here, one lock in
  the store for all workers, renewed while the provider is slow, and a fencing number: a worker that lost the lock
  cannot write over the one that took it.
- Nobody waits while the present access token lasts; afterwards who uses the session may wait for the task.
- "This grant is no longer good" ends the session. Every other trouble is the provider's: try again later, longer after
  each failure, and keep the session.
- What was redeemed is written even when the store is away for a moment: the old refresh token is spent.

Not done here: deciding who may use a session.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from haetae_crypto.jwks import JwkSet

from haetae_oidc.errors import (
    KeyUnknown,
    LoginInvalid,
    OidcError,
    ProviderUnavailable,
    SessionMissing,
    SessionStoreUnavailable,
    TokenInvalid,
    TokenRefused,
)
from haetae_oidc.io.provider import Provider
from haetae_oidc.io.session_store import Opened, SessionStore
from haetae_oidc.relying_party.id_token import IdToken, verify_refreshed_id_token
from haetae_oidc.relying_party.token_answer import TokenAnswer
from haetae_oidc.session.person import read_person
from haetae_oidc.session.record import SessionRecord, Tokens
from haetae_oidc.session.settings import SessionSettings
from haetae_oidc.session.ticket import Ticket

_LOG: Final = logging.getLogger("haetae.oidc")
LOCK_MS: Final = 5000
_HOLD_EVERY: Final = 1.5
_POLL: Final = 0.05
_WRITES: Final = 40
_WRITE_PAUSE: Final = 0.5
_FIRST_PAUSE: Final = 2.0
_LONGEST_PAUSE: Final = 60.0
_MAX_FAILURES_KEPT: Final = 10_000


@dataclass(slots=True)
class _Failure:
    times: int
    again_at: float


def refresh_due(record: SessionRecord, *, settings: SessionSettings, now: float) -> bool:
    """Whether little enough of the access token's life is left (both ends in Unix seconds)."""
    tokens = record.tokens
    if not tokens.refreshable or tokens.access_end is None:
        return False
    return now >= tokens.access_end - settings.refresh_before * (tokens.access_end - tokens.access_start)


class Refresher:
    """Refreshes in the background of one worker."""

    def __init__(
        self,
        provider: Provider,
        store: SessionStore,
        *,
        settings: SessionSettings,
        on_ended: Callable[[str], None],
    ) -> None:
        self._provider = provider
        self._store = store
        self._settings = settings
        self._on_ended = on_ended
        self._running: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, _Failure] = {}

    def start(self, opened: Opened, *, now: float) -> asyncio.Task[None] | None:
        """The refresh of this session, begun if it was not; None while it is too early after a failure."""
        name = opened.ticket.name
        running = self._running.get(name)
        if running is not None:
            return running
        loop = asyncio.get_running_loop()
        failure = self._failures.get(name)
        if failure is not None and loop.time() < failure.again_at:
            return None
        task = loop.create_task(self._run(opened, now=now))
        self._running[name] = task
        task.add_done_callback(lambda _: self._running.pop(name, None))
        return task

    async def aclose(self) -> None:
        """Let refreshes under way finish: their tokens may already be redeemed."""
        if self._running:
            await asyncio.wait(set(self._running.values()), timeout=self._provider.settings.timeout + 2)
        for task in list(self._running.values()):
            task.cancel()
            await asyncio.wait({task})

    async def _run(self, opened: Opened, *, now: float) -> None:
        name = opened.ticket.name
        try:
            fence = await self._store.lock(name, ttl_ms=LOCK_MS)
            if fence == 0:
                await self._others(opened, now=now)
            else:
                await self._locked(opened.ticket, fence=fence, now=now)
            self._failures.pop(name, None)
        except SessionMissing:
            self._failures.pop(name, None)
        except (SessionStoreUnavailable, ProviderUnavailable) as why:
            self._failed(name)
            _LOG.warning("a session's tokens are not refreshed yet: %s", why)
        except OidcError as why:
            self._failed(name)
            _LOG.error("a session's tokens are not refreshed: %s: %s", type(why).__name__, why)

    async def _others(self, opened: Opened, *, now: float) -> None:
        """Another worker refreshes: wait until it has, or may have given up."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._provider.settings.timeout + LOCK_MS / 1000
        while loop.time() < end:
            await asyncio.sleep(_POLL)
            found = await self._store.load(opened.ticket, now=now, old_is_good=True)
            if found.record.tokens != opened.record.tokens:
                return
            if await self._store.lock(opened.ticket.name, ttl_ms=1) > 0:
                raise ProviderUnavailable("another worker could not refresh either")
        raise ProviderUnavailable("another worker is refreshing for too long")

    async def _locked(self, ticket: Ticket, *, fence: int, now: float) -> None:
        name = ticket.name
        opened = await self._store.load(ticket, now=now, old_is_good=True)
        if not refresh_due(opened.record, settings=self._settings, now=now):
            await self._store.hold(name, fence=fence, ttl_ms=0)
            return
        holding = asyncio.create_task(self._hold(name, fence=fence))
        try:
            record = await self._redeem(opened.record, now=now)
            await self._write(ticket, record, fence=fence, now=now)
        except TokenRefused as why:
            if why.error != "invalid_grant":
                await self._store.hold(name, fence=fence, ttl_ms=0)
                raise
            await self._end(opened, fence=fence)
        except (TokenInvalid, LoginInvalid) as why:
            _LOG.error("a refreshed token is not acceptable: %s", why.reason)
            await self._end(opened, fence=fence)
        except ProviderUnavailable:
            await self._store.hold(name, fence=fence, ttl_ms=0)
            raise
        finally:
            holding.cancel()
            await asyncio.wait({holding})

    async def _redeem(self, old: SessionRecord, *, now: float) -> SessionRecord:
        tokens, session = old.tokens, old.session
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await self._provider.refresh(tokens.refresh_token or "", now=now)
        arrived = now + loop.time() - began
        fresh = renewed_tokens(tokens, answer, now=now)
        if answer.id_token is None:
            return replace(old, tokens=fresh, renew=True)
        token = answer.id_token

        def check(keys: JwkSet) -> IdToken:
            return verify_refreshed_id_token(
                token,
                settings=self._provider.settings,
                keys=keys,
                subject=session.subject,
                auth_time=session.auth_time,
                nonce=tokens.nonce,
                access_token=answer.access_token,
                now=arrived,
            )

        extra = None
        try:
            verified = await self._provider.verify(check)
            if self._provider.settings.use_userinfo:
                extra = await self._provider.userinfo(answer.access_token, subject=session.subject)
        except (KeyUnknown, ProviderUnavailable) as why:
            # No bad answer, but one that cannot be had just now; the old refresh token is spent. As if the provider
            # had sent no ID token: the person is who they were, and groups are heard of next time.
            _LOG.warning("who was refreshed is not read yet: %s", type(why).__name__)
            return replace(old, tokens=replace(fresh, id_token=tokens.id_token), renew=True)
        person = read_person(verified.claims, extra, groups_claim=self._provider.settings.groups_claim)
        known = replace(
            session,
            name=person.name or session.name,
            email=person.email or session.email,
            username=person.username or session.username,
            groups=person.groups,
            claims=person.claims,
        )
        return replace(old, session=known, tokens=fresh, renew=True)

    async def _write(self, ticket: Ticket, record: SessionRecord, *, fence: int, now: float) -> None:
        """Write what was redeemed, over whatever changed meanwhile. Raises SessionMissing, SessionStoreUnavailable."""
        for attempt in range(_WRITES):
            try:
                opened = await self._store.load(ticket, now=now, old_is_good=True)
                if await self._store.refreshed(opened, record, fence=fence):
                    return
            except SessionStoreUnavailable:
                if attempt == _WRITES - 1:
                    raise
                await asyncio.sleep(_WRITE_PAUSE)
        raise SessionStoreUnavailable("the session changed too often to be written")

    async def _end(self, opened: Opened, *, fence: int) -> None:
        if await self._store.end(opened.ticket.name, fence=fence):
            self._on_ended(opened.ticket.name)
            await self._store.unlist(opened.record.session)

    async def _hold(self, name: str, *, fence: int) -> None:
        while True:
            await asyncio.sleep(_HOLD_EVERY)
            try:
                await self._store.hold(name, fence=fence, ttl_ms=LOCK_MS)
            except SessionStoreUnavailable:
                _LOG.warning("the lock of a refresh is not renewed; the fencing number still guards the session")

    def _failed(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        failure = self._failures.pop(name, _Failure(0, 0.0))
        failure.times += 1
        failure.again_at = loop.time() + min(_FIRST_PAUSE * 2 ** min(failure.times - 1, 16), _LONGEST_PAUSE)
        self._failures[name] = failure
        while len(self._failures) > _MAX_FAILURES_KEPT:
            self._failures.pop(next(iter(self._failures)))


def renewed_tokens(old: Tokens, answer: TokenAnswer, *, now: float) -> Tokens:
    """The tokens after a refresh; what the provider did not renew stays (RFC 6749 section 6)."""
    start = int(now)
    return Tokens(
        refresh_token=answer.refresh_token or old.refresh_token,
        access_token=answer.access_token,
        access_start=start,
        access_end=None if answer.expires_in is None else start + answer.expires_in,
        id_token=answer.id_token or old.id_token,
        nonce=old.nonce,
    )
