"""``haetae fds evaluate``: the evaluation protocol on recorded events with labels.

Reads files, prints a table or JSON. The recording is replayed through the engine in its order; what the engine decides
is in force for the events that follow. Lines that are no events are left out, and counted by the field at fault.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson
from haetae_fds.evaluation import DEFAULT_DELAY_MS, AddressBuckets, ClosedLoop, Label, LabelsInvalid, Report, evaluate
from haetae_fds.evaluation import read_labels as parse_labels
from haetae_fds.event import EventInvalid
from haetae_fds.flat import event_of, flat, read_flat
from haetae_fds.settings import EngineSettings

from haetae_cli.errors import InputInvalid
from haetae_cli.fds_files import folder_arguments, lines_of, scorer_maker, settings_arguments
from haetae_cli.fds_table import ATTACK_HEAD, HONEST_HEAD, attack_row, honest_row
from haetae_cli.terminal import Terminal
from haetae_cli.worlds import EngineDetector


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("file", type=Path, metavar="FILE", help="events, one flat JSON object a line, in order")
    parser.add_argument("--labels", type=Path, required=True, metavar="FILE", help="ground truth, one object a line")
    parser.add_argument(
        "--delay", type=int, default=DEFAULT_DELAY_MS, metavar="MS", help="from a decision to its effect (default: 10)"
    )
    parser.add_argument(
        "--train", type=Path, metavar="FILE", help="learn from this harmless traffic first, as from the day before"
    )
    settings_arguments(parser)
    folder_arguments(parser)
    parser.add_argument("--no-yardstick", action="store_true", help="leave out the address-only comparison")
    parser.add_argument("--json", action="store_true", help="print everything that was measured as JSON")


def run(args: argparse.Namespace, settings: EngineSettings) -> int:
    """Evaluate with these engine settings and print."""
    if args.delay < 0:
        raise InputInvalid("--delay: not below 0")
    labels = read_labels(args.labels)
    refused: Counter[str] = Counter()
    detector = EngineDetector(settings, scorer=scorer_maker(args)())
    if args.train is not None:
        for row in _events(args.train, refused):
            detector.engine.train(event_of(row))
    ours = evaluate(_events(args.file, refused), labels, ClosedLoop(detector, delay_ms=args.delay))
    others = []
    if not args.no_yardstick:
        buckets = ClosedLoop(AddressBuckets().decide, delay_ms=args.delay)
        others = [evaluate(_events(args.file, Counter()), labels, buckets)]
    if not ours.events:
        raise InputInvalid(f"{args.file}: not one line is an event")
    if args.json:
        addresses = asdict(others[0]) if others else None
        document = {"engine": asdict(ours), "addresses": addresses, "refused": dict(refused)}
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
        return 0
    terminal = Terminal.standard()
    show(ours, others, terminal)
    if refused:
        told = ", ".join(f"{field} {count}" for field, count in sorted(refused.items()))
        terminal.line(f"{refused.total()} lines were no events and are left out, by the field at fault: {told}")
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
    if ours.attacks:
        ended = sum(result.stopped for result in ours.attacks)
        terminal.line(f"{ended} of {len(ours.attacks)} attacks were stopped")
    terminal.line(f"honest people were refused something in {ours.people.minutes} of their minutes")
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


def _events(path: Path, refused: Counter[str]) -> Iterator[dict[str, Any]]:
    """The events of a file; what is none is counted in `refused`. Raises InputInvalid where it cannot be read."""
    try:
        with path.open("rb") as file:
            for line in lines_of(file):
                if line.strip():
                    try:
                        yield flat(read_flat(line))
                    except EventInvalid as error:
                        refused[error.field] += 1
    except OSError as error:
        raise InputInvalid(f"{path}: {error.strerror}") from error
