"""The tables of an evaluation: one row a case, worst of all seeds, beside the address-only yardstick."""

from __future__ import annotations

from collections.abc import Sequence

from haetae_fds.evaluation import AttackResult, Report, Summary

ATTACK_HEAD = (
    "attack",
    "score",
    "harm",
    "let through",
    "first",
    "residual",
    "people",
    "victims",
    "exact",
    "| addresses",
)
HONEST_HEAD = ("honest day", "active", "refused", "challenged", "new devices", "shared", "policies", "| addresses")


def attack_row(name: str, reports: Sequence[Report], yardstick: Sequence[Report]) -> list[str]:
    """One attack's row: the worst seed counts in every column."""
    results = [result for report in reports for result in report.attacks]
    if not results:
        return [name, "no attack in it", *[""] * (len(ATTACK_HEAD) - 2)]
    worst = min(results, key=lambda result: result.score)
    times = [result.first_refusal_ms for result in results]
    exact = [report.exact for report in reports if report.exact is not None]
    row = [
        name,
        f"{worst.score:.0f}",
        _share(max(results, key=lambda r: r.harm / max(1, r.harm_possible)), harm=True),
        _share(max(results, key=lambda r: (r.before + r.after) / r.requests), harm=False),
        "never" if None in times else f"{max(time for time in times if time is not None) / 1000:.0f} s",
        f"{100 * max(result.residual for result in results):.0f} %",
        f"{max(report.people.cost for report in reports):.1f}",
        str(max(report.people.victims for report in reports)),
        f"{100 * min(exact):.0f} %" if exact else "-",
    ]
    others = [result for report in yardstick for result in report.attacks]
    if others:
        people = max(report.people.cost for report in yardstick)
        row.append(f"| {min(result.score for result in others):.0f}, {people:.0f} people")
    else:
        row.append("")
    return row


def honest_row(name: str, reports: Sequence[Report], yardstick: Sequence[Report]) -> list[str]:
    """One honest day's row: the worst seed counts in every column."""
    people = [report.people for report in reports]
    row = [
        name,
        str(min(found.active for found in people)),
        str(max(found.refused for found in people)),
        str(max(found.challenged for found in people)),
        str(max(found.fresh_refused for found in people)),
        str(max(found.shared_refused for found in people)),
        str(max(report.acting for report in reports)),
    ]
    row.append(f"| {max(report.people.cost for report in yardstick):.0f}" if yardstick else "")
    return row


def stopped(reports: Sequence[Report]) -> bool:
    """Whether every campaign of every seed was stopped."""
    return all(result.stopped for report in reports for result in report.attacks)


def summary_lines(found: Summary) -> tuple[str, str]:
    """Two lines about all attacks together."""
    never = f"; {found.never} never refused" if found.never else ""
    first = "never"
    if found.mean_first_ms is not None and found.median_first_ms is not None:
        first = f"mean {found.mean_first_ms / 1000:.0f} s, median {found.median_first_ms / 1000:.0f} s"
    mean = (
        f"mean of {found.attacks} attacks, worst of {found.worlds} worlds: score {found.score:.1f}; let through"
        f" {found.before:.1f} requests before the first refusal, {found.after:.1f} after it"
    )
    return mean, f"first refusal, worst of {found.worlds} worlds: {first}{never}"


def _share(result: AttackResult, *, harm: bool) -> str:
    if harm:
        return f"{result.harm}/{result.harm_possible}" if result.harm_possible else "-"
    return f"{result.before}+{result.after}/{result.requests}"
