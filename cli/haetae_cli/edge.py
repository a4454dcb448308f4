"""``haetae edge``: one gateway in the foreground. Becomes ``python -m haetae_edge``, arguments alike."""

import argparse
import os
import sys


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--config", required=True, metavar="DIR", help="the gateway's folder, with gateway.yaml")
    parser.add_argument("--listen", default="127.0.0.1:8080", metavar="ADDR", help="HOST:PORT")
    parser.add_argument("--admin", default="127.0.0.1:9901", metavar="ADDR", help="side port: health, metrics")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes, one per core (default: 1)")


def run(args: argparse.Namespace) -> int:
    """Replace this process by the gateway."""
    command = [sys.executable, "-m", "haetae_edge", "--config", args.config, "--listen", args.listen]
    command += ["--admin", args.admin, "--workers", str(args.workers)]
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - an argument list, no shell
