"""The breaker opens on a share of failures with volume, tries once, and closes again."""

from typing import Any

import pytest
from haetae_oidc import Breaker, BreakerLimits, BreakerState, SettingsInvalid
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

LIMITS = BreakerLimits(window_seconds=10, min_calls=4, failure_share=0.5, open_seconds=1, max_open_seconds=4)


def opened() -> Breaker:
    breaker = Breaker(LIMITS)
    for _ in range(4):
        assert breaker.admit(now=100)
        breaker.failed(now=100)
    assert breaker.state is BreakerState.OPEN
    return breaker


def test_failures_without_volume_do_not_open_it() -> None:
    breaker = Breaker(LIMITS)
    for second in range(3):
        breaker.failed(now=100 + second)
    breaker.failed(now=120)
    assert breaker.state is BreakerState.CLOSED


def test_failures_below_the_share_do_not_open_it() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(20):
        breaker.succeeded(now=100)
        breaker.succeeded(now=100)
        breaker.failed(now=100)
    assert breaker.state is BreakerState.CLOSED


def test_open_breaker_refuses_then_tries_one_call_and_closes_when_it_succeeds() -> None:
    breaker = opened()
    assert not breaker.admit(now=100.9)
    assert breaker.admit(now=101)
    assert not breaker.admit(now=101)
    breaker.succeeded(now=101.1)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.admit(now=101.2)


def test_each_failed_trial_doubles_the_pause_up_to_its_bound() -> None:
    breaker, now = opened(), 101.0
    for pause in (2, 4, 4):
        assert breaker.admit(now=now)
        breaker.failed(now=now)
        assert not breaker.admit(now=now + pause - 0.1)
        now += pause


def test_trial_that_is_never_reported_does_not_keep_it_open() -> None:
    breaker = opened()
    assert breaker.admit(now=101)
    assert not breaker.admit(now=101.9)
    assert breaker.admit(now=102)


@pytest.mark.parametrize(
    "settings",
    [{"min_calls": 0}, {"failure_share": 0.0}, {"failure_share": 1.1}, {"open_seconds": 0.0}, {"open_seconds": 99.0}],
)
def test_breaker_that_never_opens_or_never_closes_cannot_be_made(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsInvalid):
        BreakerLimits(**settings)


class BreakerMachine(RuleBasedStateMachine):
    """Whatever happens, after the longest pause a call goes through."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(LIMITS)
        self.now = 0.0
        self.admitted = 0

    @rule(seconds=st.floats(min_value=0, max_value=5))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def call(self) -> None:
        self.admitted += self.breaker.admit(now=self.now)

    @rule(good=st.booleans())
    def report(self, good: bool) -> None:
        if self.admitted:
            self.admitted -= 1
            (self.breaker.succeeded if good else self.breaker.failed)(now=self.now)

    def teardown(self) -> None:
        assert self.breaker.admit(now=self.now + LIMITS.max_open_seconds)


TestBreakerMachine = BreakerMachine.TestCase
