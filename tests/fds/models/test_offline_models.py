"""Truth, rows, the split, training, and the files of trained models."""

import json
from functools import cache
from typing import Any

import orjson
import pytest
from haetae_fds.errors import ModelInvalid, TrainingFailed
from haetae_fds.models.card import card, markdown
from haetae_fds.models.measures import Costs, at, thresholds, wilson
from haetae_fds.models.registry import read_registry
from haetae_fds.models.rows import collect
from haetae_fds.models.rulefile import read_rules
from haetae_fds.models.split import split
from haetae_fds.models.train import Trained, train
from haetae_fds.models.trees import TrainedModel, interpolate, read_model, write_model
from haetae_fds.models.truth import Truth
from haetae_fds.models.vector import INDEX
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fds.detectors.scene import Scene
from tests.fds.models.rows_of import DAY, START, event, row, values, world
from tests.fds.models.test_every_detector_and_model import trained as hand_made

NOW = START + 100 * DAY


@pytest.fixture(scope="module")
def made() -> Trained:
    return train(world(), version=1)


# --- what is known


def truth(*lines: dict[str, Any]) -> Truth:
    found = Truth()
    found.read(orjson.dumps(line) for line in lines)
    return found


def verdict(word: str = "confirm", **more: Any) -> dict[str, Any]:
    line = {"word": word, "at": START + 1000, "by": "kim", "policy": "p", "decision": "d", "detector": "spraying"}
    return line | {"subject": {"user": "u1"}, "campaign": "c", "decided": START, "until": START + 1000} | more


def test_event_label_beats_a_verdict_and_the_last_verdict_the_first() -> None:
    known = truth(
        {"id": "e1", "attack": None, "user": "kim"}, verdict(), verdict("false-alarm", at=START + 2000, campaign="c2")
    )
    assert known.of(event(1, user="u1", user_v=True)).person == "kim"
    assert known.of(event(2, user="u1", user_v=True)).campaign is None
    assert truth(verdict()).of(event(2, user="u1", user_v=True)).campaign == "c"


def test_verdict_covers_what_the_subject_did_while_it_stood_and_its_sample() -> None:
    known = truth(verdict(events=["e77"]))
    assert known.of(event(1, user="u1", user_v=True)).campaign == "c"
    assert known.of(event(77)).campaign == "c"
    for other in (event(1, user="u2", user_v=True), event(1, user="u1"), event(5000, user="u1", user_v=True)):
        assert known.of(other).campaign is None
        assert not known.of(other).sure


def test_verdict_on_an_address_covers_its_network_form_and_nothing_without_a_name() -> None:
    known = truth(verdict(subject={"ip": "203.0.113.0/24", "untrusted": True}))
    assert known.of(event(1, ip="203.0.113.9")).campaign == "c"
    assert known.of(event(1, ip="203.0.114.9")).campaign is None
    assert truth(verdict(subject={})).of(event(1)).campaign is None


@pytest.mark.parametrize(
    "line",
    [
        b"[]", b'{"word": "confirm"}', b'{"word": "perhaps", "at": 1}', b'{"id": 5}', b"{", b'{"word":' + b" " * 70_000,
        orjson.dumps(verdict(subject={"colour": "red"})), orjson.dumps(verdict(subject={"user": 5})),
        orjson.dumps(verdict(events=["x"] * 101)), orjson.dumps(verdict(decided="now")),
    ],
)  # fmt: skip
def test_line_that_cannot_be_read_refuses_the_file(line: bytes) -> None:
    with pytest.raises(ModelInvalid, match="line 1"):
        Truth().read([line])


def test_rows_are_one_per_caller_minute_and_kind_and_unknown_ones_are_left_out() -> None:
    scene = Scene(warm=False)
    events = []
    for number in range(40):
        scene.now += 1500
        events.append(scene.event(**scene.stranger(1), **scene.login(f"x{number}", "bad", "leaked")))
    labelled = truth(*({"id": one.id, "attack": "a"} for one in events[:20]))
    found = collect([events], labelled)
    assert {one.campaign for one in found.rows} == {"a", None}
    assert len(found.rows) <= 4
    assert found.events == 40
    # With verdicts only, what the rules object to is neither fraud nor harmless.
    unknown = collect([events], truth())
    assert unknown.unknown > 20
    assert all(one.campaign is None for one in unknown.rows)


def test_rows_are_what_an_engine_beside_would_have_been_given() -> None:
    """Settling a log-in changes what is known of the account: rows are taken before."""
    scene = Scene(warm=False)
    scene.now += 1000
    first = scene.event(**scene.stranger(1), **scene.login("x", "ok", "right"))
    (taken,) = collect([[first]], truth({"id": "other", "attack": None})).rows
    assert taken.values[INDEX["account_age_hours"]] == 0
    assert taken.values[INDEX["login"]] == 1


def test_thinning_keeps_attacks_and_is_bounded() -> None:
    scene = Scene(warm=False)
    events = []
    for number in range(300):
        scene.now += 1000
        events.append(scene.event(ip=f"203.0.{number % 250}.{number // 250 + 1}", **scene.login(number, "bad", "s")))
    labels = truth(*({"id": one.id, "attack": "a" if number < 20 else None} for number, one in enumerate(events)))
    found = collect([events], labels, most=100)
    assert len(found.rows) <= 100
    assert found.thinned > 1
    assert sum(one.campaign == "a" for one in found.rows) == 20


# --- the split and training


def test_no_attack_and_no_caller_stands_on_two_sides_and_time_only_goes_on() -> None:
    parts = split(world().rows)
    sides = (parts.train, parts.calibrate, parts.test)
    for one in range(3):
        for other in range(one):
            assert not {r.person for r in sides[one]} & {r.person for r in sides[other]}
            assert not {r.campaign for r in sides[one] if r.campaign} & {r.campaign for r in sides[other]}
            assert max(r.ts for r in sides[other]) <= min(r.ts for r in sides[one])


def test_attack_over_a_border_stays_on_the_side_it_began_on() -> None:
    rows = [*world().rows, *(row(START + DAY * day + 1, "i:long", "long") for day in range(12))]
    parts = split(sorted(rows, key=lambda one: one.ts))
    assert "long" in {one.campaign for one in parts.train}
    assert "long" not in {one.campaign for one in (*parts.calibrate, *parts.test)}


def test_plain_time_before_an_attack_belongs_to_its_part() -> None:
    parts = split(world().rows)
    assert min(one.ts for one in parts.test if one.campaign is None) < min(one.ts for one in parts.test if one.campaign)


def test_too_few_attacks_or_people_are_refused_with_what_is_missing() -> None:
    with pytest.raises(TrainingFailed, match="at least 3"):
        split(world(days=2).rows)
    with pytest.raises(TrainingFailed, match="too little to"):
        split(world(people=30).rows)
    with pytest.raises(TrainingFailed, match="same time"):
        split([row(START, "a", name) for name in ("x", "y", "z")])


def test_trained_model_finds_attacks_it_has_never_seen_and_no_people(made: Trained) -> None:
    assert made.auc > 0.99
    assert made.challenge.recall > 0.95
    assert made.challenge.days_hit == 0
    assert made.challenge.campaigns_caught == made.challenge.campaigns >= 2
    assert "address_accounts_10m" in {name for name, _ in made.telling[:2]}


def test_same_rows_give_the_same_model_and_file(made: Trained) -> None:
    again = train(world(), version=1)
    assert write_model(again.model) == write_model(made.model)


@settings(max_examples=40, deadline=None)
@given(low=st.floats(0, 500), more=st.floats(0, 500), age=st.floats(0, 700))
def test_more_failing_accounts_never_lower_the_score(low: float, more: float, age: float) -> None:
    model = _model()
    calm, worse = (values(login=1, address_accounts_10m=n, device_age_hours=age) for n in (low, low + more))
    assert model.probability(calm) <= model.probability(worse)
    assert 0 < model.probability(worse) < 1
    assert 0 <= model.score(model.probability(worse)) <= 1


@cache
def _model() -> TrainedModel:
    return train(world(), version=1).model


def test_score_is_one_half_at_the_threshold(made: Trained) -> None:
    model = made.model
    assert model.score(model.challenge) == 0.5
    assert model.score(model.challenge - 1e-9) < 0.5
    assert model.score(1.0) == 1.0


def test_attack_on_the_highest_step_of_the_calibration_is_beyond_the_threshold(made: Trained) -> None:
    surest = max(made.model.probability(one.values) for one in made.parts.test)
    assert made.model.score(surest) > 0.5
    assert made.model.score(made.model.knots[-1][1]) > 0.5


def test_contributions_name_what_made_the_difference(made: Trained) -> None:
    found = made.model.contributions(values(login=1, address_accounts_10m=30))
    assert found[0][0] == "address_accounts_10m"
    assert all(value > 0 for _, value in found)


def test_threshold_that_would_hit_too_many_people_is_never_chosen() -> None:
    rows = [row(START + n, f"p{n}") for n in range(1000)] + [row(START, f"x{n}", "a") for n in range(1000)]
    noisy = [0.9 if n < 3 else 0.1 for n in range(1000)] + [0.9] * 1000
    assert thresholds(rows, noisy, days=1000, costs=Costs()) == (1.0, None)
    clean = [0.1] * 1000 + [0.9] * 1000
    assert thresholds(rows, clean, days=1000, costs=Costs()) == (0.5, 0.5)
    challenge, block = thresholds(rows, noisy, days=2000, costs=Costs(missed=100))
    assert (challenge, block) == (0.5, None)
    assert at(challenge, rows, noisy, days=2000).days_hit == 3


def test_bounds_of_a_share_hold_the_share() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(765, 765)
    assert low >= 0.995
    assert high == 1.0
    assert wilson(764, 764)[0] < 0.995


def test_card_says_what_it_was_made_of_and_what_it_cannot_show(made: Trained) -> None:
    written = card(made, world(), made=NOW, costs=Costs(), seed=1)
    text = markdown(json.loads(json.dumps(written)))
    assert "version 1" in text
    assert "`address_accounts_10m`" in text
    assert "cannot show" in text
    assert written["data"]["train"]["campaigns"] >= 3


# --- files


def test_model_file_is_read_back_the_same() -> None:
    model = hand_made()
    assert read_model(write_model(model)) == model


def broken(**changes: Any) -> bytes:
    value = orjson.loads(write_model(hand_made()))
    return orjson.dumps(value | changes)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b"\x80\x04.", broken(format=2), broken(vector="x"), broken(features=["a"]),
        broken(name="a b"),
        broken(version=True), broken(trees=[]), broken(trees=[[[0, 1.0, 0, 1], [-1, 0.0, 0, 0]]]),
        broken(trees=[[[0, 1.0, 1, 9], [-1, 0.0, 0, 0]]]), broken(trees=[[[999, 1.0, 1, 1], [-1, 0.0, 0, 0]]]),
        broken(trees=[[[-1, None, 0, 0]]]), broken(knots=[[0, 0.5], [0, 0.6]]), broken(knots=[[0, 0.5], [1, 0.4]]),
        broken(knots=[[0, 0.5], [1, 1.5]]), broken(medians=[0]), broken(challenge=0), broken(block=2), broken(extra=1),
    ],
)  # fmt: skip
def test_file_that_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(ModelInvalid):
        read_model(data)


@given(data=st.binary(max_size=200))
def test_no_bytes_make_reading_a_model_fail_otherwise(data: bytes) -> None:
    with pytest.raises(ModelInvalid):
        read_model(data)
    with pytest.raises(ModelInvalid):
        read_registry(data)
    with pytest.raises(ModelInvalid):
        read_rules(data, now=NOW)


@given(x=st.floats(-100, 100), y=st.floats(-100, 100))
def test_calibration_curve_never_falls(x: float, y: float) -> None:
    knots = ((-3.0, 0.01), (0.0, 0.2), (0.5, 0.2), (2.0, 0.9))
    low, high = sorted((x, y))
    assert 0.01 <= interpolate(knots, low) <= interpolate(knots, high) <= 0.9
