"""A checkpoint: everything a worker knows, and how far it had read when it knew it.

    magic (8) · schema (2) · BLAKE2b-256 of the rest (32) · length of the head (4) · head (JSON) · state (pickle)

The head names shards and the last entry of each that is in the state. A file that is cut short, altered or of another
schema is refused; the worker then takes the one before it. A pickle runs code when it is read, so checkpoints are only
read from the worker's own folder, which nobody else may write to (`io/checkpoints.py` sees to it).
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import orjson

MAGIC: Final = b"HAETAEFD"
SCHEMA: Final = 2
_DIGEST: Final = 32
_HEAD: Final = len(MAGIC) + 2 + _DIGEST


class CheckpointInvalid(Exception):
    """A file is no checkpoint of this schema, or was damaged."""

    code = "checkpoint-invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """`positions`: shard → last entry id that is in `state`. `made_ms` is the newest event time in it."""

    positions: dict[int, str]
    made_ms: int
    state: Any


def pack(checkpoint: Checkpoint) -> bytes:
    """The file's bytes."""
    head = orjson.dumps(
        {"positions": {str(shard): entry for shard, entry in checkpoint.positions.items()}, "made": checkpoint.made_ms}
    )
    body = len(head).to_bytes(4, "big") + head + pickle.dumps(checkpoint.state, protocol=5)
    return MAGIC + SCHEMA.to_bytes(2, "big") + blake2b(body, digest_size=_DIGEST).digest() + body


def unpack(data: bytes) -> Checkpoint:
    """Read `pack`'s bytes. Raises CheckpointInvalid. Only for bytes this worker has written itself."""
    if data[: len(MAGIC)] != MAGIC or data[len(MAGIC) : len(MAGIC) + 2] != SCHEMA.to_bytes(2, "big"):
        raise CheckpointInvalid("not a checkpoint of this version")
    body = data[_HEAD:]
    if blake2b(body, digest_size=_DIGEST).digest() != data[_HEAD - _DIGEST : _HEAD]:
        raise CheckpointInvalid("damaged")
    size = int.from_bytes(body[:4], "big")
    try:
        head = orjson.loads(body[4 : 4 + size])
        state = pickle.loads(body[4 + size :])  # noqa: S301 - see the module's docstring
        positions = {int(shard): str(entry) for shard, entry in head["positions"].items()}
        return Checkpoint(positions=positions, made_ms=int(head["made"]), state=state)
    except (
        orjson.JSONDecodeError, pickle.UnpicklingError, AttributeError, EOFError, ImportError, IndexError, KeyError,
        TypeError, ValueError,
    ) as error:  # fmt: skip
        raise CheckpointInvalid("written by another version") from error
