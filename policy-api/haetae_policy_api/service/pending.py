"""Policies that wait for a second person: list, approve, reject, and drop when nobody decides.

Rules kept: whoever asked cannot approve; a decision names the record it is about, so that two people deciding at once
make one decision; the policy is checked anew, with the approver in it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from haetae_policy.audit import AuditNote
from haetae_policy.io.ledger import PutPolicy, Side, SideWrite
from haetae_policy.parse import read_policy

from haetae_policy_api.errors import Conflict, NotAllowed, NotFound
from haetae_policy_api.faults import said
from haetae_policy_api.roles import Caller
from haetae_policy_api.service.answers import Answer, refused
from haetae_policy_api.service.changes import note_of, readable
from haetae_policy_api.service.context import Context, epoch


async def list_pending(context: Context) -> list[dict[str, Any]]:
    """Return what waits, oldest first."""
    records = [orjson.loads(raw) for raw in (await context.ledger.sides(Side.PENDING)).values()]
    return sorted(records, key=lambda record: (record["at_ms"], record["id"]))


async def approve(context: Context, policy_id: str, caller: Caller, *, now_ms: int) -> Answer:
    """Put a waiting policy in force; raises NotAllowed for who asked for it, NotFound, Conflict."""
    raw, record = await _record(context, policy_id)
    if caller.is_machine or (record["by"] == caller.name and not record["machine"]):
        raise NotAllowed(said("another_approves"))
    asked = read_policy(record["policy"])
    if asked.expires_ms <= now_ms:
        raise Conflict(said("expired_waiting"))
    changed_ms = max(asked.changed_ms, now_ms - now_ms % 1000)
    policy = replace(asked, approved_by=caller.name, changed_ms=changed_ms)
    done = await context.ledger.commit(
        [
            PutPolicy(policy=policy, expected=0),
            SideWrite(side=Side.PENDING, name=policy_id, value=None, expected=raw),
            note_of("approve", policy, caller.name),
        ],
        now_ms=now_ms,
        epoch_randomness=epoch(),
    )
    if done.refused:
        raise refused(done.refused)
    return Answer(status=200, body={"policy": policy.to_dict(), "course": "in_force", "seq": max(done.seqs)}, version=1)


async def reject(context: Context, policy_id: str, caller: Caller, *, reason: str, now_ms: int) -> Answer:
    """Drop a waiting policy; who asked for it may, too."""
    details = {"reason": readable(reason)}
    raw, record = await _record(context, policy_id)
    await _drop(context, policy_id, raw, actor=caller.name, action="reject", details=details, now_ms=now_ms)
    return Answer(status=200, body={"id": policy_id, "asked_by": record["by"], "rejected": True})


async def drop_old(context: Context, *, now_ms: int) -> int:
    """Drop what waited longer than the settings allow, or whose policy has expired; return how many."""
    dropped = 0
    for policy_id, raw in (await context.ledger.sides(Side.PENDING)).items():
        record = orjson.loads(raw)
        late = record["at_ms"] + context.settings.pending_s * 1000 <= now_ms
        if late or read_policy(record["policy"]).expires_ms <= now_ms:
            await _drop(context, policy_id, raw, actor="guard", action="lapse", details={}, now_ms=now_ms)
            dropped += 1
    return dropped


async def _record(context: Context, policy_id: str) -> tuple[bytes, dict[str, Any]]:
    raw = await context.ledger.side(Side.PENDING, policy_id)
    if raw is None:
        raise NotFound(said("nothing_waits"))
    return raw, orjson.loads(raw)


async def _drop(
    context: Context, policy_id: str, raw: bytes, *, actor: str, action: str, details: Mapping[str, Any], now_ms: int
) -> None:
    done = await context.ledger.commit(
        [
            SideWrite(side=Side.PENDING, name=policy_id, value=None, expected=raw),
            AuditNote(actor=actor, action=action, target=policy_id, details=details),
        ],
        now_ms=now_ms,
        epoch_randomness=epoch(),
    )
    if done.refused:
        raise refused(done.refused)
