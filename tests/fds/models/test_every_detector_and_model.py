"""One suite for everything that judges events: every rule and every model, each alone in an engine."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256

import pytest
from haetae_fds import Decision, Engine, EngineSettings
from haetae_fds.detectors.registry import DETECTORS
from haetae_fds.finding import Detector
from haetae_fds.flat import event_of
from haetae_fds.models import labelled, scorer
from haetae_fds.models.roles import CHALLENGER, LABELS, MODELS, NOVELTY, OFFLINE, Role
from haetae_fds.models.scorer import ModelScorer, ModelSettings
from haetae_fds.models.trees import TrainedModel, sigmoid_knots
from haetae_fds.models.vector import FEATURES, INDEX

from tests.fds.detectors.test_every_rule import noise

EVENTS = 3000


def trained() -> TrainedModel:
    """A small model that looks at failed log-ins and envelope faults."""
    login, faults = INDEX["address_accounts_10m"], INDEX["pair_faults"]
    return TrainedModel(
        name=OFFLINE, version=3, base=-4.0, knots=sigmoid_knots(), medians=(0.0,) * len(FEATURES), challenge=0.5,
        trees=(
            ((login, 3.0, 1, 2), (-1, -1.0, 0, 0), (-1, 4.0, 0, 0)),
            ((faults, 2.0, 1, 2), (-1, 0.0, 0, 0), (faults, 9.0, 3, 4), (-1, 3.0, 0, 0), (-1, 6.0, 0, 0)),
        ),
    )  # fmt: skip


def of_rule(rule: type[Detector]) -> Callable[[], Engine]:
    def make() -> Engine:
        engine = Engine(EngineSettings(max_states=1000))
        engine.detectors = (rule(1.0),)
        return engine

    return make


def of_model(model: str) -> Callable[[], Engine]:
    def make() -> Engine:
        settings = ModelSettings(roles={model: Role.ENFORCE}, alpha=0.05, least=50, seed=7)
        # Two that find the same are one decision; so a version is alone, acting or watching.
        acting, watching = (None, trained()) if model == CHALLENGER else (trained(), None)
        models = ModelScorer(settings, trained=acting, challenger=watching)
        engine = Engine(EngineSettings(max_states=1000), scorer=models)
        # Novelty needs nothing else; the model of labels learns from what rules find.
        engine.detectors = engine.detectors if model == LABELS else ()
        return engine

    return make


EVERY = {rule.name: of_rule(rule) for rule in DETECTORS} | {model: of_model(model) for model in MODELS}


def said(engine: Engine, *, seed: int = 1, count: int = EVENTS, start: int = 0) -> list[Decision]:
    return [one for event in noise(seed, count)[start:] for one in engine.observe(event_of(event))]


def lines(decisions: list[Decision]) -> list[bytes]:
    return [one.to_json() for one in decisions]


def digest(name: str) -> str:
    engine = EVERY[name]()
    return sha256(b"\n".join(lines(said(engine, count=1200)))).hexdigest()


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let models be warm within the few events of a test."""
    shrink(monkeypatch.setattr)


def shrink(put: Callable[[object, str, object], None]) -> None:
    put(sys.modules["haetae_fds.models.novelty"], "WINDOW", 200)
    put(labelled, "LEAST_FRAUD", 5)
    put(labelled, "LEAST_HARMLESS", 5)
    put(labelled, "DELAY", 10_000)
    put(labelled, "EVERY", 1)


every = pytest.mark.parametrize("name", EVERY)


@every
def test_same_events_give_the_same_decisions_and_score_keeps_the_convention(name: str) -> None:
    first, second = EVERY[name](), EVERY[name]()
    decisions = said(first)
    assert lines(decisions) == lines(said(second))
    assert all(0 <= one.score <= 1 for one in decisions)
    assert all(one.score >= 0.5 for one in decisions if one.op == "put" and one.action != "alert")


@pytest.mark.parametrize("name", MODELS)
def test_model_speaks_up_in_noise_so_that_the_suite_proves_something(name: str) -> None:
    assert any(one.detector == name for one in said(EVERY[name](), seed=4))


@every
def test_saved_engine_goes_on_as_if_nothing_had_happened(name: str) -> None:
    whole, half, restored = EVERY[name](), EVERY[name](), EVERY[name]()
    expected = lines(said(whole))
    made: list[bytes] = []
    events = [event_of(event) for event in noise(1, EVENTS)]
    for event in events[: EVENTS // 2]:
        made += lines(half.observe(event))
    restored.load(half.dump())
    for event in events[EVENTS // 2 :]:
        made += lines(restored.observe(event))
    assert made == expected


@every
def test_engine_survives_a_pickle_round_trip(name: str) -> None:
    engine = EVERY[name]()
    said(engine, count=1500)
    copied = pickle.loads(pickle.dumps(engine))  # noqa: S301 - made a moment ago
    assert lines(said(engine, start=1500)) == lines(said(copied, start=1500))


@pytest.mark.parametrize("name", MODELS)
def test_scoring_learns_nothing(name: str) -> None:
    engine = EVERY[name]()
    said(engine, count=2000)
    model = engine.scorer
    assert isinstance(model, ModelScorer)
    before = model.dump()
    for event in noise(9, 300):
        facts = engine.features.update(event_of(event), engine.watermark)
        first = model.score(facts)
        assert [one.score for one in model.say(facts)] == [one.score for one in model.say(facts)]
        assert model.score(facts) == first
    assert model.dump() == before


@pytest.mark.parametrize("name", MODELS)
def test_memory_of_models_does_not_grow_with_the_number_of_callers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "MAX_ACTORS", 100)
    monkeypatch.setattr(labelled, "MAX_REMEMBERED", 100)
    monkeypatch.setattr(labelled, "MAX_WAITING", 100)
    engine = EVERY[name]()
    model = engine.scorer
    assert isinstance(model, ModelScorer)
    sizes = []
    for part in range(3):
        for number, event in enumerate(noise(part, EVENTS)):
            changed = {"id": f"{part}-{number}", "user": f"{part}-{number}", "dev": f"{part}-{number}"}
            engine.observe(event_of(event | changed | {"ts": event["ts"] + part * EVENTS * 150}))
        sizes.append(len(model.dump()))
    assert sizes[2] < sizes[1] * 1.05


@pytest.mark.timeout(180)
def test_order_of_hashes_does_not_matter() -> None:
    script = (
        "from tests.fds.models.test_every_detector_and_model import *\n"
        "shrink(setattr)\nprint(*map(digest, EVERY))"
    )  # fmt: skip
    found = {
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, check=True, env={"PYTHONHASHSEED": seed}, text=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert len(found.pop().split()) == len(EVERY)


def test_warming_up_has_no_say_and_says_so() -> None:
    model = ModelScorer(ModelSettings(roles={NOVELTY: Role.ENFORCE}))
    engine = Engine(scorer=model)
    for event in noise(1, 300):
        facts = engine.features.update(event_of(event), event["ts"])
        assert {one.score for one in model.say(facts)} <= {None}
        assert model.score(facts) == 0.0
        assert model.findings(facts) == []
