"""What people do to a running engine: switch modes, call false alarms, restart it."""

from dataclasses import replace

from haetae_fds import Decision, DetectorSettings, Engine, EngineSettings, Mode
from haetae_fds.decision import Subject
from haetae_policy import parse_protected

from tests.fds.detectors.scene import Scene

RULE = "stuffing_from_address"


def stuff(scene: Scene, count: int = 12, *, tried: str = "a") -> list[Decision]:
    """One stranger tries accounts nobody tried before; what the rule decides on it."""
    made: list[Decision] = []
    for number in range(count):
        made += scene.send(300, **{**scene.stranger(1), **scene.login(f"{tried}{number}", "bad", f"{tried}{number}")})
    return [decision for decision in made if decision.detector == RULE]


def test_switch_takes_effect_with_the_next_event_and_back() -> None:
    scene = Scene()
    scene.engine.set_modes(Mode.SHADOW, {})
    assert {decision.mode for decision in stuff(scene, tried="a")} == {Mode.SHADOW}
    scene.engine.set_modes(Mode.OFF, {})
    assert stuff(scene, tried="b") == []
    scene.engine.set_modes(None, {})
    assert {decision.mode for decision in stuff(scene, tried="c")} == {Mode.ENFORCE}


def test_the_more_cautious_of_both_words_holds() -> None:
    scene = Scene()
    scene.engine.set_modes(Mode.ENFORCE, {RULE: Mode.SHADOW})
    assert {decision.mode for decision in stuff(scene, tried="a")} == {Mode.SHADOW}
    scene.engine.set_modes(Mode.SHADOW, {RULE: Mode.ENFORCE})
    assert {decision.mode for decision in stuff(scene, tried="b")} <= {Mode.SHADOW}


def test_switch_stands_above_the_settings() -> None:
    scene = Scene()
    scene.engine.settings = replace(scene.engine.settings, detectors={RULE: DetectorSettings(mode=Mode.OFF)})
    scene.engine.decider.adopt(scene.engine.settings, scene.engine.features)
    scene.engine.set_modes(None, {})
    assert stuff(scene, tried="a") == []
    scene.engine.set_modes(None, {RULE: Mode.ENFORCE})
    assert {decision.mode for decision in stuff(scene, tried="b")} == {Mode.ENFORCE}


def test_false_alarm_keeps_one_rule_from_one_subject_for_a_while_and_nobody_else() -> None:
    scene = Scene()
    first = stuff(scene, tried="a")[0]
    until = scene.now + 3_600_000
    scene.engine.damp(RULE, first.subject, until)
    assert {decision.mode for decision in stuff(scene, tried="b")} == {Mode.SHADOW}
    scene.engine.damp(RULE, Subject(ip="192.0.2.99"), until)
    scene.now = until + 1
    assert Mode.ENFORCE in {decision.mode for decision in stuff(scene, tried="c")}


def test_damping_and_switches_survive_a_restart() -> None:
    scene = Scene()
    first = stuff(scene, tried="a")[0]
    scene.engine.damp(RULE, first.subject, scene.now + 3_600_000)
    saved = scene.engine.dump()
    scene.engine = Engine(scene.engine.settings)
    scene.engine.load(saved)
    assert {decision.mode for decision in stuff(scene, tried="b")} == {Mode.SHADOW}


def test_restart_of_an_engine_that_knows_little_does_not_make_it_bold() -> None:
    settings = EngineSettings()
    scene = Scene()
    scene.engine = Engine(settings)
    stuff(scene, 2, tried="a")
    saved = scene.engine.dump()
    scene.engine = Engine(settings)
    scene.engine.load(saved)
    assert stuff(scene, 9, tried="b") == []
    assert stuff(scene, 9, tried="c") != []


def test_saved_state_goes_on_under_new_settings() -> None:
    scene = Scene()
    stuff(scene, 4, tried="a")
    saved = scene.engine.dump()
    scene.engine = Engine(
        replace(scene.engine.settings, mode=Mode.SHADOW, protected=parse_protected({"networks": ["198.51.100.0/24"]}))
    )
    scene.engine.load(saved)
    assert Mode.ENFORCE not in {decision.mode for decision in stuff(scene, tried="b")}
