"""The yardstick keeps to its public thresholds."""

from collections import Counter
from typing import Any

from haetae_fds.evaluation import AddressBuckets
from hypothesis import given
from hypothesis import strategies as st

BASE: dict[str, Any] = {
    "id": "e",
    "ts": 0,
    "gw": "app",
    "ip": "198.51.100.7",
    "status": 401,
    "auth": "bad",
    "api": "POST /l",
}


def first_ban(events: list[dict[str, Any]]) -> int | None:
    buckets = AddressBuckets()
    for number, event in enumerate(events):
        if buckets.decide(event):
            return number
    return None


def test_the_sixth_failed_log_in_in_a_row_is_one_too_many() -> None:
    assert first_ban([{**BASE, "ts": n * 100} for n in range(10)]) == 5


def test_failures_slower_than_the_leak_never_ban() -> None:
    assert first_ban([{**BASE, "ts": n * 10_100} for n in range(200)]) is None


def test_the_same_missing_path_is_no_probing_and_eleven_different_ones_are() -> None:
    missing = {**BASE, "auth": None, "status": 404}
    assert first_ban([{**missing, "ts": n, "obj": "same"} for n in range(100)]) is None
    assert first_ban([{**missing, "ts": n, "obj": str(n)} for n in range(100)]) == 10


def test_forty_distinct_pages_at_once_are_a_crawl() -> None:
    page = {**BASE, "auth": None, "status": 200}
    assert first_ban([{**page, "ts": n, "obj": str(n)} for n in range(100)]) == 40


def test_a_ban_names_the_address_for_four_hours_and_what_is_blocked_feeds_nothing() -> None:
    buckets = AddressBuckets()
    bans = [ban for n in range(6) for ban in buckets.decide({**BASE, "ts": n})]
    assert [(ban["subject"], ban["exp"] - ban["ts"]) for ban in bans] == [({"ip": "198.51.100.7"}, 4 * 3_600_000)]
    assert not any(buckets.decide({**BASE, "ts": 10 + n, "pol": "block"}) for n in range(100))


STEPS = st.lists(st.tuples(st.integers(0, 5_000), st.sampled_from("abc"), st.sampled_from([200, 401])), max_size=60)


@given(STEPS)
def test_every_ban_is_paid_for_by_six_failures_of_that_address(steps: list[tuple[int, str, int]]) -> None:
    buckets, now_ms = AddressBuckets(), 0
    failures: Counter[str] = Counter()
    bans: Counter[str] = Counter()
    for step, address, status in steps:
        now_ms += step
        failures[address] += status == 401
        event = {**BASE, "ts": now_ms, "ip": address, "status": status, "auth": None, "obj": "same"}
        bans.update(ban["subject"]["ip"] for ban in buckets.decide(event))
        assert 6 * bans[address] <= failures[address]
