"""``haetae fds evaluate``: the evaluation protocol on recorded events with labels.

Reads files, prints a table or JSON. The recording is replayed through the engine in its order; what the engine decides
is in force for the events that follow.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson
from haetae_fds.evaluation import DEFAULT_DELAY_MS, AddressBuckets, ClosedLoop, Label, LabelsInvalid, Report, evaluate
from haetae_fds.evaluation import read_labels as parse_labels
from haetae_fds.event import EventInvalid
from haetae_fds.flat import event_of
from haetae_fds.settings import EngineSettings

from haetae_cli.errors import InputInvalid
from haetae_cli.fds_files import settings_arguments
from haetae_cli.fds_table import ATTACK_HEAD, HONEST_HEAD, attack_row, honest_row
from haetae_cli.terminal import Terminal
from haetae_cli.worlds import EngineDetector

MAX_LINE = 16_384


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("file", type=Path, metavar="FILE", help="events, one flat JSON object a line, in order")
    parser.add_argument("--labels", type=Path, required=True, metavar="FILE", help="ground truth, one object a line")
    parser.add_argument(
        "--delay", type=int, default=DEFAULT_DELAY_MS, metavar="MS", help="from a decision to its effect (default: 10)"
    )
    settings_arguments(parser)
    parser.add_argument("--no-yardstick", action="store_true", help="leave out the address-only comparison")
    parser.add_argument("--json", action="store_true", help="print everything that was measured as JSON")


def run(args: argparse.Namespace, settings: EngineSettings) -> int:
    """Evaluate with these engine settings and print."""
    if args.delay < 0:
        raise InputInvalid("--delay: not below 0")
    labels = read_labels(args.labels)
    engine = ClosedLoop(EngineDetector(settings), delay_ms=args.delay)
    ours = evaluate(_checked(args.file), labels, engine)
    others = []
    if not args.no_yardstick:
        others = [evaluate(_checked(args.file), labels, ClosedLoop(AddressBuckets().decide, delay_ms=args.delay))]
    if args.json:
        document = {"engine": asdict(ours), "addresses": asdict(others[0]) if others else None}
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
        return 0
    show(ours, others, Terminal.standard())
    return 0


def show(ours: Report, others: list[Report], terminal: Terminal) -> None:
    """Print one report: a row for each campaign, then honest people."""
    rows = []
    for result in ours.attacks:
        one = _only(ours, result.campaign)
        rows.append(attack_row(result.campaign, [one], [_only(other, result.campaign) for other in others]))
    if rows:
        terminal.table([ATTACK_HEAD, *rows])
        terminal.line()
    terminal.table([HONEST_HEAD, honest_row("everybody", [ours], others)])
    terminal.line()
    precision = ours.policies.precision
    terminal.line(
        f"{ours.events} events in {ours.span_ms / 60_000:.0f} minutes, {ours.decisions} decisions, {ours.acting} that "
        f"act ({ours.acting_per_day:.0f} a day)"
        + ("" if precision is None else f", {100 * precision:.0f} % of those that refused anything hit an attack")
    )


def read_labels(path: Path) -> dict[str, Label]:
    """Read a labels file. Raises InputInvalid."""
    try:
        with path.open("rb") as lines:
            return parse_labels(lines)
    except (OSError, LabelsInvalid) as error:
        raise InputInvalid(f"{path}: {error}") from error


def _only(report: Report, campaign: str) -> Report:
    return replace(report, attacks=tuple(result for result in report.attacks if result.campaign == campaign))


def _checked(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a file, each one valid."""
    for number, row in _rows(path):
        try:
            event_of(row)
        except EventInvalid as error:
            raise InputInvalid(f"{path}, line {number}: {error}") from error
        yield row


def _rows(path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, _row(path, number, line)
    except OSError as error:
        raise InputInvalid(f"{path}: {error}") from error


def _row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE:
        raise InputInvalid(f"{path}, line {number}: too long")
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InputInvalid(f"{path}, line {number}: not JSON") from error
    if not isinstance(row, dict):
        raise InputInvalid(f"{path}, line {number}: not an object")
    return row
