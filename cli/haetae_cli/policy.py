"""``haetae policy``: decide about policies that wait for a second person; back policies up and restore them."""

import argparse
import asyncio
import getpass
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from haetae_policy.io.backup import export_lines, import_lines
from haetae_policy.io.store import EPOCH_BYTES

from haetae_cli.api_blocks import open_api_blocks
from haetae_cli.blocks import open_blocks, said, store_url
from haetae_cli.errors import InputInvalid
from haetae_cli.state import StateDirectory, default_state
from haetae_cli.terminal import Terminal, printable


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--redis", metavar="URL", help="the store (default: $HAETAE_REDIS_URL, else the local stack's)")
    common.add_argument("--state", type=Path, metavar="DIR", help="the local stack (default: .haetae)")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("export", parents=[common], help="write every policy in force, one JSON line each")
    restoring = verbs.add_parser("import", parents=[common], help="store what export wrote")
    restoring.add_argument("file", type=Path, metavar="FILE")
    restoring.add_argument("--by", metavar="NAME", help="who restores, for the audit trail (default: you)")
    deciding = argparse.ArgumentParser(add_help=False)
    deciding.add_argument("--state", type=Path, metavar="DIR", help="the local stack (default: .haetae)")
    deciding.add_argument("--by", metavar="NAME", help="who decides (default: you)")
    deciding.add_argument("--json", action="store_true", help="print JSON")
    verbs.add_parser("list-waiting", parents=[deciding], help="policies that wait for a second person")
    approving = verbs.add_parser("approve", parents=[deciding], help="put one in force; not by who asked for it")
    approving.add_argument("policy", metavar="POLICY_ID")
    rejecting = verbs.add_parser("reject", parents=[deciding], help="drop one")
    rejecting.add_argument("policy", metavar="POLICY_ID")
    rejecting.add_argument("--reason", required=True, help="for colleagues and the audit trail")


def run(args: argparse.Namespace) -> int:
    """Run one verb."""
    if args.verb in ("list-waiting", "approve", "reject"):
        return asyncio.run(_decide(args, Terminal.standard()))
    url = store_url(args.redis, args.state)
    return asyncio.run(_export(url) if args.verb == "export" else _import(url, args.file, args.by or getpass.getuser()))


async def _decide(args: argparse.Namespace, terminal: Terminal) -> int:
    """Through the policy API: it knows who asked, and writes the audit trail."""
    state = StateDirectory(args.state or default_state())
    async with open_api_blocks(state.running().policy_api, state, person=args.by or getpass.getuser()) as blocks:
        if args.verb == "list-waiting":
            _show_waiting(await blocks.waiting(), terminal, as_json=args.json)
        elif args.verb == "approve":
            effect = await blocks.approve(args.policy)
            report = {"approved": args.policy, "applied": effect.applied, "workers": effect.workers}
            told = f"approved; in force on {effect.applied}/{effect.workers} workers"
            terminal.line(json.dumps(report) if args.json else told)
        else:
            await blocks.reject(args.policy, reason=args.reason)
            terminal.line(json.dumps({"rejected": args.policy}) if args.json else f"rejected {args.policy}")
    return 0


def _show_waiting(waiting: list[dict[str, Any]], terminal: Terminal, *, as_json: bool) -> None:
    if as_json:
        terminal.line(json.dumps(waiting, indent=2))
        return
    if not waiting:
        terminal.line("nothing waits")
        return
    rows = [("id", "action", "who", "asked by", "waits because", "reason")]
    for record in waiting:
        policy = record["policy"]
        who = ", ".join(f"{name} {value}" for name, value in policy["subject"].items()) or "everyone"
        rows.append(
            (
                record["id"],
                policy["action"],
                printable(who, most=60),
                printable(record["by"], most=24),
                printable(", ".join(record["reasons"]), most=60),
                printable(policy["reason"], most=60),
            )
        )
    terminal.table(rows, indent=0)


async def _export(url: str) -> int:
    async with open_blocks(url) as blocks:
        with said():
            async for line in export_lines(blocks.store, now_ms=int(time.time() * 1000)):
                sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    return 0


async def _import(url: str, file: Path, by: str) -> int:
    try:
        lines = file.read_bytes().splitlines()  # noqa: ASYNC240  # nothing else runs in this process
    except OSError as error:
        raise InputInvalid(f"cannot read {file}: {error.strerror}") from error
    async with open_blocks(url) as blocks:
        with said():
            restored = await import_lines(
                blocks.ledger,
                lines,
                by=by,
                now_ms=int(time.time() * 1000),
                epoch_randomness=os.urandom(EPOCH_BYTES),
            )
    Terminal.standard().line(
        f"{restored.stored} stored, {restored.already} were there already, {restored.expired} had expired"
    )
    return 0
