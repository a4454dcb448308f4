"""Networks of one IP version -> slots: a hash table over marked prefixes, guided by which lengths occur
where.

A marked prefix (see `network`) tells its own length, so all lengths share one table. To avoid probing every
length, the lengths at or above `block` bits are kept per leading block (a /16 for IPv4, a /32 for IPv6);
the few shorter ones are global. A look-up costs one probe plus one per length that occurs in the caller's
own block.

Tables are split into shards so that no insertion ever rehashes more than a small part (the event loop waits
for it). Keys are mixed with a number that differs per process: whoever holds a large IPv6 network could
otherwise choose addresses that collide.
"""

from typing import Final

_SHARDS: Final = 64
_MASK: Final = _SHARDS - 1
_MAX_SETS: Final = 1024
# Text hashing is seeded per process (PYTHONHASHSEED); two of them give 128 bits without asking for
# randomness here.
_SALT: Final = (hash("haetae.prefixes.high") & (1 << 64) - 1) << 64 | hash("haetae.prefixes.low") & (1 << 64) - 1


class PrefixIndex:
    """Chains of slots by network. Holds heads only; the chains belong to the table's columns."""

    __slots__ = (
        "_bits",
        "_block",
        "_block_shift",
        "_blocks",
        "_counts",
        "_salt",
        "_sets",
        "_shards",
        "_short",
        "size",
    )

    def __init__(self, *, bits: int, block: int) -> None:
        self._bits = bits
        self._block = block
        self._block_shift = bits - block
        self._salt = _SALT if bits == 128 else 0
        self._shards: list[dict[int, int]] = [{} for _ in range(_SHARDS)]
        self._short: tuple[int, ...] = ()
        self._blocks: dict[int, tuple[int, ...]] = {}
        self._counts: dict[int, int] = {}
        self._sets: dict[tuple[int, ...], tuple[int, ...]] = {}
        self.size = 0

    def find(self, address: int, heads: list[int]) -> None:
        """Append to `heads` the chain heads of every network that holds `address` (a marked address)."""
        shards, salt = self._shards, self._salt
        for shift in self._blocks.get(address >> self._block_shift, ()):
            key = address >> shift ^ salt
            head = shards[key & _MASK].get(key)
            if head is not None:
                heads.append(head)
        for shift in self._short:
            key = address >> shift ^ salt
            head = shards[key & _MASK].get(key)
            if head is not None:
                heads.append(head)

    def head(self, network: int) -> int:
        """Return the chain head of exactly this marked prefix, or -1."""
        key = network ^ self._salt if self._salt else network
        return self._shards[key & _MASK].get(key, -1)

    def put(self, network: int, head: int) -> int:
        """Set the chain head of a marked prefix; return what it was, or -1."""
        key = network ^ self._salt if self._salt else network
        shard = self._shards[key & _MASK]
        before = shard.get(key, -1)
        if before < 0:
            self.size += 1
            self._note(network, 1)
        shard[key] = head
        return before

    def remove(self, network: int) -> None:
        """Forget a marked prefix that is present."""
        key = network ^ self._salt if self._salt else network
        del self._shards[key & _MASK][key]
        self.size -= 1
        self._note(network, -1)

    def _note(self, network: int, step: int) -> None:
        """Keep count of how many networks of this length the block (or, for short ones, the world) has."""
        prefix = network.bit_length() - 1
        shift = self._bits - prefix
        block = network >> prefix - self._block if prefix >= self._block else 0
        counter = block << 8 | prefix
        count = self._counts.get(counter, 0) + step
        if count:
            self._counts[counter] = count
        else:
            del self._counts[counter]
        if count and (step < 0 or count > 1):
            return
        shifts = self._blocks.get(block, ()) if block else self._short
        changed = tuple(sorted({*shifts, shift})) if count else tuple(held for held in shifts if held != shift)
        if len(self._sets) >= _MAX_SETS:
            self._sets.clear()  # only sharing is lost
        changed = self._sets.setdefault(changed, changed)
        if not block:
            self._short = changed
        elif changed:
            self._blocks[block] = changed
        else:
            del self._blocks[block]
