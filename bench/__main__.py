"""`python -m bench`: measure Haetae beside its peers and print the table.

Exit code 0 when everything asked for was measured without one bad answer, 1 otherwise; whether goals were
reached is in the table and does not change the code.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from bench.errors import BenchError
from bench.machine import Quiet, describe, session_seconds, usable_cores
from bench.measure import GOALS, Results
from bench.report import render, write_json
from bench.rounds import Plan
from bench.run import SECTIONS, Cores, Effort, run

QUICK = Effort(
    throughput=Plan(1, 0.2, 0.8),
    latency=Plan(1, 0.2, 0.8),
    loops=1,
    starts=1,
    clients=1000,
    policies=1000,
    table_sizes=(1000,),
    patient=True,
)
FULL = Effort(
    throughput=Plan(5, 1.0, 5.0),
    latency=Plan(5, 1.0, 5.0),
    loops=5,
    starts=5,
    clients=10_000,
    policies=100_000,
    table_sizes=(100, 100_000, 1_000_000),
)
NOISE_SHARE = 0.05


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Haetae beside its peers.")
    parser.add_argument("--quick", action="store_true", help="one short round: checks the harness, not the numbers")
    parser.add_argument("--only", metavar="LIST", help=f"sections, comma-separated, of: {', '.join(SECTIONS)}")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all samples to FILE")
    parser.add_argument("--rounds", type=int, metavar="N", help="interleaved rounds (default 5)")
    parser.add_argument("--seconds", type=float, metavar="S", help="length of each timed run (default 5)")
    args = parser.parse_args(argv)
    args.sections = tuple(SECTIONS) if args.only is None else tuple(args.only.split(","))
    unknown = sorted(set(args.sections) - set(SECTIONS))
    if unknown:
        parser.error(f"unknown section {', '.join(unknown)}; there are: {', '.join(SECTIONS)}")
    if (args.rounds is not None and args.rounds < 1) or (args.seconds is not None and args.seconds <= 0):
        parser.error("--rounds and --seconds must be positive")
    return args


def _effort(args: argparse.Namespace) -> Effort:
    effort = QUICK if args.quick else FULL
    return effort.with_plan(rounds=args.rounds, seconds=args.seconds)


def _terminate(number: int, _frame: FrameType | None) -> None:
    """Turn a signal into an exit that unwinds, so that every child is ended."""
    sys.exit(128 + number)


def main(argv: Sequence[str]) -> int:
    """Run; returns the exit code."""
    args = _arguments(argv)
    signal.signal(signal.SIGTERM, _terminate)
    machine = describe()
    cores = Cores.split(usable_cores())
    os.sched_setaffinity(0, cores.others)
    results = Results()
    notes: list[str] = []
    quiet = Quiet.begin()
    try:
        run(results, notes, sections=args.sections, effort=_effort(args), cores=cores, say=_progress)
    except BenchError as error:
        print(f"bench: {error.code}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    share = quiet.foreign_share(session_seconds())
    if share > NOISE_SHARE:
        notes.append(f"the machine was not quiet: others used {share:.0%} of it")
    if args.quick:
        notes.append("one short round: the numbers prove that it works and nothing else")
    goals = () if args.quick else GOALS
    print(render(results, machine, goals=goals, notes=notes))
    if args.json is not None:
        write_json(args.json, results, machine, goals=goals, notes=notes)
    return 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
