"""Fraud detection as a part of the local stack: one worker, and how it is switched."""

import asyncio
import sys
from pathlib import Path

from haetae_fds import Mode
from haetae_fds.io.modes import OVERALL

from haetae_cli.children import Child, Children
from haetae_cli.fds_mode import turn
from haetae_cli.fds_store import open_fds
from haetae_cli.state import StateDirectory

_BY = "haetae up"


async def start_fds(
    children: Children,
    state: StateDirectory,
    redis_url: str,
    *,
    listen: str,
    mode: Mode | None,
    models: Path | None = None,
    protected: Path | None = None,
) -> tuple[Child, str]:
    """Switch to `mode` (None: leave the switch) and start a worker; returns it and where it says it is ready."""
    if mode is not None:
        async with open_fds(redis_url, None) as store:
            await turn(store, detector=None, mode=mode, by=_BY)
    command = [
        sys.executable, "-m", "haetae_cli.main", "fds", "run",
        "--state", str(state.fds), "--metrics", listen, "--name", "local",
    ]  # fmt: skip
    if models is not None:
        command += ["--models", str(models)]
    if protected is not None:
        command += ["--protected", str(protected)]
    child = await children.start("fds", command, environment={"HAETAE_REDIS_URL": redis_url})
    return child, f"http://{listen}/readyz"


async def switched(redis_url: str) -> Mode:
    """What the switch says; without it, workers enforce."""
    async with open_fds(redis_url, None) as store:
        found = await asyncio.wait_for(store.modes.read(), 2)
    return found.get(OVERALL, Mode.ENFORCE)
