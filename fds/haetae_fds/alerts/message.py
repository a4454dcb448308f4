"""An alert in words: one line for a log, one message for Slack. Pure; nothing from a request is markup."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from haetae_fds.alerts.spikes import Alert

MAX_TEXT: Final = 2500


def summary(alert: Alert) -> str:
    """One sentence."""
    at = datetime.fromtimestamp(alert.minute * 60, UTC).strftime("%H:%M")
    if alert.text:
        return f"{at} UTC: {alert.text}"
    where = ", ".join(rise.route for rise in alert.rises)
    if alert.kind == "end":
        return f"{at} UTC: {alert.errors} at {alert.gateway} are over ({alert.episode})"
    if alert.kind == "silence":
        return f"{at} UTC: no requests any more on {where} at {alert.gateway}"
    worst = alert.rises[0]
    share = 100 * worst.errors / max(1, worst.requests)
    return (
        f"{at} UTC: {alert.errors} rise at {alert.gateway}: {worst.route} had {worst.errors} of {worst.requests} "
        f"({share:.1f} %), expected {worst.expected:.1f}"
        + (f"; also {', '.join(rise.route for rise in alert.rises[1:])}" if len(alert.rises) > 1 else "")
    )


def log_fields(alert: Alert) -> dict[str, Any]:
    """The alert as one JSON object, Elastic Common Schema names where there are some."""
    return {
        "event.kind": "alert",
        "event.reason": alert.kind,
        "service.name": alert.gateway,
        "message": summary(alert),
        "haetae.alert.episode": alert.episode,
        "haetae.alert.errors": alert.errors,
        "haetae.alert.routes": [
            {
                "route": rise.route, "requests": rise.requests, "errors": rise.errors, "expected": rise.expected,
                "z": round(rise.z, 2), "score": round(rise.score, 3),
            }
            for rise in alert.rises
        ],
        "haetae.alert.contributors": dict(alert.contributors),
    }  # fmt: skip


def slack_message(alert: Alert) -> dict[str, str]:
    """The body of an incoming webhook. What came from requests is escaped, so that it cannot mention anybody."""
    lines = [_escaped(summary(alert))]
    if alert.contributors:
        lines.append("most from: " + _escaped(", ".join(f"{name} ({count})" for name, count in alert.contributors)))
    return {"text": "\n".join(lines)[:MAX_TEXT]}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
