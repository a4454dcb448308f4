"""``--protected FILE``: whom no machine may block, one list for the policy API and for fraud detection.

Rules kept: strict YAML (no aliases, no key twice), unknown names are errors: a list that was misread protects nobody.
"""

import argparse
import os
from pathlib import Path
from typing import Any

from haetae_edge.config.nodes import Mapping, Node, Scalar
from haetae_edge.config.yaml import MAX_BYTES, parse_yaml
from haetae_edge.errors import ConfigError
from haetae_policy.errors import PolicyInvalid
from haetae_policy.protected import NOBODY, Protected, parse_protected

from haetae_cli.errors import InputInvalid

FILE = "protected.yaml"


def protected_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument(
        "--protected",
        type=Path,
        metavar="FILE",
        help="networks, users, devices, accounts and clients that no machine may block (YAML); the same for all",
    )


def read_protected(path: Path | None) -> Protected:
    """Read the list; without a file only networks that are never public are protected. Raises InputInvalid."""
    if path is None:
        return NOBODY
    try:
        with path.open("rb") as file:
            return parse_protected(_plain(parse_yaml(file.read(MAX_BYTES + 1), file=path.name)))
    except OSError as error:
        raise InputInvalid(f"--protected: cannot read {path}: {error.strerror}") from error
    except (ConfigError, PolicyInvalid) as error:
        raise InputInvalid(f"--protected {path}: {error}") from error


def protected_of(config: Path) -> Path | None:
    """The list of a folder of gateways, if it has one. A link that leads nowhere is one, which cannot be read then."""
    path = config / FILE
    return path if os.path.lexists(path) else None


def _plain(node: Node) -> Any:
    if isinstance(node, Scalar):
        return None if node.is_null else node.text
    if isinstance(node, Mapping):
        return {key.text: _plain(value) for key, value in node.entries}
    return [_plain(item) for item in node.items]
