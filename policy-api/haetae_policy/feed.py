"""Following the policy log: snapshot, then entries in order, checked by heartbeats.

    EMPTY --begin--> LOADING --settle--> CATCHING_UP --(digest agrees)--> FOLLOWING --finish
      ^                 |                     |                               |
      +-----------------+------ BROKEN <------+--- gap, epoch, digest --------+      BROKEN --begin--> LOADING

Rules kept. Whatever the state, the table keeps enforcing what it has. A duplicate (an entry not after the last one)
changes nothing. A missing, repeated or foreign number means BROKEN, and so does a heartbeat that disagrees: the
owner then loads a new snapshot; until then puts and deletes still take effect, ordered by version. A snapshot is a
scan that runs while the log goes on: it starts from a head, and everything after that head is applied again from the
log, which is harmless because versions only grow. Heartbeats count again once the log has passed the head read after
the scan. Only when the digest agrees is dropped what the snapshot lacked.

A store that lost its data must not lift blocks. When the log is another one (epoch) or went back (a restored backup),
what it lacks is `kept` until it expires, the log mentions it, or an operator resets the log. A record of an unknown
kind is counted (`unreadable`) and left out; the version it replaces stays in force until either expires.

Does not read the store (see `io.follower`) nor clocks.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum

from haetae_policy.changes import Arrived, ArrivedTogether, Delete, News, Put
from haetae_policy.compact import decode_compact, decode_compacts
from haetae_policy.digest import ExpiryDigest
from haetae_policy.entries import BeatEntry, DeleteEntry, Entry, EntryId, Head, ManyEntry
from haetae_policy.errors import FeedCorrupt, RecordUnreadable
from haetae_policy.record import decode_record, record_digest, record_digests
from haetae_policy.table import PolicyTable


class FeedState(StrEnum):
    """Where a follower stands; see the module's docstring."""

    EMPTY = "empty"
    LOADING = "loading"
    CATCHING_UP = "catching-up"
    FOLLOWING = "following"
    BROKEN = "broken"


class FeedFollower:
    """The state machine. `reason` says why it is BROKEN."""

    def __init__(self, table: PolicyTable) -> None:
        self._table = table
        self._digest = ExpiryDigest(floor_ms=0)
        self._unreadable: dict[int, tuple[int, int, int]] = {}
        self._kept: dict[int, int] = {}
        self._replaced = False
        self._unfinished = False
        self._settled: Head | None = None
        self.state = FeedState.EMPTY
        self.reason = ""
        self.epoch = ""
        self.seq = 0
        self.entry_id: EntryId = (0, 0)

    @property
    def wants_snapshot(self) -> bool:
        """Whether the owner must begin a snapshot."""
        return self.state in (FeedState.EMPTY, FeedState.BROKEN)

    @property
    def unreadable(self) -> int:
        """Policies in the log that this version cannot enforce. More than none deserves an alarm."""
        return len(self._unreadable)

    @property
    def kept(self) -> int:
        """Policies still in force that the present log does not have: an earlier log had them."""
        return len(self._kept)

    @property
    def unfinished(self) -> bool:
        """Whether the owner must exhaust `finish` before the next entry."""
        return self._unfinished and self.state is FeedState.FOLLOWING

    @property
    def floor_ms(self) -> int:
        """Policies that expired before this moment may be swept from the table."""
        return self._digest.floor_ms

    def begin(self, head: Head) -> None:
        """Start a snapshot at `head`. Allowed in any state; a snapshot under way is abandoned."""
        if head.reset_id > self.entry_id:
            self._kept, self._replaced = {}, False
        elif self.epoch and (head.epoch != self.epoch or head.seq < self.seq):
            self._replaced = True
        self.state = FeedState.LOADING
        self.reason = ""
        self.epoch, self.seq, self.entry_id = head.epoch, head.seq, head.entry_id
        self._digest = ExpiryDigest(floor_ms=head.floor_ms)
        self._unreadable = {}
        self._settled = None
        self._unfinished = True
        self._table.start_marking()

    def load(self, records: Sequence[bytes], changed: list[bytes] | None = None) -> None:
        """Take up to 65 536 records of the scan; those that changed the table are appended to `changed`.

        Raises FeedCorrupt, and is then BROKEN; `changed` is true even so.
        """
        if self.state is not FeedState.LOADING:
            raise FeedCorrupt("a record came outside a snapshot")
        self._put_many(records, changed, seq=self.seq, step=0)

    def lose(self, reason: str) -> None:
        """The store has no log any more. What the table has stays; whatever log comes next is another one."""
        if self.state is not FeedState.EMPTY:
            self._replaced = True
            self._break(reason)

    def reject(self, reason: str) -> None:
        """An entry of the log could not be read: only a snapshot can tell what it said."""
        if self.state is not FeedState.EMPTY:
            self._break(reason)

    def finish(self, *, step: int = 500) -> Iterator[list[int]]:
        """Drop or keep, `step` slots at a time, what the snapshot lacked. Exhaust it once `unfinished` says so."""
        yield from self._table.drop_unmarked(step=step, spare=self._spare)
        self._unfinished = self._replaced = False

    def settle(self, head: Head) -> None:
        """End the scan with the head read after it; reaching that with the same digest makes the state FOLLOWING."""
        if head.epoch != self.epoch or head.seq < self.seq:
            self._break("the log was replaced during the snapshot")
            return
        self.state = FeedState.CATCHING_UP
        self._settled = head
        self._compare_when_settled()

    def feed(self, entry: Entry, changed: list[bytes] | None = None) -> News | None:
        """Take the next entry of the log; return the change it made to the table, if any.

        Raises FeedCorrupt for a record without an envelope, and is then BROKEN; those before it that changed the table
        are appended to `changed`, which is true even so.
        """
        changed = [] if changed is None else changed
        if self.state in (FeedState.EMPTY, FeedState.LOADING) or entry.entry_id <= self.entry_id:
            return None
        if entry.epoch != self.epoch:
            self._break("another epoch")  # not a place in our log: `begin` must still see a reset as news
            return None
        self.entry_id = entry.entry_id
        if isinstance(entry, BeatEntry):
            self._beat(entry)
            return None
        last = entry.seq + len(entry.records) - 1 if isinstance(entry, ManyEntry) else entry.seq
        if entry.seq == self.seq + 1:
            self.seq = last
        else:
            # A later entry with a number we had: the log went back, even if it has caught up by the time of a snapshot.
            self._replaced |= entry.seq <= self.seq
            self._break(f"expected entry {self.seq + 1}, got {entry.seq}")
        change: News | None = None
        if isinstance(entry, ManyEntry):
            self._put_many(entry.records, changed, seq=entry.seq, step=1)
            change = ArrivedTogether(tuple(changed), last) if changed else None
        elif isinstance(entry, DeleteEntry):
            change = self._delete(entry)
        elif self._put(entry.record, entry.seq):
            change = Arrived(entry.record, entry.seq)
        self._compare_when_settled()
        return change

    def _put_many(self, records: Sequence[bytes], changed: list[bytes] | None, *, seq: int, step: int) -> None:
        """Take in records, the first with the number `seq`, each next one `step` more; note those that changed the
        table.
        """
        left: Sequence[int] = range(len(records))
        policies = decode_compacts(records)
        if policies is not None and not (self._unreadable and any(one.pid in self._unreadable for one in policies)):
            digests = record_digests(records)
            left = self._table.add_many(policies, digests, seq=seq, step=step)
            self._digest.add_many([policy.exp_ms for policy in policies], digests, but=left)
            if changed is not None:
                others = frozenset(left)
                changed += [encoded for position, encoded in enumerate(records) if position not in others]
        for position in left:
            encoded = records[position]
            if self._put(encoded, seq + step * position) and changed is not None:
                changed.append(encoded)

    def _put(self, encoded: bytes, seq: int) -> bool:
        """Take in a record; return whether the table changed. Most are new and of a known kind."""
        digest = record_digest(encoded)
        policy = decode_compact(encoded)
        if policy is None or policy.pid in self._unreadable or not self._table.add(policy, seq=seq, digest=digest):
            return self._put_over(encoded, digest, seq)
        self._digest.add(policy.exp_ms, digest)
        return True

    def _put_over(self, encoded: bytes, digest: int, seq: int) -> bool:
        """Take in a record that meets a version of its policy, or cannot be read."""
        try:
            record = decode_record(encoded)
        except RecordUnreadable as error:
            self._put_unreadable(error, digest)
            return False
        except FeedCorrupt:
            self._break("a record without an envelope")
            raise
        held, shelved = self._table.held(record.pid), self._unreadable.get(record.pid)
        counted = held is not None and held.marked and shelved is None
        if shelved is not None and shelved[0] >= record.ver:
            return False
        changed = self._table.apply(Put(record, seq=seq, digest=digest))
        self._kept.pop(record.pid, None)
        if counted and not changed:
            return False
        if counted and held is not None:
            self._digest.remove(held.exp_ms, held.digest)
        if shelved is not None:
            del self._unreadable[record.pid]
            self._digest.remove(shelved[1], shelved[2])
        self._digest.add(record.exp_ms, digest)
        return changed

    def _put_unreadable(self, error: RecordUnreadable, digest: int) -> None:
        """Keep the books for a record that cannot be enforced. The version it replaces stays, no longer counted."""
        held, shelved = self._table.held(error.pid), self._unreadable.get(error.pid)
        known = max(held.ver if held is not None and held.marked else 0, shelved[0] if shelved else 0)
        if known >= error.ver:
            return
        if shelved is not None:
            self._digest.remove(shelved[1], shelved[2])
        elif held is not None and held.marked:
            self._digest.remove(held.exp_ms, held.digest)
        self._kept.pop(error.pid, None)
        self._unreadable[error.pid] = (error.ver, error.exp_ms, digest)
        self._digest.add(error.exp_ms, digest)

    def _delete(self, entry: DeleteEntry) -> Delete | None:
        shelved = self._unreadable.get(entry.pid)
        if shelved is not None and shelved[0] > entry.ver:
            return None
        if shelved is not None:
            del self._unreadable[entry.pid]
            self._digest.remove(shelved[1], shelved[2])
        held = self._table.held(entry.pid)
        change = Delete(entry.pid, ver=entry.ver, seq=entry.seq)
        if held is None or not self._table.apply(change):
            return None
        self._kept.pop(entry.pid, None)
        if held.marked and shelved is None:
            self._digest.remove(held.exp_ms, held.digest)
        return change

    def _spare(self, pid: int, exp_ms: int) -> bool:
        """Tell whether what the snapshot lacked stays."""
        if self._replaced and exp_ms >= self._digest.floor_ms and pid not in self._unreadable:
            self._kept[pid] = exp_ms
        return pid in self._kept or pid in self._unreadable

    def _beat(self, beat: BeatEntry) -> None:
        if beat.seq != self.seq:
            self._replaced |= beat.seq < self.seq
            self._break(f"a heartbeat after entry {beat.seq}, here {self.seq}")
        elif self.state is FeedState.FOLLOWING and beat.floor_ms >= self._digest.floor_ms:
            # One with an earlier floor was written before the head that ended the last snapshot.
            self._compare(beat.floor_ms, beat.count, beat.digest)

    def _compare_when_settled(self) -> None:
        head = self._settled
        if self.state is FeedState.CATCHING_UP and head is not None and self.seq == head.seq:
            self.state = FeedState.FOLLOWING
            self._settled = None
            self._compare(head.floor_ms, head.count, head.digest)

    def _compare(self, floor_ms: int, count: int, digest: int) -> None:
        if floor_ms > self._digest.floor_ms:
            self._digest.advance(floor_ms)
            self._expire(floor_ms)
        if (self._digest.floor_ms, self._digest.count, self._digest.total) != (floor_ms, count, digest):
            self._break("the digest disagrees")

    def _expire(self, floor_ms: int) -> None:
        """Forget what ended before the floor; the old version of an unreadable policy ends with it."""
        for pid in [pid for pid, exp_ms in self._kept.items() if exp_ms < floor_ms]:
            del self._kept[pid]
        for pid, shelved in [item for item in self._unreadable.items() if item[1][1] < floor_ms]:
            del self._unreadable[pid]
            self._table.apply(Delete(pid, ver=shelved[0], seq=self.seq))

    def _break(self, reason: str) -> None:
        self.state = FeedState.BROKEN
        self.reason = reason
