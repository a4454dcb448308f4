"""A ring of keys of one purpose, each with a state and a life, and the rotation that never surprises a peer.

    next ──► active ──► verify-only ──► retired
    (published,   (signs or is     (old messages     (kept for the record,
     not yet used)  sealed to)       still hold)       accepted by nobody)

Rules kept:
- Empty is not success: a ring without a fitting key raises, whatever is asked of it.
- A key is published (`next`) before it is used: `rotate` promotes it only once its `not_before` has come, so
  a peer that fetched the list within that lead already knows it.
- `not_before` limits *use*. Acceptance starts with publication, because refusing a key that a peer with a
  fast clock already uses protects nobody. `not_after` ends both.
- Rings are values: a rotation gives a new ring. Key ids are unique; the number of keys is bounded.
- The JSON form is strict: unknown members, states or versions are errors.

Not done here: making keys, reading files, deciding when to rotate.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Generic, TypeVar

from haetae_crypto.errors import KeyFormatInvalid, KeyUnavailable
from haetae_crypto.strict_json import MAX_SAFE_INTEGER, canonical_json, read_json_object

K = TypeVar("K")

MAX_KEYS: Final = 64
RING_VERSION: Final = 1
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~:-]{0,127}")
_ENTRY_MEMBERS: Final = frozenset({"kid", "state", "not_before", "not_after", "key"})


def is_key_id(text: str) -> bool:
    """Whether `text` may name a key: 1 to 128 URL-safe characters, not starting with a dot.

    Key ids end up in URLs, store keys and key-derivation labels, so the alphabet leaves nothing to escape.
    """
    return _NAME.fullmatch(text) is not None


class KeyState(StrEnum):
    """Where a key stands in its life; see the drawing above."""

    NEXT = "next"
    ACTIVE = "active"
    VERIFY_ONLY = "verify-only"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class RingEntry(Generic[K]):
    """One key: `not_before` and `not_after` are Unix seconds, the second one exclusive."""

    kid: str
    key: K
    state: KeyState
    not_before: int
    not_after: int

    def __post_init__(self) -> None:
        if not is_key_id(self.kid):
            raise KeyFormatInvalid("malformed key id")
        if not 0 <= self.not_before < self.not_after <= MAX_SAFE_INTEGER:
            raise KeyFormatInvalid(f"key {self.kid!r} has no life: not_before is not before not_after")


@dataclass(frozen=True, slots=True)
class KeyRing(Generic[K]):
    """Keys of one purpose. Raises KeyFormatInvalid when made of doubled ids, two active or two next keys."""

    entries: tuple[RingEntry[K], ...]
    _by_kid: dict[str, RingEntry[K]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_kid = {entry.kid: entry for entry in self.entries}
        if len(by_kid) != len(self.entries):
            raise KeyFormatInvalid("key id used twice in one ring")
        if len(self.entries) > MAX_KEYS:
            raise KeyFormatInvalid(f"more than {MAX_KEYS} keys in one ring")
        for state in (KeyState.NEXT, KeyState.ACTIVE):
            if sum(entry.state is state for entry in self.entries) > 1:
                raise KeyFormatInvalid(f"more than one {state} key in one ring")
        object.__setattr__(self, "_by_kid", by_kid)

    def active(self, *, now: float) -> RingEntry[K]:
        """The key to sign with, or that peers should seal to. Raises KeyUnavailable when there is none."""
        for entry in self.entries:
            if entry.state is KeyState.ACTIVE and entry.not_before <= now < entry.not_after:
                return entry
        raise KeyUnavailable("the ring has no active key")

    def accepted(self, kid: str, *, now: float) -> RingEntry[K]:
        """The key to verify or open with. Raises KeyUnavailable when unknown, retired or past its life."""
        entry = self._by_kid.get(kid)
        if entry is None or entry.state is KeyState.RETIRED or now >= entry.not_after:
            raise KeyUnavailable("the ring holds no usable key of that id")
        return entry

    def published_for_use(self, *, now: float) -> tuple[RingEntry[K], ...]:
        """Keys peers may seal to: the active and the next one. Raises KeyUnavailable when there is none."""
        return self._published(now, {KeyState.NEXT, KeyState.ACTIVE})

    def published_for_verification(self, *, now: float) -> tuple[RingEntry[K], ...]:
        """Keys that peers need to verify our signatures. Raises KeyUnavailable when there is none."""
        return self._published(now, {KeyState.NEXT, KeyState.ACTIVE, KeyState.VERIFY_ONLY})

    def _published(self, now: float, states: set[KeyState]) -> tuple[RingEntry[K], ...]:
        entries = tuple(entry for entry in self.entries if entry.state in states and now < entry.not_after)
        if not entries:
            raise KeyUnavailable("the ring has no key to publish")
        return entries

    def rotate(self, fresh: RingEntry[K], *, now: float) -> "KeyRing[K]":
        """Promote the next key, keep the old active one for verification only, and publish `fresh` as next.

        Keys past their life become retired; those already retired leave the ring. A ring without a next key
        only publishes `fresh`. Raises KeyFormatInvalid when `fresh` is not a future `next` key, and
        KeyUnavailable when the present next key is not due yet.
        """
        if fresh.state is not KeyState.NEXT or fresh.not_before < now:
            raise KeyFormatInvalid("a fresh key enters the ring as next, with its not_before to come")
        upcoming = [entry for entry in self.entries if entry.state is KeyState.NEXT]
        if upcoming and upcoming[0].not_before > now:
            raise KeyUnavailable("the next key has not been published long enough")
        kept = (entry for entry in self.entries if entry.state is not KeyState.RETIRED)
        moved = (_aged(entry, now=now, promote=bool(upcoming)) for entry in kept)
        return KeyRing((*moved, fresh))

    def retire(self, kid: str) -> "KeyRing[K]":
        """Withdraw one key at once, for a key that leaked. Raises KeyUnavailable when the id is unknown."""
        if kid not in self._by_kid:
            raise KeyUnavailable("the ring holds no key of that id")
        return KeyRing(tuple(replace(e, state=KeyState.RETIRED) if e.kid == kid else e for e in self.entries))


def ring_to_json(ring: KeyRing[K], *, purpose: str, write_key: Callable[[K], Mapping[str, object]]) -> bytes:
    """The ring as canonical JSON. With private keys inside, the result is secret."""
    keys = [
        {
            "kid": entry.kid,
            "state": entry.state.value,
            "not_before": entry.not_before,
            "not_after": entry.not_after,
            "key": write_key(entry.key),
        }
        for entry in ring.entries
    ]
    return canonical_json({"version": RING_VERSION, "purpose": purpose, "keys": keys})


def ring_from_json(data: bytes, *, purpose: str, read_key: Callable[[str, Mapping[str, object]], K]) -> KeyRing[K]:
    """Read what `ring_to_json` wrote; `read_key` gets the key id and the key's own members.

    Raises KeyFormatInvalid for any other text, another version or another purpose.
    """
    try:
        document = read_json_object(data)
    except ValueError as why:
        raise KeyFormatInvalid(f"key ring is not strict JSON: {why}") from None
    if set(document) != {"version", "purpose", "keys"}:
        raise KeyFormatInvalid("key ring has members other than version, purpose and keys")
    version = document["version"]
    if type(version) is not int or version != RING_VERSION or document["purpose"] != purpose:
        raise KeyFormatInvalid(f"not a key ring of version {RING_VERSION} for {purpose!r}")
    keys = document["keys"]
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise KeyFormatInvalid(f"key ring needs a list of at most {MAX_KEYS} keys")
    return KeyRing(tuple(_read_entry(item, read_key) for item in keys))


def _read_entry(item: object, read_key: Callable[[str, Mapping[str, object]], K]) -> RingEntry[K]:
    if not isinstance(item, dict) or set(item) != _ENTRY_MEMBERS:
        raise KeyFormatInvalid(f"a key needs exactly the members {', '.join(sorted(_ENTRY_MEMBERS))}")
    kid, state, key = item["kid"], item["state"], item["key"]
    if not isinstance(kid, str) or not isinstance(key, dict):
        raise KeyFormatInvalid("a key needs an id and an object")
    if not isinstance(state, str) or state not in set(KeyState):
        raise KeyFormatInvalid(f"key {kid!r} has an unknown state")
    not_before, not_after = item["not_before"], item["not_after"]
    if type(not_before) is not int or type(not_after) is not int:
        raise KeyFormatInvalid(f"key {kid!r} needs whole Unix seconds")
    return RingEntry(kid=kid, key=read_key(kid, key), state=KeyState(state), not_before=not_before, not_after=not_after)


def _aged(entry: RingEntry[K], *, now: float, promote: bool) -> RingEntry[K]:
    state = entry.state
    if promote and state is KeyState.NEXT:
        state = KeyState.ACTIVE
    elif promote and state is KeyState.ACTIVE:
        state = KeyState.VERIFY_ONLY
    if now >= entry.not_after:
        state = KeyState.RETIRED
    return replace(entry, state=state)
