"""What is only written down changes nothing that acts.

Inert means: whatever detectors are in shadow, all that can reach a gateway (decisions in `enforce`, and the ends and
extensions of those) is byte for byte what it is with the same detectors off.
"""

from typing import Any

import orjson
from haetae_fds import Decision, Engine, EngineSettings, Event
from haetae_fds.decision import Mode
from haetae_fds.detectors.registry import DETECTORS
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fds.detectors.scene import Scene, acting

NAMES = sorted(detector.name for detector in DETECTORS)


def settled() -> tuple[bytes, int, int]:
    scene = Scene()
    return scene.engine.dump(), scene.now, scene.number


WARM = settled()

ACTS = st.tuples(
    st.sampled_from(["stuff", "guess", "spray", "home", "away", "sweep", "forge", "replay", "flood", "scan", "crowd"]),
    st.integers(0, 39),
    st.integers(1, 25),
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


def play(events: list[Event], mode: Mode, names: set[str]) -> list[Decision]:
    engine = Engine(EngineSettings())
    engine.load(WARM[0])
    engine.set_modes(None, dict.fromkeys(names, mode))
    return [decision for event in events for decision in engine.observe(event)]


def acts_of(decisions: list[Decision]) -> list[bytes]:
    return [orjson.dumps(one.to_dict()) for one in acting(decisions)]


@settings(max_examples=150, deadline=None)
@given(acts=st.lists(ACTS, min_size=1, max_size=8), names=st.sets(st.sampled_from(NAMES), min_size=1))
def test_detectors_in_shadow_change_nothing_of_what_others_enforce(
    acts: list[tuple[str, int, int, int]], names: set[str]
) -> None:
    events = campaign(acts)
    assert acts_of(play(events, Mode.SHADOW, names)) == acts_of(play(events, Mode.OFF, names))


@settings(max_examples=60, deadline=None)
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
