import json
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.measure import GOALS, Goal, Measure, Results
from bench.report import render, write_json

FLOOR = Goal("floor", "a/x", "at least", 2.0, "a/y")
CEILING = Goal("ceiling", "a/x", "at most", 2.0)


def test_value_is_the_median_so_that_one_disturbed_round_does_not_move_it() -> None:
    assert Measure("a/x", "µs", (10.0, 11.0, 900.0)).value == 11.0


def test_a_measure_is_taken_once_and_never_empty() -> None:
    results = Results([Measure("a/x", "s", (1.0,))])
    with pytest.raises(ValueError, match="doubled"):
        results.add(Measure("a/x", "s", (2.0,)))
    with pytest.raises(ValueError, match="empty"):
        results.add(Measure("a/y", "s", ()))


@pytest.mark.parametrize(("work", "reached"), [(19.9, False), (20.0, True), (30.0, True)])
def test_relative_goal_compares_with_its_peer(work: float, reached: bool) -> None:
    results = Results([Measure("a/x", "s", (work,)), Measure("a/y", "s", (10.0,))])
    [judged] = results.judge([FLOOR])
    assert judged.reached is reached
    assert judged.value == pytest.approx(work / 10)


@pytest.mark.parametrize(("work", "reached"), [(2.0, True), (2.1, False)])
def test_absolute_goal_compares_with_its_bound(work: float, reached: bool) -> None:
    [judged] = Results([Measure("a/x", "s", (work,))]).judge([CEILING])
    assert judged.reached is reached


def test_goal_without_its_peer_is_not_judged() -> None:
    assert not list(Results([Measure("a/x", "s", (1e9,))]).judge([FLOOR]))
    assert not list(Results().judge(GOALS))


def test_table_says_which_goals_were_missed() -> None:
    results = Results([Measure("plain/haetae", "req/s", (9_000.0,)), Measure("plain/envoy", "req/s", (10_000.0,))])
    text = render(results, {"cores": "2"}, notes=["noisy"])
    assert "MISSED" in text
    assert "≥ 1 × plain/envoy" in text
    assert "Note: noisy" in text
    faster = Results([Measure("plain/haetae", "req/s", (11_000.0,)), Measure("plain/envoy", "req/s", (10_000.0,))])
    assert "MISSED" not in render(faster, {})


def test_latency_of_a_contender_is_one_line() -> None:
    values = {"p50": 120.0, "p99": 800.0, "added p50": 60.0, "added p99": 500.0}
    results = Results(
        Measure(f"latency/haetae/{what}", "µs", (value,), "at 9,000 req/s") for what, value in values.items()
    )
    [line] = [line for line in render(results, {}).splitlines() if "haetae" in line]
    assert " ".join(line.split()) == "haetae p50 120 µs, added 60.0 µs p99 800 µs, added 500 µs at 9,000 req/s"


def test_json_keeps_every_sample(tmp_path: Path) -> None:
    results = Results([Measure("plain/haetae", "req/s", (1.0, 3.0, 2.0)), Measure("plain/envoy", "req/s", (1.0,))])
    write_json(tmp_path / "out.json", results, {"cores": "2"}, notes=[])
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["measures"][0] == {
        "key": "plain/haetae",
        "unit": "req/s",
        "median": 2.0,
        "samples": [1.0, 3.0, 2.0],
        "note": "",
    }
    assert document["goals"][0]["reached"] is True


@pytest.mark.parametrize("argv", [["--only", "plane"], ["--rounds", "0"], ["--seconds", "-1"]])
def test_senseless_arguments_are_refused_before_anything_starts(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        main(argv)
    assert refusal.value.code == 2
