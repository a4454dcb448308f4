"""``haetae policy``: back policies up and restore them."""

import argparse
import asyncio
import getpass
import os
import sys
import time
from pathlib import Path

from haetae_policy.io.backup import export_lines, import_lines
from haetae_policy.io.store import EPOCH_BYTES

from haetae_cli.blocks import open_blocks, said
from haetae_cli.errors import InputInvalid
from haetae_cli.state import StateDirectory, default_state
from haetae_cli.terminal import Terminal


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


def run(args: argparse.Namespace) -> int:
    """Run one verb."""
    url = store_url(args.redis, args.state)
    return asyncio.run(_export(url) if args.verb == "export" else _import(url, args.file, args.by or getpass.getuser()))


def store_url(given: str | None, state: Path | None) -> str:
    """The store that was named, or that of the running stack."""
    url = given or os.environ.get("HAETAE_REDIS_URL")
    return url or StateDirectory(state or default_state()).running().redis_url


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
