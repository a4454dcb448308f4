"""The store as the ``haetae fds`` commands for people use it: the switch, policies, feedback, the decision log."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from haetae_fds.errors import FeedbackInvalid
from haetae_fds.io.feedback import Labels
from haetae_fds.io.modes import Modes
from haetae_policy.io.commands import Commands
from haetae_policy.io.connect import RedisSettings, connect
from haetae_policy.io.ledger import Ledger
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.io.workers import WorkerReports

from haetae_cli.blocks import PREFIX, said, store_url
from haetae_cli.errors import BlockRefused, InputInvalid

_DEADLINE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FdsStore:
    """What there is to reach."""

    commands: Commands
    policies: PolicyStore
    ledger: Ledger
    modes: Modes
    labels: Labels
    workers: WorkerReports


@asynccontextmanager
async def open_fds(redis: str | None, state: Path | None) -> AsyncIterator[FdsStore]:
    """Connect to the store that was named, or to that of the running stack.

    Raises:
        NotRunning: no store was named and no stack runs.
        BlockRefused: the address does not read, or the store does not answer.
        InputInvalid: what was said about a decision cannot be taken.
    """
    url = store_url(redis, state)
    try:
        client = connect(RedisSettings(url=url, connect_s=1.0, reply_s=_DEADLINE, pool=4))
    except ValueError as error:
        raise BlockRefused(f"the store's address does not read: {error}") from error
    settings = StoreSettings(prefix=PREFIX)
    commands = Commands(client, deadline_s=_DEADLINE)
    try:
        with said(), _understood():
            yield FdsStore(
                commands=commands,
                policies=PolicyStore(client, settings),
                ledger=Ledger(client, settings),
                modes=Modes(commands, prefix=PREFIX),
                labels=Labels(commands, prefix=PREFIX),
                workers=WorkerReports(client, settings),
            )
    finally:
        await client.aclose()


def now_ms() -> int:
    """The clock."""
    return time.time_ns() // 1_000_000


@contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except FeedbackInvalid as error:
        raise InputInvalid(str(error)) from error
