"""``haetae edge``: one gateway in the foreground. Becomes ``python -m haetae_edge``, arguments alike."""

import argparse
import os
import sys


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--config", required=True, metavar="DIR", help="the gateway's folder, with gateway.yaml")
    parser.add_argument("--listen", default="127.0.0.1:8080", metavar="ADDR", help="HOST:PORT")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes (default: one per core)")


def run(args: argparse.Namespace) -> int:
    """Replace this process by the gateway."""
    workers = args.workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    command = [sys.executable, "-m", "haetae_edge", "--config", args.config, "--listen", args.listen]
    sys.stdout.flush()
    os.execv(sys.executable, [*command, "--workers", str(workers)])  # noqa: S606 - an argument list, no shell
