"""A detector gone wrong, among six thousand people for five minutes: its budget, its circuit, and whom it touched."""

import pytest
from haetae_fds import Decision, Engine
from haetae_fds.decision import Action, Mode, Subject
from haetae_fds.delivery.effects import Live, effect_of
from haetae_fds.facts import LOGIN, Facts
from haetae_fds.finding import Detector, Finding, api_ref

from tests.fds.detectors.scene import HOUR, START, Scene, acting

PEOPLE = 6_000
NEW = 180
MOST = 0.003 * PEOPLE
FIVE_MINUTES = 300_000


class Everything(Detector):
    """Calls every log-in an attack by its user."""

    name = "everything"
    wants = LOGIN
    action = Action.BLOCK

    def observe(self, f: Facts) -> Finding | None:
        return self.found(f, "everything is wrong", (), *self.about(f), action=self.action, api=api_ref(f))

    def about(self, f: Facts) -> tuple[Subject, ...]:
        return (Subject(user=f.event.user),)


class Asking(Everything):
    """The same, but it only asks for more."""

    action = Action.CHALLENGE


class Everywhere(Everything):
    """The same, by everything that names a caller."""

    def about(self, f: Facts) -> tuple[Subject, ...]:
        event = f.event
        return (Subject(user=event.user), Subject(device=event.dev), Subject(session=event.sess), Subject(ip=f.ip))


@pytest.fixture(scope="module")
def settled() -> tuple[bytes, int]:
    """The state of an engine that has known six thousand people for an hour."""
    scene = Scene(warm=False)
    for minute in (0, 20, 40, 60):
        for person in range(PEOPLE):
            scene.now = START + minute * 60_000 + person
            scene.engine.train(scene.event(**scene.at_home(person), api="GET /things/{id}", obj=f"t{minute}"))
    return scene.engine.dump(), scene.number


def five_minutes(settled: tuple[bytes, int], rogue: type[Detector]) -> tuple[Engine, list[Decision]]:
    """Everybody logs in, 180 people for the first time; the rogue sees each of them."""
    scene = Scene(warm=False)
    scene.engine.load(settled[0])
    scene.engine.detectors = (*scene.engine.detectors, rogue())
    scene.now, scene.number = START + HOUR + 120_000, settled[1]
    made: list[Decision] = []
    for person in range(PEOPLE + NEW):
        who = person * 37 % (PEOPLE + NEW)  # new ones in between
        made += scene.send(FIVE_MINUTES // (PEOPLE + NEW), **{**scene.at_home(who), **scene.login(who, "ok", "right")})
    return scene.engine, made


def touched(made: list[Decision]) -> set[str]:
    """The people behind users, devices, sessions and addresses, whose names are numbers after a letter."""
    found = set()
    for one in acting(made):
        subject = one.subject
        name = subject.user or subject.device or subject.session
        found.add(name[1:] if name else f"ip {subject.ip}")
    return found


@pytest.mark.parametrize(("rogue", "share"), [(Everything, 1.0), (Everywhere, 1.0), (Asking, 0.2)])
def test_detector_that_flags_everything_trips_its_budget_and_touches_hardly_anybody(
    settled: tuple[bytes, int], rogue: type[Detector], share: float
) -> None:
    """Whom it would block counts whole, also when he is only asked for more instead; a challenge alone a fifth."""
    engine, made = five_minutes(settled, rogue)
    wrong = [one for one in made if one.detector == "everything"]
    assert len({one.subject.user for one in wrong}) > PEOPLE
    assert 0 < share * len(touched(wrong)) <= MOST
    incidents = [one for one in made if one.detector == "over_budget"]
    assert [(one.action, one.op) for one in incidents] == [("alert", "put")]
    assert "everything went over its budget" in incidents[0].why
    assert engine.circuits()["everything"] == "open"
    assert acting(wrong)[-1].ts < incidents[0].ts + 1
    assert acting(made) == acting(wrong)
    asked = [one for one in wrong if one.approval and one.mode is Mode.ENFORCE]
    assert any("over budget" in one.why for one in asked)
    assert len(asked) <= MOST, "what went over the budget waits for a person, but no flood of it"
    assert {effect.kind for one in asked if (effect := effect_of(one, Live())) is not None} == {"ask"}
