"""Log-in rules: each attack, and the honest case that looks most like it."""

from typing import Any

import pytest
from haetae_fds import Decision, Mode, Subject

from tests.fds.detectors.scene import Scene, acting


def anonymous(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key not in ("user", "user_v", "sess")}


def test_account_tried_from_many_addresses_is_closed_to_strangers_only() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(8):
        made += scene.send(**scene.stranger(number), **scene.login(30, "bad", f"guess{number}"))
    (one,) = acting(made, "account_brute_force")
    assert one.subject.to_dict() == {"account": "a30", "untrusted": True}
    assert one.api is not None
    assert one.api.path == "/sessions"


def test_owner_who_has_browsers_only_can_prove_himself_while_strangers_guess() -> None:
    scene, made = Scene(), list[Decision]()
    browser = {"ip": "100.99.1.1", "asn": 5, "ua": "browser"}
    scene.send(1000, **browser, **scene.login("w", "ok", "right"))
    for number in range(8):
        made += scene.send(**scene.stranger(number), **scene.login("w", "bad", f"guess{number}"))
    (one,) = acting(made, "account_brute_force")
    assert (one.action, one.subject.to_dict()) == ("challenge", {"account": "aw", "untrusted": True})


def test_slow_guessing_over_hours_is_found() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(12):
        made += scene.send(1_200_000, **scene.stranger(number), **scene.login(30, "bad", f"guess{number}"))
    assert acting(made, "account_brute_force")


def test_many_secrets_from_one_address_are_refused_there() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(7):
        made += scene.send(**scene.stranger(1), **scene.login(30, "bad", f"guess{number}"))
    (one,) = acting(made, "single_source_brute_force")
    assert one.subject.ip == "203.0.1.9"


def test_forgetful_owner_at_home_is_not_refused() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(9):
        made += scene.send(5000, **anonymous(scene.at_home(30)), **scene.login(30, "bad", f"guess{number}"))
    assert acting(made) == []


def test_stuffing_from_one_address_is_refused_at_log_in() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(12):
        made += scene.send(300, **scene.stranger(1), **scene.login(f"x{number}", "bad", "leaked"))
    one = acting(made, "stuffing_from_address")[0]
    assert one.subject.ip == "203.0.1.9"
    assert one.api is not None
    assert len(one.events) <= 20


def test_office_repeating_expired_passwords_is_not_refused() -> None:
    scene, made = Scene(), list[Decision]()
    for _ in range(20):
        for person in range(20):
            made += scene.send(200, **anonymous(scene.at_home(person)), **scene.login(person, "bad", "old"))
    assert made == []


def test_strangers_repeating_one_old_secret_count_once() -> None:
    scene, made = Scene(), list[Decision]()
    for _ in range(200):
        made += scene.send(500, **scene.stranger(1), **scene.login(30, "bad", "old"))
    assert made == []


def test_distributed_stuffing_with_a_rare_client_refuses_that_client() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(30):
        made += scene.send(1500, **scene.stranger(number), **scene.login(f"x{number}", "bad", "leaked"))
    (one,) = acting(made, "distributed_stuffing")
    assert one.action == "block"
    assert one.subject.to_dict() == {"client": "bot|bot|bot", "untrusted": True}


def test_distributed_stuffing_with_a_popular_client_is_only_challenged() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(30):
        fields = {**scene.stranger(number), "ja4": "app", "ua": "app", "hdr": "app"}
        made += scene.send(1500, **fields, **scene.login(f"x{number}", "bad", "leaked"))
    (one,) = acting(made, "distributed_stuffing")
    assert one.action == "challenge"


def test_people_whose_text_message_does_not_come_are_no_list() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(60):
        fields = {**scene.stranger(number), "ja4": "app", "ua": "app", "hdr": "app"}
        made += scene.send(1500, **fields, **scene.login(f"x{number}", "mfa_fail", "right"))
    assert acting(made) == []


def odd_browsers(scene: Scene, *, opened: bool) -> list[Decision]:
    """Two hundred log-ins from ever new addresses with forty clients in turn that nobody established has."""
    for _ in range(3):  # what the service is used to
        scene.send(600_000, **{**scene.stranger(90), **scene.login("usual", "bad", f"slip{scene.number}")})
    made = list[Decision]()
    for number in range(200):
        where = {**scene.stranger(number), "ja4": f"odd{number % 40}"}
        made += scene.send(700, **where, **scene.login(f"x{number}", "bad", "leaked"))
        if opened:
            made += scene.send(700, **where, **scene.login(f"x{number}", "ok", "right"))
    return acting(made, "distributed_stuffing")


def test_list_tried_with_one_odd_client_after_the_other_is_refused_client_by_client() -> None:
    made = odd_browsers(Scene(people=60), opened=False)
    assert {one.subject.client for one in made} == {f"odd{number}|bot|bot" for number in range(40)}
    assert all(one.action == "block" and one.subject.untrusted and one.subject.ip is None for one in made)
    assert {one.campaign for one in made} == {"rare clients"}


def test_many_with_odd_browsers_who_sign_in_after_a_slip_are_left_alone() -> None:
    assert odd_browsers(Scene(people=60), opened=True) == []


def test_new_phones_of_a_popular_client_are_left_alone() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(40):
        fields = {**scene.stranger(number), "ja4": "app", "ua": "app", "hdr": "app", "dev": f"n{number}", "dev_v": True}
        if number % 4 == 0:
            made += scene.send(1500, **fields, **scene.login(f"x{number}", "bad", "typo"))
        made += scene.send(1500, **fields, **scene.login(f"x{number}", "ok", "right"))
    assert acting(made) == []


def test_one_secret_on_many_accounts_is_refused() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(12):
        fields = {**scene.stranger(number), "ja4": f"j{number}"}
        made += scene.send(20_000, **fields, **scene.login(f"x{number}", "bad", "summer"), pw_fp="summer")
    assert {one.subject for one in acting(made, "spraying")} == {Subject(pw_fp="summer", untrusted=True)}


@pytest.mark.parametrize("warm", [True, False])
def test_secret_tried_at_leisure_from_ever_new_addresses_with_ever_other_browsers_is_of_no_use_any_more(
    warm: bool,
) -> None:
    scene, refused, until = Scene(warm=warm), 0, 0
    for number in range(180):
        fields = {**scene.stranger(number), "ja4": f"j{number % 9}", "pw_fp": "summer"}
        fields |= scene.login(f"x{number}", "bad", "summer")
        if scene.now < until:
            refused, fields["pol"] = refused + 1, "challenge"
        for one in acting(scene.send(40_000, **fields)):
            assert one.subject.client is None
            if one.subject.pw_fp == "summer":
                until = one.exp
    assert refused >= 150


@pytest.mark.parametrize("shared", [True, False])
def test_secret_that_is_tried_on_though_refused_is_met_by_client_or_address(shared: bool) -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(26):
        client = dict.fromkeys(("ja4", "ua", "hdr"), "app" if shared else f"b{number % 9}")
        fields = {**scene.stranger(number), **client, **scene.login(f"x{number}", "bad", "summer")}
        made += scene.send(9_000, **fields, pw_fp="summer")
    first, second, *_ = told = acting(made, "spraying")
    assert first.subject == Subject(pw_fp="summer", untrusted=True)
    assert second.ts - first.ts >= 10_000
    if shared:
        assert [one.subject for one in told[1:]] == [Subject(client="app|app|app", untrusted=True)]
    else:
        addresses = {one.subject.ip for one in told[1:] if one.subject.ip}
        assert addresses == {scene.stranger(number)["ip"] for number in range(26 - len(addresses), 26)}
        assert len(addresses) >= 8


@pytest.mark.parametrize("warm", [True, False])
def test_tool_that_tries_one_secret_is_refused_for_what_it_is_or_for_its_secret_while_little_is_known(
    warm: bool,
) -> None:
    scene, made = Scene(warm=warm, people=60), list[Decision]()
    for number in range(24):
        fields = {**scene.stranger(number), **scene.login(f"x{number}", "bad", "summer"), "pw_fp": "summer"}
        made += scene.send(20_000, **fields)
    told = Subject(client="bot|bot|bot", untrusted=True) if warm else Subject(pw_fp="summer", untrusted=True)
    assert {one.subject for one in acting(made, "spraying")} == {told}


def test_unknown_names_are_refused_at_one_address_and_over_a_network() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(8):
        made += scene.send(500, **scene.stranger(1), **scene.login(f"x{number}", "nouser", "p"))
    assert acting(made, "user_enumeration")[0].subject.ip == "203.0.1.9"
    made = []
    scene.engine.set_modes(None, {"stuffing_from_address": Mode.OFF})  # which sees it sooner
    for number in range(30):
        fields = {**scene.stranger(1), "ip": f"192.0.2.{number + 1}", "ja4": f"j{number}"}
        made += scene.send(500, **fields, **scene.login(f"y{number}", "nouser", "p"))
    assert acting(made, "user_enumeration")[0].subject.ip == "192.0.2.0/24"


def test_one_mistyped_name_repeated_is_no_enumeration() -> None:
    scene, made = Scene(), list[Decision]()
    for _ in range(50):
        made += scene.send(500, **scene.stranger(1), **scene.login("x", "nouser", "p"))
    assert made == []


def test_success_after_guessing_asks_for_proof_before_money_moves_and_proposes_to_disable() -> None:
    scene, made = Scene(), list[Decision]()
    scene.send(**scene.at_home(1), api="POST /transfers", route="transfer")
    for number in range(4):
        made += scene.send(**scene.stranger(1), **scene.login(30, "bad", f"guess{number}"))
    made += scene.send(**scene.stranger(1), **scene.login(30, "ok", "right"))
    intruder = {**scene.stranger(1), "user": "u30", "user_v": True}
    made += scene.send(**intruder, api="GET /things/{id}", obj="x")
    found = acting(made, "takeover")
    assert [(one.subject.to_dict(), one.action, one.api and one.api.path) for one in found] == [
        ({"user": "u30"}, "challenge", "/transfers")
    ]
    made = scene.send(**intruder, api="POST /transfers", route="transfer")
    assert [one.proposal for one in made if one.detector == "takeover_confirmed"] == ["disable_account"]


def test_log_in_at_home_asks_for_nothing() -> None:
    scene = Scene()
    scene.send(**scene.at_home(1), api="POST /transfers", route="transfer")
    made = scene.send(**anonymous(scene.at_home(30)), **scene.login(30, "ok", "right"))
    made += scene.send(**scene.at_home(30), api="POST /transfers", route="transfer")
    assert made == []


def test_owner_on_a_known_device_takes_back_what_stands_at_the_address() -> None:
    scene, made = Scene(), list[Decision]()
    owner = anonymous(scene.at_home(3))
    for number in range(13):
        made += scene.send(**owner, **scene.login(3, "bad", f"guess{number}"))
    (one,) = acting(made)
    assert one.subject.account == "a3"
    (taken,) = scene.send(**owner, **scene.login(3, "ok", "right"))
    assert (taken.op, taken.pid, taken.campaign) == ("del", one.pid, one.campaign)
    assert (str(taken.numbers[0]), len(taken.events)) == ("proofs 1 (limit 1)", 1)


def test_tool_among_colleagues_is_refused_without_them() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(14):
        fields = {**scene.stranger(1), "ip": "198.51.100.7"}
        made += scene.send(10_000, **fields, **scene.login(f"x{number}", "bad", "leaked"))
    one = acting(made, "stuffing_from_address")[0]
    assert one.subject.to_dict() == {"client": "bot|bot|bot", "ip": "198.51.100.7", "untrusted": True}
