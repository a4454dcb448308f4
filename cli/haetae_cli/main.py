"""The ``haetae`` command: finds the subcommand and turns its outcome into an exit code.

Exit codes: 0 only on success, 1 for an expected failure with one clear message, 2 for a wrong command line,
130 after Ctrl-C. A subcommand is a module with ``arguments(parser)`` and ``run(args) -> int``; only the one
that was asked for is imported, so that ``haetae --help`` is immediate.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from haetae_cli.errors import CliError

COMMANDS = {
    "up": "start the whole stack on this machine, or check it with --check",
    "demo": "watch the gateway at work, step by step",
    "request": "call a URL through the app channel, like curl",
    "edge": "run one gateway",
    "envoy": "print the Envoy configuration for a gateway",
    "block": "add, list, remove and explain block policies",
    "policy": "back block policies up and restore them",
    "policy-api": "run the service that makes and explains block policies",
    "audit": "see and verify who changed which policies",
    "keys": "make, list, rotate and publish gateway keys",
    "passport": "take a Passport apart",
    "routes": "check gateway configuration",
    "fds": "fraud detection: replay recorded events, see what is decided and why",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (default: the process's) and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        parser = _parser(words)
    except ModuleNotFoundError as error:
        print(f"haetae: the package {error.name} is not installed; run: uv sync", file=sys.stderr)
        return 1
    args = parser.parse_args(words)
    if args.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        return int(import_module(f"haetae_cli.{_module(args.command)}").run(args))
    except CliError as error:
        print(f"haetae {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, as with `| head`; nothing more can be said to it.
        # The interpreter flushes at exit; let it flush into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _module(command: str) -> str:
    return command.replace("-", "_")


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="haetae", description="The guardian at the gate: a security gateway.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == chosen:
            import_module(f"haetae_cli.{_module(name)}").arguments(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
