"""The simulated world: repeatable, honest about what gateways can know, and different from seed to seed."""

import pickle
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from haetae_demo.attack import CASES, Case, Moment, Shape, Town, Undefended, ordinary, play_case, play_warm_up, small
from haetae_demo.attack import strange as strange_shape
from haetae_demo.attack.habits import log_in_call
from haetae_fds.evaluation import AddressBuckets, ClosedLoop
from haetae_fds.flat import event_of

TINY = Shape(name="tiny", seed=3, people=120, minutes=6, attack_after_s=30)


class RefuseEverybody:
    """A defence that lets nobody in."""

    def __init__(self, action: str) -> None:
        self.action = action

    def judge(self, event: Mapping[str, Any], *, established: bool) -> tuple[str, str | None]:
        del event, established
        return self.action, "p"

    def observe(self, event: Mapping[str, Any]) -> None:
        """Nothing is learnt."""


def played(case: str, shape: Shape = TINY, defence: Any = None) -> list[Moment]:
    return list(play_case(Town(shape), CASES[case], defence or Undefended()))


def flat(moments: Iterable[Moment]) -> list[dict[str, Any]]:
    return [moment.event for moment in moments]


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_every_case_makes_valid_events_in_order_and_only_attacks_attack(case: Case) -> None:
    moments = played(case.name)
    times = [event_of(moment.event).ts for moment in moments]
    assert times == sorted(times)
    assert len({moment.event["id"] for moment in moments}) == len(moments)
    campaigns = {moment.truth.attack for moment in moments} - {None}
    assert len(campaigns) == (1 if case.hostile else 0)
    assert case.summary
    assert all(moment.truth.user for moment in moments if moment.truth.attack is None)


def test_a_world_can_be_repeated() -> None:
    assert flat(played("stuffing_distributed")) == flat(played("stuffing_distributed"))


def test_another_seed_is_another_world_with_other_names_and_addresses() -> None:
    first, second = Town(ordinary(1, people=60)), Town(ordinary(2, people=60))
    assert not first.by_account.keys() & second.by_account.keys()
    assert first.salt != second.salt
    assert not {p.home.prefix for p in first.populace.people} & {p.home.prefix for p in second.populace.people}


def test_strange_worlds_share_no_route_names_with_ordinary_ones() -> None:
    def routes(shape: Shape) -> set[str]:
        services = Town(shape).services
        return {services.log_in.route, services.transfer.route, services.record.route, services.feed.route}

    ordinary_names = set().union(*(routes(ordinary(seed, people=60)) for seed in range(5)))
    assert not ordinary_names & set().union(*(routes(strange_shape(seed)) for seed in range(5)))


def test_a_warm_world_continues_the_same_after_a_copy() -> None:
    town = Town(TINY)
    warm = sum(1 for _ in play_warm_up(town, Undefended()))
    assert warm > 500
    copy = pickle.loads(pickle.dumps(town))  # noqa: S301 - made in this line
    assert flat(play_case(copy, CASES["plain"], Undefended())) == flat(play_case(town, CASES["plain"], Undefended()))


def test_events_carry_hashes_and_never_what_was_typed() -> None:
    moments = played("stuffing_one_address")
    secrets = {person.secret for person in Town(TINY).populace.people}
    words = {value for moment in moments for value in moment.event.values() if isinstance(value, str)}
    assert not secrets & words


def test_a_repeated_credential_has_the_same_fingerprint_and_a_guess_another() -> None:
    office = [m.event for m in played("expired_password") if m.truth.kind == "expired_password" and m.event["auth"]]
    by_account: dict[str, set[str]] = {}
    for event in office:
        if event["auth"] == "bad":
            by_account.setdefault(event["acct"], set()).add(event["cred_fp"])
    assert by_account
    assert all(len(prints) == 1 for prints in by_account.values())
    guesses = {m.event["cred_fp"] for m in played("brute_force_one_source") if m.truth.attack}
    assert len(guesses) > 50


def test_a_forged_device_is_never_reported_as_verified() -> None:
    forged = [m.event for m in played("forged_victims") if m.truth.attack]
    assert forged
    assert not any(event["dev_v"] or event["user_v"] for event in forged)
    assert all(event["dev"] for event in forged)


def test_a_replayed_request_carries_its_victims_verified_device_from_elsewhere() -> None:
    moments = played("replay")
    replays = [m for m in moments if m.truth.attack]
    assert all(m.event["dev_v"] and m.event["nonce"] == "replay" and m.truth.victim for m in replays)
    assert all(m.event["ipc"] == "hosting" for m in replays)


@pytest.mark.parametrize("action", ["block", "challenge", "throttle"])
def test_what_is_refused_reaches_no_service_and_harms_nobody(action: str) -> None:
    moments = played("stuffing_one_address", defence=RefuseEverybody(action))
    refused = [moment for moment in moments if moment.event["pol"] == action]
    # Only people who have passed a challenge get any further.
    assert all(action == "challenge" and not m.truth.attack for m in moments if m.event["pol"] != action)
    assert {moment.event["auth"] for moment in refused} == {None}
    assert all(moment.event["status"] in (401, 403, 429) and moment.event["pid"] == "p" for moment in refused)


def test_people_pass_a_challenge_and_programs_do_not() -> None:
    moments = played("stuffing_one_address", defence=RefuseEverybody("challenge"))
    # The refusing defence challenges for ever, but the town remembers who has proved themselves.
    assert {m.event["pol"] for m in moments if m.truth.attack} == {"challenge"}
    town = Town(TINY)
    town.challenge_passed(_log_in(town), 0)
    answer, _ = town.perform(_log_in(town), 1_000, RefuseEverybody("challenge"))
    assert answer.normal
    assert answer.auth == "ok"


def _log_in(town: Town) -> Any:
    person = town.populace.people[0]
    return log_in_call(town, person, person.devices[0], person.home, person.secret, kind="plain")


def test_a_rotating_attacker_changes_address_after_refusals() -> None:
    free = {m.event["ip"] for m in played("stuffing_rotating") if m.truth.attack}
    chased = {
        m.event["ip"]
        for m in played("stuffing_rotating", defence=ClosedLoop(AddressBuckets().decide))
        if m.truth.attack
    }
    assert len(free) == 1
    assert len(chased) > 5


def test_honest_people_are_identified_by_the_truth_and_not_by_the_event() -> None:
    event = played("plain")[0].event
    assert not {"attack", "kind", "victim", "harm", "truth"} & event.keys()


def test_small_worlds_stay_small() -> None:
    counts = Counter(moment.truth.kind for moment in played("plain", small(1)))
    assert 300 < sum(counts.values()) < 10_000
