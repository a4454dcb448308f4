"""The identity service (app channel section 7): devices and people, asked once and remembered for a short time.

Calls for the same thing at the same time are one call. A record is kept 60 s, "unknown" 5 s, a context for a
Passport's life; a policy for a user or device drops what is remembered of them. Down: what is fresh serves on, all
else raises `DependencyUnavailable`, and the route answers 503.

Key ids are whatever a caller writes. So that a flood of invented ones reaches neither the known devices nor the
service, "unknown" is remembered apart from records, and key ids without a record are asked for a few at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import aiohttp
import orjson
from haetae_crypto.app_channel import DeviceKey
from haetae_crypto.errors import CryptoError

from haetae_edge.services import DependencyUnavailable, DeviceRecord, UnknownDevice

_DEVICE_SECONDS: Final = 60.0
_UNKNOWN_SECONDS: Final = 5.0
_MAX_ENTRIES: Final = 100_000
_MAX_UNKNOWN: Final = 10_000
#: Look-ups of key ids without a record that may run at a time, and that may run or wait.
_MAX_STRANGERS: Final = 32
_MAX_WAITING_STRANGERS: Final = 1024
_MAX_ANSWER: Final = 64 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Remembered(Generic[T]):
    """An answer: good until `until` (the loop's clock), asked for at moment `asked`."""

    until: float
    asked: int
    value: T


class HttpIdentityService:
    """Client of the identity service at `base` (no trailing slash)."""

    def __init__(
        self, session: aiohttp.ClientSession, base: str, *, token: str | None, timeout: float, context_seconds: float
    ) -> None:
        self._session = session
        self._base = base
        self._headers = {"accept": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._context_seconds = context_seconds
        self._devices: dict[str, _Remembered[DeviceRecord]] = {}
        self._unknown: dict[str, _Remembered[None]] = {}
        self._strangers = 0
        self._stranger_slots = asyncio.Semaphore(_MAX_STRANGERS)
        self._contexts: dict[tuple[str, str | None, str], _Remembered[Mapping[str, Any]]] = {}
        self._running: dict[object, asyncio.Task[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._moment = 0
        self._forgotten: dict[tuple[str, str], int] = {}

    def cached_device(self, keyid: str) -> DeviceRecord | None:
        """The record if it is remembered and fresh. Raises UnknownDevice for a remembered "no"."""
        found = self._devices.get(keyid)
        if found is None:
            unknown = self._unknown.get(keyid)
            if unknown is not None and unknown.until >= asyncio.get_running_loop().time():
                raise UnknownDevice
            return None
        if found.until < asyncio.get_running_loop().time():
            return None
        record = found.value
        if self._forgotten and self._is_forgotten(found.asked, user=record.user_id, device=record.device_id):
            return None
        return record

    async def device(self, keyid: str) -> DeviceRecord:
        """The record of a device key. Raises UnknownDevice or DependencyUnavailable.

        The latter also when the key id has no record and too many like it are being asked for.
        """
        record = self.cached_device(keyid)
        if record is None:
            fetch = self._fetch_device if keyid in self._devices else self._fetch_stranger
            record = await self._once(("device", keyid), lambda: fetch(keyid))
        return record

    def cached_context(
        self, *, sub: str, keyid: str | None, device: str | None, route: str
    ) -> Mapping[str, Any] | None:
        """The context if it is remembered and fresh."""
        found = self._contexts.get((sub, keyid, route))
        if found is None or found.until < asyncio.get_running_loop().time():
            return None
        if self._forgotten and self._is_forgotten(found.asked, user=sub, device=device):
            return None
        return found.value

    async def context(self, *, sub: str, keyid: str | None, device: str | None, route: str) -> Mapping[str, Any]:
        """User, device, consents and risk. Raises DependencyUnavailable."""
        found = self.cached_context(sub=sub, keyid=keyid, device=device, route=route)
        if found is not None:
            return found
        key = (sub, keyid, route)
        return await self._once(key, lambda: self._fetch_context(key))

    def forget(self, *, user: str | None = None, device: str | None = None) -> None:
        """Drop what is remembered of a user or device; takes the same time however much that is.

        What was asked for before this moment counts as forgotten when it arrives: it is given to those who wait for it
        already, and asked for again by everybody else.
        """
        self._moment += 1
        self._running = {}
        if len(self._forgotten) >= _MAX_ENTRIES:
            self._devices.clear()
            self._unknown.clear()
            self._contexts.clear()
            self._forgotten.clear()
        if user is not None:
            self._forgotten["user", user] = self._moment
        if device is not None:
            self._forgotten["device", device] = self._moment

    def _is_forgotten(self, asked: int, *, user: str | None, device: str | None) -> bool:
        forgotten = self._forgotten
        return (user is not None and forgotten.get(("user", user), 0) > asked) or (
            device is not None and forgotten.get(("device", device), 0) > asked
        )

    async def _once(self, key: object, fetch: Callable[[], Awaitable[T]]) -> T:
        task = self._running.get(key)
        if task is None:
            task = asyncio.ensure_future(fetch())
            self._running[key] = task
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._finished(key, done))
        # A caller that gives up must not take the answer from the others.
        result: T = await asyncio.shield(task)
        return result

    def _finished(self, key: object, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if self._running.get(key) is task:
            del self._running[key]
        if not task.cancelled():
            task.exception()  # retrieved here in case nobody waits any more

    async def _fetch_stranger(self, keyid: str) -> DeviceRecord:
        """One of a bounded number at a time; the others wait for their turn as long as a call may take, but not all."""
        if self._strangers >= _MAX_WAITING_STRANGERS:
            raise DependencyUnavailable
        self._strangers += 1
        try:
            try:
                async with asyncio.timeout(self._timeout.total):
                    await self._stranger_slots.acquire()
            except TimeoutError:
                raise DependencyUnavailable from None
            try:
                return await self._fetch_device(keyid)
            finally:
                self._stranger_slots.release()
        finally:
            self._strangers -= 1

    async def _fetch_device(self, keyid: str) -> DeviceRecord:
        asked = self._moment
        status, document = await self._call("GET", f"/v1/devices/{quote(keyid, safe='')}", None)
        now = asyncio.get_running_loop().time()
        if status == 404 or document.get("status") != "active":
            if _drop_older(self._devices, keyid, asked):
                _remember(self._unknown, keyid, _Remembered(now + _UNKNOWN_SECONDS, asked, None), most=_MAX_UNKNOWN)
            raise UnknownDevice
        record = _device_record(keyid, document)
        if _drop_older(self._unknown, keyid, asked):
            _remember(self._devices, keyid, _Remembered(now + _DEVICE_SECONDS, asked, record))
        return record

    async def _fetch_context(self, key: tuple[str, str | None, str]) -> Mapping[str, Any]:
        sub, keyid, route = key
        asked = self._moment
        status, document = await self._call("POST", "/v1/context", {"sub": sub, "keyid": keyid, "route": route})
        if status != 200:
            raise DependencyUnavailable
        until = asyncio.get_running_loop().time() + self._context_seconds
        _remember(self._contexts, key, _Remembered(until, asked, document))
        return document

    async def _call(self, method: str, path: str, body: object) -> tuple[int, dict[str, Any]]:
        data = None if body is None else orjson.dumps(body)
        headers = self._headers if data is None else {**self._headers, "content-type": "application/json"}
        try:
            async with self._session.request(
                method, self._base + path, data=data, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as answer:
                if answer.status not in (200, 404):
                    raise DependencyUnavailable
                raw = await answer.content.read(_MAX_ANSWER + 1)
                while len(raw) <= _MAX_ANSWER and (piece := await answer.content.read(_MAX_ANSWER)):
                    raw += piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DependencyUnavailable from error
        if answer.status == 404:
            return 404, {}
        return 200, _json_object(raw)


def _json_object(raw: bytes) -> dict[str, Any]:
    if len(raw) > _MAX_ANSWER:
        raise DependencyUnavailable
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise DependencyUnavailable from error
    if not isinstance(document, dict):
        raise DependencyUnavailable
    return document


def _device_record(keyid: str, document: dict[str, Any]) -> DeviceRecord:
    """Read a device record strictly: a lying identity service is as good as none."""
    user = document.get("user_id")
    device = document.get("device")
    algorithm, jwk = document.get("alg"), document.get("public_key")
    if document.get("keyid") != keyid or not isinstance(device, dict) or not isinstance(device.get("id"), str):
        raise DependencyUnavailable
    if not (user is None or isinstance(user, str)) or not isinstance(algorithm, str) or not isinstance(jwk, dict):
        raise DependencyUnavailable
    try:
        key = DeviceKey.from_jwk(keyid, algorithm, jwk)
    except CryptoError as error:
        raise DependencyUnavailable from error
    return DeviceRecord(key=key, user_id=user, device=device)


def _drop_older(cache: dict[str, Any], key: str, asked: int) -> bool:
    """Make way for the opposite answer; False when what is here was asked for later."""
    known = cache.get(key)
    if known is None:
        return True
    if known.asked > asked:
        return False
    del cache[key]
    return True


def _remember(cache: dict[Any, Any], key: object, entry: _Remembered[Any], *, most: int = _MAX_ENTRIES) -> None:
    """Keep an answer, unless one that was asked for later is here already."""
    known = cache.get(key)
    if known is not None:
        if known.asked > entry.asked:
            return
        # To the end: what was not refreshed for longest is what goes first.
        del cache[key]
    elif len(cache) >= most:
        # Dictionaries keep insertion order.
        for old in list(islice(cache, most // 10)):
            del cache[old]
    cache[key] = entry
