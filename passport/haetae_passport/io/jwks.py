"""Fetching the gateway's Passport keys, for a service that verifies.

Rules kept: https only (loopback apart, when asked for); no redirects, no cookies, no proxy from the
environment, no decompression; size and time are capped; one fetch at a time, which many requests may await.
Once keys are known, a request waits only for a key it names and we do not have. A service that gets no
requests fetches nothing.

Not done here: deciding when to fetch (`haetae_crypto.jwks.JwksState`) and checking Passports.
"""

import asyncio
import logging
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

from haetae_passport.errors import PassportKeysUnavailable, PassportKeyUnknown

_LOG: Final = logging.getLogger("haetae.passport")
_HEADERS: Final = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
_ROUNDS: Final = 2  # wait for the running fetch, then for one of our own; nobody waits longer


class PassportKeys:
    """The keys of one gateway, fetched when needed and kept fresh. Belongs to one event loop.

    Use it as an async context manager, or call `aclose` when done.
    """

    def __init__(
        self,
        url: str,
        *,
        loopback_http: bool = False,
        times: JwksTimes | None = None,
        fetch_seconds: float = 2.0,
        tls: SSLContext | None = None,
    ) -> None:
        """`url` is the gateway's `/.well-known/haetae/passport-jwks.json`; `tls` replaces the system's trust.

        Raises KeyFormatInvalid when keys may not be fetched from `url`.
        """
        self._url = URL(check_jwks_url(url, loopback_http=loopback_http), encoded=True)
        self._state = JwksState(times or JwksTimes())
        self._timeout = ClientTimeout(total=fetch_seconds)
        self._tls = tls
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def keys_for(self, kid: str) -> JwkSet:
        """A key set that holds `kid`.

        Raises PassportKeyUnknown when the issuer does not publish that key, PassportKeysUnavailable when
        nothing is known of the issuer and it does not answer.
        """
        loop = asyncio.get_running_loop()
        for _ in range(_ROUNDS):
            step = self._state.next_step(kid=kid, now=loop.time())
            match step:
                case UseKeys(keys=keys, refresh=refresh):
                    if refresh:
                        self._start(None)
                    return keys
                case FetchKeys():
                    await asyncio.wait({self._start(kid)})
                case RefuseKid():
                    raise PassportKeyUnknown
                case NoKeys(retry_after=seconds):
                    raise PassportKeysUnavailable(retry_after=seconds)
        last_good = self._state.usable(now=loop.time())
        if last_good is None:
            raise PassportKeysUnavailable(retry_after=self._state.times.retry_first)
        if not last_good.knows(kid):
            raise PassportKeyUnknown
        return last_good

    def warm(self) -> None:
        """Start fetching now, so that the first request need not wait. Call it when the service starts."""
        loop = asyncio.get_running_loop()
        if isinstance(self._state.next_step(kid=None, now=loop.time()), FetchKeys):
            self._start(None)

    async def aclose(self) -> None:
        """Stop a running fetch and wait for its end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _start(self, kid: str | None) -> asyncio.Task[None]:
        if self._task is None or self._task.done():
            loop = asyncio.get_running_loop()
            self._state.fetch_started(kid=kid, now=loop.time())
            self._task = loop.create_task(self._fetch())
        return self._task

    async def _fetch(self) -> None:
        loop = asyncio.get_running_loop()
        keys: JwkSet | None = None
        try:
            keys = await self._download()
        except (ClientError, TimeoutError, OSError, KeyFormatInvalid, ValueError) as why:
            _LOG.warning("Passport keys not fetched from %s: %s: %s", self._url, type(why).__name__, why)
        finally:
            # Also when cancelled: the state must never believe in a fetch that is over.
            if keys is None:
                self._state.fetch_failed(now=loop.time())
            else:
                self._state.fetch_succeeded(keys, now=loop.time())

    async def _download(self) -> JwkSet:
        connector = TCPConnector(ssl=self._tls or True, force_close=True)
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
