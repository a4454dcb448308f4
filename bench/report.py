"""The table and the JSON file: the only module that prints results."""

import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.measure import GOALS, Goal, Measure, Results

__all__ = ["render", "write_json"]

SECTIONS = {
    "plain": "Plain route, requests a second",
    "web": "Web route: JWT ES256, block check, Passport; requests a second",
    "session": "Internal route: browser session in Redis; requests a second",
    "app": "App channel: signature, nonce, JWT, body opened, Passport, answer sealed; requests a second",
    "latency": "Latency at half of the own saturated rate, random arrivals",
    "workers": "Two workers against one",
    "block": "Block check",
    "memory": "Resident memory of one worker",
    "start": "Cold start to the first answer",
    "primitive": "Primitive costs",
}


def render(
    results: Results, machine: Mapping[str, str], *, goals: Sequence[Goal] = GOALS, notes: Sequence[str] = ()
) -> str:
    """The whole table as text: machine, every section that was measured, goals, notes."""
    lines = ["Machine: " + ", ".join(f"{name} {value}" for name, value in machine.items())]
    for section, title in SECTIONS.items():
        rows = [measure for measure in results if measure.key.split("/", 1)[0] == section]
        if rows:
            lines += ["", title, *_columns(_latency(rows) if section == "latency" else map(_row, rows))]
    judged = list(results.judge(goals))
    if judged:
        lines += ["", "Goals"]
        lines += _columns(
            ("  " + each.goal.title, _number(each.value), each.goal.wanted, "reached" if each.reached else "MISSED")
            for each in judged
        )
    if notes:
        lines += ["", *(f"Note: {note}" for note in notes)]
    return "\n".join(lines)


def _row(measure: Measure) -> tuple[str, str, str, str]:
    spread = f"±{measure.spread:.0%}" if len(measure.samples) > 1 else ""
    return "  " + measure.key.split("/", 1)[1], f"{_number(measure.value)} {measure.unit}", spread, measure.note


def _latency(rows: Sequence[Measure]) -> Iterator[tuple[str, str, str, str]]:
    """One line for each contender instead of four."""
    by_name: dict[str, dict[str, Measure]] = defaultdict(dict)
    for measure in rows:
        _, name, what = measure.key.split("/")
        by_name[name][what] = measure
    for name, found in by_name.items():
        p50, p99 = (
            f"{percent} {_number(found[percent].value)} µs, added {_number(found[f'added {percent}'].value)} µs"
            for percent in ("p50", "p99")
        )
        yield "  " + name, p50, p99, found["p50"].note


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _columns(rows: Iterable[tuple[str, str, str, str]]) -> list[str]:
    table = list(rows)
    first, second, third = (max(_width(row[column]) for row in table) for column in range(3))
    return [f"{row[0]:<{first}}  {row[1]:>{second}}  {row[2]:<{third}}  {row[3]}".rstrip() for row in table]


def write_json(
    path: Path, results: Results, machine: Mapping[str, str], *, goals: Sequence[Goal] = GOALS, notes: Sequence[str]
) -> None:
    """Machine, every measure with all its samples, and the goals that could be judged."""
    document = {
        "machine": dict(machine),
        "notes": list(notes),
        "measures": [
            {
                "key": measure.key,
                "unit": measure.unit,
                "median": measure.value,
                "samples": list(measure.samples),
                "note": measure.note,
            }
            for measure in results
        ],
        "goals": [
            {
                "title": each.goal.title,
                "work": each.goal.work,
                "wanted": each.goal.wanted,
                "value": each.value,
                "reached": each.reached,
            }
            for each in results.judge(goals)
        ],
    }
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
