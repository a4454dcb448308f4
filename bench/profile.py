"""`python -m bench.profile plain|web|app`: where a gateway worker spends its time under load.

Starts one gateway with one worker on its own core, loads it as the benchmark does, and prints the functions
with the most time of their own. cProfile slows Python calls more than library code: read the order, not the
sum; the rate without it is printed beside.
"""

import argparse
import io
import os
import pstats
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.contender import Contender
from bench.errors import BenchError, NotStarted
from bench.gateway import Gateways
from bench.loader import run_closed
from bench.machine import usable_cores
from bench.processes import Process, session_pids
from bench.run import ROWS, Cores
from bench.world import World

__all__ = ["main", "profile_row"]

DUMP_SECONDS = 10.0
POLICIES = 1000
ROOT = Path(__file__).resolve().parent.parent
LAUNCH = f"import sys; sys.path.append({str(ROOT)!r}); from bench.profiled import main; main()"
"""The gateway runs in another directory, where `python -m bench.profiled` would not be found."""


def profile_row(row: str, *, seconds: float, cores: Cores) -> tuple[pstats.Stats, float, float]:
    """Profile one row for `seconds`; returns the statistics and requests per second without and with the
    profiler.

    Raises:
        BenchError: the gateway did not start, gave a bad answer, or wrote no profile.
    """
    with World(gateway_cores=cores.gateway, other_cores=cores.others) as world:
        out = world.directory / "profile"
        gateways = Gateways(world, policies=POLICIES, patient=True)
        world.start_upstream(gateways.service_answers())
        contender = gateways.start_row(row, launcher=("-c", LAUNCH, str(out)))
        if contender.process is None:
            raise NotStarted("the gateway has no process of its own")
        plain_rate = _load(contender, seconds)
        _signal(contender.process, signal.SIGUSR1)
        profiled_rate = _load(contender, seconds)
        _signal(contender.process, signal.SIGUSR2)
        return _busiest(out, contender.process), plain_rate, profiled_rate


def _load(contender: Contender, seconds: float) -> float:
    supply = contender.supply.prepare(int(contender.first_guess * (seconds + 1)))
    return run_closed(contender.address, supply, connections=32, warmup=0.5, seconds=seconds).rate


def _signal(process: Process, number: signal.Signals) -> None:
    for pid in session_pids(process.pid):
        os.kill(pid, number)


def _busiest(out: Path, process: Process) -> pstats.Stats:
    """The profile with the most calls: that of the worker, not of its supervisor."""
    wanted = [out.with_name(f"{out.name}.{pid}") for pid in session_pids(process.pid)]
    give_up = time.monotonic() + DUMP_SECONDS
    while not all(path.exists() for path in wanted):
        if time.monotonic() > give_up:
            raise NotStarted(f"no profile was written: {process.error_tail()}")
        time.sleep(0.01)
    found = [pstats.Stats(str(path), stream=io.StringIO()) for path in wanted]
    return max(found, key=lambda stats: getattr(stats, "total_calls", 0))


def _shortened(text: str) -> str:
    """Package paths instead of absolute ones."""
    lines = []
    for line in text.splitlines():
        for root in ("site-packages/", "/lib/python3.11/"):
            before, found, after = line.partition(root)
            if found:
                line = before[: before.rfind(" ") + 1] + after  # noqa: PLW2901 - the shorter line
        lines.append(line.replace(f"{ROOT}/", ""))
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Profile, print, and save when asked; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each of the two runs (default 5)")
    parser.add_argument("--top", type=int, default=40, help="how many functions (default 40)")
    parser.add_argument("--sort", choices=("tottime", "cumulative", "calls"), default="tottime")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the profile, for pstats or a viewer")
    args = parser.parse_args(argv)
    cores = Cores.split(usable_cores())
    os.sched_setaffinity(0, cores.others)
    try:
        stats, plain_rate, profiled_rate = profile_row(args.row, seconds=args.seconds, cores=cores)
    except BenchError as error:
        print(f"bench: {error.code}: {error}", file=sys.stderr)
        return 1
    if args.save is not None:
        stats.dump_stats(args.save)
    print(f"{args.row}: {plain_rate:,.0f} req/s, {profiled_rate:,.0f} req/s while profiled\n")
    stream = io.StringIO()
    stats.stream = stream  # type: ignore[attr-defined]
    stats.sort_stats(args.sort).print_stats(args.top)
    print(_shortened(stream.getvalue()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
