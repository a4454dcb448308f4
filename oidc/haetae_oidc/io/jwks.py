"""The keys of token issuers, fetched behind the scenes.

Rules kept: https only (loopback apart, when asked for); no redirects, no cookies, no proxy from the
environment, no decompression; size and time are capped. A timer per issuer fetches ahead of need, so once
warm no request waits, unless its token names a key we have never seen: then all such requests await one
fetch, at most one per cooldown. A bad answer never replaces good keys.

Not done here: deciding when (`haetae_crypto.jwks.JwksState`), checking tokens, finding the address by
discovery.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from ssl import SSLContext
from typing import Final, Self

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from haetae_crypto.errors import KeyFormatInvalid
from haetae_crypto.jwks import (
    MAX_JWKS_BYTES,
    FetchKeys,
    JwkSet,
    JwksState,
    JwksTimes,
    NoKeys,
    RefuseKid,
    UseKeys,
    check_jwks_url,
    read_jwks_answer,
)
from yarl import URL

from haetae_oidc.errors import KeysUnavailable, KeyUnknown, SettingsInvalid

_LOG: Final = logging.getLogger("haetae.oidc")
_HEADERS: Final = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
_ROUNDS: Final = 2  # wait for the running fetch, then for one of our own; nobody waits longer


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerAddress:
    """Where one issuer publishes its keys. `tls` replaces the system's trust; `loopback_http` is for local
    stacks.

    The binding of `issuer` to `jwks_url` is configuration: a token never says where its keys are.
    """

    issuer: str
    jwks_url: str
    loopback_http: bool = False
    tls: SSLContext | None = None


class IssuerKeySet:
    """The keys of one issuer. Made by KeySource; gives AccessTokenVerifier its `current` keys."""

    __slots__ = ("_address", "_closed", "_loop", "_state", "_task", "_timeout", "_timer", "_url")

    def __init__(self, address: IssuerAddress, *, times: JwksTimes, fetch_seconds: float) -> None:
        """Raises SettingsInvalid when keys may not be fetched from the address."""
        try:
            url = check_jwks_url(address.jwks_url, loopback_http=address.loopback_http)
        except KeyFormatInvalid as why:
            raise SettingsInvalid(str(why)) from why
        self._url = URL(url, encoded=True)
        self._address = address
        self._state = JwksState(times)
        self._timeout = ClientTimeout(total=fetch_seconds)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def current(self) -> JwkSet | None:
        """The newest good set, unless it is too old to be believed. Costs no I/O."""
        return None if self._loop is None else self._state.usable(now=self._loop.time())

    def start(self) -> None:
        """Fetch now and keep fetching on a timer. Call it inside the event loop that will use the keys."""
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._begin(None)

    async def learn(self, unverified_kid: str | None) -> JwkSet:
        """A set that holds this key id (or, for None, any set), fetched if that may help.

        Raises KeyUnknown when the issuer does not publish it; KeysUnavailable when nothing is known of the
        issuer.
        """
        if self._loop is None or self._closed:
            raise KeysUnavailable(retry_after=1.0)
        for _ in range(_ROUNDS):
            step = self._state.next_step(kid=unverified_kid, now=self._loop.time())
            match step:
                case UseKeys(keys=keys):
                    return keys  # the timer refreshes
                case FetchKeys():
                    await asyncio.wait({self._begin(unverified_kid)})
                case RefuseKid():
                    raise KeyUnknown(unverified_kid)
                case NoKeys(retry_after=seconds):
                    raise KeysUnavailable(retry_after=seconds)
        last_good = self.current
        if last_good is None:
            raise KeysUnavailable(retry_after=self._state.times.retry_first)
        if unverified_kid is not None and not last_good.knows(unverified_kid):
            raise KeyUnknown(unverified_kid)
        return last_good

    async def aclose(self) -> None:
        """Stop the timer and a running fetch."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _begin(self, kid: str | None) -> asyncio.Task[None]:
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done():
            self._state.fetch_started(kid=kid, now=loop.time())
            self._task = loop.create_task(self._fetch(loop))
        return self._task

    async def _fetch(self, loop: asyncio.AbstractEventLoop) -> None:
        keys: JwkSet | None = None
        try:
            keys = await self._download()
        except (ClientError, TimeoutError, OSError, KeyFormatInvalid, ValueError) as why:
            issuer = self._address.issuer
            _LOG.warning("keys of %s not fetched: %s: %s", issuer, type(why).__name__, why)
        finally:
            if keys is None:
                self._state.fetch_failed(now=loop.time())
            else:
                self._state.fetch_succeeded(keys, now=loop.time())
            self._schedule(loop)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._closed:
            self._timer = loop.call_at(self._state.refresh_at(), self._begin, None)

    async def _download(self) -> JwkSet:
        connector = TCPConnector(ssl=self._address.tls or True, force_close=True)
        async with (
            ClientSession(
                connector=connector, timeout=self._timeout, auto_decompress=False, cookie_jar=DummyCookieJar()
            ) as session,
            session.get(self._url, headers=_HEADERS, allow_redirects=False) as answer,
        ):
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > MAX_JWKS_BYTES:
                    raise KeyFormatInvalid(f"key set longer than {MAX_JWKS_BYTES} bytes")
            return read_jwks_answer(
                status=answer.status,
                content_type=answer.headers.get("Content-Type", ""),
                content_encoding=answer.headers.get("Content-Encoding", ""),
                body=bytes(body),
            )


class KeySource:
    """The keys of all configured issuers. An async context manager: entering starts the fetching, without
    waiting.
    """

    def __init__(
        self,
        addresses: Iterable[IssuerAddress],
        *,
        times: JwksTimes | None = None,
        fetch_seconds: float = 2.0,
    ) -> None:
        """Raises SettingsInvalid for an issuer given twice or an address that may not be used."""
        self._issuers: dict[str, IssuerKeySet] = {}
        for address in addresses:
            if address.issuer in self._issuers:
                raise SettingsInvalid("issuer configured twice")
            self._issuers[address.issuer] = IssuerKeySet(
                address, times=times or JwksTimes(), fetch_seconds=fetch_seconds
            )

    async def __aenter__(self) -> Self:
        for issuer in self._issuers.values():
            issuer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def keys_of(self, issuer: str) -> IssuerKeySet:
        """What AccessTokenVerifier needs. Raises SettingsInvalid for an issuer that is not configured."""
        try:
            return self._issuers[issuer]
        except KeyError:
            raise SettingsInvalid("issuer is not configured") from None

    async def ready(self, issuer: str) -> JwkSet:
        """Wait until the issuer's keys are known. Raises KeysUnavailable when it does not give any."""
        return await self.keys_of(issuer).learn(None)

    async def aclose(self) -> None:
        """Stop all fetching."""
        await asyncio.gather(*(issuer.aclose() for issuer in self._issuers.values()))
