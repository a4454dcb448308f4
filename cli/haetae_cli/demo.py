"""``haetae demo app``: the gateway at work, step by step, with what crossed the wire and what the service
saw. ``haetae demo attack`` is in :mod:`haetae_cli.demo_attack`, ``haetae demo sso`` in :mod:`haetae_cli.demo_sso`.
"""

import argparse
import tempfile
from pathlib import Path

from haetae_cli import demo_attack, demo_sso
from haetae_cli.errors import NotRunning
from haetae_cli.signals import run_until_stopped
from haetae_cli.stack import StackOptions, run_stack
from haetae_cli.state import RunningStack, StateDirectory, default_state
from haetae_cli.terminal import Terminal
from haetae_cli.visit import walk


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    shows = parser.add_subparsers(dest="show", metavar="SHOW", required=True)
    app = shows.add_parser("app", help="a mobile app's signed, encrypted calls, and attacks on them")
    app.add_argument("--state", type=Path, metavar="DIR", help="the running stack (default: .haetae)")
    app.add_argument("--config", type=Path, default=Path("config"), metavar="DIR", help="gateways, when none runs")
    demo_attack.arguments(shows.add_parser("attack", help="an attack on the log-in, and what is done about it"))
    demo_sso.arguments(shows.add_parser("sso", help="staff sign in once for all tools: what to click, and a walk"))


def run(args: argparse.Namespace) -> int:
    """Use the running stack; without one, start one for the time of the show."""
    if args.show == "attack":
        return demo_attack.run(args)
    if args.show == "sso":
        return demo_sso.run(args)
    terminal = Terminal.standard()
    try:
        stack = StateDirectory(args.state or default_state()).running()
    except NotRunning:
        if args.state is not None:
            raise
        terminal.line("no stack is running here: starting one for this demonstration")
        return run_until_stopped(_own_stack(args.config, terminal))
    return run_until_stopped(_walk(stack, terminal))


async def _walk(stack: RunningStack, terminal: Terminal) -> int:
    return 0 if await walk(stack, terminal) else 1


async def _own_stack(config: Path, terminal: Terminal) -> int:
    with tempfile.TemporaryDirectory(prefix="haetae-demo-") as folder:
        options = StackOptions(state=StateDirectory(Path(folder) / "state"), config=config, port_base=0)
        async with run_stack(options) as started:
            return await _walk(started.running, terminal)
