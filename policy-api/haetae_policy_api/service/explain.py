"""Explaining: why somebody was refused, what names a subject, and its timeline.

Answers are for colleagues, never for callers of the gateway. Everything is bounded in number.
"""

from typing import Any, Final

from haetae_policy.audit import concerns
from haetae_policy.errors import AddressInvalid, PolicyNotFound
from haetae_policy.io.refusals import Refusal
from haetae_policy.io.store import Ended
from haetae_policy.model import KINDS, Policy, Subject
from haetae_policy.network import address_key, parse_network

from haetae_policy_api.errors import Invalid
from haetae_policy_api.faults import said
from haetae_policy_api.service.context import Context

SUBJECT_KINDS: Final = (*KINDS, "ip")
MAX_VALUE: Final = 256
_RECENT_REFUSALS: Final = 5000
_AUDIT_LOOKED_AT: Final = 500


async def why_reference(context: Context, reference: str, *, now_ms: int) -> dict[str, Any]:
    """Return the refusal behind a reference and its policy, in force or ended; raises ReferenceInvalid."""
    canonical = reference if context.references is None else context.references.parse(reference)
    refusal = await context.refusals.why(canonical, now_ms=now_ms)
    return {"refusal": _refusal(canonical, refusal), "policy": await policy_in_any_state(context, refusal.policy_id)}


async def why_subject(context: Context, kind: str, value: str) -> list[dict[str, Any]]:
    """Return the policies in force that name a subject, with their hits; raises Invalid."""
    return await with_hits(context, await _naming(context, kind, value))


async def timeline(context: Context, kind: str, value: str, *, now_ms: int, limit: int = 200) -> dict[str, Any]:
    """Return what is known of a subject: policies, refusals, what colleagues did, requests; newest first."""
    policies = await _naming(context, kind, value)
    ids = {policy.id for policy in policies}
    events: list[dict[str, Any]] = [
        {"at_ms": policy.created_ms, "what": "policy", "policy": policy.to_dict()} for policy in policies
    ]
    for reference, refusal in await context.refusals.recent(limit=_RECENT_REFUSALS):
        if refusal.facts.get(kind) == value:
            ids.add(refusal.policy_id)
            events.append({"at_ms": refusal.at_ms, "what": "refusal", "refusal": _refusal(reference, refusal)})
    for entry in await context.ledger.audit_page(limit=_AUDIT_LOOKED_AT):
        told = entry.to_dict()
        subject = told["details"].get("policy", {}).get("subject", {})
        if subject.get(kind) == value or any(concerns(told, policy_id) for policy_id in ids):
            events.append({"at_ms": told["at_ms"], "what": "change", "change": told})
    requests = context.traffic.of_subject(_subject(kind, value), now_ms=now_ms, limit=limit)
    events += [{"at_ms": request["at_ms"], "what": "request", "request": request} for request in requests]
    events.sort(key=lambda event: event["at_ms"], reverse=True)
    return {"kind": kind, "value": value, "in_force": len(policies), "events": events[:limit]}


async def policy_in_any_state(context: Context, policy_id: str) -> dict[str, Any] | None:
    """Return a policy with `state` (in_force, revoked, expired), or None when it is forgotten."""
    try:
        policy = await context.store.get(policy_id)
    except PolicyNotFound:
        try:
            ended = await context.store.ended(policy_id)
        except PolicyNotFound:
            return None
        return ended_policy(ended)
    return {**policy.to_dict(), "state": "in_force"}


def ended_policy(ended: Ended) -> dict[str, Any]:
    """Return an ended policy with `state` (revoked, expired), who ended it and when."""
    return {**ended.policy.to_dict(), "state": ended.how, "ended_by": ended.by, "ended_ms": ended.at_ms}


async def with_hits(context: Context, policies: tuple[Policy, ...] | list[Policy]) -> list[dict[str, Any]]:
    """Return policies with the number of refusals each has caused."""
    hits = await context.refusals.hits([policy.id for policy in policies])
    return [{**policy.to_dict(), "hits": hits[policy.id]} for policy in policies]


async def _naming(context: Context, kind: str, value: str) -> tuple[Policy, ...]:
    _subject(kind, value)
    if kind == "ip":
        return await context.store.why_subject(address=address_key(value.partition("/")[0]))
    return await context.store.why_subject(kind=kind, value=value)


def _subject(kind: str, value: str) -> Subject:
    if kind not in SUBJECT_KINDS:
        raise Invalid(said("subject_unknown"), errors=[("kind", said("kind", kinds=", ".join(SUBJECT_KINDS)))])
    if not 0 < len(value) <= MAX_VALUE or not value.isprintable():
        raise Invalid(said("subject_unknown"), errors=[("value", said("value", most=MAX_VALUE))])
    if kind != "ip":
        named: dict[str, Any] = {kind: value}
        return Subject(**named)
    try:
        return Subject(ip=parse_network(value))
    except AddressInvalid as error:
        raise Invalid(said("subject_unknown"), errors=[("value", error.fault)]) from error


def _refusal(reference: str, refusal: Refusal) -> dict[str, Any]:
    return {
        "reference": reference,
        "policy": refusal.policy_id,
        "action": refusal.action,
        "why": refusal.why,
        "at_ms": refusal.at_ms,
        "facts": dict(refusal.facts),
    }
