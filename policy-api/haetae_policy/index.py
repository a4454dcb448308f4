"""Subject -> slots. A policy is filed under its most selective condition; its other conditions are residual.

Order of selectivity: session, device, user, account, secret, client, network, nothing ("everyone", filed by route).
Policies filed under the same key form a chain through `Row.next`; the store keeps chains short.
"""

from typing import Final, cast

from haetae_policy.model import KINDS, Subject
from haetae_policy.prefixes import PrefixIndex
from haetae_policy.slots import NONE, Slots

V4: Final = len(KINDS)
V6: Final = V4 + 1
EVERYONE: Final = V6 + 1
_SHARDS: Final = 64
_MASK: Final = _SHARDS - 1


class SubjectIndex:
    """The look-up structures; `keyed` and friends are read by the table's hot path."""

    __slots__ = ("_shards", "_sizes", "_slots", "everyone", "keyed", "v4", "v6")

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._shards: tuple[list[dict[str, int]], ...] = tuple([{} for _ in range(_SHARDS)] for _ in KINDS)
        self._sizes = [0] * len(KINDS)
        self.keyed: tuple[tuple[int, list[dict[str, int]]], ...] = ()
        self.v4 = PrefixIndex(bits=32, block=16)
        self.v6 = PrefixIndex(bits=128, block=32)
        self.everyone: dict[str | None, dict[int, int]] = {}

    def file(self, slot: int, index: int, key: str | int) -> int:
        """Put `slot` at the front of its chain; return what its row must name as the next one."""
        if isinstance(key, int):
            return (self.v4 if index == V4 else self.v6).put(key, slot)
        shard = self._shards[index][hash(key) & _MASK]
        head = shard.get(key, NONE)
        shard[key] = slot
        if head == NONE:
            before = self._sizes[index]
            self._sizes[index] = before + 1
            if not before:
                self._note_kinds()
        return head

    def file_everyone(self, slot: int, route: str | None, api: int) -> int:
        """Put `slot` at the front of the chain of everyone's policies with this API condition; return as `file`."""
        chains = self.everyone.setdefault(route, {})
        head = chains.get(api, NONE)
        chains[api] = slot
        return head

    def withdraw(self, slot: int) -> None:
        """Take `slot` out of its chain."""
        row, key = self._slots.read(slot), self._slots.keys[slot]
        if row.kind == EVERYONE:
            self._withdraw_everyone(slot, cast("str | None", key), row.api, row.next)
            return
        head = self._head(row.kind, cast("str | int", key))
        if head != slot:
            self._unlink(head, slot)
        elif row.next != NONE:
            self._set_head(row.kind, cast("str | int", key), row.next)
        elif isinstance(key, int):
            (self.v4 if row.kind == V4 else self.v6).remove(key)
        else:
            del self._shards[row.kind][hash(key) & _MASK][cast("str", key)]
            self._sizes[row.kind] -= 1
            if not self._sizes[row.kind]:
                self._note_kinds()

    def _withdraw_everyone(self, slot: int, route: str | None, api: int, after: int) -> None:
        chains = self.everyone[route]
        if chains[api] != slot:
            self._unlink(chains[api], slot)
        elif after != NONE:
            chains[api] = after
        else:
            del chains[api]
            if not chains:
                del self.everyone[route]

    def _unlink(self, head: int, slot: int) -> None:
        slots = self._slots
        while (after := slots.next(head)) != slot:
            head = after
        slots.set_next(head, slots.next(slot))

    def _head(self, index: int, key: str | int) -> int:
        if isinstance(key, int):
            return (self.v4 if index == V4 else self.v6).head(key)
        return self._shards[index][hash(key) & _MASK].get(key, NONE)

    def _set_head(self, index: int, key: str | int, slot: int) -> None:
        """Another slot of the same chain comes first."""
        if isinstance(key, int):
            (self.v4 if index == V4 else self.v6).put(key, slot)
        else:
            self._shards[index][hash(key) & _MASK][key] = slot

    def _note_kinds(self) -> None:
        """Keep `keyed` to the kinds that occur, so that a request never probes an empty structure."""
        self.keyed = tuple((kind, self._shards[kind]) for kind, size in enumerate(self._sizes) if size)


def residual_of(subject: Subject, primary: int) -> tuple[int | str, ...]:
    """Return the conditions beside the primary one, flat: position in Facts, value, position, value, ...

    A network's value is its marked prefix and shift packed into one integer, `prefix << 8 | shift`.
    """
    flat: list[int | str] = []
    for kind, name in enumerate(KINDS):
        if kind != primary and (value := getattr(subject, name)) is not None:
            flat += (kind, value)
    if subject.ip is not None and primary < V4:
        flat += (V4, subject.ip.key << 8 | subject.ip.shift)
    return tuple(flat)
