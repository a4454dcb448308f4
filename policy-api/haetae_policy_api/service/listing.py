"""Lists: policies with filters and a cursor, how far changes have come, the audit trail.

A filtered page looks at a bounded number of policies; its cursor goes on from there, so pages may be short.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from haetae_policy.audit import EMPTY, AuditEntry, AuditHead, verify_chain
from haetae_policy.io.workers import WorkerReport
from haetae_policy.model import Policy

from haetae_policy_api.service.context import Context
from haetae_policy_api.service.explain import with_hits

FILTERS: Final = ("action", "mode", "source", "by", "user", "device", "gateway", "route", "ticket")
_LOOKED_AT: Final = 5000
_PAGE: Final = 500
_CHECKED_AT_ONCE: Final = 500


async def list_policies(
    context: Context, *, filters: Mapping[str, str], limit: int, after: str | None, now_ms: int
) -> dict[str, Any]:
    """Return policies in force, newest first, and the cursor `next` (None at the end)."""
    found: list[Policy] = []
    looked, cursor = 0, after
    while len(found) < limit and looked < _LOOKED_AT:
        page = await context.store.list(limit=min(_PAGE, limit) if not filters else _PAGE, after=cursor)
        for policy in page.policies:
            cursor, looked = policy.id, looked + 1
            if policy.expires_ms > now_ms and _fits(policy, filters):
                found.append(policy)
                if len(found) == limit:
                    break
        else:
            cursor = page.after
            if cursor is None:
                break
    return {"policies": await with_hits(context, found), "next": cursor}


def _fits(policy: Policy, filters: Mapping[str, str]) -> bool:
    held = {
        "action": policy.action.value,
        "mode": policy.mode.value,
        "source": policy.source.kind.value,
        "by": policy.source.name,
        "user": policy.subject.user,
        "device": policy.subject.device,
        "gateway": policy.api.gateway,
        "route": policy.api.route,
        "ticket": policy.ticket,
    }
    return all(held[name] == value for name, value in filters.items())


async def convergence(context: Context, *, now_ms: int) -> dict[str, Any]:
    """Return what each live worker has applied and how far it is behind the log."""
    head = await context.store.head()
    seq = 0 if head is None else head.seq
    reports = await context.workers.read(now_ms=now_ms)
    return {
        "seq": seq,
        "epoch": None if head is None else head.epoch,
        "policies": 0 if head is None else head.count,
        "workers": [_worker(report, seq, now_ms) for report in reports],
    }


async def in_force(context: Context, seq: int, *, since_ms: int | None, now_ms: int) -> dict[str, Any]:
    """Return on how many workers the change with number `seq` is in force, and how long the last one took."""
    found = await context.workers.in_force(seq, now_ms=now_ms)
    after = None if found.at_ms is None or since_ms is None else max(0, found.at_ms - since_ms)
    return {"seq": seq, "applied": found.applied, "workers": found.workers, "after_ms": after}


def _worker(report: WorkerReport, seq: int, now_ms: int) -> dict[str, Any]:
    return {
        "worker": report.worker,
        "state": report.state,
        "epoch": report.epoch,
        "seq": report.seq,
        "behind": max(0, seq - report.seq),
        "policies": report.policies,
        "unreadable": report.unreadable,
        "seen_ms_ago": max(0, now_ms - report.seen_ms),
        "applied_at_ms": report.recent[-1][1] if report.recent else None,
    }


async def audit_list(context: Context, *, before: int | None, limit: int) -> dict[str, Any]:
    """Return the newest audit entries below number `before`, and the cursor `next`."""
    entries = await context.ledger.audit_page(before=before, limit=limit)
    last = entries[-1].seq if entries else 1
    head = await context.ledger.audit_head()
    return {
        "entries": [entry.to_dict() for entry in entries],
        "head": str(head),
        "next": last if last > 1 else None,
    }


async def audit_verify(context: Context, *, anchor: AuditHead | None) -> dict[str, Any]:
    """Check the whole trail, a part at a time, however long it is; raises AuditBroken."""
    head = await context.ledger.audit_head()
    at, count, part = EMPTY, 0, list[AuditEntry]()
    async for entry in context.ledger.audit_entries(up_to=head.seq):
        part.append(entry)
        if len(part) == _CHECKED_AT_ONCE:
            at, count, anchor = _verify_part(part, at, count, anchor)
            part = []
    if part:
        at, count, anchor = _verify_part(part, at, count, anchor)
    verify_chain((), after=at, head=head, anchor=anchor)
    return {"entries": count, "head": str(head)}


def _verify_part(
    part: Sequence[AuditEntry], at: AuditHead, count: int, anchor: AuditHead | None
) -> tuple[AuditHead, int, AuditHead | None]:
    """Check entries that follow `at`; return their end, how many there were until then, and an anchor still to come."""
    end = AuditHead(part[-1].seq, part[-1].hash)
    here = anchor is not None and anchor.seq <= end.seq
    count += verify_chain(part, after=at, head=end, anchor=anchor if here else None)
    return end, count, None if here else anchor
