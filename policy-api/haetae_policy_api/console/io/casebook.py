"""What the console keeps and reads in the store beside policies: decisions of the fraud detection, labels, its key.

Rules kept: newest records only, bounded in number; a record that cannot be read is passed by and counted.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

import orjson
from haetae_fds.io.alert_log import LoggedAlert, newest_alerts
from haetae_fds.io.feedback import Word
from haetae_fds.io.keys import ShardKeys
from haetae_policy.errors import StoreUnavailable
from haetae_policy.io.commands import Commands, Executor

MOST: Final = 200
_LABELS: Final = 1000
_KEY_BYTES: Final = 32


class Casebook:
    """Reads decisions and labels; raises StoreUnavailable."""

    def __init__(self, client: Executor, *, prefix: str, shards: int, deadline_s: float) -> None:
        self._commands = Commands(client, deadline_s=deadline_s)
        self._prefix = prefix
        self._shards = [ShardKeys(prefix, shard) for shard in range(shards)]
        self._key: bytes | None = None
        self.unreadable = 0

    async def key(self) -> bytes:
        """Return the key of the page tokens, one for all processes of the service; the first one makes it."""
        if self._key is None:
            name = f"{self._prefix}console:key"
            await self._commands.call("SET", name, os.urandom(_KEY_BYTES), "NX")
            kept = await self._commands.call("GET", name)
            if not isinstance(kept, bytes) or len(kept) != _KEY_BYTES:
                raise StoreUnavailable("the key of the console's pages is not there")
            self._key = kept
        return self._key

    async def decisions(self) -> list[dict[str, Any]]:
        """Return the newest decisions of all shards as JSON objects, newest first."""
        found: list[dict[str, Any]] = []
        for shard in self._shards:
            for _, fields in await self._commands.call("XREVRANGE", shard.log, "+", "-", "COUNT", MOST):
                if (decision := _decision(_pairs(fields).get(b"d", b""))) is not None:
                    found.append(decision)
                else:
                    self.unreadable += 1
        found.sort(key=lambda decision: int(decision["ts"]), reverse=True)
        return found[:MOST]

    async def judged(self) -> dict[str, dict[str, Any]]:
        """Return the newest label of each policy that has one: `word`, `by`, `at_ms`, and all its `reviewers`."""
        newest: dict[str, dict[str, Any]] = {}
        rows = await self._commands.call("XREVRANGE", f"{self._prefix}fds:labels", "+", "-", "COUNT", _LABELS)
        for _, fields in rows:
            try:
                value = orjson.loads(_pairs(fields).get(b"d", b""))
                by = str(value["by"])
                told: dict[str, Any] = {
                    "word": Word(value["word"]).value,
                    "by": by,
                    "at_ms": int(value["at"]),
                    "reviewers": [],
                }
                reviewers = newest.setdefault(str(value["policy"]), told)["reviewers"]
                if by not in reviewers:
                    reviewers.append(by)
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                self.unreadable += 1
        return newest

    async def told(self) -> list[LoggedAlert]:
        """Return the newest spike alerts, newest first."""
        return await newest_alerts(self._commands, prefix=self._prefix)


def _pairs(fields: Any) -> Mapping[bytes, bytes]:
    return fields if isinstance(fields, Mapping) else dict(zip(fields[::2], fields[1::2], strict=True))


def _decision(raw: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    texts = ("op", "mode", "action", "detector", "why", "pid")
    if not isinstance(value, dict) or type(value.get("ts")) is not int or not isinstance(value.get("subject"), dict):
        return None
    if not all(isinstance(value.get(name), str) for name in texts) or not isinstance(value.get("numbers"), list):
        return None
    return value
