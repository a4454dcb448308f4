"""``haetae fds mode`` and ``haetae fds undo``: the switch, and taking back what a detector did lately.

Lowering the mode also takes back at once what acts, so that the gateways let go of it within the time a policy
travels, whether or not a worker is there to hear of it.
"""

import argparse
import asyncio
import getpass
import time
from collections import Counter

from haetae_fds import Mode
from haetae_fds.io.modes import DETECTOR_NAMES, OVERALL, has_switch, take_back, turn_mode
from haetae_policy import Policy

from haetae_cli.errors import InputInvalid
from haetae_cli.fds_store import FdsStore, now_ms, open_fds
from haetae_cli.terminal import Terminal, printable

MAX_MINUTES = 7 * 24 * 60
_SHOWN = 10


def mode_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``mode``."""
    parser.add_argument("mode", nargs="?", choices=[mode.value for mode in Mode], help="without it, show what is set")
    parser.add_argument("--detector", metavar="D", help="this detector only")
    _by(parser)


def undo_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``undo``."""
    parser.add_argument("--detector", metavar="D", help="of this detector only (default: of all)")
    parser.add_argument("--minutes", type=_minutes, required=True, metavar="N", help="policies made in the last N")
    _by(parser)


def run_mode(args: argparse.Namespace) -> int:
    """Show or turn the switch."""
    detector = _known(args.detector)
    terminal = Terminal.standard()
    if args.mode is None:
        return asyncio.run(_show(args, terminal))
    return asyncio.run(_turn(args, detector, Mode(args.mode), terminal))


def run_undo(args: argparse.Namespace) -> int:
    """Take back."""
    return asyncio.run(_undo(args, _known(args.detector), Terminal.standard()))


async def turn(store: FdsStore, *, detector: str | None, mode: Mode, by: str) -> tuple[Policy, ...]:
    """Set a mode; below `enforce`, end what acts. Returns the policies that ended."""
    return await turn_mode(
        store.modes, store.policies, store.ledger, detector=detector, mode=mode, by=by, clock_ms=now_ms
    )


async def _turn(args: argparse.Namespace, detector: str | None, mode: Mode, terminal: Terminal) -> int:
    async with open_fds(args.redis, args.state) as store:
        began = time.monotonic()
        ended = await turn(store, detector=detector, mode=mode, by=args.by)
        took = (time.monotonic() - began) * 1000
    terminal.line(f"{detector or 'fraud detection'}: {mode.value}, after {took:.0f} ms")
    _tell(ended, terminal)
    return 0


async def _show(args: argparse.Namespace, terminal: Terminal) -> int:
    async with open_fds(args.redis, args.state) as store:
        found = await store.modes.read()
    rows = [("fraud detection", found[OVERALL].value if OVERALL in found else "as in the worker's settings")]
    rows += [(name, mode.value) for name, mode in sorted(found.items()) if name != OVERALL]
    terminal.table([(printable(name), mode) for name, mode in rows])
    return 0


async def _undo(args: argparse.Namespace, detector: str | None, terminal: Terminal) -> int:
    async with open_fds(args.redis, args.state) as store:
        now = now_ms()
        ended = await take_back(
            store.policies,
            store.ledger,
            detector=detector,
            since_ms=now - args.minutes * 60_000,
            by=args.by,
            now_ms=now,
        )
    _tell(ended, terminal)
    return 0


def _tell(ended: tuple[Policy, ...], terminal: Terminal) -> None:
    terminal.line(f"{len(ended)} policies ended")
    for name, count in Counter(policy.source.name for policy in ended).most_common():
        terminal.line(f"  {count:6}  {printable(name)}")
    rows = [
        (policy.id, policy.action.value, policy.mode.value, printable(policy.reason, most=90))
        for policy in ended[:_SHOWN]
    ]
    terminal.table(rows)
    if len(ended) > _SHOWN:
        terminal.line(f"  and {len(ended) - _SHOWN} more")


def _known(detector: str | None) -> str | None:
    if detector is not None and not has_switch(detector):
        names = ", ".join(sorted(DETECTOR_NAMES))
        raise InputInvalid(f"no such detector: {printable(detector, most=60)}; there are {names}")
    return detector


def _by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", default=getpass.getuser(), metavar="NAME", help="for the audit trail (default: you)")


def _minutes(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MAX_MINUTES:
        raise argparse.ArgumentTypeError(f"must be from 1 to {MAX_MINUTES}")
    return number
