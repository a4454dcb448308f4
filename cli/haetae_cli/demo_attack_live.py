"""``haetae demo attack KIND``: an attack on the log-in of the running stack, over HTTP, and what is done about it.

Nothing is simulated but the people: real requests through the real sign-in gateway, real events, the real worker, and
blocks that the gateway enforces. The requests come through this machine as through a proxy, so that they can have many
addresses; loopback itself is never blocked.
"""

import argparse
import asyncio
import random
import secrets
import time
from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

import aiohttp
from haetae_fds import Mode
from haetae_fds.io.modes import OVERALL
from haetae_policy import Policy
from haetae_policy.model import SourceKind
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from haetae_cli.demo_attack_kinds import Attempt, Kind, honest
from haetae_cli.errors import NotRunning, RequestFailed
from haetae_cli.fds_store import FdsStore, now_ms, open_fds
from haetae_cli.state import RunningStack, StateDirectory, default_state
from haetae_cli.terminal import printable

GATEWAY = "sign-in"
PATH = "/api/v1/login"
HONEST_PER_SECOND = 6.0
CALM_SECONDS = 2.0
_SHOWN = 8
_FRAME = 0.1
_LAST = 2.0


@dataclass(slots=True, kw_only=True)
class Side:
    """What became of one side's requests."""

    sent: int = 0
    served: int = 0
    refused: int = 0
    opened: int = 0
    failed: int = 0
    first_refusal: float | None = None
    recent: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=2000))

    def count(self, attempt: Attempt, status: int, code: str, at: float) -> None:
        """Count one answer; `at` is seconds since the attack began."""
        self.sent += 1
        refused = code in ("blocked", "challenge", "throttled")
        self.recent.append((at, refused))
        if refused:
            self.refused += 1
            self.first_refusal = at if self.first_refusal is None else self.first_refusal
        elif status == 200 or (status == 401 and not attempt.right):
            self.served += 1
            self.opened += status == 200
        else:
            self.failed += 1

    def lately(self, now: float) -> float:
        """The share refused in the last two seconds."""
        last = [refused for at, refused in self.recent if at > now - _LAST]
        return sum(last) / len(last) if last else 0.0


def run(args: argparse.Namespace, kind: Kind) -> int:
    """Play it; 0 when no honest person was refused and, in enforce, the attack was."""
    stack = StateDirectory(args.state or default_state()).running()
    return asyncio.run(_play(args, kind, stack))


async def _play(args: argparse.Namespace, kind: Kind, stack: RunningStack) -> int:
    base = stack.gateways.get(GATEWAY)
    if base is None:
        raise NotRunning(f"the stack runs no gateway named {GATEWAY}; the attack needs the one of config/{GATEWAY}")
    console = Console(highlight=False)
    chance = random.Random(args.seed if args.seed is not None else secrets.randbits(32))  # noqa: S311 - a play
    async with open_fds(stack.redis_url, None) as store:
        mode = (await store.modes.read()).get(OVERALL, Mode.ENFORCE)
        show = Show(kind=kind, mode=mode, store=store, began_ms=now_ms())
        console.print(Text(f"{kind.summary}; real requests to {base}; fraud detection: {mode.value}", "dim"))
        connector = aiohttp.TCPConnector(limit=64)
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
            await _perform(show, session, base + PATH, console, chance=chance, rate=args.rate, seconds=args.seconds)
        await show.look()
    return show.conclude(console)


async def _perform(
    show: "Show", session: aiohttp.ClientSession, url: str, console: Console, *, chance: random.Random, rate: float,
    seconds: float,
) -> None:  # fmt: skip
    show.started = time.monotonic() + CALM_SECONDS
    until = show.started + seconds
    people = _send(session, url, show.people, show, honest(chance), HONEST_PER_SECOND, time.monotonic(), until)
    attack = _send(session, url, show.attack, show, show.kind.attempts(chance), rate, show.started, until)
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    tasks = [asyncio.create_task(people), asyncio.create_task(attack)]
    try:
        with live or nullcontext():
            while not all(task.done() for task in tasks):
                await asyncio.wait(tasks, timeout=_FRAME, return_when=asyncio.FIRST_EXCEPTION)
                for line in await show.look():
                    if live is None:
                        console.print(line, soft_wrap=True)
                if live is not None:
                    live.update(show.frame(), refresh=True)
                for task in tasks:
                    if task.done():
                        task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(
    session: aiohttp.ClientSession, url: str, side: Side, show: "Show", attempts: Iterator[Attempt], rate: float,
    start: float, until: float,
) -> None:  # fmt: skip
    """Send at an even rate, whatever the answers take."""
    async with asyncio.TaskGroup() as group:
        due = start
        while due < until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(_one(session, url, side, show, next(attempts)))
            due += 1 / rate


async def _one(session: aiohttp.ClientSession, url: str, side: Side, show: "Show", attempt: Attempt) -> None:
    headers = {"x-forwarded-for": attempt.address, "user-agent": attempt.agent}
    body = {"name": attempt.name, "password": attempt.password}
    try:
        async with session.post(url, json=body, headers=headers, allow_redirects=False) as answer:
            found = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise RequestFailed(f"the sign-in gateway does not answer ({type(error).__name__})") from error
    code = str(found.get("code", "")) if isinstance(found, dict) else ""
    side.count(attempt, answer.status, code, show.since())


@dataclass(slots=True, kw_only=True)
class Show:
    """What has been seen so far."""

    kind: Kind
    mode: Mode
    store: FdsStore
    began_ms: int
    started: float = 0.0
    people: Side = field(default_factory=Side)
    attack: Side = field(default_factory=Side)
    decided: dict[str, Policy] = field(default_factory=dict)
    lines: deque[Text] = field(default_factory=lambda: deque(maxlen=_SHOWN))
    workers: str = ""

    def since(self) -> float:
        """Seconds since the attack began."""
        return time.monotonic() - self.started

    async def look(self) -> list[Text]:
        """Find policies that were made since the last look; returns a line for each."""
        page = await self.store.policies.list(limit=50)
        fresh = [
            policy
            for policy in reversed(page.policies)
            if policy.source.kind is SourceKind.FDS and policy.created_ms >= self.began_ms
            and policy.id not in self.decided
        ]  # fmt: skip
        if fresh or (self.decided and not self.workers):
            head = await self.store.policies.head()
            if head is not None:
                found = await self.store.workers.in_force(head.seq, now_ms=now_ms())
                self.workers = f"{found.applied}/{found.workers}" if found.applied == found.workers else ""
        lines = [self._line(policy) for policy in fresh]
        self.decided |= {policy.id: policy for policy in fresh}
        self.lines.extend(lines)
        return lines

    def frame(self) -> Group:
        """The picture of this moment."""
        grid = Table.grid(padding=(0, 2))
        grid.add_row("time", f"{self.since():+.1f} s")
        people, attack = self.people, self.attack
        grid.add_row(
            "people", Text(f"{people.sent} log-ins, {people.refused} refused", "red" if people.refused else "green")
        )
        grid.add_row(
            "attack", f"{attack.sent} attempts, {attack.refused} refused ({attack.lately(self.since()):.0%} lately), "
            f"{attack.opened} accounts opened",
        )  # fmt: skip
        grid.add_row("blocks", f"{len(self.decided)}" + (f", in force on {self.workers} workers" * bool(self.workers)))
        return Group(grid, Text(), *self.lines)

    def conclude(self, console: Console) -> int:
        """Say how it ended."""
        people, attack, end = self.people, self.attack, self.since()
        lately = attack.lately(attack.recent[-1][0]) if attack.recent else 0.0
        first = "never refused" if attack.first_refusal is None else f"first refused after {attack.first_refusal:.2f} s"
        console.print()
        console.print(
            f"attack: {attack.sent} attempts in {end:.0f} s, {first}, {attack.refused} refused, {lately:.0%} of the "
            f"last; {attack.opened} accounts opened",
            soft_wrap=True,
        )
        console.print(f"people: {people.sent} log-ins, {people.refused} refused, {people.failed} failed")
        in_force = f", in force on {self.workers} gateway workers" if self.workers else ""
        console.print(f"{len(self.decided)} policies were made{in_force}")
        for policy_id in list(self.decided)[:1]:
            console.print(f"why: haetae fds explain {policy_id}")
        stopped = lately >= 0.9 if self.mode is Mode.ENFORCE else attack.refused == 0
        return 0 if stopped and people.refused == 0 and people.failed == 0 else 1

    def _line(self, policy: Policy) -> Text:
        subject = ", ".join(f"{name} {value}" for name, value in policy.subject.to_dict().items())
        shadow = "" if policy.mode == "enforce" else " (shadow)"
        return Text.assemble(
            (f"{self.since():+6.1f} s  ", "dim"),
            (f"{policy.action.value}{shadow}  ", "red"),
            (printable(subject, most=60), "bold"),
            f"  {policy.source.name}: {printable(policy.reason, most=140)}",
        )
