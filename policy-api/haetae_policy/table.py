"""The compiled policies of one worker: changes in, verdicts out.

Rules kept: a policy counts while `now < expires`, to the millisecond, whatever has been swept; `allow`
beats everything but a `hard` block; of the rest the strongest action wins (block, challenge, throttle),
then the latest expiry, then the older identifier. `observe` and shadow policies, and exceptions that apply,
are only reported. Time for a request does not depend on how many policies there are, only on how many share
the caller's keys.

Does not: read clocks, follow feeds (see `feed`), count requests of a throttle (see `throttle`). Not safe
for threads; one table belongs to one worker's event loop.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, cast

from haetae_policy.changes import Change, Delete
from haetae_policy.columns import HARD, MACHINE, NONE, RANK_BITS, RESIDUAL, SHADOW, UNTRUSTED
from haetae_policy.facts import ApiFacts, Facts, Verdict
from haetae_policy.index import V4
from haetae_policy.model import ACTIONS, RANK, Action
from haetae_policy.network import Network
from haetae_policy.rows import PackedNetwork, Rows

_ALLOW: Final = RANK[Action.ALLOW]
_THROTTLE: Final = RANK[Action.THROTTLE]
_IDENTITY: Final = 3  # session, device, user: verified identities, as opposed to account and client
_CLIENT: Final = 4
_FIRST_V6: Final = 1 << 128
_MAX_EXCEPTION_GROUPS: Final = 64


@dataclass(frozen=True, slots=True)
class Held:
    """What the table holds for one policy, for the feed's bookkeeping."""

    ver: int
    exp_ms: int
    digest: int


class PolicyTable:
    """See the module's docstring. `machine_exempt`: callers from these networks are never refused by a
    machine-made policy that names no session, device or user.
    """

    def __init__(self, *, machine_exempt: Iterable[Network] = ()) -> None:
        self._rows = Rows()
        self._exempt = tuple(machine_exempt)
        self._cursor = 0
        self._mark = 0

    def __len__(self) -> int:
        """Policies held, expired ones not yet swept included."""
        return self._rows.size

    def held(self, pid: int) -> Held | None:
        """Return the version, expiry and digest held for `pid`."""
        slot = self._rows.slot(pid)
        if slot is None:
            return None
        columns = self._rows.columns
        return Held(ver=columns.ver[slot], exp_ms=columns.exp[slot], digest=columns.digest[slot])

    def apply(self, change: Change) -> bool:
        """Apply one change; return False for an older or equal version, which changes nothing.

        Raises PathPatternInvalid for a record that came neither from `decode_record` nor from `record_of`.
        """
        rows = self._rows
        if isinstance(change, Delete):
            slot = rows.slot(change.pid)
            if slot is None or rows.columns.ver[slot] > change.ver:
                return False
            rows.remove(slot)
            return True
        slot = rows.slot(change.record.pid)
        if slot is not None:
            if rows.columns.ver[slot] >= change.record.ver:
                rows.columns.mark[slot] = self._mark
                return False
            rows.remove(slot)
        rows.insert(change, mark=self._mark)
        return True

    def check(
        self, facts: Facts, api: ApiFacts, now_ms: int, *, observed: list[Verdict] | None = None
    ) -> Verdict | None:
        """Return the policy to enforce on this request, or None. Needs everything known about the caller.

        `now_ms` is Unix milliseconds. Policies that match without being enforced are appended to `observed`.
        """
        index = self._rows.index
        skip = UNTRUSTED if facts.trusted else 0
        hits: list[int] = []
        for kind, shards in index.keyed:
            value = facts[kind]
            if value is not None:
                head = shards[hash(value) & 63].get(value)  # type: ignore[arg-type]
                if head is not None:
                    self._scan(head, facts, api, now_ms, skip, hits)
        ip = facts.ip
        if ip is not None:
            networks = index.v4 if ip < _FIRST_V6 else index.v6
            if networks.size and (heads := networks.heads(ip)):
                for head in heads:
                    self._scan(head, facts, api, now_ms, skip, hits)
        if index.everyone:
            self._scan_everyone(facts, api, now_ms, skip, hits)
        return self._decide(hits, facts, observed) if hits else None

    def check_early(
        self, ip: int, api: ApiFacts, now_ms: int, *, observed: list[Verdict] | None = None
    ) -> Verdict | None:
        """Return a verdict that no later knowledge can change, from the address and the API alone, or None.

        Considers policies with no other subject. A soft verdict is withheld while an exception for some
        identity might apply: `check` decides then. Call `check` later in any case. `observed` is filled
        only with a verdict.
        """
        index = self._rows.index
        facts = Facts(ip=ip)
        hits: list[int] = []
        networks = index.v4 if ip < _FIRST_V6 else index.v6
        if networks.size and (heads := networks.heads(ip)):
            for head in heads:
                self._scan(head, facts, api, now_ms, UNTRUSTED, hits)
        if index.everyone:
            self._scan_everyone(facts, api, now_ms, UNTRUSTED, hits)
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
        columns, freed = self._rows.columns, 0
        for _ in range(min(limit, len(columns))):
            self._cursor = self._cursor + 1 if self._cursor + 1 < len(columns) else 0
            if 0 < columns.exp[self._cursor] < before_ms:
                self._rows.remove(self._cursor)
                freed += 1
        return freed

    def start_marking(self) -> None:
        """Begin a pass in which every `apply` marks its policy; `drop_unmarked` then removes the others."""
        self._mark += 1

    def drop_unmarked(self, *, step: int = 1000) -> Iterator[list[int]]:
        """Remove what was not applied since `start_marking`, `step` slots at a time; yields the removed
        policies.
        """
        columns = self._rows.columns
        for start in range(0, len(columns), step):
            gone = []
            for slot in range(start, min(start + step, len(columns))):
                if columns.exp[slot] and columns.mark[slot] != self._mark:
                    gone.append(columns.pid(slot))
                    self._rows.remove(slot)
            yield gone

    def _scan(self, head: int, facts: Facts, api: ApiFacts, now_ms: int, skip: int, hits: list[int]) -> None:
        rows, columns, slot = self._rows, self._rows.columns, head
        while slot != NONE:
            if columns.exp[slot] > now_ms:
                flags, number = columns.flags[slot], columns.api[slot]
                if (
                    not flags & skip
                    and (not number or rows.conditions[number].matches(api))
                    and (not flags & RESIDUAL or self._residual_holds(slot, facts))
                ):
                    hits.append(slot)
            slot = columns.next[slot]

    def _scan_everyone(self, facts: Facts, api: ApiFacts, now_ms: int, skip: int, hits: list[int]) -> None:
        rows = self._rows
        everyone = rows.index.everyone
        for route in (None, api.route):
            for number, head in everyone.get(route, {}).items():
                if rows.conditions[number].matches(api):
                    self._scan(head, facts, api, now_ms, skip, hits)

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

    def _decide(self, hits: list[int], facts: Facts, observed: list[Verdict] | None) -> Verdict | None:
        columns = self._rows.columns
        enforced: list[int] = []
        excepted = False
        for slot in hits:
            flags = columns.flags[slot]
            rank = flags & RANK_BITS
            if flags & MACHINE and self._exempt and rank != _ALLOW and self._is_exempt(slot, facts.ip):
                continue
            if flags & SHADOW or rank <= _ALLOW:
                excepted = excepted or (rank == _ALLOW and not flags & SHADOW)
                if observed is not None:
                    observed.append(self._verdict(slot, facts))
            else:
                enforced.append(slot)
        if excepted:
            enforced = [slot for slot in enforced if columns.flags[slot] & HARD]
        if not enforced:
            return None
        return self._verdict(
            enforced[0] if len(enforced) == 1 else min(enforced, key=self._precedence), facts
        )

    def _precedence(self, slot: int) -> tuple[int, int, int]:
        columns = self._rows.columns
        return (-(columns.flags[slot] & RANK_BITS), -columns.exp[slot], columns.pid(slot))

    def _is_exempt(self, slot: int, ip: int | None) -> bool:
        if ip is None or self._rows.columns.index[slot] < _IDENTITY:
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

    def _verdict(self, slot: int, facts: Facts) -> Verdict:
        columns = self._rows.columns
        flags, pid = columns.flags[slot], columns.pid(slot)
        rank = flags & RANK_BITS
        return Verdict(
            pid,
            ACTIONS[rank],
            columns.exp[slot],
            columns.seq[slot],
            columns.ver[slot],
            self._rows.whys.values[columns.why[slot]],
            bool(flags & HARD),
            bool(flags & SHADOW),
            bool(flags & MACHINE),
            self._rows.rates.get(slot) if rank == _THROTTLE else None,
            self._bucket(slot, pid, facts) if rank == _THROTTLE else None,
        )

    def _bucket(self, slot: int, pid: int, facts: Facts) -> Hashable:
        """One bucket for a named subject or a single address; one per caller where the policy means many."""
        index, key = self._rows.columns.index[slot], self._rows.columns.key[slot]
        if index < _CLIENT or (isinstance(key, int) and key.bit_length() == (33 if index == V4 else 129)):
            return pid
        for value, kind in ((facts.user, "u"), (facts.device, "d"), (facts.session, "s")):
            if value is not None:
                return (pid, kind, value)
        ip = facts.ip
        # One IPv6 customer has at least a /64: rotating inside it must not open new buckets.
        return (pid, "i", ip if ip is None or ip < _FIRST_V6 else ip >> 64)


def _covers(network: PackedNetwork, ip: int) -> bool:
    return ip >> (network & 255) == network >> 8
