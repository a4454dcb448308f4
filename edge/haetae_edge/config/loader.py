"""Reads a gateway's directory from disk. The only module of this package that touches files; the rest is
pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from haetae_edge.config.compile import GATEWAY_FILE, compile_gateway
from haetae_edge.config.gateway import GatewayConfig
from haetae_edge.config.yaml import MAX_BYTES
from haetae_edge.errors import ConfigError, ConfigProblem

MAX_FILES: Final = 500


def load_gateway(directory: Path, *, environment: Mapping[str, str]) -> GatewayConfig:
    """Read `gateway.yaml` and `routes/*.yaml` of a gateway. Raises ConfigError with every problem found."""
    return compile_gateway(read_files(directory), directory=directory, environment=environment)


def read_files(directory: Path) -> dict[str, bytes]:
    """The bytes of a gateway's files by their name relative to `directory`. Raises ConfigError."""
    return {path.relative_to(directory).as_posix(): _read(path) for path in _paths(directory)}


def _paths(directory: Path) -> Iterator[Path]:
    if not directory.is_dir():
        raise _failure(directory, "this is not a directory: name the one that holds `gateway.yaml`")
    gateway = directory / GATEWAY_FILE
    if gateway.exists():
        yield gateway
    try:
        listed = sorted((directory / "routes").iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise _failure(directory / "routes", f"this cannot be listed: {error.strerror}") from None
    found = [path for path in listed if path.suffix in (".yaml", ".yml") and not path.name.startswith(".")]
    if len(found) > MAX_FILES:
        raise _failure(directory / "routes", f"there are {len(found)} files; at most {MAX_FILES} are read")
    for path in found:
        if path.suffix == ".yml":
            raise _failure(path, "only `.yaml` is read: rename the file")
        yield path


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _failure(path, f"this cannot be read: {error.strerror}") from None


def _failure(path: Path, message: str) -> ConfigError:
    return ConfigError((ConfigProblem(file=path.as_posix(), line=1, message=message),))
