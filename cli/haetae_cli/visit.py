"""A visit of an app to a running stack: makes the tour's :class:`Place` and walks through its steps there."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from haetae_crypto.errors import KeyFormatInvalid
from haetae_crypto.jwk import PublicJwk, parse_public_jwk
from haetae_demo.io.mobile import one_shot_session

from haetae_cli.blocks import open_blocks
from haetae_cli.errors import NotRunning
from haetae_cli.showing import check_each, show_each
from haetae_cli.state import RunningStack
from haetae_cli.terminal import Terminal
from haetae_cli.tour import STEPS, Place

TOUR_GATEWAY = "app"


async def check(stack: RunningStack, terminal: Terminal) -> bool:
    """Run the tour, one line a step; True when every step came out as it must."""
    terminal.heading(f"tour of {TOUR_GATEWAY} at {stack.gateways.get(TOUR_GATEWAY, '(not running)')}")
    async with visit(stack) as place:
        return await check_each(STEPS, place, terminal)


async def walk(stack: RunningStack, terminal: Terminal) -> bool:
    """Run the tour and show for each step what crossed the wire and what came of it."""
    async with visit(stack) as place:
        return await show_each(STEPS, place, terminal)


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
