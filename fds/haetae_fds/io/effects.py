"""Decisions take effect exactly once: logged under the lease's token, made a policy, noted as done, in this order.

Each decision is named by the entry it came from and its number in it. What is at or before `done` has taken effect and
is skipped when a restarted worker decides it again; so a policy that a person revoked meanwhile is not made again.
Between log and `done` a crash repeats the policy write, whose identifier derives from the decision: the store answers
that it has it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from haetae_policy import PolicyConflict, PolicyInvalid, PolicyNotFound, Source, SourceKind, TooManyPolicies
from haetae_policy.io.commands import Commands, Script
from haetae_policy.io.store import EPOCH_BYTES, PolicyStore
from haetae_policy.parse import parse_new_policy

from haetae_fds.decision import Decision, Mode
from haetae_fds.delivery.effects import Effect
from haetae_fds.io.leases import Lease, LeaseLost
from haetae_fds.io.modes import Modes

LOGGED: Final = 100_000

# KEYS lease, log, done; ARGV lease value, name of the decision, decision, kept entries
_LOG: Final = Script(
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
if redis.call('HGET', KEYS[3], 'logged') ~= ARGV[2] then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'n', ARGV[2], 'd', ARGV[3])
  redis.call('HSET', KEYS[3], 'logged', ARGV[2])
end
return 1
"""
)
_DONE: Final = Script(
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
redis.call('HSET', KEYS[2], 'done', ARGV[2])
return 1
"""
)

Name = tuple[int, int, int]
"""Entry id in two numbers, and the decision's number within it: ordered as decided."""


class Effects:
    """Brings the decisions of one shard into effect. Raises StoreUnavailable (try again) and LeaseLost (stop)."""

    def __init__(
        self,
        commands: Commands,
        store: PolicyStore,
        lease: Lease,
        *,
        modes: Modes,
        clock_ms: Callable[[], int],
    ) -> None:
        self._commands = commands
        self._modes = modes
        self._store = store
        self._lease = lease
        self._clock_ms = clock_ms
        self._done: Name = (0, 0, 0)
        self.refused = 0
        self.made = 0

    async def load(self) -> None:
        """Find out what took effect before."""
        raw = await self._commands.call("HGET", self._lease.keys.done, "done")
        if raw is not None:
            self._done = _read(raw)

    async def apply(self, name: Name, decision: Decision, effect: Effect | None) -> None:
        """Log a decision and do what it says, unless that has been done."""
        if name <= self._done:
            return
        keys, value = self._lease.keys, self._lease.value
        text = _write(name)
        answer = await self._commands.run(
            _LOG,
            [keys.lease, keys.log, keys.done],
            [value, text, decision.to_json(), LOGGED],
        )
        if answer != 1:
            raise LeaseLost(keys.lease)
        if effect is not None:
            await self._do(decision, effect)
        if await self._commands.run(_DONE, [keys.lease, keys.done], [value, text]) != 1:
            raise LeaseLost(keys.lease)
        self._done = name

    async def _do(self, decision: Decision, effect: Effect) -> None:
        now_ms = self._clock_ms()
        try:
            if effect.kind == "put":
                await self._put(decision, effect, now_ms)
                if effect.replaces is not None:
                    await self._revoke(effect.replaces, decision, now_ms)
            elif effect.kind == "extend":
                await self._extend(effect, now_ms)
            else:
                await self._revoke(effect.policy_id, decision, now_ms)
        except (PolicyNotFound, PolicyConflict):
            # It ended, or a person changed it, before we came: theirs stands.
            return
        except (PolicyInvalid, TooManyPolicies):
            # A rule of this installation that the engine does not know, such as a protected network.
            self.refused += 1
            return
        self.made += 1

    async def _put(self, decision: Decision, effect: Effect, now_ms: int) -> None:
        # The engine hears of a switch a moment late; what acts is made only if it may act now.
        mode = await self._modes.of(decision.detector) if decision.mode is Mode.ENFORCE else Mode.SHADOW
        if mode is Mode.OFF:
            return
        policy = parse_new_policy(
            {**(effect.document or {}), "mode": mode.value},
            policy_id=effect.policy_id,
            source=Source(kind=SourceKind.FDS, name=decision.detector),
            # The decision's own time: the same document, whenever it is made again.
            now_ms=decision.ts,
        )
        await self._store.add(policy, now_ms=now_ms, epoch_randomness=os.urandom(EPOCH_BYTES))

    async def _revoke(self, policy_id: str, decision: Decision, now_ms: int) -> None:
        held = await self._store.get(policy_id)
        await self._store.revoke(policy_id, version=held.version, by=f"fds:{decision.detector}", now_ms=now_ms)

    async def _extend(self, effect: Effect, now_ms: int) -> None:
        held = await self._store.get(effect.policy_id)
        if held.expires_ms < effect.expires_ms:
            await self._store.extend(
                effect.policy_id,
                version=held.version,
                expires_ms=effect.expires_ms,
                now_ms=now_ms,
                epoch_randomness=os.urandom(EPOCH_BYTES),
            )


def entry_number(entry: str, number: int) -> Name:
    """The name of the decision `number` of stream entry `ms-seq`."""
    ms, _, seq = entry.partition("-")
    return int(ms), int(seq or 0), number


def _write(name: Name) -> str:
    return f"{name[0]}-{name[1]}/{name[2]}"


def _read(raw: bytes) -> Name:
    entry, _, number = raw.decode("ascii").partition("/")
    return entry_number(entry, int(number))
