"""Every rule beside the honest case that looks most like what it looks for: one script each, told apart by one thing.

A rule that is added needs both here.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from haetae_fds import Decision, Detector, EngineSettings
from haetae_fds.delivery.effects import Live, effect_of
from haetae_fds.detectors.registry import DETECTORS

from tests.fds.detectors.scene import Scene, acting

Step = tuple[int, dict[str, Any]]
APP = {"ja4": "app", "ua": "app", "hdr": "app"}
THINGS = {"api": "GET /things/{id}"}
PAY = {"api": "POST /transfers", "route": "transfer"}


def without_session(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in ("user", "user_v", "sess")}


def account_brute_force(s: Scene, attack: bool) -> Iterator[Step]:
    """Guesses from everywhere; a telephone that repeats an old password wherever its carrier puts it."""
    for n in range(12):
        yield 1000, {**s.stranger(n), **APP, **s.login(30, "bad", f"guess{n}" if attack else "old")}


def single_source_brute_force(s: Scene, attack: bool) -> Iterator[Step]:
    """Guesses at one place; the owner, at home, who tries all he ever had."""
    for n in range(9):
        where = s.stranger(1) if attack else without_session(s.at_home(30))
        yield 5000, {**where, **s.login(30, "bad", f"guess{n}")}


def stuffing_from_address(s: Scene, attack: bool) -> Iterator[Step]:
    """A list at one address; an office at nine o'clock, everybody with a slip, then right."""
    for n in range(20):
        where = s.stranger(1) if attack else without_session(s.at_home(n))
        yield 2000, {**where, **s.login(n, "bad", "leaked")}
        if not attack:
            yield 2000, {**where, **s.login(n, "ok", "right")}


def distributed_stuffing(s: Scene, attack: bool) -> Iterator[Step]:
    """A list from everywhere; new telephones of the app that everybody has, one in four with a slip."""
    for n in range(40):
        where = {**s.stranger(n), **({} if attack else {**APP, "dev": f"n{n}", "dev_v": True})}
        if attack or n % 4 == 0:
            yield 1500, {**where, **s.login(f"x{n}", "bad", "leaked")}
        if not attack:
            yield 1500, {**where, **s.login(f"x{n}", "ok", "right")}


def login_failure_surge(s: Scene, attack: bool) -> Iterator[Step]:
    """Ever more failures of strangers; everybody with a slip, at home, after an outage."""
    for n in range(3):
        yield 600_000, {**s.stranger(n), "ja4": f"q{n}", **s.login(f"x{n}", "bad", "p")}
    for n in range(60):
        where = {**s.stranger(n), "ja4": f"j{n}"} if attack else without_session(s.at_home(n % 40))
        yield 5000, {**where, **s.login(f"y{n}" if attack else n % 40, "bad", f"p{n}")}


def spraying(s: Scene, attack: bool) -> Iterator[Step]:
    """One secret on account after account; four people with the same careless one, others with their own."""
    for n in range(12):
        secret = "summer" if attack or n < 4 else f"own{n}"
        where = {**s.stranger(n), "ja4": f"j{n}"}
        yield 20_000, {**where, **s.login(f"x{n}", "bad", secret), "pw_fp": secret}


def user_enumeration(s: Scene, attack: bool) -> Iterator[Step]:
    """Names nobody has; an office where as many mistype theirs."""
    for n in range(8):
        where = s.stranger(1) if attack else without_session(s.at_home(n))
        yield 2000, {**where, **s.login(f"x{n}", "nouser", "p")}


def object_enumeration(s: Scene, attack: bool) -> Iterator[Step]:
    """Other people's things; one's own, with eight links that are stale."""
    for n in range(25):
        denied = attack or n % 3 == 0
        yield 900, {**s.at_home(30), "api": "GET /p/{id}", "obj": f"o{n}", "status": 404 if denied else 200}


def object_sweep(s: Scene, attack: bool) -> Iterator[Step]:
    """Ids in equal steps; one's own things, of which ten in a row are neighbours."""
    for n in range(30):
        number = 7 * n if attack or n % 11 else n * n * 13 + 5
        yield 1500, {**s.at_home(30), "api": "GET /q/{id}", "obj": f"o{n}", "obj_n": number}


def scraping(s: Scene, attack: bool) -> Iterator[Step]:
    """The whole catalogue; somebody who looks for a present all evening."""
    for n in range(400):
        gap, thing = (500, f"z{n}") if attack else (2000 + 4000 * (n % 5), f"z{n * 7 % 120}")
        yield gap, {**s.at_home(30), **THINGS, "obj": thing}


def coordinated_scraping(s: Scene, attack: bool) -> Iterator[Step]:
    """Eight who share the work; eight with the popular app who read as much, twice."""
    for n in range(700):
        who = {**s.stranger(n % 8), "ipc": "hosting"} if attack else {**s.stranger(n % 8), **APP}
        thing = f"z{n}" if attack else f"z{n % 8}-{n // 32}"
        yield 1500, {**who, **THINGS, "user": f"puppet{n % 8}", "user_v": True, "obj": thing}


def systemic_fault(s: Scene, attack: bool) -> Iterator[Step]:
    """A broken release; a stranger who makes up as many devices, which is no mistake of ours."""
    for n in range(200):
        who = s.at_home(n % 40) if attack else {**s.stranger(1), "dev": f"made-up-{n}"}
        yield 100, {**who, "dev_v": False, "user_v": False, "sig": "bad", "status": 401}


def replay(s: Scene, attack: bool) -> Iterator[Step]:
    """A captured request from elsewhere; an app that repeats what got no answer, with the same nonce."""
    for _ in range(10):
        where = {**s.stranger(1), "dev": "d30", "dev_v": True} if attack else s.at_home(30)
        yield 500, {**where, "nonce": "replay" if attack else "retry", "status": 409 if attack else 503}


def bad_signature(s: Scene, attack: bool) -> Iterator[Step]:
    """A device nobody knows; one that is at home and broken."""
    for _ in range(20):
        where = {**s.stranger(1), "dev": "new", "dev_v": False} if attack else s.at_home(30)
        yield 800, {**where, "sig": "bad", "status": 401}


def decrypt_failure(s: Scene, attack: bool) -> Iterator[Step]:
    """A device nobody knows; one that is at home and has a key that is no longer good."""
    for _ in range(20):
        where = {**s.stranger(1), "dev": "new", "dev_v": True} if attack else s.at_home(30)
        yield 800, {**where, "dec": "fail", "status": 400}


def app_analysis(s: Scene, attack: bool) -> Iterator[Step]:
    """A little of every fault; one fault again and again, of a clock that is off."""
    faults: list[dict[str, Any]] = [{"sig": "bad"}, {"dec": "fail"}, {"sig": "expired"}, {"nonce": "replay"}]
    for n in range(6):
        where = {**s.stranger(1), "dev": "new", "dev_v": False} if attack else s.at_home(30)
        yield 9000, {**where, **(faults[n % 4] if attack else {"sig": "expired"}), "status": 400}


def scanner(s: Scene, attack: bool) -> Iterator[Step]:
    """A list of paths; a page whose one picture is missing, and a few old links."""
    for n in range(40):
        path = f"path{n}" if attack else f"old{n % 6}"
        yield 900, {**s.stranger(1), "route": None, "api": None, "obj": path, "status": 404}


def takeover(s: Scene, attack: bool) -> Iterator[Step]:
    """Guessed, then in, then the money; the owner, at home, who forgot as often."""
    yield 1000, {**s.at_home(1), **PAY}
    where = s.stranger(1) if attack else without_session(s.at_home(30))
    for n in range(4):
        yield 4000, {**where, **s.login(30, "bad", f"guess{n}")}
    yield 4000, {**where, **s.login(30, "ok", "right")}
    for call in (THINGS, PAY):
        yield 4000, {**where, "user": "u30", "user_v": True, **call}


def stolen_session(s: Scene, attack: bool) -> Iterator[Step]:
    """The same session elsewhere with another browser; with its own device, on the way to work."""
    for n in range(8):
        thief = {**s.stranger(1), "user": "u30", "user_v": True, "sess": "s30"}
        owner = {**s.at_home(30), "ip": "203.0.1.9", "asn": 9001}
        yield 9000, {**s.at_home(30), **THINGS}
        if n > 3:
            yield 9000, {**(thief if attack else owner), **THINGS}


def flood(s: Scene, attack: bool) -> Iterator[Step]:
    """A program that calls as fast as it can; a screen that shows prices, twice a second."""
    for _ in range(500):
        yield 50 if attack else 500, {**s.at_home(30), "api": "GET /price"}


def canary(s: Scene, attack: bool) -> Iterator[Step]:
    """The route that is there for nobody; the one beside it."""
    yield 1000, {**s.at_home(30), "route": "hidden" if attack else "hidden-offers"}


def mass_signup(s: Scene, attack: bool) -> Iterator[Step]:
    """Accounts with one device; a family, each with their own."""
    for n in range(6 if attack else 4):
        device = {"dev": "new" if attack else f"new{n}", "dev_v": True}
        yield 10_000, {**s.stranger(1), **device, "api": "POST /members", "acct": f"m{n}"}


def network_aggregate(s: Scene, attack: bool) -> Iterator[Step]:
    """A network whose every address scans; one where each has a few old links."""
    for n in range(120 if attack else 60):
        where = {**s.stranger(1), "ip": f"192.0.2.{n // 12 + 1 if attack else n % 12 + 1}"}
        yield 100, {**where, "route": None, "status": 404, "obj": f"path{n % 12}"}


Script = Callable[[Scene, bool], Iterator[Step]]
SCRIPTS: dict[str, Script] = {
    script.__name__: script
    for script in (
        account_brute_force, single_source_brute_force, stuffing_from_address, distributed_stuffing,
        login_failure_surge, spraying, user_enumeration, object_enumeration, object_sweep, scraping,
        coordinated_scraping, systemic_fault, replay, bad_signature, decrypt_failure, app_analysis, scanner, takeover,
        stolen_session, flood, canary, mass_signup, network_aggregate,
    )
}  # fmt: skip
SCRIPTS["takeover_confirmed"] = takeover


def play(detector: type[Detector], *, attack: bool) -> tuple[list[Decision], set[str]]:
    """What is decided on a script, and the ids of its events."""
    scene, made = Scene(EngineSettings(decoy_routes=("hidden",))), list[Decision]()
    before = scene.number
    for gap, fields in SCRIPTS[detector.name](scene, attack):
        made += scene.send(gap, **fields)
    return made, {f"e{number}" for number in range(before + 1, scene.number + 1)}


def test_every_rule_has_a_file_of_its_own_and_a_script() -> None:
    assert len({inspect.getfile(detector) for detector in DETECTORS}) == len(DETECTORS)
    assert SCRIPTS.keys() == {detector.name for detector in DETECTORS}


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: str(detector.name))
def test_rule_sees_what_it_looks_for_and_each_decision_says_why(detector: type[Detector]) -> None:
    made, sent = play(detector, attack=True)
    assert detector.name in {one.detector for one in made}
    live = Live()
    for one in made:
        assert one.numbers
        assert all(str(number) in one.why for number in one.numbers)
        assert 1 <= len(one.events) <= 20
        assert sent >= set(one.events)
        assert one.campaign
        effect = effect_of(one, live)
        if effect is not None and effect.kind == "put":
            kept = orjson.loads(live.held[one.pid].document)["evidence"]  # what a store that lost it is told again
            assert kept["numbers"].keys() == {number.name for number in one.numbers}
            assert 1 <= len(kept["events"]) <= 3


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: str(detector.name))
def test_honest_case_most_like_it_costs_nobody_anything(detector: type[Detector]) -> None:
    made, _ = play(detector, attack=False)
    assert detector.name not in {one.detector for one in made}
    if detector.name != "systemic_fault":  # whose counterpart is a forger
        assert acting(made) == []
