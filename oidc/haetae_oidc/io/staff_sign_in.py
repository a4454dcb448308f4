"""Staff sign-in: what the edge needs of the provider and the session store, in one object per worker.

Rules kept: a login is claimed once and only by the browser that began it, before its code is redeemed; a login always
makes a new session and ends the one the browser had; ending works on every worker within a second; an error of the
store or of the provider is never "not signed in".

Not done here: HTTP, cookies, pages, and whether a return address is ours: `return_to` is handed back as it was given.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Mapping
from hashlib import sha256
from secrets import token_bytes
from ssl import SSLContext
from typing import Any, Final, Self

from haetae_crypto.b64url import b64url_encode
from haetae_crypto.jwks import JwkSet

from haetae_oidc.errors import (
    LoginInvalid,
    LoginStale,
    LogoutTokenInvalid,
    ProviderUnavailable,
    SessionMissing,
    SessionStoreUnavailable,
    SettingsInvalid,
    TokenInvalid,
)
from haetae_oidc.io.ended import EndedSessions
from haetae_oidc.io.provider import Provider
from haetae_oidc.io.redeem import redeem_login
from haetae_oidc.io.refresh import Refresher, refresh_due
from haetae_oidc.io.session_redis import SessionRedis
from haetae_oidc.io.session_store import CHANNEL, Opened, SessionStore
from haetae_oidc.relying_party.authorization import accept_answer, authorization_url, read_answer
from haetae_oidc.relying_party.end_session import LogoutHint
from haetae_oidc.relying_party.logout_token import LogoutToken, verify_logout_token
from haetae_oidc.relying_party.settings import ProviderSettings
from haetae_oidc.session.model import Begun, EndedSession, Finished, Loaded, StaffSession
from haetae_oidc.session.pending import BROWSER_BYTES, PendingLogin, good_browser
from haetae_oidc.session.recent import RecentSessions
from haetae_oidc.session.settings import SessionSettings
from haetae_oidc.session.ticket import ID_BYTES, SECRET_BYTES, Ticket

_LOG: Final = logging.getLogger("haetae.oidc")
MAX_RETURN_CHARS: Final = 4096
_MAX_COPIES: Final = 10_000
#: Seconds that a request waits for a refresh once the access token has run out.
_REFRESH_WAIT: Final = 4.0


class StaffSignIn:
    """Sign-in with one provider. An async context manager; entering waits neither for the provider nor the store."""

    def __init__(
        self,
        *,
        provider: ProviderSettings,
        session: SessionSettings,
        redis_url: str,
        tls: SSLContext | None = None,
    ) -> None:
        """`redis_url`: redis://, rediss:// or unix://. `tls` replaces the system's trust towards the provider."""
        self._settings = session
        self._provider = Provider(provider, tls=tls)
        try:
            self._redis = SessionRedis(redis_url, deadline=session.deadline)
        except ValueError as why:
            raise SettingsInvalid("redis_url is not an address of a store") from why
        self._store = SessionStore(self._redis, settings=session)
        self._ended = EndedSessions(
            redis_url, channel=session.prefix + CHANNEL, deadline=session.deadline, alive=self._store.alive
        )
        self._refresher = Refresher(
            self._provider, self._store, settings=session, on_ended=lambda name: self._ended.tell((name,))
        )
        self._copies: OrderedDict[bytes, tuple[float, StaffSession]] = OrderedDict()
        self._recent = RecentSessions(session.recheck)
        self._chores: set[asyncio.Task[Any]] = set()
        self._ended.on_ended(self._forget)

    async def __aenter__(self) -> Self:
        await self._provider.__aenter__()
        self._ended.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ended.aclose()
        await self._refresher.aclose()
        if self._chores:
            await asyncio.wait(self._chores, timeout=self._provider.settings.timeout)
        for chore in list(self._chores):
            chore.cancel()
        await self._provider.__aexit__()
        await self._redis.aclose()

    async def listening(self) -> None:
        """Wait until this worker hears of sessions that end elsewhere."""
        await self._ended.listening()

    # -- signing in ----------------------------------------------------------------------------------------------------

    async def begin(
        self,
        *,
        redirect_uri: str,
        return_to: str,
        browser: str | None,
        acr: tuple[str, ...] = (),
        max_age: int | None = None,
        now: float,
    ) -> Begun:
        """Begin a login; `browser` is the value of the login cookie, if there is one. `max_age` is in seconds.

        Raises ProviderUnavailable, SessionStoreUnavailable.
        """
        metadata = await self._provider.metadata()
        same_browser = good_browser(browser) or b64url_encode(token_bytes(BROWSER_BYTES))
        state, nonce, verifier = (b64url_encode(token_bytes(32)) for _ in range(3))
        login = PendingLogin(
            nonce=nonce, verifier=verifier, redirect_uri=redirect_uri, acr=acr, max_age=max_age, started=now
        )
        home = return_to if len(return_to) <= MAX_RETURN_CHARS else "/"
        await self._store.begin_login(login, return_to=home, state=state, browser=same_browser)
        location = authorization_url(
            settings=self._provider.settings,
            metadata=metadata,
            redirect_uri=redirect_uri,
            state=state,
            nonce=nonce,
            verifier=verifier,
            acr=acr,
            max_age=max_age,
        )
        return Begun(location=location, browser=same_browser)

    async def finish(
        self,
        *,
        params: Mapping[str, list[str]],
        redirect_uri: str,
        browser: str | None,
        previous_ticket: str | None,
        now: float,
    ) -> Finished:
        """Finish a login with the provider's answer; `params` are all values of each query parameter, decoded.

        Raises LoginStale (begin again), LoginInvalid, ProviderUnavailable, SessionStoreUnavailable.
        """
        answer = read_answer(params)
        same_browser = good_browser(browser)
        if same_browser is None:
            raise LoginStale
        metadata = await self._provider.metadata()
        login, return_to = await self._store.claim_login(state=answer.state, browser=same_browser, now=now)
        if login.redirect_uri != redirect_uri:
            raise LoginInvalid("redirect-uri")
        code = accept_answer(answer, metadata=metadata)
        ticket = Ticket.make(id_bytes=token_bytes(ID_BYTES), secret=token_bytes(SECRET_BYTES))
        record = await redeem_login(self._provider, code, login, settings=self._settings, name=ticket.name, now=now)
        try:
            await self._store.create(ticket, record, now=now)
        except SessionMissing:
            raise LoginInvalid("signed-out-meanwhile") from None
        self._ended.know(ticket.name)
        if previous_ticket:
            await self._end_previous(previous_ticket, now=now)
        return Finished(ticket=ticket.text(), session=record.session, return_to=return_to)

    # -- using a session -----------------------------------------------------------------------------------------------

    async def load(self, ticket: str, *, activity: bool, now: float) -> Loaded:
        """The session of a ticket; only `activity` puts off its idle end.

        Raises SessionMissing (sign in again), SessionStoreUnavailable (503, keep the cookie). A provider that is away
        ends no session: when the access token has run out, the request waits for a refresh for a moment and goes on.
        """
        known = self._recent.recall(ticket, activity=activity, now=now) if self._ended.hearing else None
        if known is not None:
            return known
        parsed = Ticket.parse(ticket)
        memory = sha256(ticket.encode()).digest()
        endings = self._recent.endings
        try:
            opened = await self._store.load(parsed, now=now)
        except SessionStoreUnavailable:
            copy = self._copy(memory, now=now)
            if copy is None:
                raise
            return Loaded(session=copy, new_ticket=None)
        except SessionMissing as why:
            self._copies.pop(memory, None)
            if why.reason in ("idle", "expired"):
                self._ended.tell((parsed.name,))
            raise
        opened = await self._refreshed(opened, now=now)
        self._ended.know(parsed.name)
        try:
            session, present = await self._keep_up(opened, asked=parsed, activity=activity, now=now)
        except SessionStoreUnavailable:
            session, present = opened.record.session, opened.ticket  # it was found: what is left can be done next time
        self._remember(memory, session, now=now)
        if present.secret != parsed.secret:
            return Loaded(session=session, new_ticket=present.text())
        loaded = Loaded(session=session, new_ticket=None)
        self._recent.remember(ticket, loaded, activity=activity, now=now, endings=endings)
        return loaded

    async def _keep_up(
        self, opened: Opened, *, asked: Ticket, activity: bool, now: float
    ) -> tuple[StaffSession, Ticket]:
        """Activity, and the steps of renewing a ticket."""
        session, present = opened.record.session, opened.ticket
        if activity:
            session = await self._store.touch(session, now=now)
        if opened.unconfirmed and asked.secret == present.secret:
            await self._store.confirm(opened, now=now)
        elif opened.record.renew and not opened.predecessor:
            present = await self._store.renew(opened) or present
        return session, present

    async def _refreshed(self, opened: Opened, *, now: float) -> Opened:
        """The session after a refresh that had to be waited for; as it was when there is still time."""
        if not refresh_due(opened.record, settings=self._settings, now=now):
            return opened
        task = self._refresher.start(opened, now=now)
        end = opened.record.tokens.access_end
        if end is None or now < end:
            return opened
        if task is None:
            return opened
        await asyncio.wait({task}, timeout=_REFRESH_WAIT)
        return await self._store.load(opened.ticket, now=now, old_is_good=True)

    # -- ending --------------------------------------------------------------------------------------------------------

    async def end(self, ticket: str, *, now: float) -> EndedSession:
        """End the session of a ticket, here first; `logout_url` of the result then ends it at the provider.

        Other tools in the same browser have sessions of the same provider session (`sid`): they end with it, whether or
        not the provider tells them. Raises SessionStoreUnavailable: the session goes on.
        """
        try:
            parsed = Ticket.parse(ticket)
            opened = await self._store.load(parsed, now=now)
        except SessionMissing:
            return EndedSession(session=None, hint=None)
        session, tokens = opened.record.session, opened.record.tokens
        if session.provider_sid is not None:
            self._ended.tell(
                await self._store.end_listed(issuer=session.issuer, subject=session.subject, sid=session.provider_sid)
            )
        await self._end_opened(opened, now=now)
        try:
            endpoint = (await self._provider.metadata()).end_session_endpoint
        except ProviderUnavailable:
            endpoint = None
        hint = None
        if endpoint is not None:
            client_id = self._provider.settings.client_id
            hint = LogoutHint(endpoint=endpoint, client_id=client_id, id_token=tokens.id_token)
        return EndedSession(session=session, hint=hint)

    async def end_session(self, session_id: str) -> None:
        """End a session by its public name; no error when there is none. Raises SessionStoreUnavailable."""
        if await self._store.end(session_id):
            self._ended.tell((session_id,))

    async def end_user(self, subject: str) -> int:
        """End every session of a person; how many there were. Raises SessionStoreUnavailable."""
        ended = await self._store.end_listed(issuer=self._provider.settings.issuer, subject=subject, sid=None)
        self._ended.tell(ended)
        return len(ended)

    async def back_channel_logout(self, logout_token: str, *, now: float) -> int:
        """Do what a logout token of the provider says; how many sessions ended, 0 being success too.

        Raises LogoutTokenInvalid (400), ProviderUnavailable and SessionStoreUnavailable (the provider may try again).
        """

        def check(keys: JwkSet) -> LogoutToken:
            return verify_logout_token(logout_token, settings=self._provider.settings, keys=keys, now=now)

        try:
            token = await self._provider.verify(check)
        except TokenInvalid as why:
            raise LogoutTokenInvalid(why.reason) from why
        # A provider that hangs up meanwhile must not leave a token that is used and sessions that go on.
        return await asyncio.shield(self._kept(self._carry_out(token, now=now)))

    async def _carry_out(self, token: LogoutToken, *, now: float) -> int:
        seconds = max(1, token.expires_at + 2 * self._provider.settings.leeway - int(now))
        try:
            if not await self._store.claim_logout(issuer=token.issuer, token_id=token.token_id, seconds=seconds):
                raise LogoutTokenInvalid("replayed")
            ended = await self._store.end_listed(issuer=token.issuer, subject=token.subject, sid=token.sid)
        except SessionStoreUnavailable:
            self._chore(self._store.unclaim_logout(issuer=token.issuer, token_id=token.token_id))
            raise
        self._ended.tell(ended)
        return len(ended)

    def on_ended(self, callback: Callable[[frozenset[str]], None]) -> None:
        """Call `callback` with the public names of sessions that ended, on any worker, within a second.

        While the store cannot be heard nothing is known; what ended meanwhile is told once it is heard again, for the
        sessions loaded by this worker. Idle ends are found within half a minute: use a timer for sharper ones.
        """
        self._ended.on_ended(callback)

    async def alive(self, session_ids: Iterable[str]) -> frozenset[str]:
        """Those of these sessions that still exist. Raises SessionStoreUnavailable."""
        return await self._store.alive(session_ids)

    # -- helpers -------------------------------------------------------------------------------------------------------

    async def _end_opened(self, opened: Opened, *, now: float) -> None:
        """End this session and no other."""
        session, tokens = opened.record.session, opened.record.tokens
        await self._store.end(session.id)
        self._ended.tell((session.id,))
        await self._store.unlist(session)
        if tokens.refresh_token is not None:
            self._chore(self._revoke(tokens.refresh_token, now=now))

    async def _end_previous(self, previous_ticket: str, *, now: float) -> None:
        """End the session that a login replaces; the new one may be of the same session at the provider."""
        try:
            opened = await self._store.load(Ticket.parse(previous_ticket), now=now)
            await self._end_opened(opened, now=now)
        except SessionMissing:
            return
        except SessionStoreUnavailable:
            _LOG.warning("the session before a login is not ended: it ends by its own time")

    async def _revoke(self, refresh_token: str, *, now: float) -> None:
        await self._provider.revoke(refresh_token, hint="refresh_token", now=now)

    def _kept(self, work: Coroutine[None, None, int]) -> asyncio.Task[int]:
        """A task that goes on when who asked for it is gone, and that the end of this worker waits for."""
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[int]) -> None:
        self._chores.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved here in case nobody waits any more

    def _chore(self, work: Coroutine[None, None, None]) -> None:
        """Do something beside that nobody waits for and that may fail without harm."""

        async def quietly() -> None:
            try:
                await work
            except (SessionStoreUnavailable, ProviderUnavailable, SessionMissing) as why:
                _LOG.warning("left undone after a session: %s: %s", type(why).__name__, why)

        task = asyncio.create_task(quietly())
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    def _remember(self, memory: bytes, session: StaffSession, *, now: float) -> None:
        if self._settings.remembered > 0:
            self._copies[memory] = (now, session)
            self._copies.move_to_end(memory)
            while len(self._copies) > _MAX_COPIES:
                self._copies.popitem(last=False)

    def _copy(self, memory: bytes, *, now: float) -> StaffSession | None:
        """A copy that may stand in for the store, which did not answer."""
        when, session = self._copies.get(memory, (float("-inf"), None))
        if session is None or not 0 <= now - when <= self._settings.remembered or now >= session.idle_end:
            return None
        return session

    def _forget(self, names: frozenset[str]) -> None:
        self._recent.forget(names)
        for memory in [key for key, (_, session) in self._copies.items() if session.id in names]:
            del self._copies[memory]
