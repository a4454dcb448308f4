"""Decisions take effect exactly once: logged under the lease's token, made a policy, noted as done, in this order.

Each decision is named by the entry it came from and its number in it. What is at or before `done` has taken effect and
is skipped when a restarted worker decides it again; so a policy that a person revoked meanwhile is not made again.
Between log and `done` a crash repeats the policy write, whose identifier derives from the decision: the ledger answers
that it has it, and writes no second audit entry either.

Policies go through `haetae_policy.io.ledger`, which the policy service writes through too: the change and its audit
entry are one transaction. What needs a person waits where the service keeps what waits, in the service's own
form, and is approved, rejected or dropped there. Not here: the service's limits for machines; the engine has
budgets of its own.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Final

import orjson
from haetae_policy import Policy, PolicyInvalid, PolicyNotFound, Source, SourceKind
from haetae_policy.audit import AuditNote
from haetae_policy.io.commands import Commands, Script
from haetae_policy.io.ledger import EndPolicy, Ledger, Operation, PutPolicy, Side, SideWrite
from haetae_policy.io.store import EPOCH_BYTES, PolicyStore
from haetae_policy.model import format_time
from haetae_policy.parse import parse_new_policy
from haetae_policy.rules import Rules

from haetae_fds.decision import Decision, Mode
from haetae_fds.delivery.effects import Effect, Live, Standing
from haetae_fds.io.leases import Lease, LeaseLost
from haetae_fds.io.modes import CAUTION, Modes

_log = logging.getLogger("haetae.fds")
LOGGED: Final = 100_000
MOST_WAITING: Final = 200
BROAD: Final = "broad"
_UNKNOWN: Final = {
    "known": False, "requests": 0, "of_requests": 0, "share": 0.0, "users": 0, "devices": 0, "addresses": 0,
    "per_minute": 0.0, "span_s": 0, "approximate": True, "sample": [],
}  # fmt: skip

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
        ledger: Ledger,
        lease: Lease,
        *,
        modes: Modes,
        rules: Rules,
        clock_ms: Callable[[], int],
    ) -> None:
        """`rules` are those of the installation, as at the policy service."""
        self._commands = commands
        self._rules = rules
        self._modes = modes
        self._store = store
        self._ledger = ledger
        self._lease = lease
        self._clock_ms = clock_ms
        self._done: Name = (0, 0, 0)
        self.refused = 0
        self.made = 0
        self.asked = 0

    async def load(self) -> None:
        """Find out what took effect before."""
        raw = await self._commands.call("HGET", self._lease.keys.done, "done")
        self._done = (0, 0, 0) if raw is None else _read(raw)

    async def apply(self, name: Name, decision: Decision, effect: Effect | None) -> bool:
        """Log a decision and do what it says, unless that has been done; whether it is done now."""
        if name <= self._done:
            return False
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
        return True

    async def put_back(self, live: Live, *, but: Set[str] = frozenset()) -> None:
        """Make again the policies that stand by our account and of which the store knows nothing, `but` those that are
        still to be made.

        What people took back, and what ended, the store knows as ended, and so it stays.
        """
        now_ms = self._clock_ms()
        standing = {one.policy_id: one for one in live.held.values() if one.expires_ms > now_ms}
        before = self.made
        for policy_id in await self._store.unknown([name for name in standing if name not in but]):
            await self._put_again(standing[policy_id], now_ms)
        if self.made > before:
            _log.error("the store had lost %d policies of detectors: they are in force again", self.made - before)

    async def _put_again(self, one: Standing, now_ms: int) -> None:
        document = orjson.loads(one.document)
        mode = min(await self._modes.of(one.detector), Mode(document["mode"]), key=CAUTION.index)
        if mode is Mode.OFF:
            return
        try:
            policy = parse_new_policy(
                {**document, "mode": mode.value, "expires": format_time(one.expires_ms)},
                policy_id=one.policy_id,
                source=Source(kind=SourceKind.FDS, name=one.detector),
                now_ms=one.decided_ms,
                rules=self._rules,
            )
        except PolicyInvalid:
            return  # as when it was decided
        if self._rules.is_wide(policy.subject):
            return
        told = policy.to_dict()
        told.pop("evidence")
        details = {"policy": told, "decision": document["evidence"]["decision"]}
        note = AuditNote(actor=_actor(one.detector), action="restore", target=policy.id, details=details)
        await self._commit([PutPolicy(policy=policy, expected=0), note], now_ms)

    async def _do(self, decision: Decision, effect: Effect) -> None:
        now_ms = self._clock_ms()
        try:
            if effect.kind in ("put", "ask"):
                await self._put(decision, effect, now_ms)
                if effect.replaces is not None:
                    await self._revoke(effect.replaces, decision, now_ms)
            elif effect.kind == "extend":
                await self._extend(effect, decision, now_ms)
            else:
                await self._revoke(effect.policy_id, decision, now_ms)
        except PolicyNotFound:
            # It ended before we came.
            return
        except PolicyInvalid:
            # A rule of the installation that the engine does not keep by itself.
            self.refused += 1

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
            rules=self._rules.for_asking(),
        )
        if effect.kind == "ask" or self._rules.is_wide(policy.subject):
            # What would act on nobody needs no agreement.
            if mode is Mode.ENFORCE:
                await self._ask(decision, policy, now_ms)
            return
        document = policy.to_dict()
        document.pop("evidence")
        note = _note(decision, "create", policy.id, {"policy": document})
        await self._commit([PutPolicy(policy=policy, expected=0), note], now_ms)

    async def _ask(self, decision: Decision, policy: Policy, now_ms: int) -> None:
        """Let a policy wait for a person, in the form in which the policy service keeps and shows what waits."""
        waiting = [orjson.loads(raw) for raw in (await self._ledger.sides(Side.PENDING)).values()]
        if len(waiting) >= MOST_WAITING:
            self.refused += 1
            return
        asked = (one["policy"].get("evidence") or {} for one in waiting if one["id"] != policy.id)
        if any(evidence.get("decision") == decision.pid for evidence in asked):
            return
        record = {
            "id": policy.id, "policy": policy.to_dict(), "by": _actor(decision.detector), "machine": True,
            "reasons": [BROAD], "prediction": _UNKNOWN, "at_ms": now_ms,
        }  # fmt: skip
        write = SideWrite(side=Side.PENDING, name=policy.id, value=orjson.dumps(record, option=orjson.OPT_SORT_KEYS))
        document = policy.to_dict()
        document.pop("evidence")
        told = {"policy": document, "course": "pending", "reasons": [BROAD]}
        if await self._commit([write, _note(decision, "create.ask", policy.id, told)], now_ms):
            self.asked += 1

    async def _revoke(self, policy_id: str, decision: Decision, now_ms: int) -> None:
        held = await self._store.get(policy_id)
        note = _note(decision, "revoke", policy_id, {"reason": decision.why[:480], "version": held.version})
        await self._commit([EndPolicy(policy=held, by=_actor(decision.detector)), note], now_ms)

    async def _extend(self, effect: Effect, decision: Decision, now_ms: int) -> None:
        held = await self._store.get(effect.policy_id)
        # What a person agreed to is not made longer by a machine.
        if held.expires_ms >= effect.expires_ms or held.approved_by is not None:
            return
        changed = held.extended(expires_ms=effect.expires_ms, now_ms=now_ms)
        span = {"from": format_time(held.expires_ms), "to": format_time(effect.expires_ms), "version": changed.version}
        note = _note(decision, "extend", effect.policy_id, span)
        await self._commit([PutPolicy(policy=changed, expected=held.version), note], now_ms)

    async def _commit(self, operations: Sequence[Operation], now_ms: int) -> bool:
        """Write a change with its audit entry; whether it is written now."""
        done = await self._ledger.commit(operations, now_ms=now_ms, epoch_randomness=os.urandom(EPOCH_BYTES))
        if not done.refused:
            self.made += 1
            return True
        # The rest was written before a crash (`same`, `changed`), or a person was faster (`conflict`, `ended`).
        if done.refused[0] in ("expired", "full"):
            self.refused += 1
        return False


def _actor(detector: str) -> str:
    return f"fds:{detector}"


def _note(decision: Decision, action: str, target: str, details: Mapping[str, Any]) -> AuditNote:
    more = {"decision": decision.pid, **({} if decision.campaign is None else {"campaign": decision.campaign})}
    return AuditNote(actor=_actor(decision.detector), action=action, target=target, details={**details, **more})


def entry_number(entry: str, number: int) -> Name:
    """The name of the decision `number` of stream entry `ms-seq`."""
    ms, _, seq = entry.partition("-")
    return int(ms), int(seq or 0), number


def _write(name: Name) -> str:
    return f"{name[0]}-{name[1]}/{name[2]}"


def _read(raw: bytes) -> Name:
    entry, _, number = raw.decode("ascii").partition("/")
    return entry_number(entry, int(number))
