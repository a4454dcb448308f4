"""Rules about envelopes, objects, paths, sessions and volume: each attack, and the honest case most like it."""

from haetae_fds import Decision, EngineSettings

from tests.fds.detectors.scene import Scene, acting


def test_requests_sent_again_are_refused_where_they_come_from_and_the_owner_is_not() -> None:
    scene, made = Scene(), list[Decision]()
    for _ in range(4):
        made += scene.send(500, **{**scene.stranger(1), "dev": "d30", "dev_v": True, "nonce": "replay", "status": 409})
    one = acting(made, "replay")[0]
    assert one.subject.to_dict() == {"device": "d30", "ip": "203.0.1.9"}


def test_retries_in_a_storm_are_no_replays() -> None:
    scene, made = Scene(), list[Decision]()
    for _ in range(10):
        for person in range(40):
            made += scene.send(50, **{**scene.at_home(person), "nonce": "retry", "status": 503})
    assert made == []


def test_who_was_not_answered_may_repeat_on_the_road_and_whoever_only_has_recordings_may_not() -> None:
    scene, made = Scene(), list[Decision]()
    abroad = {**scene.stranger(1), "dev": "d30", "dev_v": True, "ja4": "app", "ua": "app", "hdr": "app"}
    made += scene.send(500, **{**abroad, "nonce": "ok", "sig": "ok", "status": 503})
    for _ in range(15):
        made += scene.send(900, **{**abroad, "nonce": "replay", "status": 409})
    assert made == []
    for _ in range(4):  # the same person's, sent again from somewhere else
        made += scene.send(500, **{**abroad, **scene.stranger(2), "nonce": "replay", "status": 409})
    assert {one.subject.ip for one in acting(made, "replay")} == {"203.0.2.9"}
    scene.now += 180_000
    for _ in range(4):  # long after
        made += scene.send(500, **{**abroad, "nonce": "replay", "status": 409})
    assert {one.subject.ip for one in acting(made, "replay")} == {"203.0.1.9", "203.0.2.9"}


def test_forged_device_ids_of_victims_never_touch_the_victims() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(60):
        fields = {**scene.stranger(1), "dev": f"d{number % 40}", "dev_v": False, "sig": "bad", "status": 401}
        made += scene.send(200, **fields)
    assert acting(made)
    assert all(one.subject.device is None and one.subject.ip == "203.0.1.9" for one in acting(made))
    assert not any(one.detector == "systemic_fault" for one in made)


def test_forged_crowd_does_not_trip_the_systemic_guard() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(60):
        fields = {**scene.stranger(1), "dev": f"made-up-{number}", "dev_v": False, "sig": "bad", "status": 401}
        made += scene.send(100, **fields)
    assert acting(made)
    assert not any(one.detector == "systemic_fault" for one in made)


def test_broken_release_is_told_to_people_and_refuses_nobody() -> None:
    scene, made = Scene(), list[Decision]()
    for _ in range(40):
        for person in range(40):
            broken = {**scene.at_home(person), "dev_v": False, "user_v": False, "sig": "bad", "status": 401}
            made += scene.send(100, **broken)
    assert acting(made) == []
    assert any(one.detector == "systemic_fault" and one.action == "alert" for one in made)


def test_second_mistake_of_ours_is_told_while_the_first_goes_on() -> None:
    scene, made = Scene(), list[Decision]()
    for _ in range(10):
        for person in range(40):
            fault = {"sig": "bad", "status": 401} if person % 2 else {"dec": "fail", "status": 400}
            made += scene.send(100, **{**scene.at_home(person), "dev_v": False, "user_v": False, **fault}, api="GET /a")
    told = [one for one in made if one.detector == "systemic_fault"]
    assert {"(sig bad)" in one.why for one in told} == {True, False}
    assert all("version 5.0" in one.why and "GET /a" in one.why and len(one.events) > 1 for one in told)
    assert len({one.pid for one in told}) == len(told) == 2


def test_stranger_with_the_fault_that_many_have_is_refused_only_when_he_stands_out() -> None:
    scene, made = Scene(), list[Decision]()
    for person in range(40):
        for _ in range(3):
            scene.send(100, **{**scene.at_home(person), "dev_v": False, "sig": "bad", "status": 401})
    stranger = {**scene.stranger(1), "dev": "never seen", "dev_v": False, "sig": "bad", "status": 401}
    for _ in range(12):
        made += scene.send(900, **stranger)
    assert acting(made) == []
    for _ in range(8):
        made += scene.send(900, **stranger)
    assert {one.subject.ip for one in acting(made, "bad_signature")} == {"203.0.1.9"}


def test_key_rotation_mistake_refuses_nobody() -> None:
    scene, made = Scene(), list[Decision]()
    for _ in range(40):
        for person in range(40):
            made += scene.send(100, **{**scene.at_home(person), "dec": "fail", "status": 400})
    assert acting(made) == []


def test_bodies_that_cannot_be_opened_are_refused_from_an_unknown_pair() -> None:
    scene, made = Scene(), list[Decision]()
    for _ in range(7):
        fields = {**scene.stranger(1), "dev": "new", "dev_v": True, "dec": "fail", "status": 400}
        made += scene.send(500, **fields)
    assert acting(made, "decrypt_failure")[0].subject.to_dict() == {"device": "new", "ip": "203.0.1.9"}


def test_many_kinds_of_faults_are_app_analysis_and_one_expired_clock_is_not() -> None:
    scene, made = Scene(), list[Decision]()
    for fault in ({"sig": "bad"}, {"dec": "fail"}, {"sig": "expired"}, {"nonce": "replay"}, {"attest": "fail"}):
        made += scene.send(5000, **{**scene.stranger(1), "dev": "new", "dev_v": False, "status": 400, **fault})
    assert acting(made, "app_analysis")
    made = []
    for _ in range(6):
        made += scene.send(20_000, **{**scene.at_home(30), "sig": "expired", "status": 401})
    assert made == []


def test_objects_denied_one_after_the_other_are_refused_and_a_few_stale_links_are_not() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(25):
        made += scene.send(900, **{**scene.at_home(30), "api": "GET /p/{id}", "obj": f"o{number}", "status": 404})
    one = acting(made, "object_enumeration")[0]
    assert one.subject.to_dict() == {"user": "u30"}
    assert one.api is not None
    made = []
    for number in range(8):
        made += scene.send(900, **{**scene.at_home(31), "api": "GET /p/{id}", "obj": f"o{number}", "status": 404})
    assert made == []


def test_equal_steps_through_ids_are_refused_and_a_partner_batch_is_not() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(20):
        made += scene.send(
            1500, **{**scene.at_home(30), "api": "GET /q/{id}", "obj": f"o{number}", "obj_n": 7 * number}
        )
    assert acting(made, "object_sweep")
    made = []
    for number in range(400):
        fields = {"ip": "203.0.9.9", "san": "batch.partner", "api": "GET /q/{id}", "obj": f"b{number}"}
        made += scene.send(500, **fields, obj_n=number)
    assert made == []


def test_scraper_is_slowed_and_then_refused() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(900):
        made += scene.send(200, **{**scene.at_home(30), "api": "GET /things/{id}", "obj": f"z{number}"})
    actions = [one.action for one in acting(made)]
    assert (actions[0], actions[-1]) == ("throttle", "block")
    assert acting(made, "scraping")[0].rate is not None


def test_flash_sale_of_a_few_things_slows_nobody() -> None:
    scene, made = Scene(), list[Decision]()
    for turn in range(50):
        for person in range(40):
            made += scene.send(20, **{**scene.at_home(person), "api": "GET /things/{id}", "obj": f"sale{turn % 5}"})
    assert made == []


def test_scrapers_that_share_the_work_are_refused_one_by_one() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(700):
        who = number % 8
        fields = {**scene.stranger(who), "ipc": "hosting", "user": f"puppet{who}", "user_v": True}
        made += scene.send(1500, **fields, api="GET /things/{id}", obj=f"z{number}")
    refused = {one.subject.user for one in acting(made, "coordinated_scraping")}
    assert len(refused) >= 4
    assert all(name is not None and name.startswith("puppet") for name in refused)


def test_scanner_is_refused_and_one_missing_picture_is_not() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(12):
        made += scene.send(500, **{**scene.stranger(1), "route": None, "status": 404, "obj": f"path{number}"})
    assert acting(made, "scanner")
    made = []
    for _ in range(60):
        made += scene.send(500, **{**scene.stranger(2), "route": None, "status": 404, "obj": "picture"})
    assert made == []


def test_slow_scanner_is_refused_sooner_where_hardly_anything_else_was_asked_for() -> None:
    missing = {**Scene.stranger(1), "route": None, "status": 404}
    scene, made = Scene(), list[Decision]()
    for number in range(15):
        made += scene.send(12_000, **missing, obj=f"path{number}")
    assert acting(made, "scanner")
    scene, made = Scene(), list[Decision]()
    for number in range(100):  # somebody who reads finds some dead links
        made += scene.send(3_000, **Scene.stranger(1), api="GET /things/{id}", obj=f"t{number % 4}")
        if number % 6 == 0:
            made += scene.send(3_000, **missing, obj=f"path{number}")
    assert made == []


def test_second_client_of_a_stolen_session_is_refused_and_somebody_on_the_move_is_not() -> None:
    scene, made = Scene(), list[Decision]()
    scene.send(**scene.at_home(30))
    thief = {**scene.stranger(1), "user": "u30", "user_v": True, "sess": "s30"}
    made += scene.send(5000, **thief)
    subjects = [one.subject.to_dict() for one in acting(made, "stolen_session")]
    assert {"session": "s30", "ip": "203.0.1.9"} in subjects
    assert all(subject["session"] == "s30" and len(subject) == 2 for subject in subjects)
    made = scene.send(**{**scene.at_home(31), "ip": "203.0.77.1", "asn": 777})
    made += scene.send(**scene.at_home(31))
    assert made == []


def test_flood_is_slowed_and_a_busy_screen_is_not() -> None:
    scene, made = Scene(), list[Decision]()
    for _ in range(500):
        made += scene.send(50, **scene.at_home(30), api="GET /price")
    assert [one.action for one in acting(made, "flood")] == ["throttle"]
    made = []
    for _ in range(200):
        made += scene.send(400, **scene.at_home(31), api="GET /price")
    assert made == []


def test_touching_a_decoy_is_enough() -> None:
    scene = Scene(EngineSettings(decoy_routes=("hidden",)))
    (one,) = scene.send(**{**scene.at_home(30), "route": "hidden"})
    assert one.subject.to_dict() == {"session": "s30", "user": "u30"}
    assert scene.send(**scene.at_home(31)) == []


def test_many_accounts_from_one_device_are_refused_and_a_family_is_not() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(6):
        fields = {**scene.stranger(1), "dev": "new", "dev_v": True, "api": "POST /members", "acct": f"m{number}"}
        made += scene.send(10_000, **fields)
    assert acting(made, "mass_signup")[0].subject.device == "new"
    made = []
    for number in range(3):
        made += scene.send(10_000, **{**scene.stranger(2), "api": "POST /members", "acct": f"f{number}"})
    assert made == []


def test_network_of_many_offenders_is_refused_where_nobody_lives_and_proposed_elsewhere() -> None:
    scene, made = Scene(), list[Decision]()
    for address in range(10):
        for number in range(12):
            fields = {**scene.stranger(1), "ip": f"192.0.2.{address + 1}", "route": None, "status": 404}
            made += scene.send(100, **fields, obj=f"path{number}")
    (one,) = [one for one in made if one.detector == "network_aggregate"]
    assert one.subject.to_dict() == {"ip": "192.0.2.0/24", "untrusted": True}
    assert one.action == "block"
    made = []
    for address in range(20, 32):
        for number in range(12):
            fields = {**scene.stranger(1), "ip": f"198.51.100.{address}", "route": None, "status": 404}
            made += scene.send(100, **fields, obj=f"path{number}")
    (one,) = [one for one in made if one.detector == "network_aggregate"]
    assert (one.action, one.approval, one.proposal) == ("alert", True, "block")


def test_surge_of_unfamiliar_failures_is_told_to_people() -> None:
    scene, made = Scene(), list[Decision]()
    for number in range(3):
        fields = {**scene.stranger(number), "ja4": f"q{number}"}
        made += scene.send(600_000, **fields, **scene.login(f"x{number}", "bad", "p"))
    for number in range(60):
        fields = {**scene.stranger(number), "ja4": f"j{number}"}
        made += scene.send(5000, **fields, **scene.login(f"y{number}", "bad", "p"))
    assert [one.action for one in made if one.detector == "login_failure_surge"] == ["alert"]
