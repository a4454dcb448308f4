"""A detector that calls everything an attack, in a town that is defended by what it says: how many people it refuses.

Closed loop: who was refused brings no good event, so the engine must know without them that it is wrong.
"""

from collections import Counter
from dataclasses import dataclass

import pytest
from haetae_cli.worlds import EngineDetector, label_of, operator_settings
from haetae_demo.attack import Town, play_warm_up, small
from haetae_fds.decision import Action, Subject
from haetae_fds.evaluation import ClosedLoop
from haetae_fds.facts import LOGIN, Facts
from haetae_fds.finding import Detector, Finding, api_ref

SEED = 12
FIVE_MINUTES = 300_000
HOUR = 3_600_000


class Rogue(Detector):
    """Whatever it looks at, it wants its caller refused."""

    name = "rogue"
    wants = LOGIN

    def observe(self, f: Facts) -> Finding | None:
        return self.found(f, "everything is wrong", (), self.about(f), action=Action.BLOCK, api=api_ref(f))

    def about(self, f: Facts) -> Subject:
        return Subject(user=f.event.user) if f.event.user else Subject(ip=f.ip)


class AnyRequest(Rogue):
    wants = 0xFFFF


class Strangers(Rogue):
    """Those who log in at the address."""

    def about(self, f: Facts) -> Subject:
        return Subject(ip=f.ip, untrusted=True)


class Clients(Rogue):
    def about(self, f: Facts) -> Subject:
        return Subject(client=f.client, untrusted=True)


class Accounts(Rogue):
    def about(self, f: Facts) -> Subject:
        return Subject(account=f.event.acct, untrusted=True)


@dataclass(frozen=True)
class Outcome:
    people: int
    refused: list[tuple[int, str]]
    incidents: Counter[str]

    def worst(self) -> int:
        """The most people refused within any five minutes."""
        return max(
            (
                len({name for at, name in self.refused if start <= at < start + FIVE_MINUTES})
                for start, _ in self.refused
            ),
            default=0,
        )


def live(rogue: type[Rogue], *, cold: bool) -> Outcome:
    """Three plain hours; unless it starts cold, it decides in the third."""
    town = Town(small(SEED))
    until = 0 if cold else town.shape.case_ms - HOUR
    detector = EngineDetector(operator_settings(town), train_until_ms=until)
    detector.engine.detectors = (*detector.engine.detectors, rogue())
    loop = ClosedLoop(detector)
    people, refused = set(), []
    for moment in play_warm_up(town, loop):
        user = label_of(moment).user
        people.add(user)
        if moment.event.get("pol") == "block" and user is not None:
            refused.append((moment.event["ts"], user))
    return Outcome(len(people), refused, Counter(one["detector"] for one in loop.decisions))


@pytest.mark.parametrize("rogue", [Rogue, AnyRequest, Strangers, Clients, Accounts])
def test_where_people_are_known_it_refuses_no_more_than_its_half_of_six_in_five_minutes(rogue: type[Rogue]) -> None:
    outcome = live(rogue, cold=False)
    assert outcome.people > 200
    assert outcome.worst() <= 3
    assert len({name for _, name in outcome.refused}) <= 12
    assert outcome.incidents["rogue"] > 0
    assert rogue is Clients or outcome.incidents["over_budget"] > 0, "of clients a person is asked at once"


@pytest.mark.parametrize("rogue", [Rogue, AnyRequest, Strangers, Clients, Accounts])
def test_where_nobody_is_known_yet_whoever_seems_in_order_counts(rogue: type[Rogue]) -> None:
    outcome = live(rogue, cold=True)
    assert 0 < outcome.worst() <= 12
    assert outcome.incidents["over_budget"] > 0
