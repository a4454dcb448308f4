"""Fraud detection that went wrong meets its limit at every worker."""

from collections.abc import Callable

import pytest
from haetae_edge.blast_radius import LEAST, WINDOW_MS, BlastRadius
from haetae_edge.errors import Refusal
from haetae_edge.filter import BuildContext
from haetae_edge.filters.block import Block
from haetae_edge.services import Services
from haetae_policy import Action, Api, Record, Subject
from hypothesis import given
from hypothesis import strategies as st

from tests.edge.gateway_files import exchange
from tests.simulator.policies import MemoryPolicies

NOW = 1_700_000_000_000


def refused(radius: BlastRadius, count: int, *, cost: float = 1.0, now: int = NOW, first: int = 0) -> int:
    return sum(
        radius.allows(f"u{number}", cost=cost, made_ms=now, now_ms=now) for number in range(first, first + count)
    )


def test_worker_refuses_fifty_callers_where_few_are_known_and_the_next_after_five_minutes() -> None:
    radius = BlastRadius(started_ms=NOW)
    assert refused(radius, 200) == LEAST
    assert radius.spared == 150
    assert refused(radius, 1, first=500, now=NOW + WINDOW_MS - 1) == 0
    assert refused(radius, 200, first=500, now=NOW + WINDOW_MS) == LEAST


def test_where_many_are_known_three_in_a_thousand_may_be_refused() -> None:
    radius = BlastRadius(started_ms=NOW)
    for number in range(100_000):
        radius.note(f"u{number}", NOW)
    assert refused(radius, 1000) == pytest.approx(300, rel=0.05)


def test_callers_of_the_five_minutes_before_count_while_new_ones_gather() -> None:
    radius = BlastRadius(started_ms=NOW)
    for number in range(50_000):
        radius.note(f"u{number}", NOW)
    radius.note("u1", NOW + WINDOW_MS)
    assert refused(radius, 1000, now=NOW + WINDOW_MS) == pytest.approx(150, rel=0.05)


def test_who_is_refused_comes_back_and_is_refused_again_without_being_counted() -> None:
    radius = BlastRadius(started_ms=NOW)
    assert refused(radius, 50) == 50
    assert refused(radius, 50, now=NOW + 1000) == 50
    assert radius.spared == 0


def test_challenges_cost_a_fifth() -> None:
    assert refused(BlastRadius(started_ms=NOW), 1000, cost=0.2) == 5 * LEAST


def test_policies_from_before_a_worker_started_are_no_news_to_it() -> None:
    radius = BlastRadius(started_ms=NOW)
    assert all(radius.allows(f"u{n}", cost=1.0, made_ms=NOW - 1, now_ms=NOW + 5) for n in range(500))


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(-10_000, WINDOW_MS)), max_size=400))
def test_no_order_of_callers_and_no_clock_that_jumps_refuses_more_than_the_limit_at_a_time(
    steps: list[tuple[int, int]],
) -> None:
    radius, now, fresh = BlastRadius(started_ms=0), NOW, list[int]()
    known = set[int]()
    for caller, step in steps:
        now += step
        allowed = radius.allows(f"u{caller}", cost=1.0, made_ms=NOW, now_ms=now)
        if allowed and caller not in known:
            known.add(caller)
            fresh.append(now)
        latest = [at for at in fresh if at == now]
        assert len(latest) <= LEAST


def judge(policies: MemoryPolicies) -> Callable[[str], str]:
    services = Services(clock=lambda: NOW / 1000, random_bytes=bytes, policies=policies)
    steps = dict(Block().build(BuildContext(gateway="g", route_id="r", upstream="u", services=services)).request)
    (_, late) = steps.values()

    def ask(user: str) -> str:
        made = exchange("/things")
        made.caller.user = user
        try:
            late(made)
        except Refusal as error:
            return error.problem
        return ",".join(made.facts.observed)

    return ask


@pytest.mark.parametrize("machine", [True, False])
def test_machine_that_refuses_everybody_stops_at_fifty_and_people_who_do_so_are_obeyed(machine: bool) -> None:
    policies = MemoryPolicies(*(about(number, machine=machine) for number in range(200)))
    ask = judge(policies)
    answers = [ask(f"u{number}") for number in range(200)]
    assert answers.count("blocked") == (50 if machine else 200)
    assert all(answer.startswith("pol_") for answer in answers if answer != "blocked")
    assert ask("u3") == "blocked"
    assert policies.radius.spared == (150 if machine else 0)


def test_weaker_word_of_a_person_stands_where_a_machine_is_not_believed() -> None:
    policies = MemoryPolicies(*(about(number, machine=True) for number in range(60)))
    policies.put(about(59, machine=False, action=Action.CHALLENGE, pid=900))
    ask = judge(policies)
    assert [ask(f"u{number}") for number in range(60)][-1] == "challenge"


def about(number: int, *, machine: bool, action: Action = Action.BLOCK, pid: int | None = None) -> Record:
    return Record(
        pid=(NOW << 80) + (number if pid is None else pid),
        ver=1,
        exp_ms=NOW + 60_000,
        action=action,
        subject=Subject(user=f"u{number}"),
        api=Api(),
        machine=machine,
    )
