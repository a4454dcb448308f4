"""What rules do so that honest people pay nothing for an attack, and what they see of slow and shared ones."""

from typing import Any

import pytest
from haetae_fds import Decision, Subject

from tests.fds.detectors.scene import Scene, acting

APP = {"ja4": "app", "ua": "app", "hdr": "app", "ver": "5.0"}
OFFICE = "198.51.100.7"


def forged(scene: Scene, api: str, count: int, **more: Any) -> list[Decision]:
    """Wrong signatures in colleagues' names, from inside their office."""
    made: list[Decision] = []
    for number in range(count):
        claimed = {"dev": f"d{number % 20}", "ip": OFFICE, "asn": 7, "sig": "bad", "status": 401}
        made += scene.send(700, **{**APP, **claimed, "ja4": "lookalike", "api": api, **more})
    return made


def test_forger_among_colleagues_is_refused_what_he_called_and_nobody_anything_else() -> None:
    scene = Scene()
    made = acting(forged(scene, "POST /transfers", 60))
    assert made
    assert all(one.subject.untrusted and one.subject.device is None for one in made)
    assert {one.api.path for one in made if one.api is not None} == {"/transfers"}
    assert all(one.api is not None for one in made)


def test_forger_who_tries_a_second_call_is_refused_that_one_at_once() -> None:
    scene = Scene()
    forged(scene, "POST /transfers", 60)
    (one,) = acting(forged(scene, "GET /records/{id}", 1))
    assert one.api is not None
    assert one.api.path == "/records/{id}"


def test_forgery_at_the_log_in_beside_other_calls_does_not_close_it_to_colleagues() -> None:
    scene = Scene()
    scene.send(1000, **{**scene.at_home(1), **scene.login(1, "ok", "right")})
    made: list[Decision] = []
    for _ in range(20):
        made += forged(scene, "POST /transfers", 3) + forged(scene, "POST /sessions", 1, route="login")
    assert acting(made)
    assert "/sessions" not in {one.api.path for one in acting(made) if one.api is not None}


def test_what_was_asked_of_strangers_for_our_own_mistake_is_taken_back() -> None:
    scene = Scene(people=60)
    popular = {"ja4": "app"}
    asked = [one for one in acting(forged(scene, "POST /transfers", 60, **popular)) if one.action == "challenge"]
    assert asked
    made: list[Decision] = []
    for person in range(20, 40):
        made += scene.send(500, **{**scene.at_home(person), "api": "POST /transfers", "sig": "bad", "dev_v": False,
                                   "user_v": False, "status": 401})  # fmt: skip
    assert any(one.detector == "systemic_fault" for one in made)
    assert {one.pid for one in asked} <= {one.pid for one in made if one.op == "del"}


def test_slow_guessing_keeps_a_block_alive_and_a_repeated_secret_does_not() -> None:
    for fresh in (True, False):
        scene, made = Scene(), list[Decision]()
        for number in range(8):
            made += scene.send(1000, **{**scene.stranger(1), **scene.login(30, "bad", f"guess{number}")})
        (one,) = acting(made, "single_source_brute_force")
        refused = {**scene.stranger(1), "pol": "block", "pid": one.pid, "status": 403, "api": "POST /sessions"}
        later: list[Decision] = []
        for number in range(45):
            secret = f"a30:next{number if fresh else 0}"
            later += scene.send(14_000, **refused, acct="a30", cred_fp=secret)
        assert [each.op for each in later[:1]] == (["extend"] if fresh else [])
        assert all(each.numbers[0].name == "different secrets" for each in later)


def test_one_secret_from_everywhere_is_seen_after_six_accounts() -> None:
    scene = Scene()
    for _ in range(3):  # what the service is used to
        scene.send(600_000, **{**scene.stranger(90), **scene.login("usual", "bad", f"slip{scene.number}")})
    made: list[Decision] = []
    for number in range(6):
        fields = {**scene.stranger(100 + number), **APP, **scene.login(number, "bad", "x"), "pw_fp": "the one"}
        made += scene.send(20_000, **fields)
    (one,) = acting(made, "spraying")
    assert (one.action, one.ts) == ("challenge", scene.now)
    assert one.subject == Subject(pw_fp="the one", untrusted=True)


def test_guesses_with_a_client_nobody_has_are_seen_after_four() -> None:
    for tool, decided in ((True, 1), (False, 0)):
        scene, made = Scene(people=60), list[Decision]()
        for number in range(4):
            client = {} if tool else APP
            made += scene.send(
                30_000, **{**scene.stranger(number), **client, **scene.login(30, "bad", f"guess{number}")}
            )
        assert len(acting(made, "account_brute_force")) == decided


def test_network_that_never_uses_an_address_twice_is_refused_as_one() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(14):
        where = {"ip": f"2001:db8:7:{number:x}::1", "asn": 77, **APP}
        made += scene.send(2000, **{**where, **scene.login(number, "bad", f"leak{number}")})
    one = acting(made)[0]
    assert (one.detector, one.action, one.subject.untrusted) == ("stuffing_from_address", "block", True)
    assert one.subject.ip == "2001:db8:7::/48"


def test_own_accounts_of_an_attacker_are_no_witnesses() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(10):
        for own in range(3):
            mine = {**scene.stranger(1), **scene.login(f"own{number}{own}", "ok", "mine"), "user": f"evil{number}{own}"}
            made += scene.send(500, **mine)
        made += scene.send(500, **{**scene.stranger(1), **scene.login(number, "bad", f"leak{number}")})
    assert acting(made, "stuffing_from_address")


def test_newcomers_alike_who_are_each_denied_a_little_are_refused_together() -> None:
    scene, made = Scene(people=60), list[Decision]()
    for turn in range(4):
        for number in range(8):
            who = {**scene.stranger(number), "user": f"new{number}", "user_v": True, "status": 403}
            made += scene.send(3000, **who, api="GET /orders/{id}", obj=f"o{turn}-{number}")
    refused = {one.subject.user for one in acting(made, "object_enumeration")}
    assert refused
    assert refused <= {f"new{number}" for number in range(8)}
    alone, calm = Scene(people=60), list[Decision]()
    for turn in range(4):
        who = {**alone.stranger(1), "user": "new1", "user_v": True, "status": 403}
        calm += alone.send(3000, **who, api="GET /orders/{id}", obj=f"o{turn}")
    assert not acting(calm, "object_enumeration")


def expired(scene: Scene, turns: int, clients: tuple[str, ...], people: int = 26) -> list[Decision]:
    """People of an office nobody has seen before, whose programs repeat their old passwords."""
    made: list[Decision] = []
    for _ in range(turns):
        for number in range(people):
            client = dict.fromkeys(("ja4", "ua", "hdr"), clients[number % len(clients)])
            where = {"ip": "192.0.2.50", "asn": 5, **client}
            made += scene.send(400, **{**where, **scene.login(f"office{number}", "bad", "old")})
    return made


def two_clients() -> Scene:
    scene = Scene()
    for minute in range(0, 40, 4):
        for person in range(10):
            fields = {**scene.at_home(person), "ja4": "site", "ua": "site", "hdr": "site", "sess": f"site{person}"}
            scene.engine.train(scene.event(**fields, api="GET /things/{id}", obj=f"t{person}-{minute % 5}"))
        scene.now += 240_000
    return scene


def test_unknown_office_whose_programs_repeat_old_passwords_is_at_most_challenged() -> None:
    assert not [one for one in acting(expired(two_clients(), 6, ("app", "site"))) if one.action == "block"]


def test_list_tried_with_one_client_from_one_address_is_refused_though_some_of_it_is_repeated() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(60):
        for _ in range(2):
            made += scene.send(300, **{**scene.stranger(1), **scene.login(f"x{number}", "bad", "leak")})
    assert acting(made, "stuffing_from_address")


@pytest.mark.parametrize(("signs_in", "refused"), [(True, False), (False, True)])
def test_everybody_who_tries_old_passwords_and_then_signs_in_is_no_list_even_to_an_engine_that_knows_nobody(
    signs_in: bool, refused: bool
) -> None:
    scene, made = Scene(warm=False), list[Decision]()
    for number in range(60):
        place = {"ip": "198.51.100.9", "asn": 7, "ja4": f"b{number % 9}", "ua": "site", "hdr": "site"}
        for tried in ("old", "older", "oldest"):
            made += scene.send(3_000, **place, **scene.login(f"x{number}", "bad", tried))
        if signs_in:
            made += scene.send(3_000, **place, **scene.login(f"x{number}", "ok", "new"))
    assert bool(acting(made, "stuffing_from_address")) is refused


def readers(scene: Scene, *, objects_an_hour: int, person: int = 30, hours: int = 24) -> list[Decision]:
    """Somebody who reads things nobody else does, all day and with uneven gaps."""
    made: list[Decision] = []
    for number in range(hours * objects_an_hour):
        gap = 3_600_000 // objects_an_hour
        who = {**scene.at_home(person), "api": "GET /things/{id}", "obj": f"day{person}-{number}"}
        made += scene.send(gap // 4 if number % 2 else 2 * gap - gap // 4, **who)
    return made


def test_patient_scraper_is_seen_by_his_day_and_a_busy_clerk_is_not() -> None:
    made = acting(readers(Scene(people=31), objects_an_hour=90), "scraping")
    assert [one.numbers[0].name for one in made[:1]] == ["objects in a day"]
    assert (made[0].action, made[1].action, made[0].subject.user) == ("throttle", "block", "u30")
    assert acting(readers(Scene(people=31), objects_an_hour=130, hours=9)) == []


def test_before_whole_days_are_known_busy_hours_of_others_tell_what_a_day_may_be() -> None:
    scene = Scene(people=1)
    for _ in range(220):
        scene.engine.features.apis.touch("GET /things/{id}", scene.now).objects_hour.add(300)
    assert acting(readers(scene, objects_an_hour=300, person=0, hours=6)) == []


def test_where_whole_days_of_reading_are_everybodys_work_nobody_is_a_scraper() -> None:
    scene = Scene(people=1)
    for _ in range(220):  # what days of this service's people look like
        scene.engine.features.apis.touch("GET /things/{id}", scene.now).objects_day.add(900)
    assert acting(readers(scene, objects_an_hour=90, person=0)) == []


def test_one_great_minute_teaches_a_flood_nothing_and_a_program_that_always_calls_often_may() -> None:
    scene, made = Scene(), list[Decision]()
    for _ in range(290):
        made += scene.send(200, **scene.at_home(30), api="GET /price")
    for _ in range(1000):
        made += scene.send(50, **scene.at_home(30), api="GET /price")
    (one,) = acting(made, "flood")
    assert one.numbers[0].value == 300
    patient, made = Scene(people=2), list[Decision]()
    for _ in range(60 * 100):
        made += patient.send(600, **patient.at_home(1), api="GET /price")
    for _ in range(1000):
        made += patient.send(50, **patient.at_home(1), api="GET /price")
    assert acting(made) == []
