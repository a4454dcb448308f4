"""A Passport serves its caller's next requests: only for what it was minted from, in the first half of its life."""

from dataclasses import replace

import pytest
from haetae_crypto.errors import KeyUnavailable
from haetae_crypto.keyring import KeyState
from haetae_passport import PassportMinter
from haetae_passport.memory import PassportMemory
from hypothesis import given
from hypothesis import strategies as st

from tests.passport.world import CONTEXT, ISSUER, NOW, VERIFIER, mint, published, ring

KEY = object()


def memory(limit: int = 8, lifetime: int = 60) -> PassportMemory:
    return PassportMemory(limit, lifetime=lifetime)


@pytest.mark.parametrize(
    ("age", "found"), [(0, True), (29.999, True), (30, False), (60, False), (-0.001, False), (-3600, False)]
)
def test_passport_is_found_in_the_first_half_of_its_life_and_by_no_clock_that_was_put_back(
    age: float, found: bool
) -> None:
    kept = memory()
    kept.keep("u-1", {"vip": True}, "token", key=KEY, now=NOW)
    assert (kept.recall("u-1", {"vip": True}, key=KEY, now=NOW + age) == "token") is found


def test_other_inputs_facts_or_key_find_nothing() -> None:
    kept = memory()
    kept.keep("u-1", {"vip": True}, "token", key=KEY, now=NOW)
    assert kept.recall("u-2", {"vip": True}, key=KEY, now=NOW) is None
    assert kept.recall("u-1", {"vip": False}, key=KEY, now=NOW) is None
    assert kept.recall("u-1", {"vip": True}, key=object(), now=NOW) is None


def test_full_memory_gives_up_the_oldest_and_ended_ones_leave_by_themselves() -> None:
    kept = memory(limit=3)
    for number in range(5):
        kept.keep(number, None, f"t-{number}", key=KEY, now=NOW + number)
    assert [kept.recall(number, None, key=KEY, now=NOW + 5) for number in range(5)] == [None, None, "t-2", "t-3", "t-4"]
    kept.keep(9, None, "t-9", key=KEY, now=NOW + 100)
    kept.keep(10, None, "t-10", key=KEY, now=NOW + 100)
    assert len(kept) == 2


def test_memory_of_nothing_keeps_nothing() -> None:
    kept = memory(limit=0)
    kept.keep("u-1", None, "token", key=KEY, now=NOW)
    assert (len(kept), kept.recall("u-1", None, key=KEY, now=NOW)) == (0, None)


steps = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 1), st.floats(0, 20, allow_nan=False)), max_size=60
)


@given(steps)
def test_what_is_found_was_minted_last_from_just_this_and_is_young(
    calls: list[tuple[int, int, int, float]],
) -> None:
    kept, keys, now = memory(limit=4), (object(), object()), float(NOW)
    minted: dict[int, tuple[int, int, float, str]] = {}
    for number, (inputs, facts, key, passed) in enumerate(calls):
        now += passed
        token = kept.recall(inputs, facts, key=keys[key], now=now)
        if token is not None:
            was_facts, was_key, then, was_token = minted[inputs]
            assert (was_facts, was_key, was_token) == (facts, key, token)
            assert now - then < 30
        else:
            minted[inputs] = (facts, key, now, f"t-{number}")
            kept.keep(inputs, facts, f"t-{number}", key=keys[key], now=now)
        assert len(kept) <= 4


def test_passport_of_a_key_that_was_rotated_out_or_withdrawn_is_not_handed_out_again() -> None:
    before = ring((1, KeyState.ACTIVE), (2, KeyState.NEXT))
    minter = PassportMinter(issuer=ISSUER, ring=before)
    minter.keep("u-1", None, mint(minter=minter), now=NOW)
    assert minter.recall("u-1", None, now=NOW + 1) is not None
    minter.use_ring(ring((1, KeyState.RETIRED), (2, KeyState.ACTIVE)))
    assert minter.recall("u-1", None, now=NOW + 1) is None
    minter.use_ring(ring((1, KeyState.RETIRED)))
    with pytest.raises(KeyUnavailable):
        minter.recall("u-1", None, now=NOW + 1)


def test_passport_of_several_requests_names_no_trace_and_verifies() -> None:
    several = VERIFIER.verify(mint(context=replace(CONTEXT, trace=None)), keys=published(), now=NOW)
    assert several.context.trace is None
    assert "trace" not in several.context.members
    assert VERIFIER.verify(mint(), keys=published(), now=NOW).context.trace == CONTEXT.trace
