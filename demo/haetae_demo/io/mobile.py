"""The demo's mobile app: finds the gateway's keys, and calls through the app channel with its device key.

Rules kept: the gateway's key list is accepted only with the pinned root key's signature; the bytes that were signed
are the bytes that are sent; a prepared request is sent once unless a demonstration replays it on purpose; answers
are bounded. Every connection is used for one request, because a client library that repeats a request by itself
would look like a replay. Time and randomness are arguments.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import aiohttp
from haetae_crypto.client import AppClient, PreparedRequest
from haetae_crypto.discovery import APP_KEYS_PATH, MAX_DOCUMENT_BYTES, AppKeys, read_app_keys
from haetae_crypto.errors import BodyUndecryptable, DiscoveryInvalid, SignatureInvalid
from haetae_crypto.jwk import PublicJwk
from haetae_crypto.strict_json import read_json_object
from yarl import URL

from haetae_demo.errors import AnswerInvalid, RequestInvalid, Unreachable
from haetae_demo.io.enrolment import EnrolledDevice

MAX_ANSWER_BYTES = 16 * 1024 * 1024
# aiohttp would add these by itself, unsigned.
_SKIPPED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: ``wire`` as received, ``body`` opened. ``encrypted`` says whether the two differ."""

    status: int
    headers: tuple[tuple[str, str], ...]
    wire: bytes
    body: bytes
    encrypted: bool

    def header(self, name: str) -> str | None:
        """The first header line of that name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def problem(self) -> dict[str, object]:
        """The members of a problem document; empty for any other answer."""
        if (self.header("content-type") or "").partition(";")[0].strip() != "application/problem+json":
            return {}
        try:
            return read_json_object(self.body)
        except ValueError:
            return {}

    @property
    def code(self) -> str | None:
        """The stable ``code`` of a problem document."""
        code = self.problem().get("code")
        return code if isinstance(code, str) else None


def one_shot_session() -> aiohttp.ClientSession:
    """A client session that sends what it is given: no pooling, cookies, redirects or decompression of its own."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=_SKIPPED,
        timeout=aiohttp.ClientTimeout(total=30),
    )


async def fetch_app_keys(session: aiohttp.ClientSession, *, gateway_url: str, root_key: PublicJwk) -> AppKeys:
    """The gateway's published keys, signed by the pinned ``root_key``.

    Raises:
        Unreachable: no answer.
        AnswerInvalid: an answer that is no key list, or not one the root key signed.
    """
    url = gateway_url.rstrip("/") + APP_KEYS_PATH
    status, _, body = await _exchange(session, "GET", url, headers=(), body=None, limit=MAX_DOCUMENT_BYTES)
    if status != 200:
        raise AnswerInvalid(f"{url} answered {status} instead of the key list")
    try:
        return read_app_keys(body, root_key=root_key)
    except DiscoveryInvalid as error:
        raise AnswerInvalid(f"the key list of {gateway_url} is not to be trusted: {error}") from error


class MobileApp:
    """One installation of the app.

    Args:
        session: see :func:`one_shot_session`; belongs to the caller.
        gateway_url: base URL of the App gateway.
        device: the enrolled device key.
        root_key: the pinned key of the gateway.
        clock: Unix seconds, as this device believes.
        random_bytes: a cryptographic source.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        gateway_url: str,
        device: EnrolledDevice,
        root_key: PublicJwk,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._session = session
        self._gateway_url = gateway_url.rstrip("/")
        self._root_key = root_key
        self._clock = clock
        self.device = device
        self.channel = AppClient(keyid=device.keyid, device_key=device.key, gateway_key=None, random_bytes=random_bytes)
        self.token: str | None = None

    async def learn_keys(self) -> str:
        """Fetch the key list and use its best key from now on. Returns that key's id.

        Raises:
            Unreachable: no answer.
            AnswerInvalid: the list is not to be trusted, or holds no key for now.
        """
        published = await fetch_app_keys(self._session, gateway_url=self._gateway_url, root_key=self._root_key)
        try:
            key = published.choose(now=self._clock() + self.channel.clock_offset)
        except DiscoveryInvalid as error:
            raise AnswerInvalid(f"the gateway publishes no usable key: {error}") from error
        self.channel.use_gateway_key(key)
        return key.kid

    def prepare(
        self, method: str, path: str, *, headers: Iterable[tuple[str, str]] = (), body: bytes | None = None
    ) -> PreparedRequest:
        """Sign and encrypt a request for ``path`` (with query) of the gateway.

        Raises:
            RequestInvalid: it cannot be signed as it is.
        """
        try:
            return self.channel.prepare(
                method,
                self._gateway_url + path,
                now=self._clock(),
                headers=headers,
                body=body,
                token=self.token,
            )
        except SignatureInvalid as error:
            raise RequestInvalid(str(error)) from error

    async def send(self, prepared: PreparedRequest) -> Answer:
        """Send exactly what was prepared, and open the answer.

        Raises:
            Unreachable: no complete answer.
            AnswerInvalid: an answer that does not open, or came plain where it must not.
        """
        url = f"{prepared.scheme}://{prepared.authority}{prepared.target}"
        status, headers, wire = await _exchange(
            self._session, prepared.method, url, headers=prepared.headers, body=prepared.body
        )
        try:
            opened = prepared.opener.open(status, headers, wire)
        except BodyUndecryptable as error:
            raise AnswerInvalid("the gateway's answer does not open with this request's key") from error
        return Answer(status=status, headers=headers, wire=wire, body=opened.body, encrypted=opened.encrypted)

    async def call(
        self, method: str, path: str, *, headers: Iterable[tuple[str, str]] = (), body: bytes | None = None
    ) -> Answer:
        """Prepare and send; once more after the gateway said what to correct (its time, or its key).

        Raises:
            RequestInvalid: the request cannot be signed.
            Unreachable: no complete answer.
            AnswerInvalid: an answer not to be trusted.
        """
        kept = tuple(headers)
        answer = await self.send(self.prepare(method, path, headers=kept, body=body))
        code = answer.code
        if code is None or not self.channel.learn_from(code, answer.headers, now=self._clock()):
            return answer
        if code == "content-key-invalid":
            await self.learn_keys()
        return await self.send(self.prepare(method, path, headers=kept, body=body))


async def _exchange(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    headers: Iterable[tuple[str, str]],
    body: bytes | None,
    limit: int = MAX_ANSWER_BYTES,
) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
    try:
        async with session.request(
            method, URL(url, encoded=True), headers=list(headers), data=body, allow_redirects=False
        ) as answer:
            wire = bytearray()
            async for chunk in answer.content.iter_any():
                wire += chunk
                if len(wire) > limit:
                    raise AnswerInvalid(f"the answer is longer than {limit} bytes")
            return answer.status, tuple(answer.headers.items()), bytes(wire)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Unreachable(f"{url} gives no complete answer: {type(error).__name__}") from error
