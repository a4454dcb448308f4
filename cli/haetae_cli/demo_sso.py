"""``haetae demo sso``: single sign-on for the tools of staff, to click through or to watch."""

import argparse
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from haetae_cli.errors import NotRunning
from haetae_cli.showing import check_each, show_each
from haetae_cli.signals import run_until_stopped
from haetae_cli.stack import StackOptions, run_stack
from haetae_cli.staff import INTERNAL_GATEWAY, tool_origin
from haetae_cli.state import RunningStack, StateDirectory, default_state
from haetae_cli.terminal import Terminal
from haetae_cli.tour.staff import APPROVER, STAFF_STEPS, USER, demo_password, staff_desk


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--state", type=Path, metavar="DIR", help="the running stack (default: .haetae)")
    parser.add_argument("--config", type=Path, default=Path("config"), metavar="DIR", help="gateways, when none runs")
    parser.add_argument("--only-say", action="store_true", help="print what to click and end")


def run(args: argparse.Namespace) -> int:
    """Say what to click, then walk; without a running stack, start one for the time of the show."""
    terminal = Terminal.standard()
    try:
        stack = StateDirectory(args.state or default_state()).running()
    except NotRunning:
        if args.state is not None or args.only_say:
            raise
        terminal.line("no stack is running here: starting one for this demonstration")
        return run_until_stopped(_own_stack(args.config, terminal))
    what_to_click(stack, terminal)
    return 0 if args.only_say else run_until_stopped(_walk(stack, terminal))


def what_to_click(stack: RunningStack, terminal: Terminal) -> None:
    """Addresses and people, for a browser.

    Raises:
        NotRunning: the stack has no Internal gateway.
    """
    if INTERNAL_GATEWAY not in stack.gateways:
        raise NotRunning(f"the stack runs no gateway named {INTERNAL_GATEWAY}; this needs the one of config/internal")
    port = urlsplit(stack.gateways[INTERNAL_GATEWAY]).port or 80
    terminal.line()
    terminal.heading("in a browser on this machine")
    terminal.table(
        [
            (terminal.style(f"{tool_origin('home', port)}/", "cyan"), "the tools you may open"),
            (terminal.style(f"{tool_origin('dashboard', port)}/#a-deep-link", "cyan"), "live things; sign out there"),
            (terminal.style(f"{tool_origin('vault', port)}/", "cyan"), f"for approvers: {USER} is refused"),
        ]
    )
    terminal.line()
    terminal.heading("people of the demo provider (development only)")
    terminal.table(
        [
            (USER, demo_password(USER), "staff, fraud-analysts"),
            ("joon", demo_password("joon"), "staff, sre"),
            (APPROVER, demo_password(APPROVER), "staff, fraud-analysts, approvers; the vault asks for a second step"),
        ]
    )


async def check_staff(stack: RunningStack, terminal: Terminal) -> bool:
    """Run the steps, one line each; True when every one came out as it must."""
    terminal.heading(f"staff at {stack.gateways[INTERNAL_GATEWAY]}")
    async with staff_desk(stack) as desk:
        return await check_each(STAFF_STEPS, desk, terminal)


async def _walk(stack: RunningStack, terminal: Terminal) -> int:
    async with staff_desk(stack) as desk:
        return 0 if await show_each(STAFF_STEPS, desk, terminal) else 1


async def _own_stack(config: Path, terminal: Terminal) -> int:
    with tempfile.TemporaryDirectory(prefix="haetae-demo-") as folder:
        options = StackOptions(state=StateDirectory(Path(folder) / "state"), config=config, port_base=0)
        async with run_stack(options) as started:
            what_to_click(started.running, terminal)
            return await _walk(started.running, terminal)
