"""Processes under test: started on one core, waited for, measured, and always ended.

Each runs in its own session, so that its children are counted and ended with it; where util-linux is
installed the process is pinned with `taskset` and told by the kernel (`setpriv --pdeathsig`) to end when the
benchmark dies, even by SIGKILL. Access logs go to standard output, which is `/dev/null`; what a process says
on standard error is kept for the message of `NotStarted`.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.errors import BadAnswer, NotStarted
from bench.loader import Address, exchange_once

__all__ = ["Memory", "Process", "free_port", "session_cpu_seconds"]

STOP_SECONDS = 5.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of one process in bytes: resident (`rss`) and with shared pages divided by their users
    (`pss`).
    """

    pid: int
    rss: int
    pss: int


def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _inherited() -> dict[str, str]:
    """Our environment, but with compiled modules kept: a gateway is not started from source every time."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Process:
    """A child process and its descendants; a context manager that ends all of them.

    Raises:
        NotStarted: by `wait_ready`, when the process ended or did not answer in time.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        cores: Sequence[int],
        directory: Path,
        env: Mapping[str, str] | None = None,
        keep_output: bool = False,
    ) -> None:
        self.name = name
        self._errors = directory / f"{name}.stderr"
        self.started_at = time.monotonic()
        with self._errors.open("wb") as errors:
            self._child = subprocess.Popen(
                [*_wrapper(cores), *command],
                stdin=subprocess.DEVNULL,
                stdout=errors if keep_output else subprocess.DEVNULL,
                stderr=errors,
                cwd=directory,
                env={**_inherited(), **(env or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id, which is also its session id."""
        return self._child.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_ready(self, address: Address, request: bytes, *, status: int = 200, seconds: float = 30.0) -> float:
        """Ask until the expected status comes; returns seconds since the start of the process."""
        give_up = time.monotonic() + seconds
        last = "nothing listens"
        while time.monotonic() < give_up:
            if self._child.poll() is not None:
                raise NotStarted(f"{self.name} ended with code {self._child.returncode}: {self.error_tail()}")
            try:
                answer = exchange_once(address, request, timeout=2.0)
            except BadAnswer as problem:
                last = str(problem)
            else:
                if answer.status == status:
                    return time.monotonic() - self.started_at
                last = f"status {answer.status}: {answer.body[:300]!r}"
            time.sleep(0.005)
        raise NotStarted(f"{self.name} is not ready after {seconds:.0f} s ({last}): {self.error_tail()}")

    def wait_listening(self, address: Address, *, seconds: float = 10.0) -> None:
        """Wait until a port accepts connections."""
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up and self._child.poll() is None:
            with socket.socket() as sock:
                if sock.connect_ex(address) == 0:
                    return
            time.sleep(0.005)
        raise NotStarted(f"{self.name} does not listen: {self.error_tail()}")

    def stop(self) -> None:
        """SIGTERM, five seconds, then SIGKILL for whatever is left of the session."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        for pid in session_pids(self.pid):
            _kill(pid)

    def pin(self, cores: Sequence[int]) -> None:
        """Move all processes of the session to `cores`."""
        for pid in session_pids(self.pid):
            os.sched_setaffinity(pid, cores)

    def error_tail(self) -> str:
        """The last lines of standard error."""
        return self._errors.read_text(errors="replace")[-2000:].strip() or "(silent)"

    def memory(self) -> list[Memory]:
        """Memory of each process of the session, largest first."""
        found = [memory for pid in session_pids(self.pid) if (memory := _memory(pid)) is not None]
        return sorted(found, key=lambda memory: memory.rss, reverse=True)

    def cpu_seconds(self) -> float:
        """User and system time of the session so far."""
        return session_cpu_seconds(self.pid)


def _wrapper(cores: Sequence[int]) -> list[str]:
    wrapper: list[str] = []
    if shutil.which("setpriv"):
        wrapper += ["setpriv", "--pdeathsig", "TERM"]
    if shutil.which("taskset"):
        wrapper += ["taskset", "-c", ",".join(map(str, cores))]
    return wrapper


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the command name (proc(5)): index 3 is the session, 11 and 12 the
    ticks.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2 :].split()


def session_pids(session: int) -> Iterator[int]:
    """Living processes of a session, zombies not counted."""
    for entry in Path("/proc").iterdir():
        fields = _stat_fields(int(entry.name)) if entry.name.isdigit() else None
        if fields is not None and int(fields[3]) == session and fields[0] != "Z":
            yield int(entry.name)


def session_cpu_seconds(session: int) -> float:
    """User and system time of all living processes of a session, in seconds."""
    ticks = 0
    for pid in session_pids(session):
        if (fields := _stat_fields(pid)) is not None:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_SECOND


def _memory(pid: int) -> Memory | None:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    sizes = {line.split()[0]: int(line.split()[1]) * 1024 for line in lines[1:] if line.split()[0] in ("Rss:", "Pss:")}
    return Memory(pid=pid, rss=sizes.get("Rss:", 0), pss=sizes.get("Pss:", 0))
