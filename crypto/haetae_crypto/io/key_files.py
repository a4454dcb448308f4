"""Key rings on disk: `app-keys.json`, `passport-keys.json` and `root-key.json` in one private directory.

Rules kept:
- The directory is 0700 and the files 0600, both owned by this process's user. A file that its group or others
  can read or write, a symbolic link or anything but a regular file is refused, not repaired: who could read
  it once may have a copy.
- Writing is atomic: a new file is written, synced and renamed over the old one, so a crash leaves one or the
  other.
- Bounded: larger files are refused unread. Errors name the file and what to do, never what is in it.

Not done here: encryption at rest; deciding when to rotate; locks between several writers (one operator
rotates).
"""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from haetae_crypto.errors import KeyFileInvalid, KeyFormatInvalid
from haetae_crypto.gateway_keys import GatewayKeyPair, GatewayRing
from haetae_crypto.keyring import KeyRing, ring_from_json, ring_to_json
from haetae_crypto.signing_keys import SigningKey, SigningRing

K = TypeVar("K")

APP_KEYS: Final = "app-keys"
PASSPORT_KEYS: Final = "passport-keys"
ROOT_KEY: Final = "root-key"
MAX_FILE_BYTES: Final = 256 * 1024
_FRESH_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class KeyDirectory:
    """The private directory of key rings. All methods raise KeyFileInvalid when the files do not hold."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self) -> None:
        """Make the directory, readable by its owner only; an existing one is checked instead."""
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as why:
            raise KeyFileInvalid(f"{self._path}: cannot be made: {why.strerror}") from None
        self._check_directory()

    def has(self, purpose: str) -> bool:
        """Whether there is a file for `app-keys`, `passport-keys` or `root-key`."""
        return self._file(purpose).exists()

    def load_app_keys(self) -> GatewayRing:
        """The gateway's HPKE keys."""
        return self._load(APP_KEYS, GatewayKeyPair.from_secret_dict)

    def save_app_keys(self, ring: GatewayRing) -> None:
        """Replace the gateway's HPKE keys."""
        self._save(APP_KEYS, ring, GatewayKeyPair.to_secret_dict)

    def load_passport_keys(self) -> SigningRing:
        """The keys that sign Passports."""
        return self._load(PASSPORT_KEYS, SigningKey.from_secret_dict)

    def save_passport_keys(self, ring: SigningRing) -> None:
        """Replace the keys that sign Passports."""
        self._save(PASSPORT_KEYS, ring, SigningKey.to_secret_dict)

    def load_root_key(self) -> SigningRing:
        """The root key that signs the published key list."""
        return self._load(ROOT_KEY, SigningKey.from_secret_dict)

    def save_root_key(self, ring: SigningRing) -> None:
        """Replace the root key."""
        self._save(ROOT_KEY, ring, SigningKey.to_secret_dict)

    def _file(self, purpose: str) -> Path:
        return self._path / f"{purpose}.json"

    def _load(self, purpose: str, read_key: Callable[[str, Mapping[str, object]], K]) -> KeyRing[K]:
        self._check_directory()
        file = self._file(purpose)
        data = _read_private(file)
        try:
            return ring_from_json(data, purpose=purpose, read_key=read_key)
        except KeyFormatInvalid as why:
            raise KeyFileInvalid(f"{file}: {why}") from None

    def _save(self, purpose: str, ring: KeyRing[K], write_key: Callable[[K], Mapping[str, object]]) -> None:
        self._check_directory()
        _write_private(self._file(purpose), ring_to_json(ring, purpose=purpose, write_key=write_key))

    def _check_directory(self) -> None:
        try:
            found = self._path.lstat()
        except OSError as why:
            raise KeyFileInvalid(f"{self._path}: {why.strerror}") from None
        if not stat.S_ISDIR(found.st_mode):
            raise KeyFileInvalid(f"{self._path}: not a directory")
        _check_private(self._path, found, "chmod 700")


def _check_private(path: Path, found: os.stat_result, remedy: str) -> None:
    if found.st_uid != os.geteuid():
        raise KeyFileInvalid(f"{path}: belongs to another user")
    if found.st_mode & 0o077:
        fault = f"open to group or others; {remedy} it, and replace keys that others may have read"
        raise KeyFileInvalid(f"{path}: {fault}")


def _read_private(file: Path) -> bytes:
    try:
        # O_NOFOLLOW and fstat on the open file: what is checked is what is read.
        # O_NONBLOCK: opening a planted pipe must not wait for its writer.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as why:
        raise KeyFileInvalid(f"{file}: cannot be read: {why.strerror}") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise KeyFileInvalid(f"{file}: not a regular file")
        _check_private(file, found, "chmod 600")
        data = _read_bounded(descriptor)
    except OSError as why:
        raise KeyFileInvalid(f"{file}: cannot be read: {why.strerror}") from None
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE_BYTES:
        raise KeyFileInvalid(f"{file}: larger than {MAX_FILE_BYTES} bytes")
    return data


def _read_bounded(descriptor: int) -> bytes:
    """At most one byte more than the limit; a short read is not the end."""
    data = b""
    while len(data) <= MAX_FILE_BYTES:
        piece = os.read(descriptor, MAX_FILE_BYTES + 1 - len(data))
        if not piece:
            break
        data += piece
    return data


def _write_private(file: Path, data: bytes) -> None:
    fresh = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(fresh, _FRESH_FLAGS, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(file)
        finally:
            fresh.unlink(missing_ok=True)
        directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as why:
        raise KeyFileInvalid(f"{file}: cannot be written: {why.strerror}") from None
