"""``haetae routes check``: whether gateway configuration loads, with every problem and its place."""

import argparse
import os
from pathlib import Path

from haetae_edge.config.loader import load_gateway
from haetae_edge.errors import ConfigError

from haetae_cli.stack import find_gateways
from haetae_cli.terminal import Terminal, printable


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    check = verbs.add_parser("check", help="read gateways as they would be started")
    check.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="gateways (default: all of config/)")


def run(args: argparse.Namespace) -> int:
    """Exit code 0 only when every gateway loads."""
    terminal = Terminal.standard()
    folders = args.folders or find_gateways(Path("config"))
    failed = 0
    for folder in folders:
        try:
            config = load_gateway(folder, environment=os.environ)
        except ConfigError as error:
            failed += 1
            terminal.step(False, str(folder), f"{len(error.problems)} problem(s)")
            for problem in error.problems:
                terminal.line(f"       {problem.file}:{problem.line}: {printable(problem.message)}")
        else:
            note = f"{len(config.routes)} routes, revision {config.revision[:12]}"
            terminal.step(True, str(folder), note)
    return 1 if failed else 0
