"""What the writer of policies owes: heartbeats, purging what expired, finishing batches, dropping what nobody decided,
and taking back policies whose refusals jumped beyond the prediction.

Rules kept: a turn that fails because the store is away is tried again; any number of services may do this at once.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import orjson
from haetae_policy.audit import AuditNote
from haetae_policy.errors import PolicyError, PolicyNotFound
from haetae_policy.io.ledger import EndPolicy, Operation, PutPolicy, Side, SideWrite
from haetae_policy.model import Mode

from haetae_policy_api.errors import ApiProblem
from haetae_policy_api.guards import callers_jumped, jumped
from haetae_policy_api.service.batches import finish_left
from haetae_policy_api.service.context import Context, epoch
from haetae_policy_api.service.pending import drop_old

_LOG = logging.getLogger("haetae.policy-api")
TURN_S: Final = 1.0
_REFUSALS_LOOKED_AT: Final = 5000
_WHO: Final = ("user", "device", "session", "ip")


class Keeper:
    """`run` until cancelled, or `turn` once. `clock` gives Unix seconds."""

    def __init__(self, context: Context, *, clock: Callable[[], float] = time.time) -> None:
        self._context = context
        self._clock = clock

    async def run(self) -> None:
        """One turn a second."""
        while True:
            try:
                await self.turn()
            except (PolicyError, ApiProblem) as error:
                _LOG.warning("keeping policies: %s", error)
            await asyncio.sleep(TURN_S)

    async def turn(self) -> None:
        """Do what is due; raises PolicyError, ApiProblem."""
        now_ms = int(self._clock() * 1000)
        await self._context.store.beat(now_ms=now_ms)
        await self._context.store.purge()
        await finish_left(self._context, now_ms=now_ms)
        await drop_old(self._context, now_ms=now_ms)
        await watch_refusals(self._context, now_ms=now_ms)


async def watch_refusals(context: Context, *, now_ms: int) -> list[str]:
    """Turn policies that refuse far more than was predicted into watching ones; return their identifiers."""
    watched = await context.ledger.sides(Side.WATCHED)
    hits = await context.refusals.hits(list(watched))
    rolled_back = []
    for policy_id, raw in watched.items():
        record = orjson.loads(raw)
        elapsed_ms = now_ms - record["at_ms"]
        over = elapsed_ms > context.settings.watch_s * 1000
        high = jumped(
            hits=hits[policy_id],
            predicted_per_minute=record["per_minute"],
            elapsed_ms=elapsed_ms,
            settings=context.settings,
        )
        if high and callers_jumped(
            callers=await _callers(context, policy_id),
            predicted=record.get("callers", 0),
            settings=context.settings,
        ):
            if await _roll_back(context, policy_id, raw, hits=hits[policy_id], now_ms=now_ms):
                rolled_back.append(policy_id)
        elif over:
            await _forget(context, policy_id, raw, now_ms=now_ms)
    return rolled_back


async def _callers(context: Context, policy_id: str) -> int:
    """How many callers are among the newest refusals of a policy; one that names nobody counts for itself."""
    refusals = await context.refusals.recent(limit=_REFUSALS_LOOKED_AT)
    return len(
        {
            next((refusal.facts[kind] for kind in _WHO if refusal.facts.get(kind)), reference)
            for reference, refusal in refusals
            if refusal.policy_id == policy_id
        }
    )


async def _roll_back(context: Context, policy_id: str, raw: bytes, *, hits: int, now_ms: int) -> bool:
    try:
        held = await context.store.get(policy_id)
    except PolicyNotFound:
        await _forget(context, policy_id, raw, now_ms=now_ms)
        return False
    changed_ms = max(held.changed_ms, now_ms - now_ms % 1000)
    changed = replace(held, mode=Mode.SHADOW, version=held.version + 1, changed_ms=changed_ms)
    details = {"hits": hits, "predicted": orjson.loads(raw), "version": changed.version}
    # One that stricter rules bar by now cannot be stored again, not even to watch: it goes.
    barred = bool(context.rules.problems(changed))
    operations: list[Operation] = [
        EndPolicy(policy=held, by="guard") if barred else PutPolicy(policy=changed, expected=held.version),
        SideWrite(side=Side.WATCHED, name=policy_id, value=None, expected=raw),
        AuditNote(actor="guard", action="roll_back", target=policy_id, details=details),
    ]
    done = await context.ledger.commit(operations, now_ms=now_ms, epoch_randomness=epoch())
    if not done.refused:
        _LOG.warning(
            "policy %s refused %d requests, far more than predicted: it %s",
            policy_id,
            hits,
            "ended" if barred else "only watches now",
        )
    return not done.refused


async def _forget(context: Context, policy_id: str, raw: bytes, *, now_ms: int) -> None:
    write = SideWrite(side=Side.WATCHED, name=policy_id, value=None, expected=raw)
    await context.ledger.commit([write], now_ms=now_ms, epoch_randomness=epoch())
