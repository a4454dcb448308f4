"""Policies, times and numbers as the pages show them. Pure; what is returned as `Markup` was escaped here."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from haetae_policy_api.console.texts import Texts


def when(moment: int | str | None, *, short: bool = False) -> Markup:
    """Return a time (Unix ms or RFC 3339) in UTC; the browser shows it in its own zone and keeps UTC as the title."""
    if moment is None:
        return Markup("–")
    at = datetime.fromtimestamp(moment / 1000, UTC) if isinstance(moment, int) else datetime.fromisoformat(moment)
    full = at.strftime("%Y-%m-%d %H:%M:%S UTC")
    shape = "time" if short else "full"
    return Markup('<time datetime="{}" title="{}" data-local="{}">{}</time>').format(
        at.isoformat(timespec="milliseconds"), full, shape, at.strftime("%H:%M:%S UTC") if short else full
    )


def who(subject: Mapping[str, Any], t: Texts) -> str:
    """Return a subject in words: every condition that must hold, or everyone."""
    parts = [f"{t.word('kind', kind)} {value}" for kind, value in subject.items() if kind != "untrusted"]
    if subject.get("untrusted"):
        parts.append(t("kind.untrusted"))
    return " + ".join(parts) or t("kind.everyone")


def title(policy: Mapping[str, Any], t: Texts) -> str:
    """Return what a policy is called: what its detector looks for, where that has words, else its reason."""
    source = policy["source"]
    return named(source["name"], t) or policy["reason"] if source["kind"] == "fds" else policy["reason"]


def named(detector: str, t: Texts) -> str:
    """Return what a detector looks for, in words; empty for rules and models of an installation."""
    word = t.word("detector", detector)
    return "" if word == detector else word


def measure(name: str, t: Texts) -> str:
    """Return the word for a number that a detector compared."""
    slug = name.replace(" ", "_")
    word = t.word("measure", slug)
    return name.replace("_", " ") if word == slug else word


def what(api: Mapping[str, Any] | None, t: Texts) -> str:
    """Return an API in words: gateway, route, method and path, or every API."""
    held = api or {}
    call = " ".join(str(held[name]) for name in ("method", "path") if held.get(name))
    place = " / ".join(str(held[name]) for name in ("gateway", "route") if held.get(name))
    return " · ".join(part for part in (place, call) if part) or t("api.every")


def pretty(value: object) -> str:
    """Return JSON for people to read; it is escaped where it is shown."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def number(value: float) -> str:
    """Return a number with separators and at most three decimals."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3f}".rstrip("0")
