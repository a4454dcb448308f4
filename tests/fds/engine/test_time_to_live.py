"""How long decisions stand: longer with each repeat, shorter the more people a subject may be."""

import pytest
from haetae_fds.decision import Subject
from haetae_fds.ledger import Ledger, cap_of

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
USER = Subject(user="u1")


def test_each_repeat_within_a_day_stands_four_times_as_long_give_or_take_a_tenth_up_to_a_day() -> None:
    ledger, cap = Ledger(), cap_of(USER, pop=0, hosting=False)
    lives = [ledger.lifetime(USER, 10 * MINUTE, cap, turn)[0] for turn in range(5)]
    for life, planned in zip(lives, (10, 40, 160, 640, 24 * 60), strict=True):
        assert 0.9 * planned <= life / MINUTE <= 1.1 * planned
    assert lives[-1] == DAY


def test_subjects_that_repeat_do_not_all_end_at_once() -> None:
    lives = {Ledger().lifetime(Subject(user=f"u{n}"), 10 * MINUTE, DAY, 0)[0] for n in range(50)}
    assert len(lives) > 40


def test_what_was_done_is_forgotten_by_half_a_day_after_a_day() -> None:
    ledger = Ledger()
    for _ in range(4):
        ledger.lifetime(USER, 10 * MINUTE, DAY, 0)
    repeats = [ledger.lifetime(USER, 10 * MINUTE, DAY, at)[1] for at in (DAY, 5 * DAY)]
    assert repeats == [2, 0]


@pytest.mark.parametrize(
    ("subject", "pop", "hosting", "most"),
    [
        (USER, 0, False, DAY),
        (Subject(session="s"), 0, False, DAY),
        (Subject(device="d", ip="203.0.113.9"), 0, False, DAY),
        (Subject(ip="203.0.113.9"), 1, False, 2 * HOUR),
        (Subject(ip="2001:db8::/64"), 0, False, 2 * HOUR),
        (Subject(ip="203.0.113.9"), 0, True, DAY),
        (Subject(ip="203.0.113.9", untrusted=True), 2, True, 15 * MINUTE),
        (Subject(client="a|b|c", untrusted=True), 0, False, 15 * MINUTE),
        (Subject(ip="203.0.113.0/24", untrusted=True), 0, False, HOUR),
        (Subject(ip="2001:db8::/48", untrusted=True), 0, True, HOUR),
    ],
    ids=str,
)
def test_most_that_a_subject_is_refused_for(subject: Subject, pop: int, hosting: bool, most: int) -> None:
    assert cap_of(subject, pop=pop, hosting=hosting) == most
