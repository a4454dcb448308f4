"""The child processes of a stack: started together, watched together, ended together.

Rules kept: a child ends with us however we end (:mod:`haetae_cli.launch`); a child that ends by itself ends
all, with its last log lines; stopping is SIGTERM to the child's process group, then SIGKILL after a grace
period. Children do not see the terminal's Ctrl-C: we do, and stop them in order. Must be used from the main
thread, which the kernel ties the children to.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from haetae_cli.errors import CannotStart
from haetae_cli.terminal import printable

GRACE_SECONDS = 10.0
READY_SECONDS = 30.0
_LOG_LINES = 12
_LOG_TAIL_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Child:
    """A started program."""

    name: str
    process: asyncio.subprocess.Process
    log: Path
    ended: "asyncio.Task[int]"


class Children:
    """All children of one stack; use as ``async with``."""

    def __init__(self, *, logs: Path) -> None:
        self._logs = logs
        self._children: list[Child] = []

    async def __aenter__(self) -> "Children":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, name: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Child:
        """Run ``command`` (its first word an absolute path), output to ``NAME.log``.

        Raises:
            CannotStart: the log cannot be written or the program cannot be run.
        """
        log = self._logs / f"{name}.log"
        launcher = [sys.executable, "-m", "haetae_cli.launch", str(os.getpid()), *command]
        try:
            with log.open("wb") as output:
                process = await asyncio.create_subprocess_exec(
                    *launcher,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, **(environment or {})},
                    start_new_session=True,
                )
        except OSError as error:
            raise CannotStart(f"{name} cannot be started: {error.strerror}") from error
        child = Child(name=name, process=process, log=log, ended=asyncio.create_task(process.wait()))
        self._children.append(child)
        return child

    async def ready(self, child: Child, probe: Callable[[], Awaitable[bool]], *, within: float = READY_SECONDS) -> None:
        """Wait until ``probe`` says yes.

        Raises:
            CannotStart: the child ended, or ``within`` seconds passed.
        """
        deadline = asyncio.get_running_loop().time() + within
        while not await probe():
            if child.ended.done():
                raise CannotStart(_died(child))
            if asyncio.get_running_loop().time() > deadline:
                raise CannotStart(f"{child.name} is not ready after {within:.0f} s\n{_tail(child.log)}")
            await asyncio.wait([child.ended], timeout=0.05)

    async def until_one_ends(self) -> None:
        """Wait until any child ends, which none does unless something is wrong.

        Raises:
            CannotStart: always, saying which one and its last log lines.
        """
        done, _ = await asyncio.wait([child.ended for child in self._children], return_when=asyncio.FIRST_COMPLETED)
        raise CannotStart(next(_died(child) for child in self._children if child.ended in done))

    async def stop(self) -> None:
        """End all children, last started first."""
        for child in reversed(self._children):
            _signal(child, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE_SECONDS):
                    await asyncio.shield(child.ended)
            # The group may outlive its leader: nothing of it stays.
            _signal(child, signal.SIGKILL)
            await child.ended
        self._children.clear()


def _signal(child: Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)


def _died(child: Child) -> str:
    code = child.ended.result()
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"{child.name} ended by itself ({how})\n{_tail(child.log)}"


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _LOG_TAIL_BYTES))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    shown = [f"    {printable(line, most=300)}" for line in lines[-_LOG_LINES:]]
    return "\n".join([f"  last lines of {log}:", *(shown or ["    (nothing)"])])
