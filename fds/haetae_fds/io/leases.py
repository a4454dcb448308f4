"""One writer per shard: a lease with a fencing token, checked by the store with every decision.

A worker that was paused, or cut off, may believe in a lease that somebody else holds by now. So the lease alone
decides nothing: each decision is logged by a script that compares the token, and a worker whose token is old is told
`LeaseLost` before its decision has any effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from haetae_policy.io.commands import Commands, Script

from haetae_fds.io.keys import GROUP, ShardKeys

LIFE_MS: Final = 5000


class LeaseLost(Exception):
    """Somebody else works on the shard now."""

    code = "lease-lost"


# A lease is free when it has run out. Its token is a count that only grows.
_TAKE: Final = Script(
    """
local held = redis.call('GET', KEYS[1])
if held then return held end
local token = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], token .. ':' .. ARGV[1], 'PX', ARGV[2])
return token
"""
)
_KEEP: Final = Script(
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
)
_LEAVE: Final = Script(
    """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""
)
# A stream that was deleted has no group either.
_COVER: Final = Script(
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.pcall('XGROUP', 'CREATE', KEYS[2], ARGV[2], ARGV[3], 'MKSTREAM')
redis.call('XGROUP', 'SETID', KEYS[2], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[3], 'trimmed', ARGV[3])
redis.call('XTRIM', KEYS[2], 'MINID', '~', ARGV[3])
return 1
"""
)


@dataclass(frozen=True, slots=True)
class Lease:
    """A shard that is ours as long as `value` stands in its key."""

    keys: ShardKeys
    value: str


class Leases:
    """Takes, keeps and leaves leases. Raises haetae_policy.StoreUnavailable."""

    def __init__(self, commands: Commands, *, worker: str, prefix: str, life_ms: int = LIFE_MS) -> None:
        self._commands = commands
        self._worker = worker
        self._prefix = prefix
        self._life_ms = life_ms

    async def take(self, shard: int) -> Lease | None:
        """The lease of a shard, or None while somebody else has it."""
        keys = ShardKeys(self._prefix, shard)
        answer = await self._commands.run(_TAKE, [keys.lease, keys.token], [self._worker, self._life_ms])
        return Lease(keys, f"{answer}:{self._worker}") if isinstance(answer, int) else None

    async def keep(self, lease: Lease) -> None:
        """Renew. Raises LeaseLost."""
        if await self._commands.run(_KEEP, [lease.keys.lease], [lease.value, self._life_ms]) != 1:
            raise LeaseLost(lease.keys.lease)

    async def cover(self, lease: Lease, position: str) -> None:
        """Move the group to where a durable checkpoint stands, and let go of what it covers. Raises LeaseLost: what
        is not read by whoever has the shard now must not be deleted.
        """
        keys = lease.keys
        if await self._commands.run(_COVER, [keys.lease, keys.events, keys.done], [lease.value, GROUP, position]) != 1:
            raise LeaseLost(keys.lease)

    async def leave(self, lease: Lease) -> None:
        """Give it up, so that another worker need not wait."""
        await self._commands.run(_LEAVE, [lease.keys.lease], [lease.value])
