"""``haetae block``: block policies from a terminal, and why somebody was refused."""

import argparse
import asyncio
import getpass
import json
import os
import re
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from haetae_policy import AddressInvalid, Policy, address_key
from haetae_policy.model import format_time

from haetae_cli.api_blocks import TerminalBlocks, open_api_blocks
from haetae_cli.blocks import open_blocks, store_url
from haetae_cli.errors import InputInvalid
from haetae_cli.state import StateDirectory, default_state
from haetae_cli.terminal import Terminal, printable

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SUBJECTS = ("user", "device", "session", "account", "pw_fp", "client")
_REFERENCE = re.compile(r"[0-9A-Za-z-]{8,64}")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--redis",
        metavar="URL",
        help="write to this store itself (default: $HAETAE_REDIS_URL, else the policy API of the local stack)",
    )
    common.add_argument("--state", type=Path, metavar="DIR", help="the local stack (default: .haetae)")
    common.add_argument("--json", action="store_true", help="print JSON")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    _add_arguments(verbs.add_parser("add", parents=[common], help="make a policy"))
    listing = verbs.add_parser("list", parents=[common], help="show policies in force, newest first")
    listing.add_argument("--limit", type=int, default=50, metavar="N", help="at most (default: 50)")
    remove = verbs.add_parser("remove", parents=[common], help="take a policy back")
    remove.add_argument("policy", metavar="POLICY_ID")
    remove.add_argument("--by", metavar="NAME", help="who takes it back (default: you)")
    reset = verbs.add_parser(
        "reset",
        parents=[common],
        help="after data was lost: what the store has now is all there is; gateways drop what they kept beside it",
    )
    reset.add_argument("--yes", action="store_true", help="without this nothing happens")
    reset.add_argument("--by", metavar="NAME", help="who decides this, for the audit trail (default: you)")
    why = verbs.add_parser("why", parents=[common], help="explain a refusal, or what names a subject")
    why.add_argument("reference", nargs="?", metavar="REFERENCE", help="the ref of a refusal")
    _subject_arguments(why)


def _subject_arguments(parser: argparse.ArgumentParser) -> None:
    for name in _SUBJECTS:
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="ID")
    parser.add_argument("--ip", metavar="ADDRESS")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    who = parser.add_argument_group("who (all that are given must hold; none means everyone)")
    for name in _SUBJECTS:
        who.add_argument(f"--{name.replace('_', '-')}", metavar="ID")
    who.add_argument("--ip", metavar="ADDRESS|NETWORK")
    what = parser.add_argument_group("what (all that are given must hold; none means every API)")
    for name, example in (("gateway", "NAME"), ("route", "ID"), ("method", "METHOD"), ("path", "PATTERN")):
        what.add_argument(f"--{name}", metavar=example)
    parser.add_argument("--reason", required=True, help="for colleagues; callers never see it")
    parser.add_argument(
        "--for", dest="lasts", type=_duration, default=3600, metavar="TIME", help="such as 30m (default: 1h)"
    )
    parser.add_argument("--action", default="block", choices=["block", "challenge", "throttle", "observe", "allow"])
    parser.add_argument("--rate", type=_rate, metavar="N/TIME", help="for throttle, such as 10/1m")
    parser.add_argument("--hard", action="store_true", help="no exception lifts it")
    parser.add_argument("--ticket")
    parser.add_argument("--approved-by", metavar="NAME", help="second person, needed to block everyone")
    parser.add_argument("--by", metavar="NAME", help="who makes it (default: you)")


def run(args: argparse.Namespace) -> int:
    """Run one verb."""
    return asyncio.run(_run(args, Terminal.standard()))


def _open(args: argparse.Namespace) -> AbstractAsyncContextManager[TerminalBlocks]:
    """The policy API of the running stack; the store itself only when it is named."""
    url = args.redis or os.environ.get("HAETAE_REDIS_URL")
    if url:
        return open_blocks(url)
    state = StateDirectory(args.state or default_state())
    return open_api_blocks(state.running().policy_api, state, person=getattr(args, "by", None) or _me())


async def _run(args: argparse.Namespace, terminal: Terminal) -> int:
    if args.verb == "reset":
        return await _reset(args, terminal)
    async with _open(args) as blocks:
        if args.verb == "add":
            await _add(args, blocks, terminal)
        elif args.verb == "list":
            page = await blocks.page(limit=args.limit)
            _show(terminal, page.policies, as_json=args.json)
            if page.after is not None and not args.json:
                terminal.line(f"there are more; show them with --limit {args.limit * 4}")
        elif args.verb == "remove":
            await blocks.remove(args.policy, by=args.by or _me())
            terminal.line(json.dumps({"removed": args.policy}) if args.json else f"removed {args.policy}")
        else:
            await _why(args, blocks, terminal)
    return 0


async def _reset(args: argparse.Namespace, terminal: Terminal) -> int:
    """Always at the store itself: the API would refuse to lift blocks wholesale."""
    if not args.yes:
        raise InputInvalid("this lifts every block that gateways keep and the store has lost; repeat it with --yes")
    async with open_blocks(store_url(args.redis, args.state)) as blocks:
        await blocks.reset(by=args.by or _me())
    terminal.line(json.dumps({"reset": True}) if args.json else "reset: gateways now hold what the store has")
    return 0


async def _add(args: argparse.Namespace, blocks: TerminalBlocks, terminal: Terminal) -> None:
    subject = {name: value for name in (*_SUBJECTS, "ip") if (value := getattr(args, name)) is not None}
    api = {name: value for name in ("gateway", "route", "method", "path") if (value := getattr(args, name))}
    document: dict[str, object] = {"subject": subject, "api": api, "action": args.action, "reason": args.reason}
    document |= {"hard": args.hard} if args.hard else {}
    document |= {"ticket": args.ticket} if args.ticket else {}
    document |= {"approved_by": args.approved_by} if args.approved_by else {}
    document |= {"rate": {"limit": args.rate[0], "per_seconds": args.rate[1]}} if args.rate else {}
    effect = await blocks.create(document, lasts_s=args.lasts, by=args.by or _me())
    if args.json:
        report = {"id": effect.policy.id, "applied": effect.applied, "workers": effect.workers}
        terminal.line(json.dumps(report | {"after_ms": effect.after_ms}))
        return
    terminal.line(f"{effect.policy.id}  until {format_time(effect.policy.expires_ms)}")
    if effect.workers == 0:
        terminal.line("no gateway is connected; it takes effect when one is")
    else:
        after = "" if effect.after_ms is None else f" after {effect.after_ms} ms"
        terminal.line(f"in force on {effect.applied}/{effect.workers} workers{after}")


async def _why(args: argparse.Namespace, blocks: TerminalBlocks, terminal: Terminal) -> None:
    named = [(name, value) for name in (*_SUBJECTS, "ip") if (value := getattr(args, name)) is not None]
    if (args.reference is None) == (not named) or len(named) > 1:
        raise InputInvalid("give either the reference of a refusal, or one of --user, --device, --ip and so on")
    if args.reference is not None:
        await _why_reference(args.reference, blocks, terminal, as_json=args.json)
        return
    kind, value = named[0]
    if kind == "ip":
        try:
            found = await blocks.naming(kind=None, value="", address=address_key(value))
        except AddressInvalid as error:
            raise InputInvalid(f"--ip: {error}") from error
    else:
        found = await blocks.naming(kind=kind, value=value, address=None)
    _show(terminal, found, as_json=args.json)


async def _why_reference(reference: str, blocks: TerminalBlocks, terminal: Terminal, *, as_json: bool) -> None:
    if not _REFERENCE.fullmatch(reference):
        raise InputInvalid("a reference has 8 to 64 letters, digits and hyphens")
    refusal = await blocks.refusal(reference)
    rows = {"policy": refusal.policy_id, "action": refusal.action, "why": refusal.why, "at": format_time(refusal.at_ms)}
    if as_json:
        terminal.line(json.dumps({**rows, "facts": dict(refusal.facts)}, indent=2))
        return
    terminal.table([(name, printable(value)) for name, value in {**rows, **refusal.facts}.items()], indent=0)


def _show(terminal: Terminal, policies: Sequence[Policy], *, as_json: bool) -> None:
    if as_json:
        terminal.line(json.dumps([policy.to_dict() for policy in policies], indent=2))
        return
    if not policies:
        terminal.line("no policies")
        return
    now_ms = int(time.time() * 1000)
    rows = [("id", "action", "who", "what", "ends in", "by", "reason")]
    rows += [
        (
            policy.id,
            policy.action.value + (" (hard)" if policy.hard else ""),
            _pairs(policy.subject.to_dict()) or "everyone",
            _pairs(policy.api.to_dict()) or "every API",
            _left(policy.expires_ms - now_ms),
            printable(policy.source.name, most=24),
            printable(policy.reason, most=60),
        )
        for policy in policies
    ]
    terminal.table(rows, indent=0)


def _pairs(members: dict[str, object]) -> str:
    return printable(", ".join(f"{name} {value}" for name, value in members.items()), most=90)


def _left(milliseconds: int) -> str:
    seconds = max(0, milliseconds // 1000)
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 172_800 else f"{seconds // 86_400} d"


def _duration(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,7})([smhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError("is written like 90s, 30m, 12h or 7d")
    return int(found[1]) * _UNITS[found[2]]


def _rate(text: str) -> tuple[int, int]:
    limit, slash, per = text.partition("/")
    if not slash or not limit.isascii() or not limit.isdigit() or len(limit) > 7:
        raise argparse.ArgumentTypeError("is written like 10/1m: ten requests a minute")
    return int(limit), _duration(per)


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
