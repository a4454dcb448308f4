"""`python -m haetae_edge`: one gateway in the foreground."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from haetae_edge.errors import EdgeError
from haetae_edge.io.gateway import Start, run_gateway
from haetae_edge.io.sockets import Address, ListenError


def parser() -> argparse.ArgumentParser:
    """The command line, shared with `haetae edge`."""
    arguments = argparse.ArgumentParser(prog="haetae edge", description="Run one gateway.")
    arguments.add_argument("--config", type=Path, required=True, metavar="DIR", help="directory with gateway.yaml")
    arguments.add_argument("--listen", default="127.0.0.1:8080", metavar="HOST:PORT", help="where clients connect")
    arguments.add_argument("--admin", default="127.0.0.1:9901", metavar="HOST:PORT", help="side port of worker 0")
    arguments.add_argument("--workers", type=int, default=1, metavar="N", help="worker processes (one per core)")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Run; returns the exit code."""
    given = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        start = Start(
            directory=given.config,
            listen=Address.parse(given.listen),
            admin=Address.parse(given.admin),
            workers=given.workers,
        )
        return run_gateway(
            start, environment=os.environ, announce=lambda line: print(line, file=sys.stderr, flush=True)
        )
    except (EdgeError, ListenError, ValueError) as error:
        print(f"haetae edge: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
