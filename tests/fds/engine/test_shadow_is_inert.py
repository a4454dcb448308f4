"""What is only written down changes nothing that acts.

Inert means: whatever detectors are in shadow, all that can reach a gateway (decisions in `enforce`, and the ends and
extensions of those), and all that the engine remembers of people, places and APIs, is byte for byte what it is with the
same detectors off.
"""

import pickle
from typing import Any

import orjson
from haetae_fds import Decision, Engine, EngineSettings, Event
from haetae_fds.decision import Mode
from haetae_fds.detectors.registry import DETECTORS
from haetae_fds.models.roles import MODELS, Role
from haetae_fds.models.rulefile import FileRule, read_rules
from haetae_fds.models.scorer import ModelScorer, ModelSettings
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fds.detectors.scene import HOUR, Scene, acting

NAMES = sorted(detector.name for detector in DETECTORS)


def settled() -> tuple[bytes, int, int]:
    scene = Scene()
    return scene.engine.dump(), scene.now, scene.number


WARM = settled()
RULES = [
    FileRule(rule)
    for rule in read_rules(
        orjson.dumps({
            "format": 1,
            "rules": [
                {"name": f"rule_{number}", "when": when, "action": "block", "mode": "shadow", "expires": WARM[1] + HOUR,
                 "why": "not sure yet"}
                for number, when in enumerate(("login >= 1", "login_familiar <= 0", "address_accounts_10m >= 2"))
            ],
        }),
        now=WARM[1],
    )
]  # fmt: skip

ACTS = st.tuples(
    st.sampled_from(
        ["stuff", "guess", "spray", "home", "away", "sweep", "forge", "replay", "flood", "scan", "crowd", "taken"]
    ),
    st.integers(0, 39),
    st.integers(1, 15),
    st.sampled_from([50, 300, 2000, 30_000]),
)


def burst(scene: Scene, kind: str, who: int, count: int, gap: int) -> list[Event]:
    """A few requests of one kind, `gap` ms apart."""
    found = []
    home, strange = scene.at_home(who), scene.stranger(who)
    for number in range(count):
        scene.now += gap
        fields: dict[str, Any] = {
            "stuff": {**strange, **scene.login(f"x{number}", "bad", "leaked")},
            "guess": {**strange, **scene.login(who, "bad", f"g{number}")},
            "spray": {**scene.stranger(who + number), **scene.login(f"y{number}", "bad", "summer"), "pw_fp": "summer"},
            "home": {**home, **scene.login(who, "ok", "right")},
            "away": {**home, **strange, **scene.login(who, "ok", "right")},
            "taken": {**home, **strange, **scene.login(who, "ok", "right"), "dev": f"new{who}", "sess": f"new{who}"},
            "sweep": {**home, "api": "GET /things/{id}", "obj": f"s{number}", "obj_n": 100 + number, "status": 404},
            "forge": {**strange, "dev": f"d{number}", "dev_v": False, "sig": "bad", "status": 401, "api": "POST /t"},
            "replay": {**home, **strange, "nonce": "replay", "status": 409, "api": "POST /transfers"},
            "flood": {**home, "api": "GET /things/{id}", "obj": "t"},
            "scan": {**strange, "api": None, "path_h": f"p{number}", "status": 404, "route": None},
            "crowd": {**scene.at_home((who + number) % 40), "sig": "bad", "status": 401, "api": "POST /transfers"},
        }[kind]
        found.append(scene.event(**{name: value for name, value in fields.items() if value is not None}))
    return found


def campaign(acts: list[tuple[str, int, int, int]]) -> list[Event]:
    scene = Scene(warm=False)
    _, scene.now, scene.number = WARM
    return [event for act in acts for event in burst(scene, *act)]


def play(events: list[Event], mode: Mode, names: set[str]) -> tuple[list[bytes], bytes]:
    engine = Engine(EngineSettings())
    engine.load(WARM[0])
    engine.set_modes(None, dict.fromkeys(names, mode))
    made = [decision for event in events for decision in engine.observe(event)]
    for api in engine.features.apis.rows.values():
        api.busy.clear()  # what single detectors note for themselves, each under its own names
    return acts_of(made), pickle.dumps(engine.features)


def acts_of(decisions: list[Decision]) -> list[bytes]:
    return [orjson.dumps(one.to_dict()) for one in acting(decisions)]


@settings(max_examples=40, deadline=None)
@example(acts=[("crowd", 1, 3, 300), ("guess", 25, 5, 300), ("taken", 25, 2, 300)], names={"takeover"})
@example(acts=[("away", 0, 1, 50), ("spray", 0, 10, 50)], names={"spraying"})
@given(acts=st.lists(ACTS, min_size=1, max_size=8), names=st.sets(st.sampled_from(NAMES), min_size=1))
def test_detectors_in_shadow_change_nothing_of_what_others_enforce(
    acts: list[tuple[str, int, int, int]], names: set[str]
) -> None:
    events = campaign(acts)
    assert play(events, Mode.SHADOW, names) == play(events, Mode.OFF, names)


@settings(max_examples=20, deadline=None)
@given(acts=st.lists(ACTS, min_size=1, max_size=8), after=st.lists(ACTS, min_size=1, max_size=4))
def test_engine_in_shadow_acts_on_nobody_and_what_it_wrote_down_changes_nothing_once_it_is_switched_on(
    acts: list[tuple[str, int, int, int]], after: list[tuple[str, int, int, int]]
) -> None:
    """Compared with one whose every decision was forgotten: what it learned of people and attacks is the same."""
    events = campaign([*acts, *after])
    first = sum(count for _, _, count, _ in acts)
    found = []
    for forgetful in (False, True):
        engine = Engine(EngineSettings())
        engine.load(WARM[0])
        engine.set_modes(Mode.SHADOW, {})
        quiet = [decision for event in events[:first] for decision in engine.observe(event)]
        assert acting(quiet) == []
        if forgetful:
            engine.decider.noted = type(engine.decider.noted)()
        engine.set_modes(Mode.ENFORCE, {})
        found.append(acts_of([decision for event in events[first:] for decision in engine.observe(event)]))
    assert found[0] == found[1]


@settings(max_examples=10, deadline=None)
@given(acts=st.lists(ACTS, min_size=1, max_size=8))
def test_models_and_rules_of_files_in_shadow_change_nothing_that_acts(acts: list[tuple[str, int, int, int]]) -> None:
    events = campaign(acts)
    models = ModelScorer(ModelSettings(roles=dict.fromkeys(MODELS, Role.SHADOW), least=30, alpha=0.1))
    watched, plain = Engine(EngineSettings(), scorer=models, rules=RULES), Engine(EngineSettings())
    found = []
    for engine in (watched, plain):
        engine.load(WARM[0])
        found.append([decision for event in events for decision in engine.observe(event)])
    written = [one for one in found[0] if one.detector not in NAMES and one.mode is Mode.SHADOW]
    assert written or not any(act[0] in ("stuff", "guess", "spray", "home", "away") for act in acts)
    assert acts_of(found[0]) == acts_of(found[1])
