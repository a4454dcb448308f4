"""Talking to the provider: discovery, keys, tokens, UserInfo, revocation.

Rules kept: https (loopback apart, when asked for), no redirects, no cookies, no proxy from the environment, no
decompression; answers bounded in size and time. Discovery is asked for once however many wait for it, is renewed behind
the scenes, and a bad document never replaces a good one.

Not done here: judging what comes back; see `haetae_oidc/relying_party`.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from secrets import token_bytes
from ssl import SSLContext
from typing import Any, Final, Self, TypeVar

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from haetae_crypto.jwks import JwkSet
from yarl import URL

from haetae_oidc.errors import KeysUnavailable, KeyUnknown, ProviderUnavailable
from haetae_oidc.io.jwks import IssuerAddress, KeySource
from haetae_oidc.relying_party.client_auth import prove_client
from haetae_oidc.relying_party.metadata import ProviderMetadata, discovery_url, read_metadata
from haetae_oidc.relying_party.settings import ProviderSettings
from haetae_oidc.relying_party.token_answer import MAX_ANSWER_BYTES, TokenAnswer, read_token_answer, read_userinfo

_LOG: Final = logging.getLogger("haetae.oidc")
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}
_FRESH: Final = 3600.0
_PAUSE: Final = 1.0
Verified = TypeVar("Verified")


class Provider:
    """One provider. An async context manager; entering starts discovery without waiting for it."""

    def __init__(self, settings: ProviderSettings, *, tls: SSLContext | None = None) -> None:
        """`tls` replaces the system's trust."""
        self.settings = settings
        self._tls = tls
        self._http: ClientSession | None = None
        self._metadata: ProviderMetadata | None = None
        self._renew_at = 0.0
        self._retry_at = 0.0
        self._discovering: asyncio.Task[ProviderMetadata] | None = None
        self._keys: KeySource | None = None

    async def __aenter__(self) -> Self:
        self._http = ClientSession(
            connector=TCPConnector(ssl=self._tls or True, limit=32),
            timeout=ClientTimeout(total=self.settings.timeout),
            auto_decompress=False,
            cookie_jar=DummyCookieJar(),
        )
        self._discover()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._discovering is not None:
            self._discovering.cancel()
            await asyncio.wait({self._discovering})
        if self._keys is not None:
            await self._keys.aclose()
        if self._http is not None:
            await self._http.close()

    async def metadata(self) -> ProviderMetadata:
        """What the provider says of itself; waits only before the first good answer. Raises ProviderUnavailable."""
        now = asyncio.get_running_loop().time()
        if self._metadata is not None:
            if now >= self._renew_at and now >= self._retry_at:
                self._discover()
            return self._metadata
        if self._discovering is None or self._discovering.done():
            if now < self._retry_at:
                raise ProviderUnavailable("the provider did not answer just now", retry_after=_PAUSE)
            self._discover()
        assert self._discovering is not None  # noqa: S101 - just begun
        return await asyncio.shield(self._discovering)

    async def redeem(self, *, code: str, verifier: str, redirect_uri: str, now: float) -> TokenAnswer:
        """Tokens for a code. Raises TokenRefused, ProviderUnavailable."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        return await self._token(form, now=now)

    async def refresh(self, refresh_token: str, *, now: float) -> TokenAnswer:
        """Fresh tokens. Raises TokenRefused, ProviderUnavailable."""
        return await self._token({"grant_type": "refresh_token", "refresh_token": refresh_token}, now=now)

    async def userinfo(self, access_token: str, *, subject: str) -> Mapping[str, Any] | None:
        """Claims about `subject`, None where there is no such endpoint. Raises LoginInvalid, ProviderUnavailable."""
        endpoint = (await self.metadata()).userinfo_endpoint
        if endpoint is None:
            return None
        headers = {"Authorization": f"Bearer {access_token}"}
        status, kind, body = await self._send("GET", endpoint, headers=headers, form=None)
        return read_userinfo(status=status, content_type=kind, body=body, subject=subject)

    async def revoke(self, token: str, *, hint: str, now: float) -> None:
        """Give a token back (RFC 7009), where the provider takes it. Raises ProviderUnavailable."""
        endpoint = (await self.metadata()).revocation_endpoint
        if endpoint is not None:
            proof = prove_client(settings=self.settings, now=now, random=token_bytes(16))
            form = {"token": token, "token_type_hint": hint, **proof.form}
            await self._send("POST", endpoint, headers=proof.headers, form=form)

    async def verify(self, check: Callable[[JwkSet], Verified]) -> Verified:
        """What `check` makes of the provider's keys; once more with fresher ones when it misses a key.

        Raises what `check` raises; ProviderUnavailable without keys.
        """
        await self.metadata()
        assert self._keys is not None  # noqa: S101 - made with the metadata
        keys = self._keys.keys_of(self.settings.issuer)
        try:
            current = keys.current or await keys.learn(None)
            try:
                return check(current)
            except KeyUnknown as unknown:
                if unknown.unverified_kid is None:
                    raise
                return check(await keys.learn(unknown.unverified_kid))
        except KeysUnavailable as why:
            raise ProviderUnavailable("the provider's keys are not available", retry_after=why.retry_after) from why

    async def _token(self, form: dict[str, str], *, now: float) -> TokenAnswer:
        metadata = await self.metadata()
        proof = prove_client(settings=self.settings, now=now, random=token_bytes(16))
        sent = form | proof.form
        status, kind, body = await self._send("POST", metadata.token_endpoint, headers=proof.headers, form=sent)
        return read_token_answer(status=status, content_type=kind, body=body)

    def _discover(self) -> None:
        if self._discovering is None or self._discovering.done():
            self._discovering = asyncio.create_task(self._fetch_metadata())
            # Those who wait see the error; with nobody waiting it has been logged.
            self._discovering.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _fetch_metadata(self) -> ProviderMetadata:
        loop = asyncio.get_running_loop()
        try:
            status, kind, body = await self._send("GET", discovery_url(self.settings.issuer), headers={}, form=None)
            if status != 200 or kind.partition(";")[0].strip().lower() != "application/json":
                raise ProviderUnavailable(f"discovery answered with status {status}")
            metadata = read_metadata(body, settings=self.settings)
        except ProviderUnavailable as why:
            self._retry_at = loop.time() + _PAUSE
            _LOG.warning("discovery of %s failed: %s", self.settings.issuer, why)
            raise
        await self._use(metadata)
        self._renew_at = loop.time() + _FRESH
        return metadata

    async def _use(self, metadata: ProviderMetadata) -> None:
        old, had = self._keys, self._metadata
        if old is None or had is None or had.jwks_uri != metadata.jwks_uri:
            address = IssuerAddress(
                issuer=self.settings.issuer,
                jwks_url=metadata.jwks_uri,
                loopback_http=self.settings.loopback_http,
                tls=self._tls,
            )
            self._keys = await KeySource([address], fetch_seconds=self.settings.timeout).__aenter__()
            if old is not None:
                await old.aclose()
        self._metadata = metadata

    async def _send(
        self, method: str, url: str, *, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> tuple[int, str, bytes]:
        """Status, media type and body of the answer. Raises ProviderUnavailable."""
        if self._http is None:
            raise ProviderUnavailable("not started")
        try:
            async with self._http.request(
                method, URL(url, encoded=True), headers={**_HEADERS, **headers}, data=form, allow_redirects=False
            ) as answer:
                if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise ProviderUnavailable("answered in a coding nobody asked for")
                body = bytearray()
                async for chunk in answer.content.iter_any():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise ProviderUnavailable("answered at too great length")
                return answer.status, answer.headers.get("Content-Type", ""), bytes(body)
        except (ClientError, TimeoutError, OSError, ValueError) as why:
            raise ProviderUnavailable(f"did not answer: {type(why).__name__}") from why
