"""Cases: what the fraud detection did and saw, with what people said about it.

A case is a policy that a detector made; its evidence holds numbers beside their limits. It can be judged while it is in
force, and after its end for as long as the store keeps ended policies. Alerts and shadow decisions are in the decision
log and act on nobody.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from zlib import crc32

from haetae_policy.errors import PolicyNotFound
from haetae_policy.model import SourceKind

from haetae_policy_api.service import explain, listing
from haetae_policy_api.service.context import Context

_LOOKED_AT: Final = 500
_BEGINNINGS: Final = ("create", "approve", "restore")
_CHALLENGE: Final = 0.2
#: One case of so many is judged by two people.
SECOND: Final = 20


async def open_cases(
    context: Context, judged: Mapping[str, Mapping[str, Any]], *, limit: int, after: str | None, now_ms: int
) -> dict[str, Any]:
    """Return machines' policies in force, newest first, each with its `label` (None: nobody has judged it)."""
    page = await listing.list_policies(
        context, filters={"source": SourceKind.FDS.value}, limit=limit, after=after, now_ms=now_ms
    )
    return {
        "cases": [{**policy, "label": judged.get(policy["id"])} for policy in page["policies"]],
        "next": page["next"],
    }


async def telling_cases(
    context: Context, judged: Mapping[str, Mapping[str, Any]], *, reviewer: str, limit: int, now_ms: int
) -> dict[str, Any]:
    """Return, of the newest machines' policies in force, those that a judgement of is worth most, first.

    Worth is the harm if the detector was wrong times how unsure it was: refusals so far, a challenge as a fifth, by how
    close its numbers are to their limits. What has been judged is left out, unless a second opinion is wanted.
    """
    found = await open_cases(context, judged, limit=_LOOKED_AT, after=None, now_ms=now_ms)
    cases = [
        case
        for case in found["cases"]
        if can_be_judged(case) and (case["label"] is None or wants_second(case["id"], case["label"], reviewer))
    ]
    return {"cases": sorted(cases, key=_worth, reverse=True)[:limit], "next": None}


def _worth(case: Mapping[str, Any]) -> float:
    score = (case.get("evidence") or {}).get("score")
    unsure = 2 * (1 - min(1.0, max(0.5, score))) if isinstance(score, int | float) else 1.0
    harm = (1 + case["hits"]) * (_CHALLENGE if case["action"] == "challenge" else 1.0)
    return harm * unsure if case["mode"] == "enforce" else 0.0


def wants_second(policy_id: str, label: Mapping[str, Any], reviewer: str) -> bool:
    """Whether a case that one other person has judged is among the twentieth that two shall judge.

    Which ones follows from their identifiers, so that nobody chooses them.
    """
    reviewers = label["reviewers"]
    return len(reviewers) == 1 and reviewer not in reviewers and crc32(policy_id.encode()) % SECOND == 0


async def ended_cases(
    context: Context, judged: Mapping[str, Mapping[str, Any]], *, limit: int, before: int | None
) -> dict[str, Any]:
    """Return machines' policies that have ended, those made last first, each with its `label` and how it ended.

    Found through the audit trail, some hundred entries at a time; `next` goes on from there, so pages may be short.
    """
    found: list[dict[str, Any]] = []
    seen: set[str] = set()
    entries = await context.ledger.audit_page(before=before, limit=_LOOKED_AT)
    cursor = entries[-1].seq if entries else 1
    for entry in entries:
        told = entry.to_dict()
        if len(found) == limit:
            cursor = entry.seq + 1
            break
        if told["target"] in seen or not _begins_a_case(told):
            continue
        seen.add(told["target"])
        if (policy := await _ended(context, told["target"])) is not None:
            found.append({**policy, "label": judged.get(policy["id"])})
    return {"cases": found, "next": cursor if cursor > 1 else None}


def _begins_a_case(told: Mapping[str, Any]) -> bool:
    policy = told["details"].get("policy")
    source = policy.get("source") if isinstance(policy, Mapping) else None
    return told["action"] in _BEGINNINGS and isinstance(source, Mapping) and source.get("kind") == SourceKind.FDS.value


async def _ended(context: Context, policy_id: str) -> dict[str, Any] | None:
    try:
        return explain.ended_policy(await context.store.ended(policy_id))
    except PolicyNotFound:  # it stands, or nobody remembers it any more
        return None


def can_be_judged(policy: Mapping[str, Any]) -> bool:
    """Whether a policy, in force or ended, is a decision of the fraud detection: only those teach it something."""
    source, evidence = policy["source"], policy.get("evidence") or {}
    return source["kind"] == SourceKind.FDS.value and isinstance(evidence.get("decision"), str)


def by_campaign(cases: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Return cases with what their evidence says they belong to, each campaign where its first case stands; a case
    that names none stands alone.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for case in cases:
        campaign = (case.get("evidence") or {}).get("campaign")
        groups.setdefault(campaign if isinstance(campaign, str) else f"case {case['id']}", []).append(case)
    return list(groups.items())


def seen_only(decisions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the newest alert or shadow decision of each thing that was decided."""
    newest: dict[str, Mapping[str, Any]] = {}
    for decision in decisions:
        if decision["op"] == "put" and (decision["action"] == "alert" or decision["mode"] == "shadow"):
            newest.setdefault(decision["pid"], decision)
    return list(newest.values())


def numbers(evidence: Mapping[str, Any]) -> list[tuple[str, float, float, int]]:
    """Return name, value, limit, and percent of twice the limit (for a bar), of evidence that has numbers."""
    held = evidence.get("numbers")
    if isinstance(held, list):
        held = {
            item["name"]: [item.get("value"), item.get("limit")]
            for item in held
            if isinstance(item, dict) and isinstance(item.get("name"), str)
        }
    if not isinstance(held, dict):
        return []
    found = []
    for name, pair in held.items():
        if isinstance(pair, list) and len(pair) == 2 and all(type(part) in (int, float) for part in pair):
            value, limit = float(pair[0]), float(pair[1])
            part = 100 if limit <= 0 else min(100, max(0, round(50 * value / limit)))
            found.append((str(name), value, limit, part))
    return found
