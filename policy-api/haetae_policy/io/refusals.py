"""What became of a refused request, by its reference: written by the edges, read by support for a week.

Bounded: at most `most` records, the oldest go first. A record holds what the gateway knew, never a request body or a
credential. Hits per policy are counted beside.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from haetae_policy.errors import FeedCorrupt, ReferenceInvalid
from haetae_policy.io.commands import Commands, Executor
from haetae_policy.io.keys import Keys
from haetae_policy.io.scripts import REFUSE

KEEP_MS: Final = 7 * 86_400_000
MAX_RECORD_BYTES: Final = 2048
MAX_FACT: Final = 256


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused request. `facts` are short texts such as user, device, ip, route, method, trace."""

    policy_id: str
    action: str
    why: str
    at_ms: int
    facts: Mapping[str, str] = field(default_factory=dict)


class RefusalStore:
    """Writes and reads refusals. `most`: records kept."""

    def __init__(
        self, client: Executor, *, prefix: str = "haetae:", most: int = 200_000, deadline_s: float = 1.0
    ) -> None:
        self._commands = Commands(client, deadline_s=deadline_s)
        self._keys = Keys(prefix)
        self._most = most

    async def record(self, reference: str, refusal: Refusal) -> None:
        """Keep a refusal under its reference, off the request path; long facts are cut. Raises StoreUnavailable."""
        facts = {_clean(name)[:32]: _clean(value)[:MAX_FACT] for name, value in list(refusal.facts.items())[:16]}
        document = {
            "policy": refusal.policy_id,
            "action": refusal.action,
            "why": refusal.why,
            "at": refusal.at_ms,
        }
        raw = orjson.dumps({**document, "facts": facts})
        while len(raw) > MAX_RECORD_BYTES:
            facts.popitem()
            raw = orjson.dumps({**document, "facts": facts})
        keys = self._keys
        await self._commands.run(
            REFUSE,
            [keys.refusals, keys.refusal_times, keys.hits],
            [reference, raw, refusal.at_ms, refusal.at_ms - KEEP_MS, self._most, refusal.policy_id],
        )

    async def why(self, reference: str, *, now_ms: int) -> Refusal:
        """Return what a checked reference stands for; raises ReferenceInvalid when it is unknown or too old."""
        raw = await self._commands.call("HGET", self._keys.refusals, reference)
        if raw is None:
            raise ReferenceInvalid("nothing is known under this reference (any more)")
        refusal = _decode(raw)
        if refusal.at_ms <= now_ms - KEEP_MS:
            raise ReferenceInvalid("nothing is known under this reference any more")
        return refusal

    async def recent(self, *, limit: int) -> list[tuple[str, Refusal]]:
        """Return the newest refusals with their references, newest first; raises StoreUnavailable."""
        references = await self._commands.call("ZREVRANGE", self._keys.refusal_times, 0, max(1, limit) - 1)
        found: list[tuple[str, Refusal]] = []
        for start in range(0, len(references), 500):
            some = references[start : start + 500]
            rows = await self._commands.call("HMGET", self._keys.refusals, *some)
            found += [(name.decode(), _decode(raw)) for name, raw in zip(some, rows, strict=True) if raw is not None]
        return found

    async def hits(self, policy_ids: list[str]) -> dict[str, int]:
        """Return how many refusals each policy has caused; raises StoreUnavailable."""
        if not policy_ids:
            return {}
        counts = await self._commands.call("HMGET", self._keys.hits, *policy_ids)
        return {name: int(count or 0) for name, count in zip(policy_ids, counts, strict=True)}


def _clean(text: str) -> str:
    """Facts come from requests: what is not Unicode (surrogates out of raw header bytes) becomes a question mark."""
    return text[:MAX_FACT].encode("utf-8", "replace").decode()


def _decode(raw: bytes) -> Refusal:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise FeedCorrupt("a refusal record is not JSON") from error
    return Refusal(
        policy_id=document["policy"],
        action=document["action"],
        why=document["why"],
        at_ms=document["at"],
        facts=document["facts"],
    )
