"""Spike alerts in the store: the newest ones, for whoever shows them to people.

Rules kept: a sink is never waited for; a bounded number waits for a store that is away, the rest is counted; what is
read back was written by any worker, so it is checked like everything that comes from the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import orjson
from haetae_policy import StoreUnavailable
from haetae_policy.io.commands import Commands
from haetae_policy.io.connect import RedisSettings, connect

from haetae_fds.alerts import Alert
from haetae_fds.alerts.message import summary

KEPT: Final = 200
_MAX_WAITING: Final = 200
_DEADLINE: Final = 2.0
_PAUSE: Final = 1.0
_MAX_TEXT: Final = 2_500
_log = logging.getLogger("haetae.alerts")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedAlert:
    """An alert as it was told. `kind` is `spike`, `silence` or `end`; `episode` joins those that belong together."""

    at_ms: int
    kind: str
    episode: str
    gateway: str
    text: str


class AlertLog:
    """Writes alerts down. `failed` counts what found no room; run `keep` beside."""

    def __init__(self, commands: Commands, *, prefix: str, pause: float = _PAUSE) -> None:
        self._commands = commands
        self._key = _key(prefix)
        self._pause = pause
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(_MAX_WAITING)
        self.failed = 0

    def send(self, alert: Alert) -> None:
        """Queue an alert."""
        try:
            self._waiting.put_nowait(
                orjson.dumps(
                    {
                        "at": alert.minute * 60_000,
                        "kind": alert.kind,
                        "episode": alert.episode,
                        "gateway": alert.gateway,
                        "text": summary(alert)[:_MAX_TEXT],
                    }
                )
            )
        except asyncio.QueueFull:
            self.failed += 1

    async def keep(self) -> None:
        """Write until cancelled; a store that is away is tried again."""
        while True:
            waiting = await self._waiting.get()
            while True:
                try:
                    await self._commands.call("XADD", self._key, "MAXLEN", "~", KEPT, "*", "d", waiting)
                except StoreUnavailable:
                    await asyncio.sleep(self._pause)
                else:
                    break


async def newest_alerts(commands: Commands, *, prefix: str) -> list[LoggedAlert]:
    """The newest alerts, newest first. Raises haetae_policy.StoreUnavailable."""
    raw = await commands.call("XREVRANGE", _key(prefix), "+", "-", "COUNT", KEPT)
    return [alert for _, fields in raw if (alert := _read(fields)) is not None]


@asynccontextmanager
async def alert_log(redis_url: str, *, prefix: str) -> AsyncIterator[AlertLog]:
    """A log with a connection of its own, which is writing meanwhile."""
    client = connect(RedisSettings(redis_url, connect_s=1.0, reply_s=_DEADLINE, pool_wait_s=1.0))
    log = AlertLog(Commands(client, deadline_s=_DEADLINE), prefix=prefix)
    keeping = asyncio.create_task(log.keep())
    try:
        yield log
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await client.aclose()


def _key(prefix: str) -> str:
    return f"{prefix}fds:alerts"


def _read(fields: Any) -> LoggedAlert | None:
    pairs = fields if isinstance(fields, Mapping) else dict(zip(fields[::2], fields[1::2], strict=True))
    try:
        return _alert(orjson.loads(pairs.get(b"d", b"")))
    except (KeyError, TypeError, ValueError):
        _log.warning("an alert in the store cannot be read")
        return None


def _alert(read: Mapping[str, Any]) -> LoggedAlert:
    words = {name: read[name] for name in ("kind", "episode", "gateway", "text")}
    if type(read["at"]) is not int or not all(type(word) is str and len(word) <= _MAX_TEXT for word in words.values()):
        raise ValueError("not an alert")
    return LoggedAlert(at_ms=read["at"], **words)
