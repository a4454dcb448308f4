"""A visit to a running stack: makes the tour's :class:`Place`, runs the steps, shows them briefly or in
detail.
"""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from haetae_crypto.errors import KeyFormatInvalid
from haetae_crypto.jwk import PublicJwk, parse_public_jwk
from haetae_demo.io.mobile import one_shot_session

from haetae_cli.blocks import open_blocks
from haetae_cli.errors import NotRunning
from haetae_cli.state import RunningStack
from haetae_cli.terminal import Terminal, printable
from haetae_cli.tour import STEPS, Outcome, Place, Step, tour

TOUR_GATEWAY = "app"
_SHOWN = 110


async def check(stack: RunningStack, terminal: Terminal) -> bool:
    """Run the tour, one line a step; True when every step came out as it must."""
    terminal.heading(f"tour of {TOUR_GATEWAY} at {stack.gateways.get(TOUR_GATEWAY, '(not running)')}")
    passed = run = 0
    async with visit(stack) as place:
        async for step, outcome in tour(place):
            run += 1
            passed += outcome.passed
            terminal.step(outcome.passed, step.title, printable(outcome.note))
    left_out = len(STEPS) - run
    terminal.line(f"{passed} of {len(STEPS)} steps passed" + (f", {left_out} not run" if left_out else ""))
    return passed == len(STEPS)


async def walk(stack: RunningStack, terminal: Terminal) -> bool:
    """Run the tour and show for each step what crossed the wire and what came of it."""
    passed = run = 0
    async with visit(stack) as place:
        async for step, outcome in tour(place):
            run += 1
            passed += outcome.passed
            _show(terminal, step, outcome, number=run)
    terminal.line()
    terminal.line(f"{passed} of {len(STEPS)} steps came out as they must")
    return passed == len(STEPS)


@asynccontextmanager
async def visit(stack: RunningStack) -> AsyncIterator[Place]:
    """The place of a tour, with its connections.

    Raises:
        NotRunning: the stack has no App gateway.
    """
    gateway = stack.gateways.get(TOUR_GATEWAY)
    if gateway is None:
        raise NotRunning(f"the stack runs no gateway named {TOUR_GATEWAY}; the tour needs the one of config/app")
    async with one_shot_session() as session, open_blocks(stack.redis_url) as blocks:
        yield Place(
            gateway=gateway,
            identity=stack.identity,
            issuer=stack.issuer,
            bank=stack.bank,
            root_key=pinned(stack),
            session=session,
            clock=time.time,
            random_bytes=secrets.token_bytes,
            blocks=blocks,
        )


def pinned(stack: RunningStack) -> PublicJwk:
    """The root key a local app pins.

    Raises:
        NotRunning: the stack's announcement is damaged.
    """
    try:
        return parse_public_jwk(stack.root_key)
    except KeyFormatInvalid as error:
        raise NotRunning("stack.json holds no usable root key; start the stack again with: haetae up") from error


def _show(terminal: Terminal, step: Step, outcome: Outcome, *, number: int) -> None:
    mark = terminal.style("ok", "green") if outcome.passed else terminal.style("FAIL", "red")
    terminal.line()
    title = terminal.style(f"{number:2}. {step.title}", "bold")
    terminal.line(f"{title}  {mark}  {printable(outcome.note)}")
    rows = [(terminal.style(label, "dim"), printable(text, most=_SHOWN)) for label, text in outcome.details]
    terminal.table(rows, indent=4)
