"""The rows of a table: putting one policy in, taking one out, and keeping every structure in step.

`table` reads these structures on the hot path; only this module writes them.
"""

from typing import Final, cast

from haetae_policy.changes import Put
from haetae_policy.conditions import ApiCondition
from haetae_policy.index import EVERYONE, V4, V6, SubjectIndex, residual_of
from haetae_policy.interning import Interner
from haetae_policy.model import KINDS, RANK, Action, Api, Rate, Subject
from haetae_policy.record import Record
from haetae_policy.slots import HARD, MACHINE, NONE, RANK_BITS, RESIDUAL, SHADOW, UNTRUSTED, Row, Slots

SHARDS: Final = 64
_MASK: Final = SHARDS - 1
_LOW: Final = (1 << 64) - 1
_ALLOW: Final = RANK[Action.ALLOW]

# A network in one integer, marked prefix << 8 | host bits; 0 stands for "any address".
PackedNetwork = int


class Rows:
    """Slots, indexes and shared values of the policies held."""

    __slots__ = (
        "_by_pid",
        "apis",
        "conditions",
        "exceptions",
        "index",
        "rates",
        "residuals",
        "size",
        "slots",
        "whys",
    )

    def __init__(self) -> None:
        self.slots = Slots()
        self.index = SubjectIndex(self.slots)
        self.apis: Interner[Api] = Interner(Api())
        self.conditions: list[ApiCondition] = [ApiCondition(Api())]
        self.whys: Interner[str] = Interner("")
        self.rates: dict[int, Rate] = {}
        self.residuals: dict[int, tuple[int | str, ...]] = {}
        self.exceptions: dict[tuple[int, PackedNetwork], int] = {}
        self._by_pid: list[dict[int, int]] = [{} for _ in range(SHARDS)]
        self.size = 0

    def slot(self, pid: int) -> int | None:
        """Return the slot of a policy, or None."""
        return self._by_pid[pid & _MASK].get(pid)

    def insert(self, change: Put, *, mark: int) -> None:
        """Add a policy that is not held; raises PathPatternInvalid for one that skipped the parser."""
        record, subject, pid = change.record, change.record.subject, change.record.pid
        api, why = self._acquire_api(record.api), self.whys.acquire(record.why)
        primary = _primary(subject)
        residual = residual_of(subject, primary)
        flags = _flags(record) | (RESIDUAL if residual else 0)
        slot = self.slots.allocate()
        self.slots.write(
            slot,
            Row(
                *(record.exp_ms, api, NONE, flags, primary, why, change.seq),
                *(pid >> 64, pid & _LOW, change.digest, record.ver, mark),
            ),
        )
        if residual:
            self.residuals[slot] = residual
        if record.rate is not None:
            self.rates[slot] = record.rate
        if primary < V4:
            self.index.file(slot, primary, getattr(subject, KINDS[primary]))
        elif subject.ip is not None:
            self.index.file(slot, primary, subject.ip.key)
        else:
            self.index.file_everyone(slot, record.api.route, api)
        self._by_pid[pid & _MASK][pid] = slot
        self.size += 1
        self._count_exception(slot, 1)

    def remove(self, slot: int) -> None:
        """Take a held policy out."""
        row = self.slots.read(slot)
        self._count_exception(slot, -1)
        self.index.withdraw(slot)
        self.apis.release(row.api)
        self.whys.release(row.why)
        self.rates.pop(slot, None)
        self.residuals.pop(slot, None)
        del self._by_pid[row.pid & _MASK][row.pid]
        self.size -= 1
        self.slots.release(slot)

    def _acquire_api(self, api: Api) -> int:
        number = self.apis.find(api)
        if number is not None:
            return self.apis.acquire(api)
        condition = ApiCondition(api)
        number = self.apis.acquire(api)
        if number == len(self.conditions):
            self.conditions.append(condition)
        else:
            self.conditions[number] = condition
        return number

    def _count_exception(self, slot: int, step: int) -> None:
        """Count `allow` policies that only apply to some identity, by what of them is known before identity
        is.
        """
        row = self.slots.read(slot)
        if row.flags & (RANK_BITS | SHADOW) != _ALLOW:
            return
        if row.kind in (V4, V6, EVERYONE) and not row.flags & UNTRUSTED:
            return
        group = (row.api, self._network(slot, row.kind))
        count = self.exceptions.get(group, 0) + step
        if count:
            self.exceptions[group] = count
        else:
            del self.exceptions[group]

    def _network(self, slot: int, index: int) -> PackedNetwork:
        key = self.slots.keys[slot]
        if isinstance(key, int):
            return key << 8 | (33 if index == V4 else 129) - key.bit_length()
        residual = self.residuals.get(slot, ())
        return cast("int", residual[-1]) if len(residual) > 1 and residual[-2] == V4 else 0


def _primary(subject: Subject) -> int:
    for kind, name in enumerate(KINDS):
        if getattr(subject, name) is not None:
            return kind
    if subject.ip is None:
        return EVERYONE
    return V4 if subject.ip.version == 4 else V6


def _flags(record: Record) -> int:
    return (
        RANK[record.action]
        | (SHADOW if record.shadow else 0)
        | (HARD if record.hard else 0)
        | (MACHINE if record.machine else 0)
        | (UNTRUSTED if record.subject.untrusted else 0)
    )
