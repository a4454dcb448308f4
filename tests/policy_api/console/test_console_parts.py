"""The console's pure parts: forms, what a searched text may mean, folding, numbers, times."""

from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import pytest
from haetae_fds.io.alert_log import LoggedAlert
from haetae_policy_api.console.cases import numbers, seen_only
from haetae_policy_api.console.forms import Form, policy_document, read_form, seconds
from haetae_policy_api.console.overview import STEP_S, WINDOW_S, incidents, series, spikes
from haetae_policy_api.console.search import folded, meanings
from haetae_policy_api.console.words import number, when
from haetae_policy_api.errors import Invalid, RequestMalformed
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.sampled_from(["user", "reason", "ip", "lasts_s"])


@given(st.binary(max_size=400))
def test_any_bytes_are_a_form_or_refused(raw: bytes) -> None:
    try:
        form = read_form(raw)
    except RequestMalformed:
        return
    assert all(text == text.strip() != "" for text in form.values.values())


@given(st.dictionaries(NAMES, st.text(min_size=1, max_size=60)), st.lists(st.text(max_size=20), max_size=5))
def test_what_a_browser_sends_is_read_back(fields: dict[str, str], ids: list[str]) -> None:
    utf = {name: text.encode("utf-8", "replace").decode() for name, text in fields.items()}
    form = read_form(urlencode([*utf.items(), *(("id", text.encode("utf-8", "replace")) for text in ids)]).encode())
    assert form.values == {name: text.strip() for name, text in utf.items() if text.strip()}
    assert len(form.ids) == len({text.encode("utf-8", "replace") for text in ids})


def test_form_becomes_the_document_of_the_api() -> None:
    raw = b"user=u-1&untrusted=1&path=%2Fa%2F**&action=throttle&limit=5&per_seconds=60&lasts_s=600&shadow=1&reason=+x+"
    assert policy_document(read_form(raw)) == {
        "subject": {"user": "u-1", "untrusted": True},
        "api": {"path": "/a/**"},
        "action": "throttle",
        "rate": {"limit": 5, "per_seconds": 60},
        "lasts_s": 600,
        "mode": "shadow",
        "reason": "x",
    }


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1e3", "９", "1" * 10, " "])
def test_what_is_no_whole_number_is_refused_by_its_field(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        seconds(Form({"lasts_s": text}), "lasts_s")
    assert refused.value.errors[0][0] == "lasts_s"


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("203.0.113.7", ("ip",)),
        ("2001:db8::/32", ("ip",)),
        ("pol_01ARZ3NDEKTSV4RRFFQ69G5FAV", ("policy",)),
        ("4bf92f3577b34da6a3ce929d0e0e4736", ("trace", "reference", "user", "device", "account", "pw_fp")),
        ("u-1029", ("reference", "user", "device", "account", "pw_fp")),
        ("", ()),
        ("a\x00b", ()),
        ("x" * 257, ()),
    ],
)
def test_text_is_looked_up_as_everything_it_may_be(text: str, kinds: tuple[str, ...]) -> None:
    assert meanings(text) == kinds


@given(st.lists(st.sampled_from(["a", "b", "refusal"]), max_size=40))
def test_folding_keeps_order_and_counts_everything(kinds: list[str]) -> None:
    events: list[dict[str, Any]] = [
        {"at_ms": -at, "what": "refusal"}
        if kind == "refusal"
        else {"at_ms": -at, "what": "request", "request": {"at_ms": -at, "path": kind}}
        for at, kind in enumerate(kinds)
    ]
    shown = folded(events)
    assert sum(event["times"] for event in shown) == len(kinds)
    assert [event["at_ms"] for event in shown] == sorted((event["at_ms"] for event in shown), reverse=True)
    for one, two in pairwise(shown):
        alike = one["what"] == two["what"] == "request" and one["request"]["path"] == two["request"]["path"]
        assert not alike


@pytest.mark.parametrize(
    ("held", "shown"),
    [
        ({"numbers": {"a": [3, 2]}}, [("a", 3.0, 2.0, 75)]),
        ({"numbers": {"a": [300, 2]}}, [("a", 300.0, 2.0, 100)]),
        ({"numbers": {"a": [1, 0]}}, [("a", 1.0, 0.0, 100)]),
        ({"numbers": {"a": [-5, 10]}}, [("a", -5.0, 10.0, 0)]),
        ({"numbers": [{"name": "a", "value": 1, "limit": 2}]}, [("a", 1.0, 2.0, 25)]),
        ({"numbers": {"a": ["1", 2], "b": [1], "c": [True, 2], "d": None}}, []),
        ({"numbers": "x"}, []),
        ({}, []),
    ],
)
def test_evidence_of_any_shape_is_shown_or_passed_by(held: dict[str, Any], shown: list[Any]) -> None:
    assert numbers(held) == shown


def test_only_the_newest_alert_or_shadow_decision_of_a_thing_is_shown() -> None:
    made = [
        {"pid": "1", "op": "put", "action": "alert", "mode": "enforce", "n": 1},
        {"pid": "1", "op": "put", "action": "alert", "mode": "enforce", "n": 2},
        {"pid": "2", "op": "put", "action": "block", "mode": "shadow", "n": 3},
        {"pid": "3", "op": "put", "action": "block", "mode": "enforce", "n": 4},
        {"pid": "4", "op": "del", "action": "alert", "mode": "shadow", "n": 5},
    ]
    assert [decision["n"] for decision in seen_only(made)] == [1, 3]


def test_times_are_utc_for_those_without_javascript_and_say_so() -> None:
    shown = str(when(1_777_629_600_000))
    assert "2026-05-01 10:00:00 UTC</time>" in shown
    assert 'datetime="2026-05-01T10:00:00.000+00:00"' in shown
    assert str(when("2026-05-01T10:00:00Z")) == shown
    assert str(when(None)) == "–"


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (1234567, "1,234,567"), (0.5, "0.5"), (6.86, "6.86")])
def test_numbers_are_written_for_people(value: float, text: str) -> None:
    assert number(value) == text


def test_chart_has_every_step_of_the_window_also_where_nothing_happened() -> None:
    ends, counts = series([], now_ms=1_777_629_600_000)
    assert len(ends) == len(counts) == WINDOW_S // STEP_S
    assert {later - earlier for earlier, later in pairwise(ends)} == {STEP_S}
    assert sum(counts) == 0


def told(minute: int, kind: str, episode: str) -> LoggedAlert:
    return LoggedAlert(at_ms=minute * 60_000, kind=kind, episode=episode, gateway="app", text=f"{kind} of {episode}")


def test_overview_shows_each_spike_that_is_not_over_once_and_none_of_yesterday() -> None:
    newest_first = [
        told(3001, "spike", "c"), told(3000, "end", "b"), told(2999, "spike", "b"), told(2998, "silence", "a"),
        told(2997, "spike", "a"), told(10, "spike", "old"),
    ]  # fmt: skip
    shown = spikes(newest_first, now_ms=3002 * 60_000)
    assert [alert["values"]["text"] for alert in shown] == ["spike of c", "spike of a"]
    assert spikes([told(3000 + number, "spike", str(number)) for number in range(50)], now_ms=3060 * 60_000)[5:] == []


def test_overview_shows_incidents_of_fraud_detection_but_no_decision_that_acts() -> None:
    def decided(action: str, ts: int, why: str) -> dict[str, Any]:
        return {"op": "put", "mode": "enforce", "action": action, "ts": ts, "why": why, "pid": why}

    newest_first = [decided("alert", 2_000_000, "a release fails"), decided("block", 1_999_999, "stuffing")]
    newest_first.append(decided("alert", 1_000, "long ago"))
    assert [alert["values"]["text"] for alert in incidents(newest_first, now_ms=2_000_001)] == ["a release fails"]
