"""An address is refused for what somebody did there, and others who live at it are refused beside him."""

from typing import Any

from haetae_fds import Decision
from haetae_fds.delivery.effects import Live, effect_of

from tests.fds.detectors.scene import Scene, acting

OFFICE = "198.51.100.7"
EMPTY = "203.0.113.9"


def tried(scene: Scene, ip: str, number: int) -> list[Decision]:
    """One of a list of names, of which there are none."""
    fields: dict[str, Any] = {"ip": ip, "asn": 100, "ja4": "bot", "ua": "bot", "hdr": "bot"}
    return acting(scene.send(1_000, **fields, **scene.login(f"x{number}", "nouser", "guess")))


def attacked(scene: Scene, ip: str) -> Decision:
    """What refuses the whole address in the end."""
    made = [one for number in range(80) for one in tried(scene, ip, number)]
    return next(one for one in made if one.subject.ip == ip and one.subject.client is None)


def refused(scene: Scene, ip: str, client: str, api: str = "POST /sessions") -> list[Decision]:
    """The gateway refuses a log-in there."""
    fields: dict[str, Any] = {"ip": ip, "ja4": client, "ua": client, "hdr": client, "api": api, "status": 403}
    return scene.send(1_000, **fields, pol="block", pid="of-the-address")


def test_first_who_lives_there_and_is_refused_makes_it_a_challenge_for_all() -> None:
    scene = Scene()
    stands = attacked(scene, OFFICE)
    assert (stands.action, stands.subject.to_dict()) == ("block", {"ip": OFFICE, "untrusted": True})
    assert refused(scene, OFFICE, "bot") == refused(scene, OFFICE, "tool") == [], "nobody established has such a client"
    assert refused(scene, OFFICE, "app", api="GET /things/{id}") == [], "it is not this decision that refused him there"
    (milder,) = refused(scene, OFFICE, "app")
    assert (milder.op, milder.action, milder.pid, milder.subject) == ("put", "challenge", stands.pid, stands.subject)
    assert (milder.ver, milder.exp) == (stands.ver + 1, stands.exp)
    assert "others live at the address" in milder.why
    assert refused(scene, OFFICE, "app") == [], "once is enough"


def test_it_stays_a_challenge_while_the_attack_goes_on() -> None:
    scene = Scene()
    attacked(scene, OFFICE)
    refused(scene, OFFICE, "app")
    made = [one for number in range(100, 140) for one in tried(scene, OFFICE, number)]
    assert [one for one in made if one.subject.ip == OFFICE] == []


def test_where_nobody_lives_whoever_comes_is_refused() -> None:
    scene = Scene()
    attacked(scene, EMPTY)
    assert refused(scene, EMPTY, "app") == []


def test_policy_is_replaced_by_a_milder_one() -> None:
    scene, live = Scene(), Live()
    first = effect_of(attacked(scene, OFFICE), live)
    (milder,) = refused(scene, OFFICE, "app")
    effect = effect_of(milder, live)
    assert first is not None
    assert effect is not None
    assert (effect.kind, effect.replaces) == ("put", first.policy_id)
    assert effect.document is not None
    assert effect.document["action"] == "challenge"
