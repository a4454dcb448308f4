"""The model card: what a version was made of, how it did on what it had not seen, and what it is not for.

Two forms of the same: JSON for tools, Markdown for people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from haetae_fds.models.measures import BLOCK_RATE, CHALLENGE_RATE, At, Costs, wilson
from haetae_fds.models.rows import Collected, Row
from haetae_fds.models.train import LEAVES, ROUNDS, Trained
from haetae_fds.models.vector import FEATURES, VECTOR

PURPOSE: Final = (
    "Beside the rules: halves their limits, asks for more proof or slows a heavy reader down. It refuses nobody unless "
    "it was promoted to that. Not for judging people: it sees how a caller behaves towards this service, within hours."
)


def card(trained: Trained, collected: Collected, *, made: int, costs: Costs, seed: int) -> dict[str, Any]:
    """Return the card as JSON values."""
    model, parts = trained.model, trained.parts
    return {
        "name": model.name,
        "version": model.version,
        "made": made,
        "purpose": PURPOSE,
        "method": f"gradient boosting, {ROUNDS} rounds of {LEAVES} leaves, monotone; isotonic calibration; seed {seed}",
        "data": {
            "events": collected.events,
            "rows": len(collected.rows),
            "unknown_left_out": collected.unknown,
            "one_harmless_caller_in": collected.thinned,
            "train": _part(parts.train),
            "calibrate": _part(parts.calibrate),
            "test": _part(parts.test),
        },
        "thresholds": {"challenge": model.challenge, "block": model.block},
        "costs": {"false": costs.false, "drop_out": costs.drop_out, "missed": costs.missed},
        "bounds": {"challenge_day_rate": CHALLENGE_RATE, "block_day_rate": BLOCK_RATE},
        "test": {
            "auc": trained.auc,
            "average_precision": trained.average_precision,
            "brier": trained.brier,
            "challenge": _at(trained.challenge),
            "block": None if trained.block is None else _at(trained.block),
        },
        "telling": [{"feature": name, "raises_by": value} for name, value in trained.telling],
        "vector": VECTOR,
        "features": [
            {"name": f.name, "limit": f.limit, "monotone": f.rises, "median": median}
            for f, median in zip(FEATURES, model.medians, strict=True)
        ],
        "caveats": _caveats(trained),
    }


def _part(rows: Sequence[Row]) -> dict[str, Any]:
    campaigns = Counter(row.campaign for row in rows if row.campaign is not None)
    return {
        "from": rows[0].ts,
        "to": rows[-1].ts,
        "rows": len(rows),
        "rows_of_attacks": campaigns.total(),
        "campaigns": len(campaigns),
        "callers": len({row.entity for row in rows}),
    }


def _at(one: At) -> dict[str, Any]:
    return {
        "threshold": one.threshold,
        "precision": one.precision,
        "precision_bounds": one.precision_bounds,
        "recall": one.recall,
        "campaigns_caught": one.campaigns_caught,
        "campaigns": one.campaigns,
        "user_days": one.days,
        "user_days_hit": one.days_hit,
        "user_day_rate": one.day_rate,
        "user_day_rate_bounds": wilson(one.days_hit, one.days),
    }


def _caveats(trained: Trained) -> list[str]:
    found = []
    upper = wilson(trained.challenge.days_hit, trained.challenge.days)[1]
    if upper > CHALLENGE_RATE:
        found.append(
            f"{trained.challenge.days} days of people cannot show that fewer than {100 * CHALLENGE_RATE:g} % are hit: "
            f"the rate may be as high as {100 * upper:.2g} %"
        )
    if trained.challenge.campaigns < 20:
        found.append(f"tested on {trained.challenge.campaigns} attacks only; kinds not among them may go unseen")
    if trained.model.challenge >= 1:
        found.append("no threshold was innocent enough: this version never acts")
    return found


def markdown(card: dict[str, Any]) -> str:
    """Return the card for people."""
    made = datetime.fromtimestamp(card["made"] / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    data, test = card["data"], card["test"]
    lines = [
        f"# {card['name']} version {card['version']}",
        "",
        f"Made {made}. {card['method'][0].upper()}{card['method'][1:]}.",
        "",
        card["purpose"],
        "",
        "## Data",
        "",
        f"{data['events']:,} events, {data['rows']:,} rows (a caller's minute each).",
        "",
        "| part | from | to | rows | of attacks | attacks | callers |",
        "|---|---|---|---|---|---|---|",
        *(_part_row(name, data[name]) for name in ("train", "calibrate", "test")),
        "",
        "## On the test part",
        "",
        f"AUC {test['auc']:.4f}, average precision {test['average_precision']:.4f}, Brier score {test['brier']:.4f}.",
        "",
        "| action | from | precision | recall | attacks caught | people's days wrongly hit |",
        "|---|---|---|---|---|---|",
        *(_at_row(name, test[name]) for name in ("challenge", "block")),
        "",
        "## What tells most",
        "",
        *(f"- `{one['feature']}` raises the sum by {one['raises_by']:.2f}" for one in card["telling"]),
        "",
        "## Caveats",
        "",
        *(f"- {text}" for text in card["caveats"] or ["none beyond the purpose above"]),
        "",
    ]
    return "\n".join(lines)


def _part_row(name: str, part: dict[str, Any]) -> str:
    times = (datetime.fromtimestamp(part[end] / 1000, UTC).strftime("%Y-%m-%d %H:%M") for end in ("from", "to"))
    numbers = (str(part[what]) for what in ("rows", "rows_of_attacks", "campaigns", "callers"))
    return f"| {' | '.join((name, *times, *numbers))} |"


def _at_row(name: str, one: dict[str, Any] | None) -> str:
    if one is None:
        return f"| {name} | never | | | | |"
    low, high = one["precision_bounds"]
    return (
        f"| {name} | {one['threshold']:.3f} | {one['precision']:.4f} ({low:.4f} to {high:.4f}) | {one['recall']:.3f} "
        f"| {one['campaigns_caught']} of {one['campaigns']} | {one['user_days_hit']} of {one['user_days']} "
        f"(at most {100 * one['user_day_rate_bounds'][1]:.2g} %) |"
    )
