"""Running the ``haetae`` command as a user does, and proving that nothing stays behind."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

MARK = "HAETAE_TEST_MARK"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a command printed and its exit code."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HaetaeCommand:
    """Runs ``haetae`` in its own directory, in an environment that marks all its descendants."""

    folder: Path
    mark: str

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HAETAE_")}
        return {**kept, MARK: self.mark, "PYTHONWARNINGS": "error", **more}

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "haetae_cli.main", *words],
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, stdin: str = "", timeout: float = 50, **environment: str) -> Outcome:
        process = self.start(*words, **environment)
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        finally:
            process.kill()
            process.communicate()
        return Outcome(code=process.returncode, out=out, err=err)

    def left_behind(self) -> list[str]:
        """Command lines of living processes that descend from this command."""
        wanted = f"{MARK}={self.mark}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found


@pytest.fixture
def haetae(tmp_path: Path) -> Iterator[HaetaeCommand]:
    """The command, with a state directory of its own; fails the test when a process outlives it."""
    command = HaetaeCommand(folder=tmp_path, mark=uuid.uuid4().hex)
    yield command
    assert command.left_behind() == []


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Waits for a condition of the operating system that nothing signals, at most 20 s."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true within 20 s"
            time.sleep(0.02)

    return wait
