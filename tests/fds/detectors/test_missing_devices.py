"""Who always comes with a device and is suddenly without: a thief with the owner's client, and people like that."""

from typing import Any

import pytest
from haetae_fds import Decision, Engine

from tests.fds.detectors.scene import HOUR, START, Scene, acting

AWAY: dict[str, Any] = {"ip": "203.0.44.5", "asn": 4400}
PAY = {"api": "POST /transfers", "route": "transfer"}
READ = {"api": "GET /things/{id}", "obj": "t1"}
OWNER = 25


def bare(scene: Scene, person: int = OWNER, **other: Any) -> dict[str, Any]:
    """A person, or who looks like him, with the client that everybody has and no device."""
    return {**scene.at_home(person), "dev": None, "dev_v": None, "sig": None, **other}


def stage(people: int = 40) -> Scene:
    """A service that has seen people pay."""
    scene = Scene(people=people)
    for person in range(people):
        scene.now += 1_000
        scene.engine.train(scene.event(**scene.at_home(person), **PAY))
    return scene


def sign_in(scene: Scene, *, person: int = OWNER, named: bool = True, **who: Any) -> list[Decision]:
    """The right secret, then a look around and a payment."""
    fields = {**bare(scene, person, sess="new"), **who}
    signing = fields if named else {**fields, "user": None, "user_v": None, "sess": None}
    made = scene.send(2_000, **{**signing, **scene.login(person, "ok", "right")})
    for step in (READ, PAY, READ, PAY):
        made += scene.send(4_000, **{**fields, **step})
    return made


def two_at_it(scene: Scene, other: dict[str, Any], *, person: int = OWNER, rounds: int = 6) -> list[Decision]:
    """The owner and whoever has his session use it in turn; the other is kept out once that is decided."""
    made = list[Decision]()
    for _ in range(rounds):
        made += scene.send(7_000, **{**scene.at_home(person), **READ})
        if not acting(made, "stolen_session"):
            made += scene.send(9_000, **{**other, **READ})
    return made


@pytest.mark.parametrize("named", [True, False])
def test_log_in_without_the_device_the_owner_always_has_is_asked_for_more_before_money_moves(named: bool) -> None:
    scene = stage()
    made = acting(sign_in(scene, named=named, **AWAY))
    assert {one.detector for one in made} == {"takeover"}
    assert {(one.action, one.subject.user) for one in made} == {("challenge", f"u{OWNER}")}
    apis = [one.api.path for one in made if one.api is not None]
    assert apis == ["/transfers"], "money asks for more, reading and the owner's day stay as they are"
    assert "without the device there always was" in made[0].why
    assert made[0].exp - made[0].ts >= 27 * 60_000


def test_what_a_log_in_gave_elsewhere_is_asked_for_more_when_it_comes_without_the_device() -> None:
    scene = stage()
    made = scene.send(2_000, **bare(scene, sess=None, **AWAY), **READ)
    assert [(one.detector, one.action, one.subject.user) for one in acting(made)] == [
        ("takeover", "challenge", f"u{OWNER}")
    ]


def test_owner_who_has_been_seen_without_his_device_is_nobody_else() -> None:
    scene = stage()
    scene.send(5_000, **bare(scene, sess="web"), **READ)
    scene.now += 3 * HOUR
    assert sign_in(scene, **AWAY) == []
    scene = stage()
    scene.send(5_000, **bare(scene, sess="web"), **READ)
    assert two_at_it(scene, bare(scene, **AWAY), rounds=1) == []


@pytest.mark.parametrize("everywhere", [True, False])
def test_where_established_people_come_without_devices_it_means_nothing(everywhere: bool) -> None:
    scene = stage()
    for step in range(0, 40, 2):  # half of the others: with everything, or at a log-in page only
        scene.now += 61_000
        who = bare(scene, step)
        scene.engine.train(scene.event(**who, **scene.login(step, "ok", "right")))
        scene.now += 61_000
        scene.engine.train(scene.event(**(who if everywhere else scene.at_home(step)), **READ))
    for person in range(1, 40, 2):  # it is well known how people come to that log-in
        scene.now += 61_000
        scene.engine.train(scene.event(**scene.at_home(person), **scene.login(person, "ok", "right")))
    assert sign_in(scene, **AWAY) == []
    taken = acting(two_at_it(scene, bare(scene, 27, **AWAY), person=27, rounds=1))
    assert bool(taken) is not everywhere, "what is usual at the log-in page is not elsewhere"


def test_service_with_few_people_knows_nothing_of_devices() -> None:
    assert sign_in(stage(people=19), person=5, **AWAY) == []


def test_service_that_was_watched_for_half_an_hour_knows_nothing_of_devices() -> None:
    scene, made = Scene(warm=False), list[Decision]()
    for minute in range(0, 31, 3):
        for person in range(40):
            scene.now = START + minute * 60_000 + person * 20
            made += scene.engine.observe(scene.event(**scene.at_home(person), **(PAY if minute % 2 else READ)))
    assert made + sign_in(scene, **AWAY) == []


def test_who_got_his_device_a_moment_ago_need_not_always_have_had_it() -> None:
    scene = stage()
    newcomer = {**scene.at_home(60), **READ}
    made = scene.send(9_000, **newcomer)
    scene.now += 5 * 60_000
    made += scene.send(9_000, **newcomer)
    assert made + two_at_it(scene, bare(scene, 60, **AWAY), person=60, rounds=1) == []


def test_app_on_one_way_and_its_pages_on_another_are_one_owner() -> None:
    scene, made = stage(), list[Decision]()
    for _ in range(12):  # a tunnel that is there for the app alone
        made += scene.send(4_000, **bare(scene), **READ)
        made += scene.send(4_000, **{**scene.at_home(OWNER), **AWAY, "ipc": "residential", **READ})
    assert made == []


@pytest.mark.parametrize(
    "place",
    [{}, {"ip": "100.65.25.200", "asn": 9}, {"ip": "45.9.9.9", "asn": 101}],
    ids=["same address", "same network", "same provider"],
)
def test_page_inside_the_app_that_has_no_device_is_the_owner_s(place: dict[str, Any]) -> None:
    scene = stage()
    assert sign_in(scene, **place) == []
    scene = stage()
    assert two_at_it(scene, bare(scene, **place)) == []


def test_owner_abroad_opens_the_app_and_a_page_in_it() -> None:
    scene, made = stage(), list[Decision]()
    for _ in range(4):
        made += scene.send(4_000, **{**scene.at_home(OWNER), **AWAY, **READ})
        made += scene.send(4_000, **bare(scene, **AWAY), **PAY)
    assert made == []


def test_owner_on_the_road_with_his_device_is_the_owner() -> None:
    scene, made = stage(), list[Decision]()
    made += sign_in(scene, **{**scene.at_home(OWNER), **AWAY})
    for turn in range(24):
        place = {"ip": f"203.0.{turn}.5", "asn": 4400 + turn % 3, "ipc": "mobile" if turn % 2 else "residential"}
        made += scene.send(5_000, **{**scene.at_home(OWNER), **place, **READ})
    assert made == []


@pytest.mark.parametrize(("place", "asked"), [({}, False), (AWAY, True)])
def test_new_telephone_is_what_it_was(place: dict[str, Any], asked: bool) -> None:
    scene = stage()
    phone = {"dev": "new", "dev_v": True, "dev_age": 60, "sig": "ok", **place}
    assert bool(acting(sign_in(scene, **phone), "takeover")) is asked


@pytest.mark.parametrize("kind", [None, "residential", "mobile", "hosting"])
def test_stolen_session_with_the_owner_s_client_and_no_device_is_asked_for_more_at_its_first_use(
    kind: str | None,
) -> None:
    scene = stage()
    made = two_at_it(scene, bare(scene, **AWAY, ipc=kind))
    (one,) = acting(made)
    assert (one.detector, one.action) == ("stolen_session", "challenge")
    assert one.subject.to_dict() == {"session": f"s{OWNER}", "ip": "203.0.44.5"}, "the owner is elsewhere"
    assert one.events[-1] == f"e{scene.number - 5}", "decided by the other's first use"


def test_thief_who_waits_until_it_is_over_is_never_at_home() -> None:
    scene = stage()
    for _ in range(3):
        made = acting(scene.send(7_000, **bare(scene, **AWAY), **READ))
        assert [one.detector for one in made] == ["stolen_session"]
        for _ in range(20):  # let through, since nobody asked
            assert scene.send(60_000, **bare(scene, **AWAY), **READ) == []
        scene.now = made[0].exp
        assert acting(scene.send(1_000, **{**scene.at_home(OWNER), **READ})) == []
    assert {one.detector for one in acting(sign_in(scene, **AWAY))} == {"takeover"}


def test_session_in_somebody_else_s_device_is_asked_for_more() -> None:
    scene = stage()
    thief = {name: scene.at_home(7)[name] for name in ("dev", "dev_v", "sig")}
    (one,) = acting(two_at_it(scene, bare(scene, **AWAY, **thief)))
    assert (one.detector, one.subject.to_dict()) == ("stolen_session", {"session": f"s{OWNER}", "ip": "203.0.44.5"})


def test_session_here_with_the_owner_s_device_and_there_with_a_new_one_is_asked_for_more() -> None:
    scene = stage()
    other = bare(scene, **AWAY, ipc="residential", dev="fresh", dev_v=True, sig="ok", dev_age=60)
    (one,) = acting(two_at_it(scene, other))
    assert (one.detector, one.action, one.numbers[0].name) == (
        "stolen_session", "challenge", "times from one to the other"
    )  # fmt: skip
    scene = stage()
    moved = scene.send(9_000, **scene.at_home(OWNER), **READ)
    for _ in range(8):  # the old telephone stays silent
        moved += scene.send(9_000, **{**other, **READ})
    assert moved == []


def test_request_that_was_refused_for_want_of_a_device_is_no_theft() -> None:
    scene, made = stage(), list[Decision]()
    for _ in range(3):
        made += scene.send(7_000, **{**scene.at_home(OWNER), **READ})
        made += scene.send(7_000, **bare(scene, **AWAY, status=401), **READ)
    assert made == []
    made += scene.send(7_000, **bare(scene, **AWAY), **READ)
    assert [one.detector for one in acting(made)] == ["stolen_session"]


def test_what_is_known_of_devices_is_saved() -> None:
    scene = stage()
    saved = scene.engine.dump()
    scene.engine = Engine()
    scene.engine.load(saved)
    assert {one.detector for one in acting(sign_in(scene, **AWAY))} == {"takeover"}
    assert {one.detector for one in acting(two_at_it(scene, bare(scene, 27, **AWAY), person=27))} == {"stolen_session"}
