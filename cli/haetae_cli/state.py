"""The state directory of one local stack: keys, store data, logs, and where everything listens.

Rules kept: only its owner can enter it (0700); one stack at a time uses it (a lock the kernel drops with the
process); ``stack.json`` exists while a stack runs and lets other commands find it.
"""

import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from haetae_cli.errors import NotRunning, StateInvalid

DEFAULT_STATE = ".haetae"
MAX_STACK_BYTES = 64 * 1024


def default_state() -> Path:
    """Where the local stack keeps its state: ``$HAETAE_STATE``, else ``.haetae`` in the current directory."""
    return Path(os.environ.get("HAETAE_STATE") or DEFAULT_STATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningStack:
    """Where a running stack listens. ``gateways`` maps names to base URLs; ``root_key`` is public."""

    pid: int
    redis_url: str
    identity: str
    issuer: str
    bank: str
    root_key: dict[str, str]
    gateways: dict[str, str] = field(default_factory=dict)
    provider: str = ""
    dashboard: str = ""
    policy_api: str = ""
    fds: str = ""


class StateDirectory:
    """Paths below one state directory, created when a stack starts."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.keys = self.path / "keys"
        self.logs = self.path / "logs"
        self.store = self.path / "store"
        self.fds = self.path / "fds"
        self.device_file = self.path / "device.json"
        self.identity_file = self.path / "identity.json"
        self.service_token_file = self.path / "service-token"
        self.oidc_secret_file = self.path / "oidc-secret"
        self.oidc_clients_file = self.path / "oidc-clients.json"
        self._stack_file = self.path / "stack.json"
        self._lock: int | None = None

    def create(self) -> None:
        """Make the directories.

        Raises:
            StateInvalid: they cannot be made, are not writable, or others may enter.
        """
        try:
            for folder in (self.path, self.keys, self.logs, self.store):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = self.path.stat().st_mode
        except OSError as error:
            raise StateInvalid(_cannot_write(self.path, error)) from error
        if mode & 0o077:
            raise StateInvalid(f"{self.path} can be entered by others; run: chmod 700 {self.path}")
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise StateInvalid(f"no permission to write to {self.path}; choose another directory with --state DIR")

    def lock(self) -> None:
        """Claim the directory for this process, until :meth:`unlock` or its end.

        Raises:
            StateInvalid: another stack runs here.
        """
        try:
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateInvalid(_cannot_write(self.path, error)) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise StateInvalid(
                f"another haetae stack already runs with {self.path}; stop it, or give this one its own --state DIR"
            ) from error
        self._lock = handle

    def unlock(self) -> None:
        """Give the directory back."""
        self._stack_file.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def announce(self, stack: RunningStack) -> None:
        """Let other commands find the stack."""
        _write_private(self._stack_file, json.dumps(asdict(stack), indent=2).encode())

    def running(self) -> RunningStack:
        """The stack that runs here.

        Raises:
            NotRunning: none does.
        """
        try:
            raw = self._stack_file.read_bytes()[:MAX_STACK_BYTES]
            stack = RunningStack(**json.loads(raw))
        except (OSError, ValueError, TypeError) as error:
            raise NotRunning(f"no stack runs with {self.path}; start one with: haetae up") from error
        if not self._is_locked():
            raise NotRunning(f"the stack of {self.path} has ended; start it again with: haetae up")
        return stack

    def secret(self, path: Path, fresh: str) -> str:
        """The secret kept in ``path``; ``fresh`` becomes it when there is none yet.

        Raises:
            StateInvalid: the file cannot be read or written, or others may read it.
        """
        try:
            if not path.exists():
                _write_private(path, fresh.encode())
            if path.stat().st_mode & 0o077:
                raise StateInvalid(f"{path} can be read by others; run: chmod 600 {path}")
            return path.read_text().strip()
        except OSError as error:
            raise StateInvalid(_cannot_write(path, error)) from error

    def write(self, path: Path, data: bytes) -> None:
        """Replace a file that only its owner may read.

        Raises:
            StateInvalid: it cannot be written.
        """
        try:
            _write_private(path, data)
        except OSError as error:
            raise StateInvalid(_cannot_write(path, error)) from error

    def _is_locked(self) -> bool:
        try:
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(handle)
        return False


def _write_private(path: Path, data: bytes) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    draft.replace(path)


def _cannot_write(path: Path, error: OSError) -> str:
    reason = (error.strerror or "no permission").lower()
    return f"cannot write to {path} ({reason}); choose another directory with --state DIR"
