"""What can happen to a table: one policy put, or one taken back."""

from dataclasses import dataclass

from haetae_policy.record import Record


@dataclass(frozen=True, slots=True)
class Put:
    """Insert or replace one policy. `seq` is its place in the log, `digest` that of its record's bytes."""

    record: Record
    seq: int
    digest: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Take one policy back, unless a version newer than `ver` is held."""

    pid: int
    ver: int
    seq: int


Change = Put | Delete
