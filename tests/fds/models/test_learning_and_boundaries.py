"""The parts of the online models: features, boundaries, the gate, labels, drift."""

import math
import pickle
import random

import pytest
from haetae_fds.decision import Action, Number, Subject
from haetae_fds.facts import LOGIN, OBJECT, Facts
from haetae_fds.finding import Finding
from haetae_fds.models import labelled as labelled_module
from haetae_fds.models.conformal import POOL, Thresholds, segment_of
from haetae_fds.models.drift import BATCH, Drift, Moved
from haetae_fds.models.gate import HELD_SHARE, QUIET, Gate, flagged
from haetae_fds.models.labelled import DELAY, Labelled
from haetae_fds.models.novelty import Novelty
from haetae_fds.models.roles import LABELS, NOVELTY, OFFLINE, Role
from haetae_fds.models.scorer import ModelScorer, ModelSettings, label_key
from haetae_fds.models.trees import TrainedModel, sigmoid_knots
from haetae_fds.models.vector import FEATURES, INDEX, NAMES, Feature, scaled, vector
from haetae_fds.state import DAY, HOUR, MINUTE, Browse, Pair, Place, Version
from hypothesis import given
from hypothesis import strategies as st

from tests.fds.models.rows_of import START, event, facts, values

ANY = st.floats(allow_nan=True, allow_infinity=True)


@given(value=ANY)
def test_feature_is_never_nan_and_never_beyond_its_limit(value: float) -> None:
    for counts in (True, False):
        feature = Feature(name="f", limit=50, read=lambda f: value, counts=counts)
        held = feature.bounded(facts())
        assert 0 <= held <= 50
        assert 0 <= feature.scaled(value) <= 1


@given(low=st.floats(0, 1e9), more=st.floats(0, 1e9))
def test_scale_of_every_feature_is_monotone(low: float, more: float) -> None:
    for feature in FEATURES:
        assert feature.scaled(low) <= feature.scaled(low + more)
        assert feature.scaled(0) == 0
        assert feature.scaled(feature.limit) == pytest.approx(1)


def test_event_about_which_nothing_is_known_is_a_row_of_zeros() -> None:
    assert vector(facts()) == [0.0] * len(NAMES)
    assert len(set(NAMES)) == len(NAMES)


def test_boundary_is_crossed_by_alpha_of_harmless_traffic() -> None:
    rng = random.Random(1)
    thresholds = Thresholds(alpha=0.01, least=20_000)
    for number in range(20_000):
        thresholds.add("app old", rng.random() ** 2, START + number)
    crossed = 0
    for _ in range(20_000):
        p = thresholds.p("app old", rng.random() ** 2)
        assert p is not None
        crossed += thresholds.score(p) > 0.5
    assert 100 <= crossed <= 260


def test_boundary_says_nothing_before_there_are_enough_samples() -> None:
    thresholds = Thresholds(alpha=0.001, least=10)
    for number in range(999):
        thresholds.add("web new", 0.5, START + number)
        assert thresholds.p("web new", 1.0) is None
    thresholds.add("web new", 0.5, START + 999)
    assert thresholds.p("web new", 1.0) == pytest.approx(1 / 1001)


def test_new_segment_is_judged_by_all_until_it_has_its_own_samples() -> None:
    thresholds = Thresholds(alpha=0.1, least=100)
    for number in range(100):
        thresholds.add("app old", number / 100, START + number)
    assert thresholds.p("partner new", 0.995) == thresholds.p(POOL, 0.995)
    assert thresholds.p("partner new", 0.995) == pytest.approx(1 / 101)


def test_boundary_is_renewed_after_a_day_and_follows_what_is_usual_now() -> None:
    thresholds = Thresholds(alpha=0.01, least=200)
    for number in range(200):
        thresholds.add("app old", 0.1, START + number)
    before = thresholds.p("app old", 0.8)
    for number in range(400):
        thresholds.add("app old", 0.8, START + DAY + number * 10 * MINUTE)
    after = thresholds.p("app old", 0.8)
    assert before is not None
    assert after is not None
    assert thresholds.score(before) > 0.5 > thresholds.score(after)


@given(a=st.floats(0, 1), b=st.floats(0, 1))
def test_score_never_falls_as_strangeness_grows(a: float, b: float) -> None:
    thresholds = Thresholds(alpha=0.05, least=100)
    for number in range(200):
        thresholds.add("s", number / 250, START)
    low, high = (thresholds.p("s", value) for value in sorted((a, b)))
    assert low is not None
    assert high is not None
    assert thresholds.score(low) <= thresholds.score(high)


def test_segment_tells_apart_how_the_caller_comes_in() -> None:
    assert segment_of(facts(san="partner.example")) == "partner new"
    assert segment_of(facts(dev="d", dev_v=True)) == "app new"
    known = facts(ver="5")
    known.trusted = True
    assert segment_of(known) == "app old"
    assert segment_of(facts()) == "web new"


def test_gate_keeps_out_what_a_rule_flagged_and_what_is_strange() -> None:
    gate = Gate()
    assert gate.admits("s", START, flagged=False, p=None)
    assert gate.admits("s", START, flagged=False, p=0.5)
    assert not gate.admits("s", START, flagged=True, p=0.5)
    assert not gate.admits("s", START, flagged=False, p=0.001)


def test_gate_lets_a_tenth_in_after_half_an_hour_of_a_new_habit() -> None:
    gate = Gate()
    admitted = [gate.admits("s", START + number * 1000, flagged=False, p=0.001) for number in range(6000)]
    first = admitted.index(True)
    assert first * 1000 >= QUIET
    later = admitted[first:]
    assert sum(later) == pytest.approx(len(later) / 10, abs=1)


def test_gate_stays_shut_while_rules_go_on_firing() -> None:
    gate = Gate()
    admitted = 0
    for number in range(6000):
        at = START + number * 1000
        if number % 600 == 0:
            gate.admits("s", at, flagged=True, p=None)
        admitted += gate.admits("s", at, flagged=False, p=0.001)
    assert admitted == 0


def test_models_own_findings_do_not_keep_the_gate_shut_for_ever() -> None:
    gate = Gate()
    admitted = 0
    for number in range(6000):
        at = START + number * 1000
        if number % 600 == 0:
            assert not gate.admits("s", at, flagged=True, p=None, hit=False)
        admitted += gate.admits("s", at, flagged=False, p=0.001)
    assert admitted > 0


def test_few_strange_events_never_open_the_gate() -> None:
    gate = Gate()
    for number in range(20_000):
        strange = number % round(2 / HELD_SHARE) == 0
        assert gate.admits("s", START + number * 1000, flagged=False, p=0.001 if strange else 0.5) is not strange


def test_event_of_a_running_attack_counts_as_flagged_and_an_alert_does_not() -> None:
    f = facts()
    assert not flagged(f, [finding(Action.ALERT)])
    assert flagged(f, [finding(Action.CHALLENGE)])
    f.place = Place()
    f.place.hot = f.now + 1
    assert flagged(f, [])


def finding(action: Action = Action.BLOCK, detector: str = "stuffing_from_address", subject: str = "u") -> Finding:
    return Finding(
        detector=detector, version=1, action=action, subjects=(Subject(user=subject),), api=None, what="", numbers=(),
        events=("e",),
    )  # fmt: skip


def test_learning_only_unflagged_events_keeps_seeing_an_attack_that_learning_everything_forgets() -> None:
    rng = random.Random(3)
    gated, greedy = Novelty(seed=1), Novelty(seed=1)

    def usual() -> dict[str, float]:
        return scaled(values(login=1, address_accounts_10m=rng.randrange(3), device_age_hours=500 + rng.randrange(200)))

    def attack() -> dict[str, float]:
        return scaled(values(login=1, address_accounts_10m=200 + rng.randrange(200), address_failed_share_10m=0.95))

    for _ in range(3000):
        x = usual()
        gated.learn(x)
        greedy.learn(x)
    for _ in range(2500):
        greedy.learn(attack())
        gated.learn(usual())
    people = [usual() for _ in range(500)]
    hostile = [attack() for _ in range(200)]

    def recall(model: Novelty) -> float:
        limit = max(model.strangeness(x) or 0.0 for x in people)
        return sum((model.strangeness(x) or 0.0) > limit for x in hostile) / len(hostile)

    assert recall(gated) == 1.0
    assert recall(greedy) < 0.5


def taught(**more: float) -> Labelled:
    model = Labelled()
    for number in range(400):
        harmless = values(login=1, device_age_hours=300, **more)
        model.harmless(f"p{number}", harmless, START)
        for _ in range(labelled_module.EVERY - 1):
            model.harmless(f"p{number}", harmless, START)
        model.suspect(f"x{number}", [], values(login=1, address_accounts_10m=50, **more), START, precise=True)
    model.settle(START + DELAY)
    return model


def test_model_learns_from_precise_rules_after_ten_minutes_and_not_before() -> None:
    model = Labelled()
    model.suspect("a", [], values(login=1), START, precise=True)
    model.settle(START + DELAY - 1)
    assert model.seen == [0, 0]
    model.settle(START + DELAY)
    assert model.seen == [0, 1]


def test_model_tells_attacks_from_people_once_it_is_warm() -> None:
    assert Labelled().strangeness(scaled(values())) is None
    model = taught()
    assert model.warm
    attack, person = (
        model.strangeness(scaled(row))
        for row in (values(login=1, address_accounts_10m=50), values(login=1, device_age_hours=300))
    )
    assert attack is not None
    assert person is not None
    assert attack > 0.5 > person
    assert model.contributions(scaled(values(login=1, address_accounts_10m=50)))[0][0] == "address_accounts_10m"


def test_caller_found_out_meanwhile_is_not_learnt_as_harmless() -> None:
    model = Labelled()
    for _ in range(labelled_module.EVERY):
        model.harmless("a", values(login=1), START)
    model.suspect("a", [], values(login=1), START + MINUTE, precise=False)
    model.settle(START + DELAY)
    assert model.seen == [0, 0]


def test_challenge_that_was_passed_takes_back_the_suspicion() -> None:
    model = Labelled()
    model.suspect("a", [], values(login=1), START, precise=True)
    model.challenged("a", START + MINUTE, passed=True)
    model.settle(START + DELAY + MINUTE)
    assert model.seen == [1, 0]


def test_challenge_that_was_not_met_is_a_weak_sign() -> None:
    model = Labelled()
    model.suspect("a", [], values(login=1), START, precise=False)
    model.challenged("a", START, passed=False)
    model.settle(START + DELAY)
    assert model.seen == [0, 1]
    model.challenged("never seen", START, passed=False)
    model.settle(START + 2 * DELAY)
    assert model.seen == [0, 1]


def test_verdict_counts_once_and_a_false_alarm_unlearns_what_was_waiting() -> None:
    model = Labelled()
    key = label_key("stuffing_from_address", Subject(user="u"))
    model.suspect("a", [key], values(login=1), START, precise=True)
    assert model.told(key, START + MINUTE, fraud=False)
    assert not model.told(key, START + MINUTE, fraud=False)
    model.settle(START + DELAY)
    assert model.seen == [1, 0]


def test_change_that_matters_is_told_and_one_that_does_not_is_not() -> None:
    drift, rng = Drift(), random.Random(5)
    told = [drift.score("m", min(1, max(0, rng.gauss(0.2, 0.05))), START + n) for n in range(5000)]
    told += [drift.score("m", min(1, max(0, rng.gauss(0.23, 0.05))), START + n) for n in range(5000)]
    assert not any(told)
    told = [drift.score("m", min(1, max(0, rng.gauss(0.5, 0.05))), START + n) for n in range(5000)]
    assert sum(one is not None for one in told) >= 1
    assert drift.shadowed("m", START + HOUR)
    assert not drift.shadowed("m", START + 2 * DAY)


def test_drift_of_a_feature_puts_all_models_in_shadow() -> None:
    drift = Drift()
    told: list[Moved] = []
    for number in range(BATCH * 120):
        row = [0.2 if number < BATCH * 60 else 0.9] + [0.0] * (len(NAMES) - 1)
        told += drift.row(row, [NOVELTY, LABELS], START + number)
    assert any(NAMES[0] in one.what and one.number.value >= one.number.limit for one in told)
    assert drift.shadowed(NOVELTY, START + BATCH * 120)
    assert drift.shadowed(LABELS, START + BATCH * 120)


def strict(*, block: float | None = None) -> TrainedModel:
    """A model that objects to every failed log-in."""
    return TrainedModel(
        name=OFFLINE, version=1, base=-4.0,
        trees=(((INDEX["login_failed"], 0.5, 1, 2), (-1, 0.0, 0, 0), (-1, 8.0, 0, 0)),),
        knots=sigmoid_knots(), medians=(0.0,) * len(NAMES), challenge=0.9, block=block,
    )  # fmt: skip


def knowing(role: Role, *, block: float | None = None, harmless: int = 1000) -> ModelScorer:
    """The model after so many harmless events of this service."""
    model = ModelScorer(ModelSettings(roles={OFFLINE: role}), trained=strict(block=block))
    for _ in range(harmless):
        model.state.thresholds[OFFLINE].add("web new", 0.1, START)
    return model


def failing(number: int = 1) -> Facts:
    f = facts(number)
    f.failed = True
    f.active = 10_000
    return f


@pytest.mark.parametrize(
    ("role", "block", "action", "shadow"),
    [
        (Role.SHADOW, 0.9, Action.CHALLENGE, True),
        (Role.ENFORCE, 0.9, Action.CHALLENGE, False),
        (Role.BLOCK, 0.9, Action.BLOCK, False),
        (Role.BLOCK, None, Action.CHALLENGE, False),
    ],
)
def test_model_refuses_only_when_it_was_promoted_to_that(
    role: Role, block: float | None, action: Action, *, shadow: bool
) -> None:
    model = knowing(role, block=block)
    (found,) = model.findings(failing())
    assert found.action is action
    assert (found.shadow is not None) is shadow
    assert "login_failed 1" in found.what
    assert (model.score(failing()) > 0.5) is not shadow


def test_trained_model_that_knows_too_little_of_a_service_only_watches_and_says_so() -> None:
    model = knowing(Role.BLOCK, block=0.9, harmless=999)
    assert model.score(failing()) == 0.0
    (found,) = model.findings(failing())
    assert found.shadow == "a model that has not seen enough of this service yet"
    assert [(one.judged, one.beyond, one.warm) for one in model.summary(START).models if one.model == OFFLINE] == [
        (1, 1, False)
    ]
    model.state.thresholds[OFFLINE].add("web new", 0.1, START)
    assert model.score(failing(2)) > 0.5


def test_what_harmless_strangers_do_here_is_within_the_boundary_of_a_model_trained_elsewhere() -> None:
    model = knowing(Role.ENFORCE, harmless=990)
    usual = failing()
    model.say(usual)
    for _ in range(10):
        model.learn(usual, [])
    assert model.score(failing(2)) < 0.5


def test_model_may_ask_two_in_a_thousand_established_people_a_day_and_no_more() -> None:
    model = knowing(Role.ENFORCE)
    acted = 0
    for number in range(100):
        f = failing(number)
        f.actor, f.trusted, f.active = f"d:{number}", True, 10_000
        (found,) = model.findings(f)
        acted += found.shadow is None
    assert acted == 20


def test_drifted_model_only_watches_and_people_are_told() -> None:
    model = knowing(Role.ENFORCE)
    model.state.drift.until[OFFLINE] = START + DAY
    assert model.score(failing()) == 0.0
    (found,) = model.findings(failing())
    assert found.shadow == "a model in shadow"


def test_what_was_learnt_from_other_features_is_left() -> None:
    model, other = ModelScorer(), ModelScorer()
    other.state.vector = "something else"
    other.state.novelty.learnt = 7
    assert not model.load(other.dump())
    assert model.state.novelty.learnt == 0
    other.state.vector = model.state.vector
    assert model.load(other.dump())
    assert model.state.novelty.learnt == 7


def test_refused_challenge_of_an_event_reaches_the_caller_it_was_about() -> None:
    model = ModelScorer(trained=strict())
    f = failing()
    f.actor = "u:kim"
    model.score(f)
    model.learn(f, [finding(Action.CHALLENGE)])
    model.refused(event(2, user="kim", user_v=True, pol="challenge", status=401), START)
    model.state.labelled.settle(START + 2 * DELAY)
    assert model.state.labelled.seen == [0, 1]


def test_models_are_the_same_after_pickling() -> None:
    model = ModelScorer(trained=strict())
    model.learn(failing(), [])
    copied = pickle.loads(pickle.dumps(model))  # noqa: S301 - made a moment ago
    assert copied.score(failing()) == model.score(failing())
    assert not math.isnan(copied.score(failing(9)))


def test_of_those_who_only_read_much_every_fourth_request_is_judged() -> None:
    model = ModelScorer(ModelSettings(roles={OFFLINE: Role.ENFORCE}), trained=strict())
    judged = 0
    for number in range(40):
        f = failing(number)
        f.triggers, f.pair = OBJECT, Pair()
        f.pair.browse = Browse(f.now)
        f.pair.browse.requests = number
        judged += bool(model.say(f))
        model.learn(f, [])
        f.triggers = OBJECT | LOGIN
        assert ModelScorer(trained=strict()).say(f)
    assert judged == 10


def test_alarm_that_was_not_told_yet_is_saved_with_the_rest() -> None:
    model, restored = ModelScorer(trained=strict()), ModelScorer(trained=strict())
    model.state.alarms.append(Moved("the mean moved", Number(name="change of the mean", value=0.3, limit=0.1)))
    assert restored.load(model.dump())
    told = [one for one in restored.findings(failing()) if one.detector == "model_drift"]
    assert [one.action for one in told] == [Action.ALERT]
    assert ("the mean moved" in told[0].what, told[0].numbers[0].value) == (True, 0.3)
    assert all(one.detector != "model_drift" for one in restored.findings(failing(2)))


def test_established_pair_with_a_fault_that_many_have_is_left_alone_and_a_stranger_is_not() -> None:
    model = ModelScorer(ModelSettings(roles={OFFLINE: Role.ENFORCE}), trained=strict())
    version = Version()
    version.incident_until["sig bad"] = START + DAY
    for number, trusted in enumerate((True, False)):
        f = failing(number)
        f.faults, f.trusted, f.version = ("sig bad",), trusted, version
        assert bool(model.findings(f)) is not trusted
