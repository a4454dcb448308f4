"""The overview: live refusals by reason, policies in force, how far changes have come, what wants attention.

Reads through the application layer only. Everything is bounded: refusals are the newest `MOST` of the window.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from haetae_fds.io.alert_log import LoggedAlert
from haetae_policy.io.refusals import Refusal

from haetae_policy_api.console.cases import seen_only
from haetae_policy_api.service import listing, pending
from haetae_policy_api.service.context import Context

WINDOW_S: Final = 900
STEP_S: Final = 15
MOST: Final = 3000
_LATEST: Final = 12
_REASONS: Final = 8
_STALE_MS: Final = 5_000
_DAY_MS: Final = 86_400_000
_TOLD: Final = 5


async def overview(
    context: Context, *, told: Sequence[LoggedAlert], decided: Sequence[Mapping[str, Any]], now_ms: int
) -> dict[str, Any]:
    """Return what the overview shows; times are Unix milliseconds.

    `told` are the spike alerts and `decided` the decisions of fraud detection, both newest first.
    """
    recent = await context.refusals.recent(limit=MOST)
    fresh = [(ref, refusal) for ref, refusal in recent if refusal.at_ms > now_ms - WINDOW_S * 1000]
    reached = await listing.convergence(context, now_ms=now_ms)
    waiting = await pending.list_pending(context)
    return {
        "refusals": len(fresh),
        "capped": len(fresh) == MOST,
        "reasons": reasons(fresh),
        "series": series(fresh, now_ms=now_ms),
        "latest": [{"reference": ref, "refusal": refusal} for ref, refusal in fresh[:_LATEST]],
        "reached": reached,
        "up_to_date": sum(1 for worker in reached["workers"] if worker["behind"] == 0),
        "pending": len(waiting),
        "alerts": [
            *await _alerts(context, reached, waiting, now_ms=now_ms),
            *spikes(told, now_ms=now_ms),
            *incidents(decided, now_ms=now_ms),
        ],
    }


def reasons(fresh: Sequence[tuple[str, Refusal]]) -> list[dict[str, Any]]:
    """Return the commonest reasons with their actions, counts and share of all."""
    counts = Counter((refusal.why, refusal.action) for _, refusal in fresh)
    return [
        {"why": why, "action": action, "count": count, "percent": round(100 * count / len(fresh))}
        for (why, action), count in counts.most_common(_REASONS)
    ]


def series(fresh: Sequence[tuple[str, Refusal]], *, now_ms: int) -> list[list[int]]:
    """Return two columns for the chart: ends of steps in Unix seconds, and refusals in each."""
    last = now_ms // 1000 // STEP_S * STEP_S
    ends = list(range(last - WINDOW_S + STEP_S, last + STEP_S, STEP_S))
    counts = Counter(refusal.at_ms // 1000 // STEP_S * STEP_S for _, refusal in fresh)
    return [ends, [counts[end] for end in ends]]


def spikes(told: Sequence[LoggedAlert], *, now_ms: int) -> list[dict[str, Any]]:
    """Return the first word of each episode that has not ended, newest first."""
    begun: dict[str, LoggedAlert] = {}
    for alert in reversed(told):
        if alert.kind == "end" or alert.at_ms <= now_ms - _DAY_MS:
            begun.pop(alert.episode, None)
        else:
            begun.setdefault(alert.episode, alert)
    newest = list(begun.values())[: -_TOLD - 1 : -1]
    return [{"key": "alert.spike", "values": {"text": alert.text}, "href": "/#refusals"} for alert in newest]


def incidents(decided: Sequence[Mapping[str, Any]], *, now_ms: int) -> list[dict[str, Any]]:
    """Return what fraud detection told people in the window instead of acting, newest first."""
    fresh = [one for one in seen_only(decided) if one["action"] == "alert" and one["ts"] > now_ms - WINDOW_S * 1000]
    return [
        {"key": "alert.incident", "values": {"text": one["why"]}, "href": "/cases", "detector": one.get("detector", "")}
        for one in fresh[:_TOLD]
    ]


async def _alerts(
    context: Context, reached: dict[str, Any], waiting: list[dict[str, Any]], *, now_ms: int
) -> list[dict[str, Any]]:
    """Return what wants attention: a key of the texts, its values, and where to look."""
    alerts: list[dict[str, Any]] = []
    if not reached["workers"]:
        alerts.append({"key": "alert.no_workers", "values": {}, "href": "/#workers"})
    stale = [worker for worker in reached["workers"] if worker["behind"] and worker["seen_ms_ago"] > _STALE_MS]
    if stale:
        alerts.append({"key": "alert.stale", "values": {"count": len(stale)}, "href": "/#workers"})
    if waiting:
        alerts.append({"key": "alert.waiting", "values": {"count": len(waiting)}, "href": "/pending"})
    for entry in await context.ledger.audit_page(limit=200):
        told = entry.to_dict()
        if told["action"] == "roll_back" and told["at_ms"] > now_ms - _DAY_MS:
            values = {"hits": told["details"].get("hits", 0), "policy": told["target"]}
            alerts.append({"key": "alert.rolled_back", "values": values, "href": f"/policies/{told['target']}"})
    return alerts
