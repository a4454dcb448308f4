"""The audit trail's chain: who changed what, each entry bound to the one before by SHA-256.

An entry's hash covers the hash before it and its own bytes, so removing, editing, reordering or inserting an entry
breaks every hash after it. Cutting off the end is seen by comparing with a head that was kept elsewhere (an anchor).

Does not store anything and knows no clock; `io.ledger` writes entries in the transaction of the change they tell of.
Whoever can write to the store can rewrite the whole chain: only an anchor kept elsewhere shows that.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import orjson

from haetae_policy.errors import AuditBroken

GENESIS: Final = "0" * 64
MAX_BODY_BYTES: Final = 16_384
_ANCHOR: Final = re.compile(r"(0|[1-9][0-9]{0,15}):([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditNote:
    """What happened, before it has a place in the chain. `target` is a policy's id or another short name."""

    actor: str
    action: str
    target: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The end of the chain: how many entries, and the hash of the last."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


EMPTY: Final = AuditHead(0, GENESIS)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry as stored: its number, its exact bytes, and the hash that was stored with it."""

    seq: int
    body: bytes
    hash: str

    def to_dict(self) -> dict[str, Any]:
        """Return the members with the number and hash; raises AuditBroken when the bytes are no JSON object."""
        try:
            members = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise AuditBroken(f"audit entry {self.seq} is not JSON") from error
        if not isinstance(members, dict):
            raise AuditBroken(f"audit entry {self.seq} is not an object")
        return {**members, "seq": self.seq, "hash": self.hash}


def concerns(told: Mapping[str, Any], policy_id: str) -> bool:
    """Whether an entry (as `AuditEntry.to_dict` returns it) tells of a policy, by itself or among others."""
    among = told["details"].get("policies")
    return bool(told["target"] == policy_id or (isinstance(among, list) and policy_id in among))


def parse_anchor(text: str) -> AuditHead:
    """Return the head written as `number:hash`; raises AuditBroken."""
    found = _ANCHOR.fullmatch(text)
    if found is None:
        raise AuditBroken("an anchor is written number:hash, the hash in 64 hexadecimal digits")
    return AuditHead(int(found[1]), found[2])


def chain(head: AuditHead, note: AuditNote, *, now_ms: int) -> AuditEntry:
    """Return the entry that puts `note` after `head`. `now_ms` is Unix milliseconds.

    Raises ValueError for a note that is too large or holds what JSON cannot: the caller bounds what it notes.
    """
    members = {
        "seq": head.seq + 1,
        "at_ms": now_ms,
        "actor": note.actor,
        "action": note.action,
        "target": note.target,
        "details": dict(note.details),
    }
    body = orjson.dumps(members, option=orjson.OPT_SORT_KEYS)
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"an audit entry has at most {MAX_BODY_BYTES} bytes")
    return AuditEntry(head.seq + 1, body, _link(head.hash, body))


def verify_chain(
    entries: Iterable[AuditEntry], *, head: AuditHead, anchor: AuditHead | None = None, after: AuditHead = EMPTY
) -> int:
    """Check that `entries` run from `after` to `head` without a break and pass `anchor`; return how many there are.

    Raises AuditBroken, naming the first entry that does not fit.
    """
    at, count = after, 0
    anchored = anchor is None or anchor == after
    for entry in entries:
        if entry.seq != at.seq + 1:
            raise AuditBroken(f"audit entry {at.seq + 1} is missing or out of order")
        if _link(at.hash, entry.body) != entry.hash:
            raise AuditBroken(f"audit entry {entry.seq} was altered")
        at, count = AuditHead(entry.seq, entry.hash), count + 1
        if anchor is not None and at.seq == anchor.seq:
            if at.hash != anchor.hash:
                raise AuditBroken(f"audit entry {entry.seq} is another one than was anchored")
            anchored = True
    if at != head:
        raise AuditBroken(f"the trail ends at {at.seq}, its head says {head.seq}")
    if not anchored:
        raise AuditBroken(f"the trail ends at {at.seq}, before the anchored entry")
    return count


def _link(previous: str, body: bytes) -> str:
    return sha256(previous.encode("ascii") + b"\n" + body).hexdigest()
