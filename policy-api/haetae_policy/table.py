"""The compiled policies of one worker: changes in, verdicts out.

Rules kept: a policy counts while `now < expires`, to the millisecond, whatever has been swept; `allow`
beats everything but a `hard` block; of the rest the strongest action wins (block, challenge, throttle),
then the latest expiry, then the older identifier. Throttles do not hide each other: where one decides,
the others are named beside it (`Verdict.also`). `observe` and shadow policies, and exceptions that apply,
are only reported. Time for a request does not depend on how many policies there are, only on how many share
the caller's keys.

Does not: read clocks, follow feeds (see `feed`), count requests of a throttle (see `throttle`). Not safe
for threads; one table belongs to one worker's event loop.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

from haetae_policy.changes import Change, Delete
from haetae_policy.compact import Compact, compact_of
from haetae_policy.facts import ApiFacts, Facts, Verdict
from haetae_policy.index import V4
from haetae_policy.model import ACTIONS, KINDS, RANK, Action
from haetae_policy.network import Network
from haetae_policy.rows import PackedNetwork, Rows
from haetae_policy.slots import (
    HARD,
    MACHINE,
    NONE,
    RANK_BITS,
    RESIDUAL,
    SCAN,
    SHADOW,
    SHIFT,
    UNTRUSTED,
    Row,
)

_OBSERVE: Final = Action.OBSERVE
_ALLOW: Final = Action.ALLOW
_THROTTLE: Final = Action.THROTTLE
_IDENTITY: Final = KINDS.index("account")  # before it: session, device, user, which are verified identities
_CLIENT: Final = KINDS.index("client")
_FIRST_V6: Final = 1 << 128
_MAX_EXCEPTION_GROUPS: Final = 64
_MAX_VERDICTS: Final = 8192


@dataclass(frozen=True, slots=True)
class Held:
    """What the table holds for one policy, for the feed's bookkeeping."""

    ver: int
    exp_ms: int
    digest: int
    marked: bool


class PolicyTable:
    """See the module's docstring. `machine_exempt`: callers from these networks are never refused by a
    machine-made policy that names no session, device or user.
    """

    def __init__(self, *, machine_exempt: Iterable[Network] = ()) -> None:
        self._rows = Rows()
        self._exempt = tuple(machine_exempt)
        self._cursor = 0
        self._mark = 0
        self._marked = 0  # policies held that carry the present mark
        self._verdicts: dict[int, Verdict] = {}

    def __len__(self) -> int:
        """Policies held, expired ones not yet swept included."""
        return self._rows.size

    def held(self, pid: int) -> Held | None:
        """Return the version, expiry and digest held for `pid`."""
        slot = self._rows.slot(pid)
        if slot is None:
            return None
        row = self._rows.slots.read(slot)
        return Held(ver=row.ver, exp_ms=row.exp, digest=row.digest, marked=row.mark == self._mark)

    def apply(self, change: Change) -> bool:
        """Apply one change; return False if it changed nothing, as an equal or older version does.

        While a marking pass is under way, what is not marked yet stems from before it and gives way whatever its
        version. Raises PathPatternInvalid for a record that came neither from `decode_record` nor `record_of`.
        """
        rows = self._rows
        if isinstance(change, Delete):
            slot = rows.slot(change.pid)
            if slot is None:
                return False
            row = rows.slots.read(slot)
            if row.mark == self._mark and row.ver > change.ver:
                return False
            self._remove(slot)
            return True
        slot = rows.slot(change.record.pid)
        if slot is not None:
            row = rows.slots.read(slot)
            marked = row.mark == self._mark
            rows.slots.set_mark(slot, self._mark)
            self._marked += not marked
            if row.ver >= change.record.ver if marked else (row.ver, row.digest) == (change.record.ver, change.digest):
                return False
            self._remove(slot)
        rows.insert(compact_of(change.record), seq=change.seq, digest=change.digest, mark=self._mark)
        self._marked += 1
        return True

    def add(self, policy: Compact, *, seq: int, digest: int) -> bool:
        """Take in a policy that is not held; return False, and do nothing, if some version of it is.

        For what `decode_compact` returned: nothing is checked again.
        """
        if self._rows.slot(policy.pid) is not None:
            return False
        self._rows.insert(policy, seq=seq, digest=digest, mark=self._mark)
        self._marked += 1
        return True

    def add_many(self, policies: Sequence[Compact], digests: Sequence[int], *, seq: int, step: int) -> list[int]:
        """Take in those that `add` would without looking closer; return the positions of the others, for `add`.

        `seq` is the first one's number in the log; each next one's is `step` more.
        """
        left = self._rows.insert_new(policies, digests, seq=seq, step=step, mark=self._mark)
        self._marked += len(policies) - len(left)
        return left

    def check(
        self,
        facts: Facts,
        api: ApiFacts,
        now_ms: int,
        *,
        observed: list[Verdict] | None = None,
        machines: bool = True,
    ) -> Verdict | None:
        """Return the policy to enforce on this request, or None. Needs everything known about the caller.

        `now_ms` is Unix milliseconds. Policies that match without being enforced are appended to `observed`; with
        `machines` False, those that machines made are among them.
        """
        index = self._rows.index
        heads: list[int] = []
        for kind, shards in index.keyed:
            value = facts[kind]
            if value is not None:
                head = shards[hash(value) & 63].get(value)  # type: ignore[arg-type]
                if head is not None:
                    heads.append(head)
        ip = facts.ip
        if ip is not None:
            networks = index.v4 if ip < _FIRST_V6 else index.v6
            if networks.size:
                networks.find(ip, heads)
        if index.everyone:
            self._find_everyone(api, heads)
        if not heads:
            return None
        hits = self._matching(heads, facts, api, now_ms, UNTRUSTED if facts.trusted else 0)
        return self._decide(hits, facts, observed, machines=machines) if hits else None

    def check_early(
        self, ip: int, api: ApiFacts, now_ms: int, *, observed: list[Verdict] | None = None
    ) -> Verdict | None:
        """Return a verdict that no later knowledge can change, from the address and the API alone, or None.

        Considers policies with no other subject. A soft verdict is withheld while an exception for some
        identity might apply: `check` decides then. Call `check` later in any case. `observed` is filled
        only with a verdict.
        """
        index = self._rows.index
        heads: list[int] = []
        networks = index.v4 if ip < _FIRST_V6 else index.v6
        if networks.size:
            networks.find(ip, heads)
        if index.everyone:
            self._find_everyone(api, heads)
        if not heads:
            return None
        facts = Facts(ip=ip)
        hits = self._matching(heads, facts, api, now_ms, UNTRUSTED)
        if not hits:
            return None
        noted: list[Verdict] = []
        verdict = self._decide(hits, facts, noted)
        if verdict is None or (not verdict.hard and self._rows.exceptions and self._may_be_excepted(ip, api)):
            return None
        if observed is not None:
            observed += noted
        return verdict

    def sweep(self, *, before_ms: int, limit: int = 2000) -> int:
        """Free what expired before `before_ms`, looking at `limit` slots at most; return how many."""
        slots, freed = self._rows.slots, 0
        for _ in range(min(limit, len(slots))):
            self._cursor = self._cursor + 1 if self._cursor + 1 < len(slots) else 0
            if 0 < slots.expiry(self._cursor) < before_ms:
                self._remove(self._cursor)
                freed += 1
        return freed

    def start_marking(self) -> None:
        """Begin a pass in which every `apply` marks its policy; `drop_unmarked` then removes the others."""
        self._mark += 1
        self._marked = 0

    def drop_unmarked(
        self, *, step: int = 1000, spare: Callable[[int, int], bool] | None = None
    ) -> Iterator[list[int]]:
        """Remove what was not applied since `start_marking`, `step` slots at a time; yields the removed
        policies. `spare` is asked with identifier and expiry (Unix ms) of each, and stays it by saying True.
        """
        slots = self._rows.slots
        if self._marked == self._rows.size:
            return
        for start in range(0, len(slots), step):
            gone = []
            for slot in range(start, min(start + step, len(slots))):
                row = slots.read(slot)
                if row.exp and row.mark != self._mark and not (spare is not None and spare(row.pid, row.exp)):
                    gone.append(row.pid)
                    self._remove(slot)
            yield gone

    def _remove(self, slot: int) -> None:
        self._verdicts.pop(slot, None)
        self._marked -= self._rows.slots.read(slot).mark == self._mark
        self._rows.remove(slot)

    def _matching(self, heads: list[int], facts: Facts, api: ApiFacts, now_ms: int, skip: int) -> list[int]:
        """Walk the chains; return the slots whose every condition holds. `skip`: flags of slots to pass by."""
        rows = self._rows
        memory = rows.slots.rows
        hits: list[int] = []
        for slot in heads:
            while slot != NONE:
                expiry, number, after, flags, _ = SCAN.unpack_from(memory, slot << SHIFT)
                if (
                    expiry > now_ms
                    and not flags & skip
                    and (not number or rows.conditions[number].matches(api))
                    and (not flags & RESIDUAL or self._residual_holds(slot, facts))
                ):
                    hits.append(slot)
                slot = after  # noqa: PLW2901 - walking the chain
        return hits

    def _find_everyone(self, api: ApiFacts, heads: list[int]) -> None:
        rows = self._rows
        everyone = rows.index.everyone
        for route in (None, api.route):
            for number, head in everyone.get(route, {}).items():
                if rows.conditions[number].matches(api):
                    heads.append(head)

    def _residual_holds(self, slot: int, facts: Facts) -> bool:
        conditions = iter(self._rows.residuals[slot])
        for kind, wanted in zip(conditions, conditions, strict=True):
            have = facts[cast("int", kind)]
            if have is None:
                return False
            if kind == V4:
                if not _covers(cast("int", wanted), cast("int", have)):
                    return False
            elif have != wanted:
                return False
        return True

    def _decide(
        self, hits: list[int], facts: Facts, observed: list[Verdict] | None, *, machines: bool = True
    ) -> Verdict | None:
        best: Verdict | None = None
        best_hard: Verdict | None = None
        excepted = False
        throttles: list[Verdict] = []
        for slot in hits:
            verdict = self._verdicts.get(slot) or self._make_verdict(slot, facts)
            action = verdict.action
            if verdict.machine and self._exempt and action is not _ALLOW and self._is_exempt(slot, facts.ip):
                continue
            idle = verdict.machine and not machines
            if verdict.shadow or action is _ALLOW or action is _OBSERVE or idle:
                excepted = excepted or (action is _ALLOW and not verdict.shadow)
                if observed is not None:
                    observed.append(verdict)
                continue
            if action is _THROTTLE:
                throttles.append(verdict)
            if best is None or _precedence(verdict) < _precedence(best):
                best = verdict
            if verdict.hard and (best_hard is None or _precedence(verdict) < _precedence(best_hard)):
                best_hard = verdict
        if excepted:
            return best_hard
        if len(throttles) > 1 and best is not None and best.action is _THROTTLE:
            return best._replace(also=tuple(other for other in throttles if other is not best))
        return best

    def _is_exempt(self, slot: int, ip: int | None) -> bool:
        if ip is None or self._rows.slots.read(slot).kind < _IDENTITY:
            return False
        return any(ip in network for network in self._exempt)

    def _may_be_excepted(self, ip: int, api: ApiFacts) -> bool:
        rows = self._rows
        if len(rows.exceptions) > _MAX_EXCEPTION_GROUPS:
            return True
        return any(
            (not network or _covers(network, ip)) and rows.conditions[number].matches(api)
            for number, network in rows.exceptions
        )

    def _make_verdict(self, slot: int, facts: Facts) -> Verdict:
        """Build the verdict of a slot, and keep it while there is room: who is refused once usually comes
        again.
        """
        row = self._rows.slots.read(slot)
        flags = row.flags
        action = ACTIONS[flags & RANK_BITS]
        throttled = action is _THROTTLE
        verdict = Verdict(
            row.pid_high << 64 | row.pid_low,
            action,
            row.exp,
            row.seq,
            row.ver,
            self._rows.whys.values[row.why],
            flags & HARD != 0,
            flags & SHADOW != 0,
            flags & MACHINE != 0,
            self._rows.rates.get(slot) if throttled else None,
            self._bucket(slot, row, facts) if throttled else None,
        )
        if not throttled:  # a throttle's bucket is the caller's
            if len(self._verdicts) >= _MAX_VERDICTS:
                self._verdicts.clear()
            self._verdicts[slot] = verdict
        return verdict

    def _bucket(self, slot: int, row: Row, facts: Facts) -> Hashable:
        """One bucket for a named subject or a single address; one per caller where the policy means many."""
        key, pid = self._rows.slots.keys[slot], row.pid
        whole = 33 if row.kind == V4 else 129
        if row.kind < _CLIENT or (isinstance(key, int) and key.bit_length() == whole):
            return pid
        for value, kind in ((facts.user, "u"), (facts.device, "d"), (facts.session, "s")):
            if value is not None:
                return (pid, kind, value)
        ip = facts.ip
        # One IPv6 customer has at least a /64: rotating inside it must not open new buckets.
        return (pid, "i", ip if ip is None or ip < _FIRST_V6 else ip >> 64)


def _covers(network: PackedNetwork, ip: int) -> bool:
    return ip >> (network & 255) == network >> 8


def _precedence(verdict: Verdict) -> tuple[int, int, int]:
    return (-RANK[verdict.action], -verdict.expires_ms, verdict.pid)
