"""The engine in simulated worlds: a quick subset of the full protocol, one small world, closed loop.

Bounds are looser than what is measured over five seeds (`docs/fds-evaluation.md`); they catch what breaks.
"""

from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from haetae_cli.worlds import WarmWorld, address_loop, engine_loop, play, record, warm_world
from haetae_demo.attack import CASES, Town, small
from haetae_fds.evaluation import ClosedLoop, Report

SEED = 11


@pytest.fixture(scope="module")
def world() -> WarmWorld:
    return warm_world(small(SEED), engine_loop)


@pytest.fixture(scope="module")
def yardstick() -> WarmWorld:
    return warm_world(small(SEED), address_loop)


def worst(report: Report) -> tuple[bool, float]:
    (result,) = report.attacks
    return result.first_refusal_ms is not None, result.score


@pytest.mark.parametrize(
    ("case", "least"),
    [
        ("brute_force_many_sources", 90),
        ("stuffing_distributed", 80),
        ("stuffing_mimic", 80),
        ("spraying", 80),
        ("account_search_from_a_net", 80),
        ("scraping_slow", 80),
        ("stolen_session", 80),
        ("app_analysis", 80),
    ],
)
def test_what_addresses_miss_is_stopped(case: str, least: float, world: WarmWorld, yardstick: WarmWorld) -> None:
    refused, score = worst(play(world, CASES[case]))
    assert refused
    assert score >= least
    assert worst(play(yardstick, CASES[case]))[1] < score


@pytest.mark.parametrize("case", ["stuffing_rotating", "object_search", "forged_crowd", "scanner", "decoy", "replay"])
def test_other_attacks_are_stopped_too(case: str, world: WarmWorld) -> None:
    refused, score = worst(play(world, CASES[case]))
    assert refused
    assert score >= 80


@pytest.mark.parametrize(
    "case", ["plain", "expired_password", "office_rush", "carrier_evening", "retry_storm", "flash_sale", "new_phones"]
)
def test_honest_hard_days_cost_hardly_anybody_anything(case: str, world: WarmWorld) -> None:
    people = play(world, CASES[case]).people
    assert people.active > 50
    assert people.refused <= max(1, people.active // 100)
    assert people.cost <= max(2.0, 0.03 * people.active)


@pytest.mark.parametrize("case", ["forged_victims", "replay", "replay_of_many"])
def test_those_whose_devices_are_claimed_by_others_are_left_alone(case: str, world: WarmWorld) -> None:
    report = play(world, CASES[case])
    assert report.people.victims == 0
    assert report.people.refused == 0


def test_plain_hours_bring_no_refusal(world: WarmWorld) -> None:
    assert world.plain.people.active > 80
    assert world.plain.people.refused <= 1


def log(decisions: Iterable[Any]) -> bytes:
    return b"\n".join(orjson.dumps(decision) for decision in decisions)


def open_loop(events: Iterable[dict[str, Any]]) -> bytes:
    loop = _loop()
    for event in events:
        loop.observe(event)
    return log(loop.decisions)


def _loop() -> ClosedLoop:
    return engine_loop(Town(small(SEED)))


def test_the_same_events_give_the_same_decision_log_to_the_byte_and_doubled_ones_too() -> None:
    events = [moment.event for moment in record(small(SEED), CASES["stuffing_one_address"])]
    first = open_loop(events)
    assert first
    assert open_loop(events) == first
    assert open_loop(event for original in events for event in (original, original)) == first
