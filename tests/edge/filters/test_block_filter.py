"""`Block` against the real table and real buckets: throttles add up, and one request takes one token of each."""

import pytest
from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange
from haetae_edge.filter import BuildContext, Steps
from haetae_edge.filters.block import Block
from haetae_edge.services import Services
from haetae_policy import Action, Api, Rate, Record, Subject

from tests.edge.gateway_files import exchange
from tests.simulator.policies import MemoryPolicies


def throttle(number: int, rate: Rate, subject: Subject) -> Record:
    return Record(pid=number, ver=1, exp_ms=60_000, action=Action.THROTTLE, subject=subject, api=Api(), rate=rate)


def steps(policies: MemoryPolicies, filter_: Block | None = None) -> Steps:
    services = Services(clock=lambda: 1.0, random_bytes=bytes, policies=policies)
    return (filter_ or Block()).build(
        BuildContext(gateway="test", route_id="r", upstream="upstream", services=services)
    )


def ask(block: Steps) -> Exchange:
    """One request of user u, through both looks."""
    made = exchange("/x")
    (_, early), (_, late) = block.request
    early(made)
    made.caller.user = "u"
    late(made)
    return made


def allowed(block: Steps, most: int = 50) -> int:
    """How many requests pass before the first is throttled."""
    for count in range(most):
        try:
            ask(block)
        except Refusal as refusal:
            return count if refusal.problem == "throttled" else -1
    return most


def test_worker_that_never_knew_the_policies_refuses_unless_the_route_says_otherwise() -> None:
    policies = MemoryPolicies(loaded=False)
    with pytest.raises(Refusal) as caught:
        ask(steps(policies))
    assert caught.value.problem == "policies-unavailable"
    ask(steps(policies, Block(on_not_loaded="allow")))
    policies.loaded = True
    ask(steps(policies))


def test_throttle_on_an_address_takes_one_token_of_a_request_that_both_looks_see() -> None:
    assert allowed(steps(MemoryPolicies(throttle(1, Rate(4, 60), Subject())))) == 4


def test_two_throttles_that_the_early_look_sees_take_one_token_each_per_request() -> None:
    both = MemoryPolicies(throttle(1, Rate(6, 60), Subject()), throttle(2, Rate(4, 60), Subject()))
    assert allowed(steps(both)) == 4


@pytest.mark.parametrize("strict", [1, 2])
def test_generous_throttle_does_not_lift_a_strict_one_whichever_was_made_first(strict: int) -> None:
    policies = MemoryPolicies(
        throttle(strict, Rate(3, 60), Subject(user="u")), throttle(3 - strict, Rate(1000, 1), Subject(user="u"))
    )
    assert allowed(steps(policies)) == 3


def test_early_throttle_and_a_late_one_both_count() -> None:
    everyone, user = throttle(1, Rate(5, 60), Subject()), throttle(2, Rate(2, 60), Subject(user="u"))
    block = steps(MemoryPolicies(everyone, user))
    assert allowed(block) == 2
    with pytest.raises(Refusal):
        ask(block)
