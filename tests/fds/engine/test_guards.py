"""Guards around whatever a rule proposes: whom no machine refuses, and how much a rule and all of them may do."""

from collections.abc import Callable
from typing import Any

import pytest
from haetae_fds import Decision, EngineSettings, Mode
from haetae_fds.decision import Action, Api, Subject
from haetae_fds.facts import SIGNUP, Facts
from haetae_fds.finding import Detector, Finding, api_ref
from haetae_fds.guards import Guards

from tests.fds.detectors.scene import START, Scene

OFFICE = "198.51.100.7"
MINUTE = 60_000
BLOCK, CHALLENGE = Action.BLOCK, Action.CHALLENGE


class Pointing(Detector):
    """Refuses whomever it is told to, for any sign-up."""

    name = "pointing"
    wants = SIGNUP

    def __init__(self, subject: Callable[[Facts], Subject], *, everywhere: bool = False) -> None:
        super().__init__()
        self.subject, self.everywhere = subject, everywhere

    def observe(self, f: Facts) -> Finding | None:
        return self.found(f, "somebody pointed", (), self.subject(f), api=None if self.everywhere else api_ref(f))


def pointed(subject: Callable[[Facts], Subject], *, everywhere: bool = False, **fields: Any) -> Decision:
    """What becomes of a subject that a rule proposes; by default in the office of twenty people."""
    scene = Scene()
    scene.engine.detectors = (Pointing(subject, everywhere=everywhere),)
    (one,) = scene.send(**{"ip": OFFICE, "api": "POST /users", "acct": "new", **fields})
    return one


@pytest.mark.parametrize(
    ("subject", "fields", "why"),
    [
        (lambda f: Subject(ip=f.ip), {}, "20 established identities share the address"),
        (lambda f: Subject(ip=f.net_key, untrusted=True), {"ipc": "mobile"}, "a mobile carrier's network"),
        (lambda f: Subject(ip=f.ip, untrusted=True), {"san": "batch.partner"}, "partners"),
        (lambda f: Subject(ip=f.ip, untrusted=True), {"ip": "203.0.5.5", "ipc": "internal"}, "internal networks"),
        (lambda f: Subject(ip=f.ip, untrusted=True), {"ip": "10.1.2.3"}, "10.0.0.0/8, which is never refused"),
        (lambda f: Subject(ip="::1"), {}, "which is never refused"),
    ],
)
def test_whom_no_machine_refuses(subject: Callable[[Facts], Subject], fields: dict[str, Any], why: str) -> None:
    one = pointed(subject, **fields)
    assert (one.action, one.approval, one.proposal) == ("alert", True, "block")
    assert why in one.why


@pytest.mark.parametrize(
    "subject", [Subject(user="u30"), Subject(device="d30"), Subject(user="u30", ip=OFFICE), Subject(session="s")]
)
def test_all_that_somebody_does_is_refused_by_a_person_only(subject: Subject) -> None:
    narrow = subject.ip is not None or subject.session is not None
    assert pointed(lambda _: subject, everywhere=True).action == ("block" if narrow else "alert")
    assert pointed(lambda _: subject).action == "block"


@pytest.mark.parametrize(
    ("subject", "fields"),
    [
        (lambda f: Subject(ip=f.ip, untrusted=True), {}),
        (lambda f: Subject(ip=f.ip, untrusted=True), {"ipc": "mobile"}),
        (lambda f: Subject(ip=f.ip), {"ip": "203.0.5.5"}),
        (lambda f: Subject(ip=f.ip, client="a|b|c", untrusted=True), {}),
        (lambda f: Subject(ip=f.net_key, untrusted=True), {"ip": "203.0.5.5"}),
    ],
)
def test_strangers_and_addresses_of_nobody_are_refused_at_once(
    subject: Callable[[Facts], Subject], fields: dict[str, Any]
) -> None:
    assert pointed(subject, **fields).action == "block"


def fit(guards: Guards, action: Action, *, hit: int, active: int, every_ms: int, rules: int = 1) -> int:
    """How many of four thousand such decisions fit, dealt out to so many rules."""
    made = 0
    for number in range(4_000):
        verdict = guards.fits(f"rule {number % rules}", action, hit, active, START + number * every_ms)
        made += verdict.broken is None
    return made


@pytest.mark.parametrize(
    ("active", "hit", "fits"),
    [(100, 20, False), (100, 21, False), (50_000, 45, True), (50_000, 46, False), (100, 3, True), (100, 4, False)],
)
def test_good_users_one_block_may_match(active: int, hit: int, fits: bool) -> None:
    """Twenty or a thousandth of those surely active, but never more than half of what five minutes have for all."""
    assert (Guards(EngineSettings()).fits("rule", BLOCK, hit, active, START).broken is None) is fits


@pytest.mark.parametrize(
    ("action", "active", "rules", "most"),
    [
        (BLOCK, 100, 1, 3),  # half of six
        (BLOCK, 100, 9, 6),
        (CHALLENGE, 100, 1, 29),  # a fifth each and no half; thirty of them are a trifle over six
        (BLOCK, 10_000, 1, 13),  # half of 0.3 % of the nine thousand surely active
        (BLOCK, 10_000, 9, 27),
        (BLOCK, 10**9, 1, 15),  # blocks a minute: half of thirty
        (BLOCK, 10**9, 9, 30),
    ],
)
def test_good_users_all_decisions_of_a_moment_may_match(action: Action, active: int, rules: int, most: int) -> None:
    assert fit(Guards(EngineSettings()), action, hit=1, active=active, every_ms=1, rules=rules) == most


def test_good_users_an_hour_may_match() -> None:
    """Sixty seconds for each of sixty: six in five minutes would be 72 of them."""
    guards = Guards(EngineSettings())
    made = [guards.fits(f"rule {n % 9}", BLOCK, 1, 100, START + n * MINUTE).broken is None for n in range(60)]
    assert sum(made) == 20


def test_decisions_that_match_nobody_have_a_budget_of_their_own() -> None:
    guards = Guards(EngineSettings())
    assert fit(guards, BLOCK, hit=0, active=100, every_ms=1) == 300
    assert fit(guards, CHALLENGE, hit=0, active=100, every_ms=1) == 300
    assert fit(Guards(EngineSettings()), CHALLENGE, hit=0, active=100, every_ms=1, rules=9) == 1_200
    assert guards.fits("another", BLOCK, 1, 100, START).broken is None


def test_rule_that_went_too_far_watches_for_ten_minutes_and_acts_on_a_tenth_for_ten_more() -> None:
    guards = Guards(EngineSettings())
    guards.trip("rule", START)
    shares = []
    for minute in (9, 11, 19, 21):
        modes = [guards.mode("rule", Subject(user=f"u{n}"), START + minute * MINUTE)[0] for n in range(2_000)]
        shares.append(sum(mode is Mode.ENFORCE for mode in modes) / len(modes))
    assert shares[0] == 0
    assert shares[1] == shares[2] == pytest.approx(0.1, abs=0.03)
    assert shares[3] == 1


def test_refusals_name_the_api_they_are_about() -> None:
    one = pointed(lambda f: Subject(ip=f.ip, untrusted=True))
    assert one.api == Api(gateway="app", route="r", method="POST", path="/users")
