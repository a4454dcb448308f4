"""Who speaks with a stolen session as its owner does, who only signs in where others sign up; the settings' page."""

import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from haetae_fds import Decision, Engine, EngineSettings

from tests.fds.detectors.scene import HOUR, Scene, acting

PAGE = Path(__file__).parents[3] / "docs" / "fds.md"
AWAY = {"ip": "203.0.44.5", "asn": 4400}


def in_the_web(scene: Scene, person: int) -> dict[str, Any]:
    """Somebody with a browser that everybody has and no device of his own."""
    return {**scene.at_home(person), "dev": None, "dev_v": None, "sig": None, "api": "GET /home"}


def owner_and_other(device: bool, other: dict[str, Any], rounds: int = 12) -> list[Decision]:
    """Both use one session in turn; what is decided."""
    scene, made = Scene(people=6), list[Decision]()
    here = {**scene.at_home(3), "api": "GET /home"} if device else in_the_web(scene, 3)
    for _ in range(rounds):
        made += scene.send(7_000, **here)
        made += scene.send(9_000, **{**in_the_web(scene, 3), **other})
    return made


@pytest.mark.parametrize("device", [False, True])
def test_thief_of_a_session_who_looks_like_its_owner_is_betrayed_by_being_elsewhere_at_once(device: bool) -> None:
    made = acting(owner_and_other(device, {**AWAY, "ipc": "hosting"}))
    assert {one.detector for one in made} == {"stolen_session"}
    assert [one.subject.to_dict() for one in made] == [{"session": "s3", "ip": "203.0.44.5"}]
    assert [one.action for one in made] == ["challenge"]
    assert made[0].numbers[0].value <= 5


def test_telephone_between_a_weak_network_at_home_and_its_carrier_is_left_alone() -> None:
    assert owner_and_other(False, {**AWAY, "ipc": "mobile"}) == []


def test_owner_who_travels_and_comes_home_is_left_alone() -> None:
    scene, made = Scene(people=6), list[Decision]()
    for place in ({}, AWAY, {}, {"ip": "203.0.45.5", "asn": 4500}):
        for _ in range(30):
            made += scene.send(5_000, **{**in_the_web(scene, 3), **place})
    assert made == []


def test_office_with_two_lines_is_at_home_on_both() -> None:
    scene, made = Scene(people=6), list[Decision]()
    second = {"ip": "203.0.46.5", "asn": 4600}
    for _ in range(10):
        scene.now += HOUR // 30
        for line in ({}, second):
            scene.engine.train(scene.event(**{**in_the_web(scene, 3), **line}))
    for _ in range(12):
        for line in ({}, second):
            made += scene.send(4_000, **{**in_the_web(scene, 3), **line})
    assert made == []


def test_people_who_sign_in_below_the_address_of_sign_ups_are_no_mass_of_new_accounts() -> None:
    scene, made = Scene(EngineSettings(signup=("POST /sessions",))), list[Decision]()
    for person in range(12):
        at = {**scene.at_home(person), "ip": "203.0.47.5", "asn": 4700, "dev": None, "dev_v": None}
        made += scene.send(20_000, **at, **scene.login(person, "ok", "right"))
    assert not [one for one in made if one.detector == "mass_signup"]
    for number in range(8):
        made += scene.send(2_000, **scene.stranger(1), **scene.login(f"new{number}", "ok", "x"))
    assert [one.subject.ip for one in acting(made, "mass_signup")] == ["203.0.1.9"]


def test_list_tried_below_the_address_of_sign_ups_is_called_what_it_is() -> None:
    scene, made = Scene(EngineSettings(signup=("POST /sessions",))), list[Decision]()
    for number in range(30):
        made += scene.send(2_000, **scene.stranger(1), **scene.login(f"x{number}", "bad", "x"))
    assert "stuffing_from_address" in {one.detector for one in acting(made)}
    assert "mass_signup" not in {one.detector for one in made}


def newcomers(scene: Scene, api: str, called: str = "new") -> list[Decision]:
    """Eight names nobody knows are answered as signed in, at one address, by `api`."""
    made: list[Decision] = []
    for number in range(8):
        made += scene.send(2_000, **{**scene.stranger(1), **scene.login(f"{called}{number}", "ok", "x"), "api": api})
    return acting(made, "mass_signup")


@pytest.mark.parametrize(
    ("pattern", "api", "meant"),
    [
        ("POST /members", "POST /members", True),
        ("post /MEMBERS", "POST /members", True),
        ("POST /members", "POST /members/login", False),
        ("POST /members", "POST /v2/members", False),
        ("POST /members(/.*)?", "POST /members/login", True),
        ("POST /members/{id}/keys", "POST /members/{id}/keys", True),
        ("POST /members/{}", "POST /members/{}", True),
    ],
)
def test_pattern_means_the_whole_name_of_an_api(pattern: str, api: str, meant: bool) -> None:
    assert bool(newcomers(Scene(EngineSettings(signup=(pattern,)), people=2), api)) is meant
    scene = Scene(EngineSettings(decoy_routes=(pattern,)), people=2)
    for number, where in enumerate(("api", "route")):
        touched: dict[str, Any] = {**scene.stranger(number), where: api}
        assert bool(acting(scene.send(**touched), "canary")) is meant


def test_patterns_that_an_operator_changes_hold_for_apis_that_are_known_already() -> None:
    scene = Scene(EngineSettings(signup=("POST /never",)), people=2)
    assert newcomers(scene, "POST /members") == []
    saved = scene.engine.dump()
    scene.engine = Engine(EngineSettings(signup=("POST /members",)))
    scene.engine.load(saved)
    assert newcomers(scene, "POST /members", called="newer")


@pytest.mark.parametrize(
    ("name", "sensitive", "signup"),
    [
        ("POST /api/v1/transfers", True, False),
        ("POST /payments/{id}/confirm", True, False),
        ("PUT /me/password", True, False),
        ("DELETE /devices/{id}", True, False),
        ("GET /payments", False, False),
        ("POST /api/sign-up", False, True),
        ("POST /users", False, True),
        ("POST /users/", False, True),
        ("POST /users/{id}/photo", False, False),
        ("POST /accounts/{id}/close", False, False),
        ("POST /orders", False, False),
    ],
)
def test_what_the_settings_without_a_word_from_the_operator_take_apis_for(
    name: str, sensitive: bool, signup: bool
) -> None:
    scene = Scene(people=2)
    scene.send(**scene.at_home(1), api=name)
    api = scene.engine.features.apis.rows[name]
    assert (api.sensitive, api.signup) == (sensitive, signup)


def test_page_lists_every_setting_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([a-z_0-9]+)` \| ([^|]+) \|", PAGE.read_text(), re.MULTILINE))
    names = {one.name: one for one in fields(EngineSettings) if one.name != "protected"}
    assert names.keys() <= rows.keys()
    for name, one in names.items():
        default = one.default
        if default is not MISSING and isinstance(default, int | float):
            assert float(rows[name].replace(",", "").strip()) == default, name
