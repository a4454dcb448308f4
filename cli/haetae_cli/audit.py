"""``haetae audit``: who changed what, and whether anybody touched the trail."""

import argparse
import asyncio
import json
from pathlib import Path

from haetae_policy.audit import AuditHead, parse_anchor, verify_chain
from haetae_policy.errors import AuditBroken
from haetae_policy.model import format_time

from haetae_cli.blocks import Blocks, open_blocks, said, store_url
from haetae_cli.errors import InputInvalid
from haetae_cli.terminal import Terminal, printable


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--redis", metavar="URL", help="the store (default: $HAETAE_REDIS_URL, else the local stack's)")
    common.add_argument("--state", type=Path, metavar="DIR", help="the local stack (default: .haetae)")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", parents=[common], help="show the newest entries")
    listing.add_argument("--limit", type=int, default=50, metavar="N", help="at most (default: 50)")
    listing.add_argument("--json", action="store_true", help="print JSON lines")
    verbs.add_parser("anchor", parents=[common], help="print the trail's head, to keep somewhere else")
    checking = verbs.add_parser("verify", parents=[common], help="check every entry; 1 if the trail was touched")
    checking.add_argument("--anchor", metavar="NUMBER:HASH", help="a head printed earlier by: haetae audit anchor")


def run(args: argparse.Namespace) -> int:
    """Run one verb."""
    anchor = None
    if args.verb == "verify" and args.anchor is not None:
        try:
            anchor = parse_anchor(args.anchor)
        except AuditBroken as error:
            raise InputInvalid(str(error)) from error
    return asyncio.run(_run(args, store_url(args.redis, args.state), anchor))


async def _run(args: argparse.Namespace, url: str, anchor: AuditHead | None) -> int:
    terminal = Terminal.standard()
    async with open_blocks(url) as blocks:
        with said():
            if args.verb == "anchor":
                terminal.line(str(await blocks.ledger.audit_head()))
            elif args.verb == "list":
                await _list(args, blocks, terminal)
            else:
                head = await blocks.ledger.audit_head()
                entries = [entry async for entry in blocks.ledger.audit_entries(up_to=head.seq)]
                count = verify_chain(entries, head=head, anchor=anchor)
                against = "" if anchor is None else f", and holds entry {anchor.seq} as it was anchored"
                terminal.line(f"{count} entries, unbroken{against}")
    return 0


async def _list(args: argparse.Namespace, blocks: Blocks, terminal: Terminal) -> None:
    entries = [entry.to_dict() for entry in await blocks.ledger.audit_page(limit=args.limit)]
    if args.json:
        for entry in entries:
            terminal.line(json.dumps(entry))
        return
    rows = [("number", "when", "who", "did", "to")]
    rows += [
        (
            str(entry["seq"]),
            format_time(entry["at_ms"]),
            printable(entry["actor"], most=32),
            printable(entry["action"], most=24),
            printable(entry["target"], most=40),
        )
        for entry in entries
    ]
    terminal.table(rows, indent=0)
