"""The rows of a table: putting one policy in, taking one out, and keeping every structure in step.

`table` reads these structures on the hot path; only this module writes them.
"""

from collections.abc import Sequence
from typing import Final, cast

from haetae_policy.compact import ANY_API, ApiKey, Compact
from haetae_policy.conditions import ApiCondition
from haetae_policy.index import EVERYONE, V4, V6, SubjectIndex
from haetae_policy.interning import Interner
from haetae_policy.model import RANK, Action, Api, Rate
from haetae_policy.slots import RANK_BITS, RESIDUAL, ROW, SHADOW, SHIFT, UNTRUSTED, Slots

SHARDS: Final = 64
_MASK: Final = SHARDS - 1
_LOW: Final = (1 << 64) - 1
_ALLOW: Final = RANK[Action.ALLOW]
_RANK_AND_SHADOW: Final = RANK_BITS | SHADOW

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
        [slot] = self.slots.take(1)
        if residual:
            flags |= RESIDUAL
            self.residuals[slot] = residual
        if rate is not None:
            self.rates[slot] = rate
        if key is None:
            key = api_key[1]
            after = self.index.file_everyone(slot, key, api)
        else:
            after = self.index.file(slot, kind, key)
        self.slots.keys[slot] = key
        fields = (exp_ms, api, after, flags, kind, why, seq, pid >> 64, pid & _LOW, digest, ver, mark)
        ROW.pack_into(self.slots.rows, slot << SHIFT, *fields)
        self._by_pid[pid & _MASK][pid] = slot
        self.size += 1
        if flags & _RANK_AND_SHADOW == _ALLOW:
            self._count_exception(slot, 1)

    def insert_new(
        self, policies: Sequence[Compact], digests: Sequence[int], *, seq: int, step: int, mark: int
    ) -> list[int]:
        """Add the ordinary ones among many policies; return the positions of those that were left out.

        Left out are those held already, and kinds that are rare: exceptions, and policies for everyone. They are for
        `insert`. The first one's number in the log is `seq`, each next one's is `step` more. This is what a worker's
        start and a flood of policies consist of, so it spells out what `insert` does by calling.
        """
        slots, by_pid, file = self.slots, self._by_pid, self.index.file
        memory, keys, pack = slots.rows, slots.keys, ROW.pack_into
        free = slots.take(len(policies))
        api_key, api, api_users = ANY_API, 0, 0
        reason, why, why_users = "", 0, 0
        left: list[int] = []
        for position, (pid, ver, exp_ms, flags, kind, key, residual, wanted, why_wanted, rate) in enumerate(policies):
            by_low = by_pid[pid & _MASK]
            if pid in by_low or key is None or flags & _RANK_AND_SHADOW == _ALLOW:
                left.append(position)
                continue
            if wanted is not api_key:
                self.apis.count(api, api_users)
                api_key, api, api_users = wanted, self._acquire_api(wanted), -1
            if why_wanted != reason:
                self.whys.count(why, why_users)
                reason, why, why_users = why_wanted, self.whys.acquire(why_wanted), -1
            api_users += 1
            why_users += 1
            slot = free.pop()
            if residual:
                flags |= RESIDUAL  # noqa: PLW2901 - one bit of its row
                self.residuals[slot] = residual
            if rate is not None:
                self.rates[slot] = rate
            after = file(slot, kind, key)
            keys[slot] = key
            at, place, digest = slot << SHIFT, seq + step * position, digests[position]
            pack(memory, at, exp_ms, api, after, flags, kind, why, place, pid >> 64, pid & _LOW, digest, ver, mark)
            by_low[pid] = slot
        self.apis.count(api, api_users)
        self.whys.count(why, why_users)
        slots.give_back(free)
        self.size += len(policies) - len(left)
        return left

    def remove(self, slot: int) -> None:
        """Take a held policy out."""
        row = self.slots.read(slot)
        if row.flags & _RANK_AND_SHADOW == _ALLOW:
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
