"""Cases: what the fraud detection did is judged, in force or ended, and the judgement is one that it learns from."""

import html
import re

import pytest
from haetae_fds.io.feedback import Labels, Word
from haetae_policy import make_policy_id
from haetae_policy.audit import AuditNote
from haetae_policy.io.commands import Commands
from haetae_policy.io.keys import Keys
from haetae_policy.io.ledger import PutPolicy
from haetae_policy_api.console.cases import wants_second
from redis.asyncio import Redis

from tests.policy_api.console.desk import Console, decision, evidence, now_ms, policies_in_force


async def labels(client: Redis) -> list[tuple[str, str, str]]:
    read = await Labels(Commands(client, deadline_s=5.0), prefix="t:").after("0")
    return [(label.word.value, label.by, label.policy_id) for _, label in read if label is not None]


async def test_false_alarm_ends_the_policy_and_the_fraud_detection_reads_the_label(
    desk: Console, client: Redis
) -> None:
    case = (await desk.policy(machine=True, evidence=evidence()))["policy"]["id"]
    page = (await desk.get("ana", "/cases")).text
    assert "failed logins" in page
    assert "The policy ends at once on every worker" in page
    judged = await desk.post("ana", f"/cases/{case}/judge", {"word": Word.FALSE_ALARM.value})
    assert judged.status_code == 303
    assert await labels(client) == [("false-alarm", "ana", case)]
    assert await policies_in_force(desk) == []
    history = (await desk.get("app", f"/policies/{case}")).text
    assert "called a false alarm" in history
    assert "took back" in history


async def test_cases_of_one_campaign_stand_together_and_say_so(desk: Console) -> None:
    made = {}
    for user, campaign in (("u-1", "client tool|x"), ("u-2", "user u-2"), ("u-3", "client tool|x"), ("u-4", None)):
        more = {} if campaign is None else {"campaign": campaign}
        policy = await desk.policy(machine=True, subject={"user": user}, evidence=evidence(**more))
        made[user] = policy["policy"]["id"]
    page = (await desk.get("ana", "/cases")).text
    at = {user: page.index(f'href="/policies/{case}"') for user, case in made.items()}
    together = sorted((at["u-1"], at["u-3"]))
    assert not [other for other in ("u-2", "u-4") if together[0] < at[other] < together[1]]
    assert page.count("2 cases of one campaign") == page.count("of one campaign") == 1
    assert page.index("2 cases of one campaign") < together[0]
    assert "user u-2" in (await desk.get("ana", f"/policies/{made['u-2']}")).text


async def test_false_alarm_leads_to_what_shares_its_cause_to_be_taken_back_together(desk: Console) -> None:
    made = [
        (await desk.policy(machine=True, subject={"user": f"u-{number}"}, evidence=evidence(campaign="c-1")))["policy"]
        for number in range(3)
    ]
    judged = await desk.post("ana", f"/cases/{made[0]['id']}/judge", {"word": "false-alarm"})
    page = (await desk.get("ana", judged.headers["location"])).text
    assert "2 more in force share the cause of that false alarm" in page
    assert {one["id"] for one in made[1:]} == set(re.findall(r"(pol_\w{26})@1", page))
    assert len(await policies_in_force(desk)) == 2


async def test_confirmed_case_stays_in_force_and_carries_the_judgement(desk: Console, client: Redis) -> None:
    case = (await desk.policy(machine=True, evidence=evidence()))["policy"]["id"]
    assert (await desk.post("ana", f"/cases/{case}/judge", {"word": "confirm"})).status_code == 303
    assert await labels(client) == [("confirm", "ana", case)]
    page = (await desk.get("ana", "/cases")).text
    assert "confirmed" in page
    assert f"/cases/{case}/judge" not in page
    assert len(await policies_in_force(desk)) == 1


async def test_what_would_hurt_most_if_it_were_wrong_is_to_be_looked_at_first(desk: Console, client: Redis) -> None:
    made = {}
    for user, score, hits, action in (
        ("sure", 0.95, 40, "block"),
        ("unsure", 0.55, 40, "block"),
        ("asked", 0.55, 40, "challenge"),
        ("quiet", 0.55, 0, "block"),
        ("judged", 0.5, 90, "block"),
    ):
        policy = await desk.policy(
            machine=True, subject={"user": user}, action=action, evidence=evidence(score=score, campaign=user)
        )
        made[user] = policy["policy"]["id"]
        for number in range(hits):
            await desk.refusal(made[user], number)
    await desk.post("ana", f"/cases/{made['judged']}/judge", {"word": "confirm"})
    page = (await desk.get("ana", "/cases?order=worth")).text
    order = re.findall(r'data-open href="/policies/(pol_\w+)"', page)
    assert order == [made[user] for user in ("unsure", "asked", "sure", "quiet")]
    assert made["judged"] in (await desk.get("ana", "/cases")).text


async def test_one_case_of_twenty_is_judged_by_two_people(desk: Console, client: Redis) -> None:
    cases: list[str] = []
    while not [case for case in cases if chosen(case)] or not [case for case in cases if not chosen(case)]:
        made = await desk.policy(machine=True, subject={"user": f"u-{len(cases)}"}, evidence=evidence())
        cases.append(made["policy"]["id"])
    two, one = (next(case for case in cases if chosen(case) is wanted) for wanted in (True, False))
    for case in (two, one):
        await desk.post("ana", f"/cases/{case}/judge", {"word": "confirm"})
    for page in ("/cases", "/cases?order=worth", f"/policies/{two}"):
        assert f"/cases/{two}/judge" not in (await desk.get("ana", page)).text, "her own word does not count twice"
        assert f"/cases/{two}/judge" in (await desk.get("app", page)).text
        assert f"/cases/{one}/judge" not in (await desk.get("app", page)).text
    await desk.post("app", f"/cases/{two}/judge", {"word": "false-alarm"})
    assert f"/cases/{two}/judge" not in (await desk.get("adm", "/cases?state=ended")).text, "two are enough"
    assert await labels(client) == [("confirm", "ana", two), ("confirm", "ana", one), ("false-alarm", "app", two)]


def chosen(case: str) -> bool:
    return wants_second(case, {"reviewers": ["somebody"]}, "somebody else")


def test_about_a_twentieth_is_chosen() -> None:
    names = (make_policy_id(now_ms=1_700_000_000_000 + n, randomness=n.to_bytes(10, "big")) for n in range(4000))
    assert 150 <= sum(map(chosen, names)) <= 250


async def end_case(desk: Console, case: str, how: str) -> None:
    """The case's policy ends: somebody takes it back, or its time is over and the keeper clears it away."""
    if how == "revoked":
        await desk.post("adm", "/policies/end", {"id": f"{case}@1", "reason": "by hand"})
    else:
        later = now_ms() + 3_700_000
        await desk.context.store.beat(now_ms=later)
        assert await desk.context.store.purge() == 1


@pytest.mark.parametrize("word", ["confirm", "false-alarm"])
@pytest.mark.parametrize("how", ["revoked", "expired"])
async def test_case_is_judged_after_its_policy_has_ended_and_teaches_the_same(
    desk: Console, client: Redis, how: str, word: str
) -> None:
    made = await desk.policy(machine=True, evidence=evidence())
    case, person = made["policy"]["id"], await desk.policy(subject={"user": "u-9"}, lasts_s=7200)
    await end_case(desk, case, how)
    assert "stuffing" not in (await desk.get("ana", "/cases")).text
    listed = (await desk.get("ana", "/cases?state=ended")).text
    assert f"/cases/{case}/judge" in listed
    assert "failed logins" in listed
    assert person["policy"]["id"] not in listed
    page = (await desk.get("ana", f"/policies/{case}")).text
    assert "The policy has ended" in page
    head = await desk.context.store.head()
    assert (await desk.post("ana", f"/cases/{case}/judge", {"word": word})).status_code == 303
    assert await labels(client) == [(word, "ana", case)]
    after = await desk.context.store.head()
    assert head is not None
    assert after is not None
    assert after.seq == head.seq, "nothing was taken back twice"
    judged = (await desk.get("ana", "/cases?state=ended")).text
    assert f"/cases/{case}/judge" not in judged
    assert ("confirmed" if word == "confirm" else "false alarm") in judged
    trail = (await desk.get("app", "/v1/audit")).json()["entries"]
    assert [entry["target"] for entry in trail if entry["action"] == f"case.{word}"] == [case]


async def test_case_whose_policy_was_put_back_after_a_loss_is_listed_when_it_has_ended(desk: Console) -> None:
    """The store lost policy and trail; only the entry of the restoring is there."""
    case = (await desk.policy(machine=True, evidence=evidence()))["policy"]["id"]
    policy = await desk.context.store.get(case)
    await desk.client.flushall()
    note = AuditNote(actor="fds:r1", action="restore", target=case, details={"policy": policy.to_dict()})
    put = PutPolicy(policy=policy, expected=0)
    await desk.context.ledger.commit([put, note], now_ms=now_ms(), epoch_randomness=b"12345678")
    await end_case(desk, case, "revoked")
    assert f"/cases/{case}/judge" in (await desk.get("ana", "/cases?state=ended")).text


async def test_case_that_nobody_remembers_any_more_cannot_be_judged(desk: Console, client: Redis) -> None:
    case = (await desk.policy(machine=True, evidence=evidence()))["policy"]["id"]
    await end_case(desk, case, "revoked")
    await client.delete(Keys("t:").ended(case))
    assert case not in (await desk.get("ana", "/cases?state=ended")).text
    assert (await desk.post("ana", f"/cases/{case}/judge", {"word": "confirm"})).status_code == 404
    assert await labels(client) == []


async def test_ended_cases_are_turned_over_page_by_page_and_each_comes_once(desk: Console) -> None:
    made = []
    for number in range(60):
        subject = {"user": f"u-{number}"}
        policy = await desk.policy(machine=True, subject=subject, evidence=evidence(), reason=f"case {number}")
        made.append(policy["policy"]["id"])
        await end_case(desk, made[-1], "revoked")
    path, seen = "/cases?state=ended", []
    while path:
        page = (await desk.get("ana", path)).text
        seen += re.findall(r"/cases/(pol_[0-9A-Z]+)/judge", page)
        found = re.search(r'rel="next" href="([^"]+)"', page)
        path = html.unescape(found[1]) if found else ""
    assert seen[::2] == made[::-1]
    assert (await desk.get("ana", "/cases?state=ended&before=x")).status_code == 422


async def test_machines_policy_without_a_decision_offers_no_judgement_that_would_fail(desk: Console) -> None:
    case = (await desk.policy(machine=True))["policy"]["id"]
    for path in ("/cases", f"/policies/{case}"):
        page = (await desk.get("ana", path)).text
        assert "stuffing" in page
        assert f"/cases/{case}/judge" not in page


@pytest.mark.parametrize(("machine", "word"), [(False, "confirm"), (True, "maybe"), (True, "")])
async def test_only_the_fraud_detections_own_policies_are_judged_with_one_of_two_words(
    desk: Console, client: Redis, machine: bool, word: str
) -> None:
    case = (await desk.policy(machine=machine, evidence=evidence()))["policy"]["id"]
    assert (await desk.post("ana", f"/cases/{case}/judge", {"word": word})).status_code == 422
    assert await labels(client) == []


async def test_what_was_only_seen_is_shown_apart_and_unreadable_records_are_passed_by(desk: Console) -> None:
    log = "t:fds:{0}:decisions"
    for raw in (decision(), b"{", b"[]", decision(subject="x"), decision(mode="enforce", action="block", pid="fds_2")):
        await desk.client.xadd(log, {"n": "1", "d": raw})
    page = (await desk.get("vic", "/cases")).text
    assert page.count("order nobody follows") == 1
    assert "Only seen" in page
