"""Attackers who take a new address, client or name each time, and people who look like them for a moment."""

import random
from typing import Any

import pytest
from haetae_fds import Decision, EngineSettings
from haetae_fds.delivery.effects import Live, effect_of

from tests.fds.detectors.scene import Scene, acting
from tests.fds.detectors.test_login_rules import anonymous

SIGNUP = {"api": "POST /people", "route": "join", "status": 201}


def app_at(ip: str) -> dict[str, Any]:
    """Somebody unknown with the app that everybody has."""
    return {"ip": ip, "asn": 7, "ja4": "app", "ua": "app", "hdr": "app"}


def with_client(name: str, ip: str) -> dict[str, Any]:
    return {"ip": ip, "asn": 7, "ja4": name, "ua": name, "hdr": name}


def test_scanner_who_changes_address_is_followed_by_what_it_is() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(80):
        fields = {**scene.stranger(number // 20), "route": None, "api": f"GET /old/{number}.php", "status": 404}
        made += scene.send(200, **fields)
    everywhere = [one for one in acting(made, "scanner") if one.subject.client is not None]
    assert everywhere[0].subject.to_dict() == {"client": "bot|bot|bot", "untrusted": True}
    assert everywhere[0].api is None, "it asks for another path each time"


def test_whatever_one_tool_does_wherever_it_is_one_campaign_and_two_tools_are_two() -> None:
    scene, made = Scene(people=60), list[Decision]()
    for number in range(40):
        at = with_client("tool" if number < 20 else "other", f"203.0.{100 + number // 10}.9")
        made += scene.send(300, **at, **scene.login(f"x{number}", "bad", "leak"))
        for path in range(12 if number % 10 == 9 else 0):
            made += scene.send(300, **at, route=None, obj=f"path{path}", status=404)
    found = {one.campaign: {other.detector for other in made if other.campaign == one.campaign} for one in made}
    both = {"stuffing_from_address", "scanner"}
    assert {name: rules >= both for name, rules in found.items()} == {
        "client tool|tool|tool": True, "client other|other|other": True
    }  # fmt: skip


def test_one_secret_tried_through_whatever_client_is_one_campaign() -> None:
    scene, made = Scene(people=60), list[Decision]()
    for number in range(30):
        at = with_client(f"client{number}", f"203.0.{number}.9")
        secret = "summer" if number % 2 else "winter"
        made += scene.send(20_000, **at, **scene.login(f"x{number}", "bad", secret), pw_fp=secret)
    named = {one.campaign for one in made if one.detector == "spraying"}
    assert len(named) == 2
    assert all(name is not None and "summer" not in name and "winter" not in name for name in named)


def test_sign_ups_that_are_answered_as_log_ins_are_counted_as_sign_ups() -> None:
    scene, made = Scene(EngineSettings(signup=("POST /people",))), list[Decision]()
    for number in range(8):
        made += scene.send(900, **scene.stranger(1), **SIGNUP, acct=f"n{number}", auth="ok", user=f"nu{number}")
    assert acting(made, "mass_signup")[0].subject.ip == "203.0.1.9"
    assert acting(made, "mass_signup")[0].action == "block"


def test_class_that_signs_up_is_asked_for_more_and_a_tool_is_refused() -> None:
    scene, made = Scene(EngineSettings(signup=("POST /people",))), list[Decision]()
    for person in range(40):  # half of the people have another app, so both are popular
        if person % 2:
            scene.engine.train(scene.event(**{**scene.at_home(person), "ja4": "old", "ua": "old", "hdr": "old"}))
    for number in range(30):
        pupil = with_client("app" if number % 2 else "old", "203.0.77.9")
        made += scene.send(9_000, **pupil, **SIGNUP, acct=f"pupil{number}")
    assert [one.action for one in acting(made, "mass_signup")] == ["challenge"]
    made = []
    for number in range(8):
        made += scene.send(9_000, **with_client("app", "203.0.78.9"), **SIGNUP, acct=f"tool{number}")
    assert [one.action for one in acting(made, "mass_signup")] == ["block"]
    made = []
    for number in range(8):  # as many clients as a class has, but nobody has one of them
        made += scene.send(9_000, **with_client(f"t{number % 5}", "203.0.79.9"), **SIGNUP, acct=f"turn{number}")
    assert [one.action for one in acting(made, "mass_signup")] == ["block"]


def test_old_phone_in_the_class_refuses_nobody() -> None:
    scene, made = Scene(EngineSettings(signup=("POST /people",))), list[Decision]()
    for person in range(0, 40, 2):
        scene.engine.train(scene.event(**{**scene.at_home(person), "ja4": "old", "ua": "old", "hdr": "old"}))
    for number in range(30):
        client = f"odd{number}" if number % 3 == 2 else "app" if number % 3 else "old"
        made += scene.send(9_000, **with_client(client, "203.0.77.9"), **SIGNUP, acct=f"pupil{number}")
    assert {one.action for one in acting(made, "mass_signup")} == {"challenge"}


def test_sign_ups_with_one_strange_client_from_everywhere_are_asked_for_more() -> None:
    scene, made = Scene(EngineSettings(signup=("POST /people",))), list[Decision]()
    for number in range(14):
        made += scene.send(2_000, **scene.stranger(number), **SIGNUP, acct=f"n{number}")
    (one,) = acting(made, "mass_signup")
    assert (one.action, one.subject.to_dict()) == ("challenge", {"client": "bot|bot|bot", "untrusted": True})
    made = []
    for number in range(14):  # a new release that people have already
        made += scene.send(2_000, **app_at(f"203.0.{100 + number}.9"), **SIGNUP, acct=f"m{number}")
    assert made == []


def test_program_that_asks_again_and_again_for_what_is_gone_is_no_search() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(200):
        gone = number % 3 == 0
        fields = {"api": "GET /p/{id}", "obj": f"o{number % 30}", "status": 404 if gone and number % 30 < 15 else 200}
        made += scene.send(900, **{**scene.at_home(30), **fields})
    assert made == []


def anew(scene: Scene, turn: int) -> dict[str, Any]:
    """A new address in a new network with a new client."""
    return with_client(f"c{turn}", f"{20 + turn // 200}.{turn % 200}.3.4")


def quiet_hours(scene: Scene) -> None:
    """The service has its ordinary failures."""
    for number in range(60):
        scene.now += 60_000
        someone = with_client(f"w{number}", f"9.{number}.1.1")
        scene.engine.train(scene.event(**someone, **scene.login(number % 40, "bad", f"typo{number}")))


def test_new_address_and_client_after_each_refusal_gain_one_try_each_and_people_keep_theirs() -> None:
    scene, made = Scene(), list[Decision]()
    quiet_hours(scene)
    free = []
    for turn in range(12):
        before = 0
        for number in range(10):
            said = scene.send(400, **anew(scene, turn), **scene.login(f"v{turn}-{number}", "bad", "leaked"))
            made += said
            before += 1
            if acting(said):
                break
        free.append(before)
    assert free[:3] == [8, 8, 8]
    assert set(free[8:]) == {1}
    late = acting(made, "stuffing_from_address")[-1]
    assert (late.action, late.subject.untrusted) == ("challenge", True)
    assert not [one for one in made if one.approval]
    # Meanwhile somebody mistypes at home, and at an office where others live.
    said = scene.send(400, **anonymous(scene.at_home(30)), **scene.login(30, "bad", "typo"))
    said += scene.send(400, **app_at("198.51.100.7"), **scene.login("newcomer", "bad", "typo"))
    assert acting(said) == []


def test_person_is_asked_whether_all_strangers_prove_themselves_when_new_addresses_never_end() -> None:
    scene, made = Scene(), list[Decision]()
    quiet_hours(scene)
    for turn in range(48):
        for number in range(8 if turn < 3 else 1):
            made += scene.send(400, **anew(scene, turn), **scene.login(f"v{turn}-{number}", "bad", "leaked"))
    (asked,) = [one for one in made if one.approval]
    assert (asked.detector, asked.action, asked.proposal) == ("login_failure_surge", "alert", "challenge")
    assert (asked.subject.to_dict(), asked.api is not None) == ({"untrusted": True}, True)
    effect = effect_of(asked, Live())
    assert effect is not None
    assert effect.document is not None
    assert (effect.kind, effect.document["action"]) == ("ask", "challenge")


def test_owner_with_a_new_telephone_on_the_road_is_asked_for_more_before_being_refused() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(9):
        made += scene.send(5_000, **app_at("203.0.9.9"), **scene.login(30, "bad", f"was-it-{number}"))
    assert [one.action for one in acting(made, "single_source_brute_force")] == ["challenge"]
    for number in range(9, 14):
        made += scene.send(5_000, **app_at("203.0.9.9"), **scene.login(30, "bad", f"was-it-{number}"))
    assert [one.action for one in acting(made, "single_source_brute_force")] == ["challenge", "block"]


def newsreaders(scene: Scene) -> None:
    """Two hours in which everybody reads much the same."""
    for step in range(40 * 40):
        scene.now += 4_500
        fields = {"api": "GET /news/{id}", "obj": f"n{step % 37}"}
        scene.engine.train(scene.event(**{**scene.at_home(step % 40), **fields}))


def reader(number: int, **more: Any) -> dict[str, Any]:
    """A user with the app that everybody has, at home."""
    who = {"user": f"r{number}", "user_v": True, "dev": f"rd{number}", "dev_v": True, "ver": "5.0", "sig": "ok"}
    return {**app_at(f"44.{number}.3.4"), **who, "api": "GET /news/{id}", **more}


def test_many_users_with_nothing_in_common_who_read_what_nobody_asks_for_are_asked_for_more() -> None:
    scene, made = Scene(), list[Decision]()
    newsreaders(scene)
    for step in range(20 * 20):
        made += scene.send(333 + 97 * (step % 7), **reader(step % 20, obj=f"archive{step * 7919 % 100_003}"))
    challenged = {one.subject.user for one in acting(made, "coordinated_scraping") if one.action == "challenge"}
    assert len(challenged) == 20
    scene, made = Scene(), list[Decision]()
    newsreaders(scene)
    for step in range(2 * 40):  # two who dig in the archive are two people with a hobby
        made += scene.send(3_333 + 970 * (step % 7), **reader(step % 2, obj=f"archive{step * 7919 % 100_003}"))
    assert made == []


@pytest.mark.parametrize(
    ("client", "signed_in", "refused"), [("nobody's", 3, True), ("app", 3, False), ("app", 60, True)]
)
def test_strangers_who_read_what_everybody_reads_are_refused_together_by_their_client_or_where_all_others_sign_in(
    client: str, signed_in: int, refused: bool
) -> None:
    scene, made = Scene(people=60), list[Decision]()
    for step in range(4_000):
        scene.now += 900
        fields: dict[str, Any] = {"api": "GET /news/{id}", "obj": f"n{step * 7 % 101}"}
        if step % 60 >= signed_in:
            fields |= {"user": None, "user_v": False, "sess": None}
        scene.engine.train(scene.event(**{**scene.at_home(step % 60), **fields}))
    chance, asked = random.Random(3), [0] * 20
    for _ in range(20 * 60):
        who = chance.randrange(20)
        asked[who] += 1
        place = {"ip": f"88.{who}.4.5", "asn": who, "ja4": client, "ua": client, "hdr": client}
        made += scene.send(490, **place, api="GET /news/{id}", obj=f"n{(asked[who] * 13 + who) % 101}")
    assert bool(acting(made, "coordinated_scraping")) is refused


def test_users_who_read_each_of_their_own_things_twice_are_no_machines_when_they_are_many() -> None:
    scene, made = Scene(), list[Decision]()
    newsreaders(scene)
    for step in range(12 * 60):
        made += scene.send(333 + 97 * (step % 7), **reader(step % 12, obj=f"own{step % 12}-{step // 24}"))
    assert acting(made, "coordinated_scraping") == []


def test_users_with_nothing_in_common_who_read_like_machines_are_asked_for_more() -> None:
    scene, made = Scene(), list[Decision]()
    newsreaders(scene)
    for step in range(8 * 40):
        number = step % 8
        fields = {"obj": f"archive{step * 7919 % 100_003}", "asn": 9000 + number, "ipc": "hosting"}
        made += scene.send(500, **reader(number, **fields))
    assert {one.subject.user for one in acting(made, "coordinated_scraping")} == {f"r{number}" for number in range(8)}
