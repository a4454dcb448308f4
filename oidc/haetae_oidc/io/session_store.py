"""Staff sessions in Redis.

Rules kept: a session is found by the hash of its ticket's id and opened by the ticket's secret; the store has neither.
One round trip to load. What happens once happens in one script on one key. Indexes by person and by the provider's
session hold public names under hashed keys; a session that is being made while its person is being signed out is not
made. An error of the store is never "no session".

Key layout (after the prefix): `session:<public name>`, `user:<hash>`, `sid:<hash>`, `login:<hash>`, `logout:<hash>`;
messages about ended sessions on `sessions-ended`.

Not done here: the provider, refreshing (`io/refresh.py`), telling other workers' streams (`io/ended.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from secrets import token_bytes
from typing import Final

from haetae_crypto.b64url import b64url_encode

from haetae_oidc.errors import LoginStale, SessionMissing
from haetae_oidc.io import session_scripts as scripts
from haetae_oidc.io.session_redis import SessionRedis
from haetae_oidc.session.model import StaffSession
from haetae_oidc.session.pending import (
    PendingLogin,
    browser_key,
    login_key,
    open_login,
    open_return,
    seal_login,
    seal_return,
)
from haetae_oidc.session.record import SessionRecord, read_record, write_record
from haetae_oidc.session.sealing import NONCE_BYTES, NotOpened, seal, unseal
from haetae_oidc.session.settings import SessionSettings
from haetae_oidc.session.ticket import SECRET_BYTES, Ticket

CHANNEL: Final = "sessions-ended"
#: Seconds that keys outlive what they hold: `now` decides, the store's clock only tidies up.
_SLACK: Final = 60
_BATCH: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A session as found: `ticket` is the present one, which differs from the one asked with after a renewal.

    `unconfirmed`: the present ticket has a predecessor that is good until the present one is used;
    `predecessor`: one that may still be good.
    """

    ticket: Ticket = field(repr=False)
    record: SessionRecord
    version: int
    unconfirmed: bool
    predecessor: bool


class SessionStore:
    """All that is written and read; raises SessionStoreUnavailable from every method."""

    def __init__(self, redis: SessionRedis, *, settings: SessionSettings) -> None:
        self._redis = redis
        self._settings = settings
        self._prefix = settings.prefix

    # -- logins under way ----------------------------------------------------------------------------------------------

    async def begin_login(self, login: PendingLogin, *, return_to: str, state: str, browser: str) -> None:
        """Remember a login; the oldest of this browser goes when there are too many."""
        settings = self._settings
        await self._redis.run(
            scripts.BEGIN_LOGIN,
            f"{self._prefix}login:{browser_key(browser)}",
            login_key(state, browser),
            seal_login(login, state=state, browser=browser, nonce=token_bytes(NONCE_BYTES)),
            seal_return(return_to, state=state, browser=browser, nonce=token_bytes(NONCE_BYTES)),
            settings.pending_per_browser,
            settings.pending * 1000,
            repr(login.started),
        )

    async def claim_login(self, *, state: str, browser: str, now: float) -> tuple[PendingLogin, str]:
        """The login, once, and where it goes. Raises LoginStale when it is unknown, over, or was claimed before."""
        key = f"{self._prefix}login:{browser_key(browser)}"
        sealed, sealed_return = await self._redis.run(scripts.CLAIM_LOGIN, key, login_key(state, browser))
        if sealed_return is None:
            raise LoginStale
        return_to = open_return(sealed_return, state=state, browser=browser)
        if sealed is None:
            raise LoginStale(return_to)
        login = open_login(sealed, state=state, browser=browser)
        if not -self._settings.pending <= now - login.started <= self._settings.pending:
            raise LoginStale(return_to)
        return login, return_to

    # -- sessions ------------------------------------------------------------------------------------------------------

    async def create(self, ticket: Ticket, record: SessionRecord, *, now: float) -> None:
        """Store a new session. Raises SessionMissing when its person was signed out everywhere meanwhile."""
        session = record.session
        indexes = self._indexes(session)
        lives = self._ttl_ms(session.absolute_end, now)
        for index in indexes:
            await self._redis.call("ZADD", index, session.absolute_end, session.id)
            await self._redis.call("ZREMRANGEBYSCORE", index, "-inf", int(now) - _SLACK)
            # Never shorter than the longest session of today's settings: others are listed here too.
            await self._redis.call("PEXPIRE", index, max(lives, self._settings.absolute * 1000))
        sealed = self._seal(ticket, record, version=1)
        ttl = self._ttl_ms(session.idle_end, now)
        if await self._redis.run(scripts.CREATE, self._key(session.id), sealed, session.idle_end, ttl) != 1:
            raise SessionMissing("unknown")
        # An ending takes names out of the index before it deletes: either it saw our session, or we see its work.
        for index in indexes:
            if await self._redis.read("ZSCORE", index, session.id) is None:
                await self.end(session.id)
                raise SessionMissing("ended")

    async def load(self, ticket: Ticket, *, now: float, old_is_good: bool = False) -> Opened:
        """The session of a ticket, in one round trip. Raises SessionMissing.

        `old_is_good` also takes a ticket whose successor has been in use: for those who held the session before that.
        """
        fields = await self._redis.read("HMGET", self._key(ticket.name), "c", "n", "i", "p", "q")
        sealed, version, idle_end, previous, previous_end = fields
        if sealed is None or version is None or idle_end is None:
            raise SessionMissing("unknown")
        number, present = int(version), ticket
        try:
            plain = unseal(present.secret, sealed, bound_to=("session", ticket.name, str(number)))
        except NotOpened:
            if previous is None:
                raise SessionMissing("forged") from None
            present = self._successor(ticket, previous)
            if not old_is_good and previous_end != b"0" and now >= float(previous_end):
                raise SessionMissing("ended") from None
            try:
                plain = unseal(present.secret, sealed, bound_to=("session", ticket.name, str(number)))
            except NotOpened:
                raise SessionMissing("forged") from None
        record = read_record(plain, idle_end=int(idle_end))
        if now >= record.session.absolute_end:
            raise SessionMissing("expired")
        if now >= record.session.idle_end:
            raise SessionMissing("idle")
        has_previous = previous is not None
        return Opened(
            ticket=present,
            record=record,
            version=number,
            unconfirmed=has_previous and previous_end == b"0",
            predecessor=has_previous and (previous_end == b"0" or now < float(previous_end)),
        )

    async def touch(self, session: StaffSession, *, now: float) -> StaffSession:
        """Write activity, unless it was written lately; the session with its idle end of now."""
        settings = self._settings
        idle_end = min(int(now) + settings.idle, session.absolute_end)
        if idle_end - session.idle_end < settings.touch_every and idle_end != session.absolute_end:
            return session
        if idle_end <= session.idle_end:
            return session
        await self._redis.run(scripts.TOUCH, self._key(session.id), idle_end, self._ttl_ms(idle_end, now))
        return replace(session, idle_end=idle_end)

    async def renew(self, opened: Opened) -> Ticket | None:
        """Give the session a new ticket; None when somebody else changed the session first."""
        ticket = opened.ticket.renewed(token_bytes(SECRET_BYTES))
        record = replace(opened.record, renew=False)
        sealed = self._seal(ticket, record, version=opened.version + 1)
        way = seal(
            opened.ticket.secret, ticket.secret, bound_to=("successor", ticket.name), nonce=token_bytes(NONCE_BYTES)
        )
        done = await self._redis.run(scripts.RENEW, self._key(ticket.name), opened.version, sealed, way)
        return ticket if done == 1 else None

    async def confirm(self, opened: Opened, *, now: float) -> None:
        """The present ticket was used: its predecessor has the grace time left."""
        end = int(now) + self._settings.grace
        await self._redis.run(scripts.CONFIRM, self._key(opened.ticket.name), opened.version, end)

    # -- refreshing ----------------------------------------------------------------------------------------------------

    async def lock(self, name: str, *, ttl_ms: int) -> int:
        """The fencing number of a refresh that is now ours; 0 while another one runs. Raises SessionMissing."""
        fence = int(await self._redis.run(scripts.LOCK, self._key(name), ttl_ms))
        if fence < 0:
            raise SessionMissing("ended")
        return fence

    async def hold(self, name: str, *, fence: int, ttl_ms: int) -> bool:
        """Keep the lock for `ttl_ms` more, or give it back with 0; False when it is no longer ours."""
        return bool(await self._redis.run(scripts.HOLD, self._key(name), fence, ttl_ms))

    async def refreshed(self, opened: Opened, record: SessionRecord, *, fence: int) -> bool:
        """Write a refreshed record; False when the session changed since it was read: read again.

        Raises SessionMissing when the session ended or another refresh took over.
        """
        sealed = self._seal(opened.ticket, record, version=opened.version + 1)
        name = opened.ticket.name
        done = int(await self._redis.run(scripts.REFRESHED, self._key(name), fence, opened.version, sealed))
        if done < 0:
            raise SessionMissing("ended")
        return done == 1

    # -- ending --------------------------------------------------------------------------------------------------------

    async def end(self, name: str, *, fence: int | None = None) -> bool:
        """Delete a session and tell everyone; with `fence` only when no later refresh took over."""
        ended = await self._redis.run(scripts.END, self._key(name), "" if fence is None else fence)
        if ended:
            await self._redis.call("PUBLISH", self._prefix + CHANNEL, name)
        return bool(ended)

    async def unlist(self, session: StaffSession) -> None:
        """Take an ended session out of the indexes."""
        for index in self._indexes(session):
            await self._redis.call("ZREM", index, session.id)

    async def end_listed(self, *, issuer: str, subject: str | None, sid: str | None) -> frozenset[str]:
        """End the sessions of a provider's session, or all of a person; with both, those that are of both."""
        indexes = [self._index("sid", issuer, sid)] if sid is not None else []
        if subject is not None:
            indexes.append(self._index("user", issuer, subject))
        listed: list[set[bytes]] = [set(await self._redis.read("ZRANGE", index, 0, -1)) for index in indexes]
        names = set.intersection(*listed) if listed else set()
        ended: set[str] = set()
        for name in names:
            for index in indexes:
                await self._redis.call("ZREM", index, name)
            if await self.end(name.decode()):
                ended.add(name.decode())
        return frozenset(ended)

    async def alive(self, names: Iterable[str]) -> frozenset[str]:
        """Those of these sessions that exist."""
        wanted = list(dict.fromkeys(names))
        found: set[str] = set()
        for start in range(0, len(wanted), _BATCH):
            part = wanted[start : start + _BATCH]
            replies = await self._redis.read_many([("EXISTS", self._key(name)) for name in part])
            found.update(name for name, reply in zip(part, replies, strict=True) if reply)
        return frozenset(found)

    async def claim_logout(self, *, issuer: str, token_id: str, seconds: int) -> bool:
        """Whether this logout token is used for the first time."""
        key = self._index("logout", issuer, token_id)
        return await self._redis.call("SET", key, "1", "NX", "PX", seconds * 1000) is not None

    async def unclaim_logout(self, *, issuer: str, token_id: str) -> None:
        """Let the provider send a logout token again, because it could not be carried out."""
        await self._redis.call("DEL", self._index("logout", issuer, token_id))

    # -- keys ----------------------------------------------------------------------------------------------------------

    def _key(self, name: str) -> str:
        return f"{self._prefix}session:{name}"

    def _index(self, kind: str, issuer: str, value: str) -> str:
        parts = (part.encode() for part in (issuer, value))
        digest = sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
        return f"{self._prefix}{kind}:{b64url_encode(digest)}"

    def _indexes(self, session: StaffSession) -> list[str]:
        indexes = [self._index("user", session.issuer, session.subject)]
        if session.provider_sid is not None:
            indexes.append(self._index("sid", session.issuer, session.provider_sid))
        return indexes

    def _seal(self, ticket: Ticket, record: SessionRecord, *, version: int) -> bytes:
        bound_to = ("session", ticket.name, str(version))
        return seal(ticket.secret, write_record(record), bound_to=bound_to, nonce=token_bytes(NONCE_BYTES))

    @staticmethod
    def _successor(ticket: Ticket, way: bytes) -> Ticket:
        try:
            return ticket.renewed(unseal(ticket.secret, way, bound_to=("successor", ticket.name)))
        except NotOpened:
            raise SessionMissing("forged") from None

    @staticmethod
    def _ttl_ms(end: int, now: float) -> int:
        return max(1, int((end - now + _SLACK) * 1000))
