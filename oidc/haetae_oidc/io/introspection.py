"""Asking a token service about tokens (RFC 7662), seldom and never twice at a time.

Rules kept: the token travels in the form of a POST and nowhere else, never in a URL or a log; https only (loopback
apart, when asked for); no redirects, no cookies, no proxy from the environment, no decompression; size, time and the
number of calls at a time are bounded. Callers who ask about one token at one time share one call. A breaker answers at
once while the service fails. No usable answer is `IntrospectionUnavailable`: never a "yes", and never a "no".

Not done here: judging answers (`introspection.py`).
"""

import asyncio
import logging
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import quote_plus

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from haetae_crypto.errors import KeyFormatInvalid
from haetae_crypto.jwks import check_jwks_url
from yarl import URL

from haetae_oidc.access_claims import AccessToken
from haetae_oidc.breaker import Breaker, BreakerLimits
from haetae_oidc.errors import IntrospectionUnavailable, SettingsInvalid, TokenInvalid
from haetae_oidc.introspection import (
    MAX_ANSWER_BYTES,
    IntrospectionMemory,
    IntrospectionPolicy,
    check_introspected,
    read_introspection_answer,
)

_LOG: Final = logging.getLogger("haetae.oidc")
_MAX_TOKEN_CHARS: Final = 8000
_BREAKER: Final = BreakerLimits()
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectionClientSettings:
    """How to reach an endpoint. `client_id` and `client_secret` are ours there (RFC 6749 section 2.3.1).

    `max_calls` may run at a time and ten times as many wait; `seconds` bounds one call with its wait; `remembered`
    is a number of answers.
    """

    client_id: str
    client_secret: str = field(repr=False)
    seconds: float = 1.0
    max_calls: int = 32
    remembered: int = 10_000
    loopback_http: bool = False
    breaker: BreakerLimits = _BREAKER


class Introspector:
    """One endpoint, for one event loop. An async context manager."""

    def __init__(
        self, policy: IntrospectionPolicy, settings: IntrospectionClientSettings, *, clock: Callable[[], float]
    ) -> None:
        """`clock` gives Unix seconds. Raises SettingsInvalid when the endpoint may not be asked."""
        try:
            url = check_jwks_url(policy.endpoint, loopback_http=settings.loopback_http)
        except KeyFormatInvalid as why:
            raise SettingsInvalid(str(why)) from why
        self.policy = policy
        self.calls = 0
        self._url = URL(url, encoded=True)
        self._settings = settings
        self._clock = clock
        self._memory = IntrospectionMemory(settings.remembered)
        self._breaker = Breaker(settings.breaker)
        # RFC 6749 section 2.3.1: both are form-encoded before they go into Basic.
        pair = f"{quote_plus(settings.client_id)}:{quote_plus(settings.client_secret)}"
        self._headers = {**_HEADERS, "Authorization": f"Basic {b64encode(pair.encode('ascii')).decode('ascii')}"}
        self._slots = asyncio.Semaphore(settings.max_calls)
        self._running: dict[bytes, asyncio.Task[AccessToken | None]] = {}
        self._tasks: set[asyncio.Task[AccessToken | None]] = set()
        self._forgotten = 0
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = ClientSession(
            connector=TCPConnector(limit=self._settings.max_calls),
            timeout=ClientTimeout(total=self._settings.seconds),
            auto_decompress=False,
            cookie_jar=DummyCookieJar(),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def introspect(self, token: str) -> AccessToken:
        """The active token. Raises TokenInvalid (401) or IntrospectionUnavailable (503)."""
        if not 0 < len(token) <= _MAX_TOKEN_CHARS:
            raise TokenInvalid("malformed")
        key = self.policy.key_of(token)
        access = self._memory.recall(key, now=self._clock())
        if access is None:
            # A caller that gives up must not take the answer from the others.
            access = await asyncio.shield(self._begin(key, token))
        if access is None:
            raise TokenInvalid("inactive")
        check_introspected(access, self.policy, now=self._clock())
        return access

    def forget_user(self, subject: str) -> None:
        """Forget answers on one user's or client's tokens; answers that are under way are not kept either."""
        self._forgotten += 1
        self._running.clear()
        self._memory.forget_user(subject)

    def _begin(self, key: bytes, token: str) -> asyncio.Task[AccessToken | None]:
        running = self._running.get(key)
        if running is None:
            if len(self._tasks) >= 11 * self._settings.max_calls:
                raise IntrospectionUnavailable("too many calls wait")
            if not self._breaker.admit(now=asyncio.get_running_loop().time()):
                raise IntrospectionUnavailable("the breaker is open")
            running = asyncio.ensure_future(self._ask(key, token))
            self._running[key] = running
            self._tasks.add(running)
            running.add_done_callback(lambda done: self._finished(key, done))
        return running

    def _finished(self, key: bytes, task: asyncio.Task[AccessToken | None]) -> None:
        self._tasks.discard(task)
        if self._running.get(key) is task:
            del self._running[key]
        if not task.cancelled():
            task.exception()  # retrieved here in case nobody waits any more

    async def _ask(self, key: bytes, token: str) -> AccessToken | None:
        loop = asyncio.get_running_loop()
        moment = self._forgotten
        called: float | None = None
        try:
            async with asyncio.timeout(self._settings.seconds):
                async with self._slots:
                    called = loop.time()
                    access = await self._call(token)
        except TokenInvalid:
            # The service answered; what it said of the token is another matter.
            self._breaker.succeeded(now=loop.time())
            if moment == self._forgotten:
                self._memory.remember(key, None, self.policy, now=self._clock())
            raise
        except (IntrospectionUnavailable, ClientError, TimeoutError, OSError, ValueError) as why:
            # Time spent waiting for others is not the service's: a flood of invented tokens opens no breaker.
            given = 0.0 if called is None else loop.time() - called
            if not isinstance(why, TimeoutError) or given >= self._settings.seconds / 2:
                self._breaker.failed(now=loop.time())
            _LOG.warning("no introspection by %s: %s", self.policy.issuer, type(why).__name__)
            raise IntrospectionUnavailable("no usable answer") from why
        self._breaker.succeeded(now=loop.time())
        if moment == self._forgotten:
            self._memory.remember(key, access, self.policy, now=self._clock())
        return access

    async def _call(self, token: str) -> AccessToken | None:
        if self._session is None:
            raise IntrospectionUnavailable("closed")
        self.calls += 1
        form = {"token": token, "token_type_hint": "access_token"}
        async with self._session.post(self._url, data=form, headers=self._headers, allow_redirects=False) as answer:
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise IntrospectionUnavailable("answer too long")
            return read_introspection_answer(
                status=answer.status,
                content_type=answer.headers.get("Content-Type", ""),
                content_encoding=answer.headers.get("Content-Encoding", ""),
                body=bytes(body),
                policy=self.policy,
            )
