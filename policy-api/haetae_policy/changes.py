"""What can happen to a table: one policy put, or one taken back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET

from haetae_policy.model import Subject
from haetae_policy.record import Record, decode_record, subject_of
from haetae_policy.wire import decode_subjects, decode_wire

_NOBODY: Final = Subject()


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


@dataclass(frozen=True, slots=True)
class Arrived:
    """A policy that a log or a snapshot has put into the table, for those who are told of it; read when asked.

    Both raise nothing: the table could read it.
    """

    encoded: bytes
    seq: int

    @property
    def record(self) -> Record:
        """The whole record."""
        return decode_record(self.encoded)

    @property
    def subject(self) -> Subject:
        """Whom it is about, with less work than reading the whole record."""
        wire = decode_wire(self.encoded)
        if wire is None or wire.sub is UNSET:
            return self.record.subject
        return subject_of(wire.sub)


@dataclass(frozen=True, slots=True)
class ArrivedTogether:
    """What `Arrived` says, of several policies at once. `seq` is the last one's."""

    encoded: tuple[bytes, ...]
    seq: int

    def subjects(self) -> Iterator[Subject]:
        """Whom they are about."""
        subjects = decode_subjects(self.encoded)
        if subjects is None:
            return (Arrived(encoded, self.seq).subject for encoded in self.encoded)
        return (_NOBODY if who is None else subject_of(who) for who in subjects)

    def records(self) -> Iterator[Record]:
        """The whole records."""
        return (decode_record(encoded) for encoded in self.encoded)


Change = Put | Delete
News = Arrived | ArrivedTogether | Delete
