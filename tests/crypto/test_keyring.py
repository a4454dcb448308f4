"""Key rings: states, lives, rotation and the strict JSON form."""

import json
from typing import Any

import pytest
from haetae_crypto.errors import KeyFormatInvalid, KeyUnavailable
from haetae_crypto.keyring import KeyRing, KeyState, RingEntry, is_key_id, ring_from_json, ring_to_json
from haetae_crypto.signing_keys import SigningKey, new_signing_ring, next_signing_entry, public_jwks
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule


def entry(kid: str, state: KeyState = KeyState.ACTIVE, *, start: int = 0, end: int = 100) -> RingEntry[str]:
    return RingEntry(kid=kid, key=f"key {kid}", state=state, not_before=start, not_after=end)


def test_empty_ring_refuses_everything() -> None:
    ring: KeyRing[str] = KeyRing(())
    for ask in (ring.active, ring.published_for_use, ring.published_for_verification):
        with pytest.raises(KeyUnavailable):
            ask(now=0)
    with pytest.raises(KeyUnavailable):
        ring.accepted("a", now=0)
    with pytest.raises(KeyUnavailable):
        ring.retire("a")


@pytest.mark.parametrize(
    ("state", "now", "used", "accepted"),
    [
        (KeyState.NEXT, 50, False, True),
        (KeyState.ACTIVE, 9, False, True),
        (KeyState.ACTIVE, 10, True, True),
        (KeyState.ACTIVE, 99.9, True, True),
        (KeyState.ACTIVE, 100, False, False),
        (KeyState.VERIFY_ONLY, 50, False, True),
        (KeyState.VERIFY_ONLY, 100, False, False),
        (KeyState.RETIRED, 50, False, False),
    ],
)
def test_state_and_life_decide_what_a_key_may_do(state: KeyState, now: float, used: bool, accepted: bool) -> None:
    ring = KeyRing((entry("a", state, start=10),))
    if used:
        assert ring.active(now=now).kid == "a"
    else:
        with pytest.raises(KeyUnavailable):
            ring.active(now=now)
    if accepted:
        assert ring.accepted("a", now=now).key == "key a"
    else:
        with pytest.raises(KeyUnavailable):
            ring.accepted("a", now=now)


def test_rotation_publishes_before_use_and_keeps_the_old_key_for_verification() -> None:
    ring = KeyRing((entry("a"),))
    ring = ring.rotate(entry("b", KeyState.NEXT, start=20, end=120), now=10)
    assert ring.active(now=10).kid == "a"
    assert [e.kid for e in ring.published_for_use(now=10)] == ["a", "b"]
    fresh = entry("c", KeyState.NEXT, start=60, end=160)
    with pytest.raises(KeyUnavailable):
        ring.rotate(fresh, now=19)
    ring = ring.rotate(fresh, now=20)
    assert ring.active(now=20).kid == "b"
    assert ring.accepted("a", now=20).state is KeyState.VERIFY_ONLY
    assert [e.kid for e in ring.published_for_use(now=20)] == ["b", "c"]
    assert [e.kid for e in ring.published_for_verification(now=20)] == ["a", "b", "c"]
    ring = ring.rotate(entry("d", KeyState.NEXT, start=130, end=300), now=110)
    assert {e.kid: e.state for e in ring.entries}["a"] is KeyState.RETIRED
    ring = ring.rotate(entry("e", KeyState.NEXT, start=140, end=300), now=130)
    assert "a" not in {e.kid for e in ring.entries}


@pytest.mark.parametrize("fresh", [entry("b"), entry("b", KeyState.NEXT, start=9), entry("a", KeyState.NEXT, start=20)])
def test_key_that_is_not_fresh_does_not_enter(fresh: RingEntry[str]) -> None:
    with pytest.raises(KeyFormatInvalid):
        KeyRing((entry("a"),)).rotate(fresh, now=10)


def test_leaked_key_is_withdrawn_at_once() -> None:
    ring = KeyRing((entry("a"), entry("b", KeyState.VERIFY_ONLY))).retire("a")
    with pytest.raises(KeyUnavailable):
        ring.accepted("a", now=1)
    assert ring.accepted("b", now=1).kid == "b"


@pytest.mark.parametrize(
    "entries",
    [
        (entry("a"), entry("a", KeyState.RETIRED)),
        (entry("a"), entry("b")),
        (entry("a", KeyState.NEXT), entry("b", KeyState.NEXT)),
        tuple(entry(f"k{index}", KeyState.RETIRED) for index in range(65)),
    ],
    ids=["doubled-id", "two-active", "two-next", "too-many"],
)
def test_ring_that_contradicts_itself_is_refused(entries: tuple[RingEntry[str], ...]) -> None:
    with pytest.raises(KeyFormatInvalid):
        KeyRing(entries)


@pytest.mark.parametrize("kid", ["", ".", "..", ".a", "a/b", "a b", "a\x00b", "é", "a" * 129, "a\n", "~a"])
def test_key_id_that_would_need_escaping_is_refused(kid: str) -> None:
    assert not is_key_id(kid)
    with pytest.raises(KeyFormatInvalid):
        entry(kid)


@pytest.mark.parametrize("life", [(5, 5), (6, 5), (-1, 5), (0, 2**53)])
def test_key_without_a_life_is_refused(life: tuple[int, int]) -> None:
    with pytest.raises(KeyFormatInvalid):
        entry("a", start=life[0], end=life[1])


def read_text(_kid: str, members: Any) -> str:
    return str(members["text"])


def as_json(ring: KeyRing[str]) -> bytes:
    return ring_to_json(ring, purpose="test", write_key=lambda key: {"text": key})


RING = KeyRing((entry("a"), entry("b", KeyState.VERIFY_ONLY)))


def test_ring_survives_its_json() -> None:
    assert ring_from_json(as_json(RING), purpose="test", read_key=read_text) == RING


def edited(edit: Any) -> bytes:
    document = json.loads(as_json(RING))
    edit(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d.update(version=2),
        lambda d: d.update(version=True),
        lambda d: d.update(version="1"),
        lambda d: d.update(purpose="other"),
        lambda d: d.update(more=1),
        lambda d: d.pop("keys"),
        lambda d: d.update(keys={}),
        lambda d: d.update(keys=[1]),
        lambda d: d.update(keys=d["keys"] * 40),
        lambda d: d["keys"][0].update(more=1),
        lambda d: d["keys"][0].pop("state"),
        lambda d: d["keys"][0].update(state="Active"),
        lambda d: d["keys"][0].update(state=["active"]),
        lambda d: d["keys"][0].update(kid=7),
        lambda d: d["keys"][0].update(kid="b"),
        lambda d: d["keys"][0].update(key="text"),
        lambda d: d["keys"][0].update(not_before=1.0),
        lambda d: d["keys"][0].update(not_after=True),
        lambda d: d["keys"][0].update(not_after="100"),
    ],
    ids=range(19),
)
def test_json_of_another_form_is_refused(edit: Any) -> None:
    with pytest.raises(KeyFormatInvalid):
        ring_from_json(edited(edit), purpose="test", read_key=read_text)


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_with_the_declared_error(data: bytes) -> None:
    with pytest.raises(KeyFormatInvalid):
        ring_from_json(data, purpose="test", read_key=read_text)


def test_published_jwks_has_no_secret_and_no_retired_key() -> None:
    ring = new_signing_ring(b"\x01" * 32, now=1000)
    ring = ring.rotate(next_signing_entry(b"\x02" * 32, now=1000), now=1000)
    document: Any = public_jwks(ring, now=1001)
    assert len(document["keys"]) == 2
    for key in document["keys"]:
        assert set(key) == {"kty", "crv", "x", "kid", "alg", "use"}
    retired = ring.retire(ring.entries[0].kid)
    assert len(public_jwks(retired, now=1001)["keys"]) == 1  # type: ignore[arg-type]


def test_signing_key_reads_back_only_under_its_own_id() -> None:
    key = SigningKey.from_seed(b"\x01" * 32)
    assert SigningKey.from_secret_dict(key.kid, key.to_secret_dict()).sign(b"x") == key.sign(b"x")
    assert key.to_secret_dict()["d"] not in repr(key)
    with pytest.raises(KeyFormatInvalid):
        SigningKey.from_secret_dict("other", key.to_secret_dict())
    with pytest.raises(KeyFormatInvalid):
        SigningKey.from_seed(b"short")


class RotationMachine(RuleBasedStateMachine):
    """However time passes and keys rotate: never two active keys, never a first use before publication."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.made = 1
        self.ring = KeyRing((entry("k0", end=500),))
        self.published_at = {"k0": 0}

    @rule(seconds=st.integers(0, 120))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(lead=st.integers(0, 60), life=st.integers(1, 400))
    def rotate(self, lead: int, life: int) -> None:
        start = self.now + lead
        fresh = entry(f"k{self.made}", KeyState.NEXT, start=start, end=start + life)
        try:
            self.ring = self.ring.rotate(fresh, now=self.now)
        except KeyUnavailable:
            return
        self.published_at[fresh.kid] = self.now
        self.made += 1

    @precondition(lambda self: len(self.ring.entries) > 1)
    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        self.ring = self.ring.retire(data.draw(st.sampled_from(self.ring.entries)).kid)

    @invariant()
    def active_key_was_published_and_is_accepted(self) -> None:
        try:
            active = self.ring.active(now=self.now)
        except KeyUnavailable:
            return
        assert self.published_at[active.kid] <= active.not_before <= self.now < active.not_after
        assert self.ring.accepted(active.kid, now=self.now) == active
        assert active in self.ring.published_for_verification(now=self.now)


TestRotation = RotationMachine.TestCase
