"""Spike alerts: what must wake somebody does, once; what must not does not."""

import random
from collections.abc import Iterable
from typing import Any

import pytest
from haetae_fds.alerts import Alert, SpikeDetector, Window, WindowCounter
from haetae_fds.alerts.message import summary
from haetae_fds.alerts.spikes import SMALL
from haetae_fds.event import Event
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fds.alerts.traffic import Traffic


def window(minute: int, requests: int, errors: int, *, route: str = "pay", kind: str = "5xx") -> Window:
    return Window(
        minute=minute, gateway="app", route=route, requests=requests, errors={kind: errors},
        contributors={"version 7.2": errors},
    )  # fmt: skip


def run(detector: SpikeDetector, counts: Iterable[tuple[int, int]], *, start: int = 0) -> list[Alert]:
    return [
        alert
        for minute, (requests, errors) in enumerate(counts, start)
        for alert in detector.minute(minute, [window(minute, requests, errors)])
    ]


def calm(minutes: int, *, requests: int = 1000, errors: int = 5) -> list[tuple[int, int]]:
    return [(requests, errors)] * minutes


def test_a_spike_is_one_alert_and_one_end() -> None:
    alerts = run(SpikeDetector(), [*calm(300), *[(1000, 120)] * 10, *calm(20)])
    assert [alert.kind for alert in alerts] == ["spike", "end"]
    assert alerts[0].minute == 300
    (rise,) = alerts[0].rises
    assert (rise.route, rise.errors) == ("pay", 120)
    assert rise.z > 8
    assert rise.score > 0.5
    assert alerts[0].contributors == (("version 7.2", 120),)
    assert alerts[0].episode == alerts[1].episode
    assert alerts[1].minute == 312
    assert summary(alerts[1]).endswith("are over (app/5xx/300)")


def test_a_smaller_spike_needs_two_of_three_minutes() -> None:
    counts = [*calm(300), (1000, 24), *calm(10), (1000, 24), (1000, 5), (1000, 24), *calm(10)]
    alerts = run(SpikeDetector(), counts)
    assert [(alert.kind, alert.minute) for alert in alerts][:1] == [("spike", 313)]


def test_a_route_that_never_failed_does_not_explode_at_its_first_errors() -> None:
    assert run(SpikeDetector(), [*calm(600, errors=0), (1000, 1), (1000, 2), (1000, 3), *calm(10, errors=0)]) == []


@pytest.mark.parametrize("errors", [0, 20, 50, 400])
def test_route_whose_errors_were_always_there_wakes_nobody_when_watching_begins(errors: int) -> None:
    """A tenth of some services' answers are 404, and have been for years."""
    rng = random.Random(errors)
    usual = [(1000, max(0, round(rng.gauss(errors, errors**0.5)))) for _ in range(600)]
    assert run(SpikeDetector(), usual) == []
    (alert,) = run(SpikeDetector(), [*usual, *[(1000, 2 * errors + 40)] * 3])
    assert (alert.kind, alert.minute // 2) == ("spike", 300)


def test_few_errors_are_no_incident_however_unusual() -> None:
    assert run(SpikeDetector(), [*calm(600, errors=0), *[(1000, 4)] * 5]) == []


def test_ten_times_the_traffic_with_the_same_ratio_is_no_spike() -> None:
    assert run(SpikeDetector(), [*calm(300), *calm(60, requests=10_000, errors=50)]) == []


def test_a_change_that_stays_stops_alarming_within_hours() -> None:
    detector = SpikeDetector()
    alerts = run(detector, [*calm(300), *[(1000, 60)] * 3000])
    assert [alert.kind for alert in alerts] == ["spike", "end"]
    assert 330 < alerts[1].minute < 3000
    assert "5xx at app have not gone: pay has 60 of 1000, which is its usual by now" in summary(alerts[1])
    assert run(detector, [(1000, 60)] * 60, start=3300) == []


def test_routes_with_few_requests_are_judged_together_and_named() -> None:
    detector = SpikeDetector()
    alerts: list[Alert] = []
    for minute in range(320):
        bad = 6 if minute >= 310 else 0
        alerts += detector.minute(minute, [window(minute, 10, bad, route=f"small-{n}") for n in range(12)])
    assert alerts[0].kind == "spike"
    assert alerts[0].rises[0].route == SMALL
    assert len(alerts[0].contributors) == 5
    assert all(name.startswith("route small-") and count == 6 for name, count in alerts[0].contributors)
    assert len(alerts) == 1


def test_routes_that_rise_together_are_one_alert_with_the_worst_first() -> None:
    detector = SpikeDetector()
    alerts: list[Alert] = []
    for minute in range(312):
        bad = 10 if minute >= 300 else 0
        alerts += detector.minute(minute, [window(minute, 1000, 5 + bad * n * 3, route=f"r{n}") for n in range(1, 9)])
    (alert,) = alerts
    assert alert.kind == "spike"
    assert alert.rises[0].route == "r8"
    assert len(alert.rises) == 5


def test_a_route_that_falls_silent_is_told_once_and_its_return_too() -> None:
    detector = SpikeDetector()
    alerts = run(detector, calm(120))
    for minute in range(120, 140):
        alerts += detector.minute(minute, [])
    alerts += run(detector, calm(5), start=140)
    assert [(alert.kind, alert.errors, alert.minute) for alert in alerts] == [
        ("silence", "silence", 122),
        ("end", "silence", 140),
    ]


def test_a_route_with_hardly_any_requests_may_be_silent() -> None:
    detector = SpikeDetector()
    alerts = run(detector, calm(120, requests=3, errors=0))
    for minute in range(120, 200):
        alerts += detector.minute(minute, [])
    assert alerts == []


def test_in_a_made_up_week_real_incidents_are_found_and_nobody_is_woken_for_nothing() -> None:
    """The protocol of the full run, smaller: `python -m bench.spikes` has 200 routes and 14 days."""
    traffic = Traffic(seed=3, routes=25, days=5, incidents=20)
    detector = SpikeDetector()
    spikes = [
        alert for minute, windows in traffic for alert in detector.minute(minute, windows) if alert.kind == "spike"
    ]
    material = traffic.material()
    found = [
        item
        for item in material
        if any(item.start <= alert.minute <= item.start + item.minutes + 1 for alert in spikes)
    ]
    false = [
        alert
        for alert in spikes
        if not any(item.start <= alert.minute <= item.start + item.minutes + 2 for item in traffic.incidents)
    ]
    assert len(material) >= 8
    assert len(found) / len(material) >= 0.95
    assert len(false) <= 2


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)), max_size=60))
def test_any_counts_give_alerts_or_none_and_scores_within_bounds(counts: list[tuple[int, int]]) -> None:
    for alert in run(SpikeDetector(), [(requests, min(requests, errors)) for requests, errors in counts]):
        assert all(0.0 <= rise.score <= 1.0 for rise in alert.rises)


def test_the_number_of_routes_is_bounded() -> None:
    detector = SpikeDetector()
    detector.minute(0, [window(0, 30, 0, route=f"r{n}") for n in range(6000)])
    assert detector.refused == 1000


def event(second: float, **changes: Any) -> Event:
    made: dict[str, Any] = {"id": f"e{second}", "ts": int(second * 1000), "gw": "app", "route": "pay", "status": 200}
    made.update(changes)
    return Event(**made)


def test_events_become_minutes_by_their_own_time() -> None:
    counter = WindowCounter()
    closed = []
    for at in (6000, 6001, 6030, 6059):
        closed += counter.observe(event(at, status=503, ver="7.2"))
    closed += counter.observe(event(6065))
    closed += counter.observe(event(6059.5))
    closed += counter.observe(event(6190))
    assert [minute for minute, _ in closed] == [100, 101]
    (first,) = closed[0][1]
    assert (first.requests, first.errors) == (5, {"4xx": 0, "5xx": 4})
    assert first.contributors["version 7.2"] == 4


def test_minutes_without_events_are_told_too() -> None:
    counter = WindowCounter()
    counter.observe(event(6000))
    closed = counter.observe(event(6600))
    assert [(minute, len(windows)) for minute, windows in closed] == [(100, 1), *((n, 0) for n in range(101, 109))]


@pytest.mark.parametrize("pol", ["block", "challenge", "throttle"])
def test_what_policies_refuse_is_no_fault_of_a_service(pol: str) -> None:
    counter = WindowCounter()
    counter.observe(event(6000, status=403, pol=pol))
    ((_, (found,)), *_) = counter.observe(event(6600))
    assert found.errors == {"4xx": 0, "5xx": 0}


def test_late_events_are_counted_aside() -> None:
    counter = WindowCounter()
    counter.observe(event(6000))
    counter.observe(event(6600))
    counter.observe(event(6000.5))
    assert counter.late == 1
