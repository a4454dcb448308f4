"""Cases: what the fraud detection did and saw, with what people said about it.

A case is a policy in force that a detector made; its evidence holds numbers beside their limits. Alerts and shadow
decisions are in the decision log and act on nobody.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from haetae_policy.model import SourceKind

from haetae_policy_api.service import listing
from haetae_policy_api.service.context import Context


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
