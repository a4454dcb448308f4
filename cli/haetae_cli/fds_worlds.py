"""``haetae fds worlds``: the engine in simulated worlds, closed loop, several seeds; the worst seed counts.

Prints tables when all cases have been played (a terminal sees which one is being played), or records a case's events
and labels into files for ``fds evaluate``.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import orjson
from haetae_demo.attack import CASES, SHAPES, Case, Shape
from haetae_fds.evaluation import AttackResult, Report, summary

from haetae_cli.errors import InputInvalid
from haetae_cli.fds_files import folder_arguments, scorer_maker
from haetae_cli.fds_table import ATTACK_HEAD, HONEST_HEAD, attack_row, honest_row, stopped, summary_lines
from haetae_cli.terminal import Terminal
from haetae_cli.worlds import WarmWorld, address_loop, chosen, loop_with, on_its_day, play, record, warm_world


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("cases", nargs="*", metavar="CASE", help="which cases (default: all; --list names them)")
    parser.add_argument("--list", action="store_true", help="say what cases there are")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="ordinary", help="the kind of world")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="how many worlds (default: 5)")
    parser.add_argument("--first-seed", type=int, default=1, metavar="N")
    parser.add_argument("--people", type=int, metavar="N", help="how many people live there")
    parser.add_argument("--cold", action="store_true", help="begin each world with an engine that has learnt nothing")
    parser.add_argument("--no-yardstick", action="store_true", help="leave out the address-only comparison")
    parser.add_argument("--json", action="store_true", help="print everything measured: a line a case, one for all")
    parser.add_argument(
        "--record",
        type=Path,
        metavar="DIR",
        help="write events and labels instead, undefended; each case of a world on a day of its own",
    )
    folder_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Play, or record."""
    terminal = Terminal.standard()
    if args.list:
        terminal.table([(case.name, "attack" if case.hostile else "honest", case.summary) for case in CASES.values()])
        return 0
    cases = _cases(args.cases)
    if args.seeds < 1:
        raise InputInvalid("--seeds: at least 1")
    shapes = [_shape(args, seed) for seed in range(args.first_seed, args.first_seed + args.seeds)]
    if args.record is not None:
        _record(args.record, shapes, cases, terminal)
        return 0
    make = loop_with(scorer_maker(args), cold=args.cold)
    ours = [warm_world(shape, make) for shape in shapes]
    others = [] if args.no_yardstick else [warm_world(shape, address_loop) for shape in shapes]
    played: dict[str, tuple[list[Report], list[Report]]] = {}
    for number, case in enumerate(cases, start=1):
        if sys.stderr.isatty():
            print(f"\r\x1b[K{number}/{len(cases)} {case.name}", end="", file=sys.stderr, flush=True)
        played[case.name] = ([play(world, case) for world in ours], [play(world, case) for world in others])
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if args.json:
        for name, (reports, _) in played.items():
            print(orjson.dumps({"case": name, "reports": [asdict(report) for report in reports]}).decode())
        found = summary(_by_world([reports for reports, _ in played.values()]))
        if found is not None:
            print(orjson.dumps({"summary": asdict(found)}).decode())
        return 0
    _show(cases, played, ours, others, terminal)
    return 0


def _show(
    cases: Sequence[Case],
    played: dict[str, tuple[list[Report], list[Report]]],
    ours: list[WarmWorld],
    others: list[WarmWorld],
    terminal: Terminal,
) -> None:
    hostile = [case for case in cases if case.hostile]
    honest = [case for case in cases if not case.hostile]
    if hostile:
        terminal.table([ATTACK_HEAD, *(attack_row(case.name, *played[case.name]) for case in hostile)])
        held = sum(stopped(played[case.name][0]) for case in hostile)
        terminal.line(f"  stopped in every world: {held} of {len(hostile)}")
        found = summary(_by_world([played[case.name][0] for case in hostile]))
        for line in summary_lines(found) if found is not None else ():
            terminal.line(f"  {line}")
        terminal.line()
    rows = [honest_row("(last plain hour)", [world.plain for world in ours], [world.plain for world in others])]
    rows.extend(honest_row(case.name, *played[case.name]) for case in honest)
    terminal.table([HONEST_HEAD, *rows])


def _by_world(cases: Sequence[Sequence[Report]]) -> list[list[AttackResult]]:
    """The attacks of each world, from the reports of each case in the worlds' order."""
    return [[result for report in world for result in report.attacks] for world in zip(*cases, strict=True)]


def _record(folder: Path, shapes: Sequence[Shape], cases: Sequence[Case], terminal: Terminal) -> None:
    for shape in shapes:
        for case in cases:
            stem = f"{case.name}-{shape.name}-{shape.seed}"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with (folder / f"{stem}.events").open("wb") as events, (folder / f"{stem}.labels").open("wb") as labels:
                    count = 0
                    for moment in record(on_its_day(shape, case), case):
                        events.write(orjson.dumps(moment.event) + b"\n")
                        labels.write(orjson.dumps(moment.label()) + b"\n")
                        count += 1
            except OSError as error:
                raise InputInvalid(f"{folder}: {error.strerror}") from error
            terminal.line(f"{folder / stem}.events, .labels: {count} events")


def _cases(names: Sequence[str]) -> list[Case]:
    try:
        return chosen(names)
    except KeyError as error:
        raise InputInvalid(f"no such case: {error.args[0]}; --list names them") from error


def _shape(args: argparse.Namespace, seed: int) -> Shape:
    shape = SHAPES[args.shape](seed)
    return shape if args.people is None else replace(shape, people=max(50, args.people))
