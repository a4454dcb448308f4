"""Where alerts go: the log always, a Slack incoming webhook where one is configured.

A sink is never waited for: what cannot be delivered is tried again with growing pauses, a bounded number wait, and the
rest is counted. The webhook's address is a secret: it is in no log line and no error.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final, Self

import aiohttp
import orjson

from haetae_fds.alerts import Alert
from haetae_fds.alerts.message import log_fields, slack_message

_log = logging.getLogger("haetae.alerts")
_MAX_WAITING: Final = 200
_ATTEMPTS: Final = 6
_FIRST_PAUSE: Final = 1.0
_TIMEOUT: Final = 5.0


def log_alert(alert: Alert) -> None:
    """Write an alert as one JSON line."""
    _log.warning("%s", orjson.dumps(log_fields(alert)).decode())


class SlackSink:
    """Posts alerts to an incoming webhook. `async with` it; `failed` counts what was given up."""

    def __init__(self, url: str, *, pause: float = _FIRST_PAUSE) -> None:
        """Raises ValueError for an address that is not https (http on loopback apart)."""
        if not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise ValueError("a webhook's address begins with https://")
        self._url = url
        self._pause = pause
        self._waiting: asyncio.Queue[Alert] = asyncio.Queue(_MAX_WAITING)
        self._session: aiohttp.ClientSession | None = None
        self._task: asyncio.Task[None] | None = None
        self.sent = 0
        self.failed = 0

    def __repr__(self) -> str:
        return f"SlackSink(sent={self.sent}, failed={self.failed})"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def send(self, alert: Alert) -> None:
        """Queue an alert."""
        try:
            self._waiting.put_nowait(alert)
        except asyncio.QueueFull:
            self.failed += 1

    async def _run(self) -> None:
        while True:
            alert = await self._waiting.get()
            if await self._deliver(alert):
                self.sent += 1
            else:
                self.failed += 1
                _log.error("an alert could not be delivered to Slack")

    async def _deliver(self, alert: Alert) -> bool:
        pause = self._pause
        for attempt in range(_ATTEMPTS):
            status = await self._post(orjson.dumps(slack_message(alert)))
            if status is not None and status < 300:
                return True
            if status is not None and 400 <= status < 500 and status != 429:
                return False
            if attempt + 1 < _ATTEMPTS:
                await asyncio.sleep(pause)
                pause *= 2
        return False

    async def _post(self, body: bytes) -> int | None:
        if self._session is None:
            return None
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with self._session.post(
                self._url, data=body, headers={"content-type": "application/json"}, allow_redirects=False
            ) as answer:
                return answer.status
        return None
