"""``haetae demo attack``: one attack, live, and what fraud detection does about it.

On the running stack (:mod:`haetae_cli.demo_attack_live`), or with ``--simulated`` in a simulated world: then engine and
world run in this process, no gateway is involved, and the show says so. Virtual time passes `--speed` times as fast as
real time; without a terminal the decisions and the outcome are printed as plain lines.
"""

import argparse
import time
from collections import deque
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from haetae_demo.attack import CASES, Case, Moment, Town, ordinary, play_case
from haetae_fds.evaluation import ClosedLoop, Recorded, Scoreboard, report
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from haetae_cli import demo_attack_kinds, demo_attack_live
from haetae_cli.errors import InputInvalid
from haetae_cli.terminal import printable
from haetae_cli.worlds import engine_loop, label_of, planned, warm_world

SHOWN = 8
FRAME_S = 0.1
_COLOURS = {"block": "red", "challenge": "yellow", "throttle": "cyan", "alert": "blue"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("kind", nargs="?", default="stuffing", metavar="KIND", help="or how it begins")
    parser.add_argument("--list", action="store_true", dest="list_kinds", help="say what attacks there are")
    parser.add_argument("--seed", type=int, metavar="N", help="of chance (default: another each time; 1 if simulated)")
    parser.add_argument("--state", type=Path, metavar="DIR", help="the running stack (default: .haetae)")
    parser.add_argument("--rate", type=_positive, default=20.0, metavar="N", help="attempts a second (default: 20)")
    parser.add_argument("--seconds", type=_positive, default=10.0, metavar="N", help="how long (default: 10)")
    parser.add_argument("--simulated", action="store_true", help="in a simulated world, without a stack")
    parser.add_argument("--people", type=int, default=600, metavar="N", help="how many live there (default: 600)")
    parser.add_argument(
        "--speed", type=float, default=20.0, metavar="X", help="virtual seconds in a second; 0: at once (default: 20)"
    )


def run(args: argparse.Namespace) -> int:
    """Warm a world up, then let the attack begin."""
    console = Console(highlight=False)
    if args.list_kinds:
        table = Table.grid(padding=(0, 2))
        for kind in demo_attack_kinds.KINDS:
            table.add_row(Text(kind.name, "bold"), kind.summary + ", on the running stack")
        for case in CASES.values():
            table.add_row(Text(case.name, "bold" if case.hostile else ""), case.summary + " (--simulated)")
        console.print(table)
        return 0
    if not args.simulated:
        live = demo_attack_kinds.find(args.kind)
        if live is not None:
            return demo_attack_live.run(args, live)
        find(args.kind)
        raise InputInvalid(f"{printable(args.kind, most=60)} is played in a simulated world only: add --simulated")
    case = find(args.kind)
    if args.people < 50 or args.speed < 0:
        raise InputInvalid("--people: at least 50; --speed: not below 0")
    console.print(Text("Engine and a simulated world in this process; no gateway is involved.", "dim"))
    shape = replace(ordinary(1 if args.seed is None else args.seed), people=args.people)
    console.print(f"{args.people} people live through {shape.warm_hours} plain hours first …")
    world = warm_world(shape, engine_loop)
    town, loop = world.copy()
    console.print(Text.assemble((case.name, "bold"), f": {case.summary}\n"))
    show = Show(case=case, town=town, loop=loop, known=len(loop.decisions), board=Scoreboard(planned(world, case)))
    _perform(show, console, speed=args.speed)
    show.conclude(console)
    return 0


def _positive(text: str) -> float:
    number = float(text)
    if not 0.1 <= number <= 1000:
        raise argparse.ArgumentTypeError("must be from 0.1 to 1000")
    return number


def find(word: str) -> Case:
    """The case of that name, or the first one whose name begins so. Raises InputInvalid."""
    name = word.replace("-", "_")
    for case in sorted(CASES.values(), key=lambda case: case.name != name):
        if case.name.startswith(name):
            return case
    raise InputInvalid(f"no such attack: {printable(word, most=60)}; --list names them")


def _perform(show: "Show", console: Console, *, speed: float) -> None:
    started, first_ms, drawn = time.monotonic(), show.town.shape.case_ms, 0.0
    live = Live(console=console, auto_refresh=False, transient=False) if console.is_terminal else None
    with live or nullcontext():
        for moment in play_case(show.town, show.case, show.loop):
            if speed:
                ahead = (moment.event["ts"] - first_ms) / 1000 / speed - (time.monotonic() - started)
                if ahead > 0.001:
                    time.sleep(ahead)
            fresh = show.add(moment)
            if live is None:
                for line in fresh:
                    console.print(line, soft_wrap=True)
            elif time.monotonic() - drawn > FRAME_S:
                drawn = time.monotonic()
                live.update(show.frame(), refresh=True)
        if live is not None:
            live.update(show.frame(), refresh=True)


@dataclass(slots=True, kw_only=True)
class Show:
    """What has been seen so far."""

    case: Case
    town: Town
    loop: ClosedLoop
    known: int
    board: Scoreboard
    recorded: list[Recorded] = field(default_factory=list)
    latest: deque[Text] = field(default_factory=lambda: deque(maxlen=SHOWN))
    now_ms: int = 0
    before: int = field(init=False)

    def __post_init__(self) -> None:
        self.before = self.known

    def add(self, moment: Moment) -> list[Text]:
        """Count a moment; returns the decisions that came with it, one line each."""
        self.now_ms = moment.event["ts"]
        label = label_of(moment)
        self.board.add(moment.event, label)
        self.recorded.append((moment.event, label, moment.established))
        fresh = [self._line(decision) for decision in self.loop.decisions[self.known :] if decision["op"] == "put"]
        self.known = len(self.loop.decisions)
        self.latest.extend(fresh)
        return fresh

    def frame(self) -> Group:
        """The picture of this moment."""
        grid = Table.grid(padding=(0, 2))
        grid.add_row("time", self._since())
        for result in self.board.attacks():
            let_through = result.before + result.after
            stopped = result.requests - let_through
            grid.add_row("attack", f"{result.requests} requests, {stopped} stopped, {let_through} let through")
            grid.add_row("", ProgressBar(total=result.requests, completed=stopped, width=50))
            if result.harm_possible:
                grid.add_row("damage", Text(f"{result.harm} of {result.harm_possible}", "red" if result.harm else ""))
        people = self.board.people()
        harmed = Text(
            f"{people.active} active, {people.refused} refused, {people.challenged} asked to prove themselves"
        )
        grid.add_row("people", harmed)
        return Group(grid, Text(), *self.latest)

    def conclude(self, console: Console) -> None:
        """Say how it ended."""
        final = report(
            self.board,
            self.loop,
            self.recorded,
            span_ms=self.town.shape.minutes * 60_000,
            since=self.before,
        )
        console.print()
        for result in final.attacks:
            first = result.first_refusal_ms
            when = "never refused" if first is None else f"first refused after {first / 1000:.1f} s"
            through = f"{result.before} let through before, {result.after} after, of {result.requests}"
            console.print(
                f"{result.kind}: {when}; {through}; damage {result.harm} of {result.harm_possible}", soft_wrap=True
            )
        people = final.people
        console.print(
            f"people: {people.refused} of {people.active} refused, {people.challenged} challenged; "
            f"{final.acting} policies acted"
        )

    def _line(self, decision: Mapping[str, Any]) -> Text:
        subject = ", ".join(f"{name} {value}" for name, value in decision["subject"].items())
        action = str(decision["action"])
        if decision.get("approval"):
            action += " (needs approval)"
        return Text.assemble(
            (f"{self._since():>8}  ", "dim"),
            (f"{action:<10}", _COLOURS.get(decision["action"], "")),
            (printable(subject, most=80), "bold"),
            f"  {printable(str(decision['why']), most=200)}",
        )

    def _since(self) -> str:
        shape = self.town.shape
        seconds = (self.now_ms - shape.case_ms) / 1000 - shape.attack_after_s
        return f"{seconds:+.1f} s"
