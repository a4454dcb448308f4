"""What an evaluation counts, on events written by hand."""

from typing import Any

import pytest
from haetae_fds.evaluation import AttackResult, ClosedLoop, Label, Scoreboard, evaluate, scopes, summary


def event(number: int, at_s: float, pol: str = "allow", **more: Any) -> dict[str, Any]:
    return {"id": f"e{number}", "ts": int(at_s * 1000), "pol": pol, "pid": "p" if pol != "allow" else None} | more


def attack(number: int, *, harm: bool = False, victim: str | None = None) -> Label:
    return Label(id=f"e{number}", attack="c", kind="k", harm=harm, victim=victim)


def test_let_through_is_counted_before_and_after_the_first_refusal() -> None:
    board = Scoreboard()
    for number, pol in enumerate(["allow", "allow", "block", "allow", "challenge", "throttle"]):
        board.add(event(number, number, pol), attack(number))
    (result,) = board.attacks()
    assert (result.before, result.after, result.requests, result.first_refusal_ms) == (2, 1, 6, 2_000)
    assert result.score == pytest.approx(50.0)


def test_damage_is_what_was_answered_normally() -> None:
    board = Scoreboard()
    for number, pol in enumerate(["allow", "block", "challenge", "observe"]):
        board.add(event(number, number, pol), attack(number, harm=True))
    (result,) = board.attacks()
    assert (result.harm, result.harm_possible, result.score) == (2, 4, 50.0)


def test_an_attack_that_is_never_refused_is_not_stopped() -> None:
    board = Scoreboard()
    board.add(event(0, 0), attack(0))
    (result,) = board.attacks()
    assert (result.first_refusal_ms, result.residual, result.stopped) == (None, 1.0, False)


def test_an_attack_that_comes_through_again_in_its_last_minutes_is_not_stopped() -> None:
    board = Scoreboard()
    for number in range(100):
        board.add(event(number, number, "block"), attack(number))
    for number in range(100, 400):
        board.add(event(number, number), attack(number))
    (result,) = board.attacks()
    assert result.residual == 1.0
    assert not result.stopped


def test_people_count_once_and_challenges_cost_a_fifth() -> None:
    board = Scoreboard()
    for number in range(10):
        board.add(event(number, 0, "block", ip="a"), Label(id="", user="mina", fresh=True))
    board.add(event(11, 0, "challenge", ip="b"), Label(id="", user="joon"))
    board.add(event(12, 0, "allow", ip="c"), Label(id="", user="sora"))
    people = board.people()
    assert (people.active, people.refused, people.challenged, people.fresh_refused, people.minutes) == (3, 1, 1, 1, 1)
    assert people.cost == pytest.approx(1.2)


def test_a_refusal_behind_an_address_that_five_people_use_is_counted_apart() -> None:
    board = Scoreboard()
    for user in "abcde":
        board.add(event(0, 0, "allow", ip="office"), Label(id="", user=user))
    board.add(event(1, 1, "block", ip="office"), Label(id="", user="a"))
    board.add(event(2, 1, "block", ip="home"), Label(id="", user="b"))
    assert board.people().shared_refused == 1


def test_a_victim_refused_under_a_forged_identity_is_noticed() -> None:
    board = Scoreboard()
    board.add(event(0, 0, "block"), attack(0, victim="mina"))
    assert board.people().victims == 0
    board.add(event(1, 1, "challenge"), Label(id="", user="mina"))
    assert board.people().victims == 1


def test_a_policy_that_hits_only_honest_people_is_wrong() -> None:
    board = Scoreboard()
    board.add(event(0, 0, "block") | {"pid": "good"}, attack(0))
    board.add(event(1, 0, "block") | {"pid": "good"}, Label(id="", user="mina"))
    board.add(event(2, 0, "block") | {"pid": "bad"}, Label(id="", user="mina"))
    policies = board.policies()
    assert (policies.hitting, policies.right, policies.wrong, policies.precision) == (2, 1, 1, 0.5)
    assert board.blamed() == {"bad": 1, "good": 1}


def block_after(count: int, subject: dict[str, Any]) -> ClosedLoop:
    seen: list[str] = []

    def decide(event: Any) -> list[dict[str, Any]]:
        seen.append(event["pol"])
        if len(seen) != count:
            return []
        return [
            {
                "ts": event["ts"],
                "op": "put",
                "mode": "enforce",
                "action": "block",
                "subject": subject,
                "exp": event["ts"] + 10**6,
                "pid": "p",
                "detector": "d",
            }
        ]

    return ClosedLoop(decide)


def test_a_recording_is_refused_from_the_decision_on() -> None:
    events = [event(number, number, ip="198.51.100.1", status=200) for number in range(10)]
    labels = {one["id"]: attack(number, harm=True) for number, one in enumerate(events)}
    result = evaluate(events, labels, block_after(4, {"ip": "198.51.100.1"}))
    assert (result.attacks[0].before, result.attacks[0].after) == (4, 0)
    assert result.attacks[0].harm == 4
    assert result.exact == 1.0
    assert events[9]["pol"] == "allow"


def test_what_was_refused_in_the_recording_stays_refused() -> None:
    events = [event(0, 0, "block", ip="198.51.100.1", status=403)]
    result = evaluate(events, {"e0": Label(id="e0", user="mina")}, block_after(99, {}))
    assert result.people.refused == 1


def test_a_whole_address_is_too_wide_where_one_user_would_do() -> None:
    shared: dict[str, Any] = {"ip": "198.51.100.1", "user_v": True, "route": "r", "api": "GET /r"}
    recorded = [(event(n, n, user="u-bad", **shared), attack(n), False) for n in range(5)]
    honest = [(event(9, 3, user="u-good", **shared), Label(id="e9", user="mina"), False)]
    decision = {"op": "put", "ts": 4_000, "exp": 9_000, "action": "block", "subject": {"ip": "198.51.100.1"}}
    (wide,) = scopes([decision], [*recorded, *honest])
    assert (wide.exact, wide.collateral, wide.better, wide.better_collateral) == (False, 1, "user+api", 0)
    (narrow,) = scopes([{**decision, "subject": {"user": "u-bad"}}], [*recorded, *honest])
    assert (narrow.exact, narrow.collateral) == (True, 0)


def test_an_attacker_who_gives_up_is_measured_by_what_was_planned() -> None:
    board = Scoreboard({"c": (100, 10)})
    board.add(event(0, 0), attack(0, harm=True))
    board.add(event(1, 1, "block"), attack(1, harm=True))
    (result,) = board.attacks()
    assert (result.requests, result.harm, result.harm_possible, result.score) == (100, 1, 10, 90.0)


@pytest.mark.parametrize(("trust", "let_through"), [("established", 4), ("verified", 10)])
def test_who_counts_as_trusted_decides_whom_an_untrusted_block_stops(trust: Any, let_through: int) -> None:
    loop = block_after(4, {"ip": "198.51.100.1", "untrusted": True})
    chosen = ClosedLoop(loop._detector, trust=trust)
    # A device of the attacker's own: verified, and never answered normally before.
    events = [event(n, n, ip="198.51.100.1", dev="d", dev_v=True, status=401) for n in range(10)]
    (result,) = evaluate(events, {one["id"]: attack(n) for n, one in enumerate(events)}, chosen).attacks
    assert result.before + result.after == let_through


def result(before: int, after: int, first_ms: int | None) -> AttackResult:
    return AttackResult(
        campaign="c", kind="k", requests=100, before=before, after=after, harm=0, harm_possible=0, residual=0.0,
        first_refusal_ms=first_ms,
    )  # fmt: skip


def test_a_summary_takes_the_worst_world_number_by_number() -> None:
    good = [result(10, 0, 1_000), result(0, 0, 2_000), result(20, 0, 9_000)]
    bad = [result(0, 30, 100), result(0, 60, 200), result(100, 0, None)]
    found = summary([good, bad])
    assert found is not None
    assert (found.attacks, found.worlds, found.never) == (3, 2, 1)
    assert found.score == pytest.approx(100 - 190 / 3)
    assert found.after == 30.0
    assert found.before == pytest.approx(100 / 3)
    assert (found.mean_first_ms, found.median_first_ms) == (4_000.0, 2_000.0)


def test_worlds_without_attacks_have_no_summary() -> None:
    assert summary([[], []]) is None
