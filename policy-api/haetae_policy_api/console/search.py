"""One search box: what a text may stand for, and what is known under it.

Rules kept: a text that can mean several things is looked up as each of them; nothing is guessed away.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from haetae_policy.errors import AddressInvalid, PolicyInvalid, ReferenceInvalid
from haetae_policy.identifiers import parse_policy_id
from haetae_policy.network import parse_network

from haetae_policy_api.errors import Invalid
from haetae_policy_api.faults import said
from haetae_policy_api.service import explain
from haetae_policy_api.service.context import Context

KINDS: Final = ("user", "device", "ip", "session", "account", "pw_fp", "client", "trace", "reference")
_TRACE: Final = re.compile(r"[0-9a-f]{16}([0-9a-f]{16})?", re.IGNORECASE)
_LOOKED_AT: Final = 5000
_GATHERED: Final = 1000
_SHOWN: Final = 100


def meanings(text: str) -> tuple[str, ...]:
    """Return the kinds a text may be of, likeliest first; empty for what cannot be anything."""
    if not 0 < len(text) <= explain.MAX_VALUE or not text.isprintable():
        return ()
    try:
        parse_policy_id(text)
    except PolicyInvalid:
        pass
    else:
        return ("policy",)
    try:
        parse_network(text)
    except AddressInvalid:
        pass
    else:
        return ("ip",)
    trace = ("trace",) if _TRACE.fullmatch(text) else ()
    return (*trace, "reference", "user", "device", "account", "pw_fp")


async def look_up(context: Context, text: str, kind: str, *, now_ms: int) -> list[dict[str, Any]]:
    """Return what is known under `text` as each thing it may be (`kind` empty) or as one; raises Invalid."""
    if kind and kind not in KINDS:
        raise Invalid(said("subject_unknown"), errors=[("kind", said("kind", kinds=", ".join(KINDS)))])
    found = []
    for meaning in (kind,) if kind else meanings(text):
        result = await _as(context, text, meaning, now_ms=now_ms)
        if result is not None and (result["events"] or result["in_force"] or kind):
            found.append(result)
    return found


async def _as(context: Context, text: str, meaning: str, *, now_ms: int) -> dict[str, Any] | None:
    if meaning == "reference":
        return await _reference(context, text, now_ms=now_ms)
    if meaning == "trace":
        return await _trace(context, text.lower(), now_ms=now_ms)
    if meaning == "policy":
        policy = await explain.policy_in_any_state(context, text)
        return (
            None if policy is None else _only("policy", text, [{"at_ms": now_ms, "what": "policy", "policy": policy}])
        )
    told = await explain.timeline(context, meaning, text, now_ms=now_ms, limit=_GATHERED)
    return {**told, "events": folded(told["events"])[:_SHOWN]}


async def _reference(context: Context, text: str, *, now_ms: int) -> dict[str, Any] | None:
    try:
        told = await explain.why_reference(context, text, now_ms=now_ms)
    except ReferenceInvalid:
        return None
    events = [{"at_ms": told["refusal"]["at_ms"], "what": "refusal", "refusal": told["refusal"]}]
    if told["policy"] is not None:
        events.append({"at_ms": told["refusal"]["at_ms"], "what": "policy", "policy": told["policy"]})
    return _only("reference", told["refusal"]["reference"], events)


async def _trace(context: Context, text: str, *, now_ms: int) -> dict[str, Any]:
    events: list[dict[str, Any]] = []
    for reference, refusal in await context.refusals.recent(limit=_LOOKED_AT):
        if refusal.facts.get("trace") == text:
            shown = {
                "reference": reference,
                "policy": refusal.policy_id,
                "action": refusal.action,
                "why": refusal.why,
                "at_ms": refusal.at_ms,
                "facts": dict(refusal.facts),
            }
            events.append({"at_ms": refusal.at_ms, "what": "refusal", "refusal": shown})
    requests = context.traffic.of_trace(text, now_ms=now_ms, limit=_GATHERED)
    events += [{"at_ms": request["at_ms"], "what": "request", "request": request} for request in requests]
    events.sort(key=lambda event: int(event["at_ms"]), reverse=True)
    return _only("trace", text, folded(events)[:_SHOWN])


def folded(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return `events` with equal requests that follow each other as one: the newest, and how many `times`."""
    shown: list[dict[str, Any]] = []
    for event in events:
        last = shown[-1] if shown else None
        same = last is not None and last["what"] == event["what"] == "request"
        if last is not None and same and _alike(last["request"]) == _alike(event["request"]):
            last["times"] += 1
        else:
            shown.append({**event, "times": 1})
    return shown


def _alike(request: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name != "at_ms"}


def _only(kind: str, value: str, events: list[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": kind, "value": value, "in_force": 0, "events": events}
