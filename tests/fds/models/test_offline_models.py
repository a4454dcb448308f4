"""Truth, rows, the split, training, files, the registry, and rules from files."""

import json
import os
import stat
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from haetae_fds import Engine
from haetae_fds.decision import Action, Subject
from haetae_fds.errors import ModelInvalid, TrainingFailed
from haetae_fds.io.models import ModelFolder, load_scorer
from haetae_fds.models.card import card, markdown
from haetae_fds.models.measures import Costs, at, thresholds, wilson
from haetae_fds.models.propose import propose
from haetae_fds.models.registry import Entry, Registry, Reviewed, Stage, read_registry, write_registry
from haetae_fds.models.roles import CHALLENGER, NOVELTY, OFFLINE, Role
from haetae_fds.models.rows import collect
from haetae_fds.models.rulefile import FileRule, parse_when, read_rules, write_rules
from haetae_fds.models.split import split
from haetae_fds.models.train import Trained, train
from haetae_fds.models.trees import TrainedModel, interpolate, read_model, write_model
from haetae_fds.models.truth import Truth
from haetae_fds.models.vector import FEATURES, INDEX
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


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    made = ModelFolder(tmp_path / "models")
    made.make()
    return made


def test_new_version_is_registered_in_shadow_and_watches(folder: ModelFolder) -> None:
    folder.add(hand_made(), {"a": 1}, "# card", now=NOW)
    model = load_scorer(folder)
    assert list(model.trained) == [CHALLENGER]
    assert model.role(CHALLENGER) is Role.SHADOW
    (entry,) = (entry for entry in folder.registry().all() if entry.name == OFFLINE)
    assert (entry.stage, folder.card(entry)) == (Stage.SHADOW, "# card")


def test_promoted_version_acts_and_the_next_one_watches_beside_it(folder: ModelFolder) -> None:
    folder.add(hand_made(), {}, "", now=NOW)
    folder.add(replace(hand_made(), version=4), {}, "", now=NOW)
    registry = folder.registry().moved(
        OFFLINE, 3, Stage.ENFORCE, by="kim", why="", now=NOW, reviewed=Reviewed(), owner="kim"
    )
    folder.keep(registry)
    model = load_scorer(folder)
    assert {name: one.version for name, one in model.trained.items()} == {OFFLINE: 3, CHALLENGER: 4}
    assert model.role(OFFLINE) is Role.ENFORCE
    folder.keep(registry.moved(OFFLINE, 4, Stage.ENFORCE, by="kim", why="", now=NOW, reviewed=Reviewed(), owner="k"))
    model = load_scorer(folder)
    assert {name: one.version for name, one in model.trained.items()} == {OFFLINE: 4, CHALLENGER: 3}


def test_changed_model_registry_or_key_is_refused(folder: ModelFolder) -> None:
    folder.add(hand_made(), {}, "", now=NOW)
    place = folder.folder / f"{OFFLINE}-3" / "model.json"
    good = place.read_bytes()
    place.write_bytes(good.replace(b'"challenge":0.5', b'"challenge":0.1'))
    with pytest.raises(ModelInvalid, match="not the file"):
        load_scorer(folder)
    place.write_bytes(good)
    listed = folder.folder / "registry"
    held = listed.read_bytes()
    listed.write_bytes(held.replace(b'"shadow"', b'"enforce"'))
    with pytest.raises(ModelInvalid, match="changed by something else"):
        load_scorer(folder)
    listed.write_bytes(held)
    assert load_scorer(folder).trained
    (folder.folder / "registry.key").write_bytes(os.urandom(32))
    with pytest.raises(ModelInvalid, match="another key"):
        load_scorer(folder)


def test_folder_or_key_open_to_others_is_refused(folder: ModelFolder) -> None:
    folder.add(hand_made(), {}, "", now=NOW)
    key = folder.folder / "registry.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    key.chmod(0o644)
    with pytest.raises(ModelInvalid, match="read by others"):
        folder.registry()
    key.chmod(0o600)
    folder.folder.chmod(0o777)
    with pytest.raises(ModelInvalid, match="nobody else"):
        folder.registry()


def test_missing_folder_or_file_is_a_refusal_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match="No such file"):
        load_scorer(ModelFolder(tmp_path / "none"))


def registered(stage: Stage = Stage.SHADOW, *, days: float = 0) -> tuple[Registry, int]:
    entry = Entry(name=OFFLINE, version=1, stage=Stage.SHADOW, made=NOW, sha256="0" * 64)
    registry = Registry().added(entry)
    now = NOW + int(days * DAY)
    if stage is not Stage.SHADOW:
        registry = registry.moved(OFFLINE, 1, stage, by="a", why="", now=now, reviewed=Reviewed(), owner="a")
    return registry, now


@pytest.mark.parametrize(
    ("days", "right", "wrong", "owner", "to", "allowed"),
    [
        (0, 0, 0, None, Stage.ENFORCE, False),
        (0, 0, 0, "kim", Stage.ENFORCE, True),
        (14, 800, 0, None, Stage.ENFORCE, True),
        (13, 800, 0, None, Stage.ENFORCE, False),
        (14, 100, 0, None, Stage.ENFORCE, False),
        (14, 800, 3, None, Stage.ENFORCE, False),
        (14, 800, 0, None, Stage.BLOCK, False),
        (13, 800, 0, "kim", Stage.BLOCK, False),
        (14, 100, 0, "kim", Stage.BLOCK, False),
        (14, 800, 0, "kim", Stage.BLOCK, True),
    ],
)
def test_more_rights_take_time_evidence_or_a_name_and_to_refuse_takes_all(
    days: float, right: int, wrong: int, owner: str | None, to: Stage, *, allowed: bool
) -> None:
    registry, now = registered(days=days)
    reviewed = Reviewed(right=right, wrong=wrong)
    if not allowed:
        with pytest.raises(ModelInvalid, match="there is: "):
            registry.moved(OFFLINE, 1, to, by="me", why="", now=now, reviewed=reviewed, owner=owner)
        return
    entry = registry.moved(OFFLINE, 1, to, by="me", why="x", now=now, reviewed=reviewed, owner=owner).get(OFFLINE, 1)
    assert entry.stage is to
    assert entry.steps[-1].by == "me"
    assert f"{right} of {right + wrong}" in entry.steps[-1].why


def test_retired_version_stays_retired_and_an_unknown_one_is_refused() -> None:
    registry, now = registered()
    registry = registry.moved(OFFLINE, 1, Stage.RETIRED, by="a", why="", now=now, reviewed=Reviewed(), owner=None)
    with pytest.raises(ModelInvalid, match="retired"):
        registry.moved(OFFLINE, 1, Stage.SHADOW, by="a", why="", now=now, reviewed=Reviewed(), owner=None)
    with pytest.raises(ModelInvalid, match="no version 9"):
        registry.get(OFFLINE, 9)
    assert registry.challenger() is None


def test_models_that_learn_while_running_begin_in_shadow_and_can_be_promoted() -> None:
    registry = Registry()
    assert registry.role(NOVELTY) is Role.SHADOW
    registry = registry.moved(NOVELTY, 1, Stage.ENFORCE, by="a", why="", now=NOW, reviewed=Reviewed(), owner="kim")
    again = read_registry(write_registry(registry))
    assert again.role(NOVELTY) is Role.ENFORCE
    assert again.get(NOVELTY, 1).steps == registry.get(NOVELTY, 1).steps


# --- rules from files


def rule_file(**changes: Any) -> bytes:
    rule = {
        "name": "rule_x", "when": "login >= 1 and address_accounts_10m >= 3", "action": "challenge", "mode": "enforce",
        "expires": START + 20 * DAY, "why": "because",
    }  # fmt: skip
    return orjson.dumps({"format": 1, "rules": [rule | changes]})


def test_rule_of_a_file_acts_with_its_numbers_and_only_written_down_in_shadow() -> None:
    far = 1_700_000_000_000 + 25 * DAY
    (one,) = stuffed_at(rule_file(expires=far))
    assert (one.detector, one.action, one.mode.value) == ("rule_x", Action.CHALLENGE, "enforce")
    assert [(n.name, n.value, n.limit) for n in one.numbers] == [("login", 1, 1), ("address_accounts_10m", 3, 3)]
    (one,) = stuffed_at(rule_file(mode="shadow", expires=far))
    assert one.mode.value == "shadow"
    assert stuffed_at(rule_file(expires=1_700_000_000_000)) == []


def stuffed_at(data: bytes) -> list[Any]:
    rules = [FileRule(rule) for rule in read_rules(data, now=1_700_000_000_000)]
    scene = Scene()
    scene.engine.detectors = tuple(Engine(rules=rules).detectors[-1:])
    made = []
    for number in range(6):
        made += scene.send(300, **scene.stranger(1), **scene.login(f"x{number}", "bad", "leaked"))
    return made[:1]


@pytest.mark.parametrize(
    "changes",
    [
        {"when": "__import__('os') >= 1"}, {"when": "login > 1"}, {"when": "login >= -1"}, {"when": "login >= 1e9"},
        {"when": ""}, {"when": "colour >= 1"}, {"when": " and ".join(["login >= 1"] * 6)}, {"name": "spraying"},
        {"name": "rule_X"}, {"action": "delete"}, {"mode": "maybe"}, {"expires": START + 60 * DAY}, {"expires": "soon"},
        {"why": 5}, {"why": "\x1b[2J"}, {"more": 1},
    ],
)  # fmt: skip
def test_rule_that_is_none_refuses_the_file(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelInvalid):
        read_rules(rule_file(**changes), now=START)


def test_rule_file_is_bounded_and_names_are_unique() -> None:
    rules = read_rules(rule_file(), now=START)
    with pytest.raises(ModelInvalid, match="twice"):
        read_rules(write_rules([*rules, *rules], more=[{}, {}]), now=START)
    many = [replace(rules[0], name=f"rule_{number}") for number in range(101)]
    with pytest.raises(ModelInvalid, match="at most 100"):
        read_rules(write_rules(many, more=[{}] * 101), now=START)
    with pytest.raises(ModelInvalid, match="too large"):
        read_rules(b" " * 300_000, now=START)


@given(
    parts=st.lists(
        st.tuples(st.sampled_from([f.name for f in FEATURES]), st.booleans(), st.decimals(0, 99_999, places=4)),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_conditions_are_read_as_they_are_written(parts: list[tuple[str, bool, Any]]) -> None:
    text = " and ".join(f"{name} {'>=' if least else '<='} {value}" for name, least, value in parts)
    read = parse_when(text)
    assert parse_when(" and ".join(map(str, read))) == read
    assert [float(value) for *_, value in parts] == [condition.value for condition in read]


def test_proposal_catches_the_attack_and_nobody_else_on_what_it_has_not_seen() -> None:
    found = propose(world(), expires=NOW)
    assert found
    for one in found:
        assert one.backtest.precision == 1.0
        assert one.backtest.recall > 0.7
        assert one.backtest.days_hit == 0
        assert not one.rule.enforce
        assert len(one.rule.when) <= 3
    again = read_rules(write_rules([one.rule for one in found], more=[{}] * len(found)), now=NOW)
    assert again == tuple(one.rule for one in found)


def test_attack_that_looks_like_people_gets_no_rule() -> None:
    rows = [row(START + n * 60_000, f"p{n % 50}", login=1.0) for n in range(500)]
    rows += [row(START + n * 60_000, "x", "same", login=1.0) for n in range(40)]
    collected = replace(world(), rows=sorted(rows, key=lambda one: one.ts))
    assert propose(collected, expires=NOW) == []


def test_subject_of_a_rule_names_strangers_at_login() -> None:
    (one,) = stuffed_at(rule_file(expires=1_700_000_000_000 + DAY))
    assert one.subject == Subject(ip="203.0.1.9", client="bot|bot|bot", untrusted=True)
