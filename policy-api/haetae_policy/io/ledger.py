"""Changes with their audit entries: what the policy service writes with.

Rules kept: a change, its place in the log, its audit entries and the answer kept for a repeated request are one
transaction. Entries are chained here (SHA-256, which the store's scripts cannot compute) onto the head that was read
last; when another writer was faster, the chain is made anew and the transaction sent again.

Does not authorise: who may do what is the caller's business. `PolicyStore` reads what is written here.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

import msgspec
import orjson

from haetae_policy.audit import EMPTY, GENESIS, AuditEntry, AuditHead, AuditNote, chain
from haetae_policy.errors import AuditBroken, PolicyInvalid, StoreUnavailable
from haetae_policy.io.bulk_script import BULK
from haetae_policy.io.commands import Argument, Commands, Executor
from haetae_policy.io.keys import Keys
from haetae_policy.io.ledger_script import COMMIT
from haetae_policy.io.store import EPOCH_BYTES, StoreSettings
from haetae_policy.model import Policy
from haetae_policy.record import encode_policy, record_digest
from haetae_policy.rules import DEFAULT_RULES, Rules

MAX_OPERATIONS: Final = 1000
AUDIT_PAGE: Final = 500
_ATTEMPTS: Final = 50
_pack: Final = msgspec.msgpack.Encoder().encode


class Side(IntEnum):
    """The hashes of records beside the policies, as the transaction numbers its keys."""

    PENDING = 11
    BATCHES = 12
    WATCHED = 13


class Present(Enum):
    """Some record, for names that are given once and whose record never changes."""

    PRESENT = "*"


PRESENT: Final = Present.PRESENT


@dataclass(frozen=True, slots=True, kw_only=True)
class PutPolicy:
    """Store `policy` in the place of version `expected` (0: it is new)."""

    policy: Policy
    expected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndPolicy:
    """Take `policy` back, at exactly its version; `by` is kept with it."""

    policy: Policy
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SideWrite:
    """Set a record, or delete it (`value` None). `expected`: what must be there; None for nothing, `PRESENT` for
    anything.
    """

    side: Side
    name: str
    value: bytes | None
    expected: bytes | Present | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """An answer kept `life_s` seconds under a digest: the next commit with the same digest gets it instead."""

    digest: str
    answer: bytes
    life_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPolicy:
    """A policy that is new, its canonical document (`Policy.to_json`), and what `Side.WATCHED` shall keep of it."""

    policy: Policy
    document: bytes
    watch: bytes = b""


Operation = PutPolicy | EndPolicy | SideWrite | AuditNote


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What a commit came to; exactly one is set.

    `seqs`: one number per operation (0 where it has none). `refused`: one status per operation; nothing was written.
    `answer`: what an earlier commit kept under the same digest.
    """

    seqs: tuple[int, ...] = ()
    refused: tuple[str, ...] = ()
    answer: bytes | None = None


class Ledger:
    """See the module's docstring. Any number of writers may use one installation at a time."""

    def __init__(self, client: Executor, settings: StoreSettings, *, rules: Rules = DEFAULT_RULES) -> None:
        self._commands = Commands(client, deadline_s=settings.deadline_s)
        self._settings = settings
        self._rules = rules
        self._keys = Keys(settings.prefix)
        self._head = EMPTY
        self._lock = asyncio.Lock()

    async def commit(
        self, operations: Sequence[Operation], *, now_ms: int, epoch_randomness: bytes, once: Once | None = None
    ) -> Committed:
        """Carry out all operations or none. `now_ms` is Unix milliseconds.

        Raises PolicyInvalid (a policy breaks the rules), StoreUnavailable (may have happened; repeating is safe).
        """
        if not 0 < len(operations) <= MAX_OPERATIONS or len(epoch_randomness) != EPOCH_BYTES:
            raise ValueError(f"a commit has 1 to {MAX_OPERATIONS} operations and {EPOCH_BYTES} bytes for an epoch")
        _check_once([one.policy for one in operations if isinstance(one, PutPolicy | EndPolicy)])
        async with self._lock:
            for _ in range(_ATTEMPTS):
                keys, args, head = self._arguments(operations, now_ms, epoch_randomness, once)
                status, *rest = await self._commands.run(COMMIT, keys, args)
                if status == b"audit":
                    self._head = AuditHead(int(rest[0]), rest[1].decode() or GENESIS)
                    continue
                if status == b"repeat":
                    return Committed(answer=rest[0])
                if status == b"refused":
                    return Committed(refused=tuple(word.decode() for word in rest))
                self._head = head
                return Committed(seqs=tuple(int(number) for number in rest))
        raise StoreUnavailable("other writers were faster each time")

    async def add_all(
        self, policies: Sequence[NewPolicy], note: AuditNote, *, now_ms: int, epoch_randomness: bytes
    ) -> Committed:
        """Store all policies, with one audit entry for them, or none. `seqs` are the first and the last number.

        Quicker for many than `commit`. Raises as it does.
        """
        if not 0 < len(policies) <= MAX_OPERATIONS or len(epoch_randomness) != EPOCH_BYTES:
            raise ValueError(f"1 to {MAX_OPERATIONS} policies are added and {EPOCH_BYTES} bytes given for an epoch")
        _check_once([new.policy for new in policies])
        k = self._keys
        keys = [k.head, k.live, k.meta, k.docs, k.buckets, k.expiries, k.ids, k.log, k.audit, k.audit_head, k.watched]
        counts: list[int] = []
        documents: list[str] = []
        records: list[str] = []
        watched: list[str] = []
        digests: list[int] = []
        for new in policies:
            policy, sets = new.policy, self._check(new.policy)
            keys += [k.ended(policy.id), *sets]
            counts.append(len(sets))
            record = encode_policy(policy)
            digests.append(record_digest(record))
            documents += (policy.id, new.document.decode())  # the scripts' decoder knows texts, not bytes
            records += (policy.id, record.decode())
            if new.watch:
                watched += (policy.id, new.watch.decode())
        ids, expiries = [new.policy.id for new in policies], [new.policy.expires_ms for new in policies]
        rows = _pack((ids, expiries, digests, counts, documents, records, watched))
        async with self._lock:
            for _ in range(_ATTEMPTS):
                entry = chain(self._head, note, now_ms=now_ms)
                args: list[Argument] = [now_ms, epoch_randomness.hex(), self._settings.per_subject]
                args += [*_expected(self._head), entry.seq, entry.body, entry.hash, rows]
                status, *rest = await self._commands.run(BULK, keys, args)
                if status == b"audit":
                    self._head = AuditHead(int(rest[0]), rest[1].decode() or GENESIS)
                    continue
                if status == b"refused":
                    return Committed(refused=tuple(word.decode() for word in rest))
                self._head = AuditHead(entry.seq, entry.hash)
                return Committed(seqs=(int(rest[0]), int(rest[1])))
        raise StoreUnavailable("other writers were faster each time")

    async def side(self, side: Side, name: str) -> bytes | None:
        """Return one record; raises StoreUnavailable."""
        found: bytes | None = await self._commands.call("HGET", self._side(side), name)
        return found

    async def sides(self, side: Side) -> dict[str, bytes]:
        """Return all records of one kind, of which there are few; raises StoreUnavailable."""
        found = await self._commands.call("HGETALL", self._side(side))
        pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        return {name.decode(): value for name, value in pairs}

    async def side_count(self, side: Side) -> int:
        """Return how many records of one kind there are; raises StoreUnavailable."""
        return int(await self._commands.call("HLEN", self._side(side)))

    async def answer(self, digest: str) -> bytes | None:
        """Return what was kept under an idempotency digest; raises StoreUnavailable."""
        found: bytes | None = await self._commands.call("GET", self._keys.once(digest))
        return found

    async def spend(self, name: str, amount: int, *, now_ms: int) -> int:
        """Add to what `name` has made in this minute and return the sum; raises StoreUnavailable."""
        key = self._keys.spent(name, now_ms // 60_000)
        total = int(await self._commands.call("INCRBY", key, amount))
        await self._commands.call("EXPIRE", key, 120)
        return total

    async def audit_head(self) -> AuditHead:
        """Return the end of the audit trail; raises StoreUnavailable."""
        seq, digest = await self._commands.call("HMGET", self._keys.audit_head, "seq", "hash")
        return EMPTY if seq is None else AuditHead(int(seq), (digest or b"").decode())

    async def audit_page(self, *, before: int | None = None, limit: int = 100) -> tuple[AuditEntry, ...]:
        """Return entries newest first, those with numbers below `before`; raises StoreUnavailable, AuditBroken."""
        start = "+" if before is None else f"({before}-0"
        count = max(1, min(limit, AUDIT_PAGE))
        rows = await self._commands.call("XREVRANGE", self._keys.audit, start, "-", "COUNT", count)
        return tuple(_entry(row) for row in rows)

    async def audit_entries(self, *, up_to: int) -> AsyncIterator[AuditEntry]:
        """Yield entries up to the number `up_to`, oldest first; raises StoreUnavailable, AuditBroken."""
        start = "-"
        while True:
            rows = await self._commands.call("XRANGE", self._keys.audit, start, f"{up_to}-0", "COUNT", AUDIT_PAGE)
            for row in rows:
                yield _entry(row)
            if len(rows) < AUDIT_PAGE:
                return
            start = "(" + rows[-1][0].decode()

    def _side(self, side: Side) -> str:
        keys = self._keys
        return {Side.PENDING: keys.pending, Side.BATCHES: keys.batches, Side.WATCHED: keys.watched}[side]

    def _arguments(
        self, operations: Sequence[Operation], now_ms: int, epoch: bytes, once: Once | None
    ) -> tuple[list[str], list[Argument], AuditHead]:
        k, head = self._keys, self._head
        keys = [k.head, k.live, k.meta, k.docs, k.buckets, k.expiries, k.ids, k.log, k.audit, k.audit_head]
        keys += [k.pending, k.batches, k.watched, k.once(once.digest if once else "none")]
        args: list[Argument] = [now_ms, epoch.hex(), self._settings.per_subject, self._settings.ended_s]
        args += [once.answer if once else b"", once.life_s if once else 0, *_expected(head), len(operations)]
        for operation in operations:
            if isinstance(operation, PutPolicy):
                keys += [k.ended(operation.policy.id), *k.subject(operation.policy.subject)]
                args += self._put(operation)
            elif isinstance(operation, EndPolicy):
                policy, sets = operation.policy, k.subject(operation.policy.subject)
                keys += [k.ended(policy.id), *sets]
                rest = {"policy": policy.to_dict(), "how": "revoked", "by": operation.by, "at": now_ms}
                args += ["d", len(sets), policy.id, policy.version, orjson.dumps(rest)]
            elif isinstance(operation, SideWrite):
                args += ["w", int(operation.side), operation.name, _wanted(operation.expected), operation.value or b""]
            else:
                entry = chain(head, operation, now_ms=now_ms)
                args += ["a", entry.seq, entry.body, entry.hash]
                head = AuditHead(entry.seq, entry.hash)
        return keys, args, head

    def _put(self, put: PutPolicy) -> list[Argument]:
        policy = put.policy
        sets, record = self._check(policy), encode_policy(policy)
        return [
            *("p", len(sets), policy.id, policy.version, put.expected),
            *(policy.expires_ms, record_digest(record), record, policy.to_json()),
        ]

    def _check(self, policy: Policy) -> list[str]:
        """Return the sets that `policy` belongs to; raises PolicyInvalid when it breaks the rules."""
        problems = self._rules.problems(policy)
        if problems:
            raise PolicyInvalid(tuple(problems))
        return self._keys.subject(policy.subject)


def _check_once(policies: Sequence[Policy]) -> None:
    """The scripts check all before they write anything, so the second of two would not see the first: the sums that
    every gateway compares would be wrong for good.
    """
    if len({policy.id for policy in policies}) != len(policies):
        raise ValueError("a transaction changes each policy once")


def _wanted(expected: bytes | Present | None) -> bytes:
    if isinstance(expected, Present):
        return b"*"
    return b"-" if expected is None else b"=" + expected


def _expected(head: AuditHead) -> tuple[str, str]:
    return str(head.seq), "" if head.seq == 0 else head.hash


def _entry(row: tuple[bytes, list[bytes] | dict[bytes, bytes]]) -> AuditEntry:
    identifier, raw = row
    fields = raw if isinstance(raw, dict) else dict(zip(raw[::2], raw[1::2], strict=True))
    number, _, _ = identifier.partition(b"-")
    try:
        return AuditEntry(int(number), fields[b"b"], fields[b"h"].decode("ascii"))
    except (KeyError, ValueError) as error:
        raise AuditBroken(f"audit entry {identifier.decode()} is incomplete") from error
