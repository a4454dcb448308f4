"""Haetae under test: its configuration for each row, and how it is started."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.loader import Address

__all__ = ["gateway_command", "is_built"]


def is_built() -> bool:
    """Whether `python -m haetae_edge` exists."""
    return importlib.util.find_spec("haetae_edge.__main__") is not None


def gateway_command(
    config: Path, listen: Address, admin: Address, *, workers: int, extra: Sequence[str] = ()
) -> list[str]:
    """The command line of one gateway."""
    return [
        sys.executable,
        "-m",
        "haetae_edge",
        "--config",
        str(config),
        "--listen",
        f"{listen[0]}:{listen[1]}",
        "--admin",
        f"{admin[0]}:{admin[1]}",
        "--workers",
        str(workers),
        *extra,
    ]
