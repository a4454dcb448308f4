"""The replay window: a record of a nonce outlives every acceptance of its signature."""

import pytest
from haetae_crypto.errors import ClockSkew
from haetae_crypto.replay import Window
from hypothesis import given
from hypothesis import strategies as st


@given(
    expires=st.integers(1_000, 2_000),
    life=st.integers(1, 30),
    claimed=st.floats(-60, 60),
    clock_difference=st.floats(-5, 5),
    later=st.floats(0, 120),
)
def test_no_gateway_accepts_after_the_record_is_gone(
    expires: int, life: int, claimed: float, clock_difference: float, later: float
) -> None:
    window = Window()
    now = expires + claimed
    try:
        window.check(created=expires - life, expires=expires, now=now)
    except ClockSkew:
        return
    ttl = window.nonce_ttl_ms(expires=expires, now=now) / 1000
    assert 0 < ttl <= window.max_lifetime + 3 * window.skew + window.margin
    other_clock = now + later + clock_difference
    try:
        window.check(created=expires - life, expires=expires, now=other_clock)
    except ClockSkew:
        return
    assert later <= ttl - window.margin + 1e-6


def test_ttl_is_the_published_formula_in_milliseconds() -> None:
    assert Window().nonce_ttl_ms(expires=120, now=100.0) == 35_000
    assert Window().nonce_ttl_ms(expires=120, now=100.0004) == 35_000
    assert Window(skew=2, margin=1).nonce_ttl_ms(expires=120, now=121.5) == 3_500


def test_nonce_of_a_signature_that_expired_during_the_upload_is_not_claimed() -> None:
    with pytest.raises(ClockSkew):
        Window().nonce_ttl_ms(expires=120, now=125.01)


@pytest.mark.parametrize("values", [(0, 5, 5), (30, -1, 5), (30, 5, 0)])
def test_window_that_protects_nothing_is_refused(values: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError):
        Window(*values)
