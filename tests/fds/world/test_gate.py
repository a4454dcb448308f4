"""Decisions in force: whom they stop, on what, from when until when."""

from typing import Any

import pytest
from haetae_fds.evaluation import Gate
from hypothesis import given
from hypothesis import strategies as st

DECISION: dict[str, Any] = {
    "ts": 1_000,
    "op": "put",
    "mode": "enforce",
    "action": "block",
    "subject": {"user": "u-1"},
    "api": None,
    "exp": 60_000,
    "detector": "r07",
    "pid": "p1",
}
EVENT: dict[str, Any] = {
    "ts": 2_000,
    "gw": "app",
    "route": "transfer",
    "api": "POST /v1/transfers/{id}",
    "ip": "203.0.113.9",
    "user": "u-1",
    "user_v": True,
    "dev": "dev_1",
    "dev_v": True,
    "sess": "s-1",
    "acct": "a-1",
    "ja4": "j",
    "ua": "u",
    "hdr": "h",
}


def judged(decision: dict[str, Any], event: dict[str, Any] | None = None, *, established: bool = False) -> str:
    gate = Gate()
    gate.take({**DECISION, **decision})
    return gate.judge({**EVENT, **(event or {})}, established=established)[0]


@pytest.mark.parametrize(
    "subject",
    [
        {"user": "u-1"},
        {"device": "dev_1"},
        {"session": "s-1"},
        {"account": "a-1"},
        {"client": "j|u|h"},
        {"ip": "203.0.113.9"},
        {"ip": "203.0.113.0/24"},
        {"ip": "203.0.113.9", "device": "dev_1"},
        {"untrusted": True, "ip": "203.0.113.9"},
        {"untrusted": True},
    ],
)
def test_who_is_meant_is_stopped(subject: dict[str, Any]) -> None:
    assert judged({"subject": subject}) == "block"


@pytest.mark.parametrize(
    "subject",
    [
        {"user": "u-2"},
        {"user": "u-1", "device": "dev_2"},
        {"client": "j|u|x"},
        {"ip": "203.0.114.0/24"},
        {"ip": "2001:db8::/32"},
        {"ip": "203.0.113.9", "session": "s-2"},
    ],
)
def test_who_fits_only_in_part_passes(subject: dict[str, Any]) -> None:
    assert judged({"subject": subject}) == "allow"


def test_a_claimed_device_that_was_not_verified_is_not_the_blocked_one() -> None:
    assert judged({"subject": {"device": "dev_1"}}, {"dev_v": False}) == "allow"


def test_a_claimed_user_that_was_not_verified_is_not_the_blocked_one() -> None:
    assert judged({}, {"user_v": False}) == "allow"


def test_untrusted_passes_established_callers_by() -> None:
    assert judged({"subject": {"ip": "203.0.113.9", "untrusted": True}}, established=True) == "allow"


@pytest.mark.parametrize(
    ("api", "verdict"),
    [
        ({"gateway": "app", "route": "transfer", "method": "POST", "path": "/v1/transfers/{id}"}, "block"),
        ({"path": "/v1/transfers/**"}, "block"),
        ({"path": "/v1/**"}, "block"),
        ({"path": "/v1/transfer/**"}, "allow"),
        ({"route": "other"}, "allow"),
        ({"method": "GET"}, "allow"),
        ({"gateway": "web"}, "allow"),
    ],
)
def test_only_the_named_api_is_closed(api: dict[str, str], verdict: str) -> None:
    assert judged({"api": api}) == verdict


@pytest.mark.parametrize(
    "inert", [{"mode": "shadow"}, {"mode": "off"}, {"action": "alert"}, {"approval": True}, {"subject": {}}]
)
def test_what_must_not_act_does_not_act(inert: dict[str, Any]) -> None:
    assert judged(inert) == "allow"


def test_a_decision_acts_after_the_delay_and_until_its_end() -> None:
    gate = Gate(delay_ms=10)
    gate.take(DECISION)
    times = {1_009: "allow", 1_010: "block", 59_999: "block", 60_000: "allow"}
    assert {at: gate.judge({**EVENT, "ts": at}, established=False)[0] for at in times} == times


def test_an_extension_moves_only_the_end() -> None:
    gate = Gate()
    gate.take(DECISION)
    gate.take({**DECISION, "op": "extend", "ts": 50_000, "exp": 90_000})
    assert gate.judge({**EVENT, "ts": 2_000}, established=False) == ("block", "p1")
    assert gate.judge({**EVENT, "ts": 89_000}, established=False) == ("block", "p1")


def test_what_is_taken_back_no_longer_acts() -> None:
    gate = Gate()
    gate.take(DECISION)
    gate.take({**DECISION, "op": "del"})
    assert gate.judge(EVENT, established=False) == ("allow", None)
    assert len(gate) == 0


def test_the_strongest_of_several_wins() -> None:
    gate = Gate()
    gate.take({**DECISION, "action": "challenge", "pid": "p2", "subject": {"ip": "203.0.113.0/24"}})
    assert gate.judge(EVENT, established=False) == ("challenge", "p2")
    gate.take(DECISION)
    assert gate.judge(EVENT, established=False) == ("block", "p1")


def test_a_throttle_lets_its_rate_through_and_no_more() -> None:
    gate = Gate()
    gate.take({**DECISION, "action": "throttle", "rate": [2, 1]})
    verdicts = [gate.judge({**EVENT, "ts": 2_000 + 100 * n}, established=False)[0] for n in range(20)]
    assert verdicts[:2] == ["allow", "allow"]
    assert 4 <= verdicts.count("allow") <= 6


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "del", "extend"]),
            st.sampled_from(["p1", "p2", "p3"]),
            st.integers(0, 100),
            st.integers(1, 100),
        ),
        max_size=30,
    )
)
def test_after_any_history_exactly_the_decisions_in_force_act(history: list[tuple[str, str, int, int]]) -> None:
    gate, ends = Gate(delay_ms=0), dict[str, int]()
    now_ms = 0
    for op, pid, step, life in history:
        now_ms += step
        ends = {held: end for held, end in ends.items() if end > now_ms}
        exp = now_ms + life
        # Look first: rules that have run out are forgotten when they are met.
        gate.judge({**EVENT, "ts": now_ms}, established=False)
        gate.take({**DECISION, "op": op, "pid": pid, "ts": now_ms, "exp": exp})
        if op == "del":
            ends.pop(pid, None)
        else:
            ends[pid] = exp
        verdict, by = gate.judge({**EVENT, "ts": now_ms}, established=False)
        assert (verdict == "block") == bool(ends)
        assert by is None or by in ends
