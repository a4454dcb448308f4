"""The rows of a table: putting one policy in, taking one out, and keeping every structure in step.

`table` reads these structures on the hot path; only this module writes them.
"""

from typing import Final, cast

from haetae_policy.compact import ANY_API, ApiKey, Compact
from haetae_policy.conditions import ApiCondition
from haetae_policy.index import EVERYONE, V4, V6, SubjectIndex
from haetae_policy.interning import Interner
from haetae_policy.model import RANK, Action, Api, Rate
from haetae_policy.slots import NONE, RANK_BITS, RESIDUAL, SHADOW, UNTRUSTED, Slots

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
        self.apis: Interner[ApiKey] = Interner(ANY_API)
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

    def insert(self, policy: Compact, *, seq: int, digest: int, mark: int) -> None:
        """Add a policy that is not held; raises PathPatternInvalid for one that skipped the parser."""
        pid, ver, exp_ms, flags, kind, key, residual, api_key, reason, rate = policy
        api, why = self._acquire_api(api_key), self.whys.acquire(reason)
        if residual:
            flags |= RESIDUAL
        fields = (exp_ms, api, NONE, flags, kind, why, seq, pid >> 64, pid & _LOW, digest, ver, mark)
        slot = self.slots.place(fields, key)
        if residual:
            self.residuals[slot] = residual
        if rate is not None:
            self.rates[slot] = rate
        if key is None:
            self.index.file_everyone(slot, api_key[1], api)
        else:
            self.index.file(slot, kind, key)
        self._by_pid[pid & _MASK][pid] = slot
        self.size += 1
        if flags & (RANK_BITS | SHADOW) == _ALLOW:
            self._count_exception(slot, 1)

    def remove(self, slot: int) -> None:
        """Take a held policy out."""
        row = self.slots.read(slot)
        if row.flags & (RANK_BITS | SHADOW) == _ALLOW:
            self._count_exception(slot, -1)
        self.index.withdraw(slot)
        self.apis.release(row.api)
        self.whys.release(row.why)
        self.rates.pop(slot, None)
        self.residuals.pop(slot, None)
        del self._by_pid[row.pid & _MASK][row.pid]
        self.size -= 1
        self.slots.release(slot)

    def _acquire_api(self, key: ApiKey) -> int:
        number = self.apis.find(key)
        if number is not None:
            self.apis.count(number)
            return number
        condition = ApiCondition(Api(*key))
        number = self.apis.acquire(key)
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
