"""Checkpoints on disk: written beside the work by a forked child, renamed into place, the last six kept.

Forking costs some milliseconds, whatever the size of the state; the child writes a consistent picture of the moment
while the parent goes on. Where the platform cannot fork, the parent writes.

Rules kept: the folder belongs to the worker's user and nobody else may write to it; a file is complete before it has
its name; a damaged newest one costs a little replay, not the state.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from haetae_fds.delivery.checkpoint import Checkpoint, CheckpointInvalid, pack, unpack

KEPT: Final = 6
_SUFFIX: Final = ".checkpoint"


class CheckpointFolder:
    """One worker's checkpoints. Raises CheckpointInvalid when others may write there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = folder.stat()
        if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o022:
            raise CheckpointInvalid(f"{folder} must belong to this user and be writable by nobody else (chmod 700)")
        self._folder = folder
        self._number = max((self._number_of(path) for path in self._files()), default=0)
        self._child: int | None = None
        self._written: Callable[[], None] | None = None

    def load(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest good checkpoint, and what was wrong with newer ones."""
        wrong: list[str] = []
        for path in sorted(self._files(), reverse=True):
            try:
                return unpack(path.read_bytes()), wrong
            except (CheckpointInvalid, OSError) as error:
                wrong.append(f"{path.name}: {error}")
        return None, wrong

    @property
    def busy(self) -> bool:
        """Whether a child still writes; looks after it."""
        if self._child is None:
            return False
        pid, status = os.waitpid(self._child, os.WNOHANG)
        if pid == 0:
            return True
        self._child = None
        written, self._written = self._written, None
        if status == 0 and written is not None:
            self._remove_old()
            written()
        return False

    def write(self, make: Callable[[], Checkpoint], *, written: Callable[[], None], wait: bool = False) -> None:
        """Write one, made by `make` in the child. `written` is called once it is durable, from `busy` or, with `wait`,
        before this returns.
        """
        self._number += 1
        path = self._folder / f"{self._number:012}{_SUFFIX}"
        if wait:
            _write(path, pack(make()))
            self._remove_old()
            written()
            return
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.nice(10)  # the parent decides, we only remember
                _write(path, pack(make()))
                code = 0
            finally:
                os._exit(code)  # neither the parent's buffers nor its cleanup are ours
        self._child, self._written = pid, written

    def close(self) -> None:
        """Wait for a child that still writes."""
        if self._child is not None:
            os.waitpid(self._child, 0)
            self._child = None

    def _files(self) -> list[Path]:
        return [path for path in self._folder.glob(f"*{_SUFFIX}") if path.stem.isdigit()]

    @staticmethod
    def _number_of(path: Path) -> int:
        return int(path.stem)

    def _remove_old(self) -> None:
        for path in sorted(self._files(), reverse=True)[KEPT:]:
            path.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
