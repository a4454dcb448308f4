"""``haetae fds models``: which versions there are, and what each may do.

A worker reads the folder when it starts. To stop a model at once, use ``haetae fds mode --detector NAME``.
"""

import argparse
import getpass
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from haetae_fds.errors import ModelInvalid

from haetae_cli.errors import InputInvalid
from haetae_cli.fds_files import needed, read_truth
from haetae_cli.terminal import Terminal

if TYPE_CHECKING:
    from haetae_fds.models.registry import Entry, Reviewed

_HEAD = ("model", "version", "stage", "since", "last step")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("do", nargs="?", choices=("list", "show", "promote", "shadow", "retire"), default="list")
    parser.add_argument("model", nargs="?", metavar="MODEL", help="its name, or NAME-VERSION (default: the newest)")
    parser.add_argument("--models", type=Path, required=True, metavar="DIR", help="the folder of models")
    parser.add_argument("--key", type=Path, metavar="FILE", help="the folder's key, if it is kept elsewhere")
    parser.add_argument("--to", choices=("enforce", "block"), default="enforce", help="with promote (default: enforce)")
    parser.add_argument("--owner", metavar="NAME", help="with promote: who answers for it")
    parser.add_argument(
        "--labels", action="append", type=Path, default=[], metavar="FILE",
        help="with promote: verdicts from `haetae fds labels`, as evidence",
    )  # fmt: skip
    parser.add_argument("--by", default=getpass.getuser(), metavar="NAME", help="who does this (default: you)")
    parser.add_argument("--why", default="", metavar="TEXT")


def run(args: argparse.Namespace) -> int:
    """List, show or change."""
    try:
        from haetae_fds.io.models import ModelFolder
        from haetae_fds.models.registry import Stage
    except ModuleNotFoundError as error:
        raise needed(error, "models") from error
    terminal, folder = Terminal.standard(), ModelFolder(args.models, key=args.key)
    try:
        registry = folder.registry()
        if args.do == "list":
            terminal.table(
                [("model", "version", "stage", "since", "last step"), *(_row(one) for one in registry.all())]
            )
            return 0
        if args.model is None:
            raise InputInvalid("name a model; `haetae fds models --models DIR` lists them")
        name, version = _named(args.model, registry.newest)
        entry = registry.get(name, version)
        if args.do == "show":
            terminal.table([_HEAD, _row(entry)])
            terminal.table([(_time(step.at), step.to.value, step.by, step.why) for step in entry.steps])
            terminal.line(folder.card(entry))
            return 0
        folder.make()
        to = {"promote": Stage(args.to), "shadow": Stage.SHADOW, "retire": Stage.RETIRED}[args.do]
        now = time.time_ns() // 1_000_000
        reviewed = _reviewed(args.labels, entry)
        registry = registry.moved(
            name, version, to, by=args.by, why=args.why, now=now, reviewed=reviewed, owner=args.owner
        )
        folder.keep(registry)
        terminal.line(f"{name} version {version}: {to.value}; workers follow when they start again")
    except ModelInvalid as error:
        raise InputInvalid(str(error)) from error
    return 0


def _reviewed(paths: list[Path], entry: "Entry") -> "Reviewed":
    """Count what people said of this model's findings since it came to its stage."""
    from haetae_fds.models.registry import Reviewed
    from haetae_fds.models.roles import CHALLENGER, OFFLINE

    names = {entry.name, CHALLENGER} if entry.name == OFFLINE else {entry.name}
    since = entry.steps[-2].at if len(entry.steps) > 1 else entry.made
    verdicts = {
        (one.detector, one.subject, one.since): one.fraud
        for one in sorted(read_truth(paths).verdicts, key=lambda one: one.at)
        if one.detector in names and one.at >= since
    }
    right = sum(verdicts.values())
    return Reviewed(right=right, wrong=len(verdicts) - right)


def _named(text: str, newest: Callable[[str], int]) -> tuple[str, int]:
    name, dash, number = text.rpartition("-")
    if dash and number.isascii() and number.isdigit() and len(number) < 10:
        return name, int(number)
    return text, max(1, newest(text))


def _row(entry: "Entry") -> tuple[str, ...]:
    last = entry.steps[-1] if entry.steps else None
    return (
        entry.name,
        str(entry.version),
        entry.stage.value,
        _time(entry.since()) if entry.since() else "always",
        f"{last.by}: {last.why}" if last is not None else "",
    )


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M")
