"""The file of an enrolled device: its private key, and the root key it pins.

Rules kept: the file is private (0600) and refused when it is not; it holds no token, because tokens last
minutes and are fetched anew.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from haetae_crypto.errors import KeyFormatInvalid
from haetae_crypto.jwk import PublicJwk, parse_private_jwk, parse_public_jwk
from haetae_crypto.strict_json import read_json_object
from haetae_demo.io.enrolment import EnrolledDevice

from haetae_cli.errors import InputInvalid

MAX_FILE_BYTES = 16 * 1024
_MEMBERS = {"keyid", "device_id", "user_id", "key", "root_key", "issuer"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFile:
    """An enrolled device, the gateway root key it pins, and where it gets tokens."""

    device: EnrolledDevice
    root_key: PublicJwk
    issuer: str

    def save(self, path: Path) -> None:
        """Write it, replacing an older one.

        Raises:
            InputInvalid: it cannot be written.
        """
        members = {
            "keyid": self.device.keyid,
            "device_id": self.device.device_id,
            "user_id": self.device.user_id,
            "key": self.device.key.to_secret_dict(),
            "root_key": self.root_key.to_dict(),
            "issuer": self.issuer,
        }
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(members, file, indent=2)
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise InputInvalid(f"cannot write {path}: {(error.strerror or 'failed').lower()}") from error

    @classmethod
    def load(cls, path: Path) -> "DeviceFile":
        """Read it.

        Raises:
            InputInvalid: missing, open to others, or not such a file.
        """
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                raw = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError as error:
            raise InputInvalid(f"there is no device at {path}; enrol one with --enrol") from error
        except OSError as error:
            raise InputInvalid(f"cannot read {path}: {(error.strerror or 'failed').lower()}") from error
        if mode & 0o077:
            raise InputInvalid(f"{path} can be read by others; enrol a new device with --enrol")
        return cls._parse(path, raw)

    @classmethod
    def _parse(cls, path: Path, raw: bytes) -> "DeviceFile":
        damaged = InputInvalid(f"{path} is not a device file; enrol a new device with --enrol")
        try:
            members = read_json_object(raw, max_bytes=MAX_FILE_BYTES)
            if set(members) != _MEMBERS:
                raise damaged
            key, root = members["key"], members["root_key"]
            names = [members[name] for name in ("keyid", "device_id", "user_id", "issuer")]
            if not isinstance(key, dict) or not isinstance(root, dict):
                raise damaged
            keyid, device_id, user_id, issuer = [name for name in names if isinstance(name, str)]
            device = EnrolledDevice(keyid=keyid, device_id=device_id, user_id=user_id, key=parse_private_jwk(key))
            return cls(device=device, root_key=parse_public_jwk(root), issuer=issuer)
        except (ValueError, KeyFormatInvalid) as error:
            raise damaged from error
