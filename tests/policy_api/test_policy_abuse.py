"""What somebody who may do something tries in order to do more: each test is one way, and what stops it."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from haetae_policy.audit import AuditHead, AuditNote
from haetae_policy.errors import AuditBroken, PolicyInvalid
from haetae_policy.io.backup import import_lines
from haetae_policy.io.keys import Keys
from haetae_policy.io.ledger import Ledger, NewPolicy, Operation, PutPolicy
from haetae_policy.io.refusals import Refusal
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.network import parse_network
from haetae_policy.parse import parse_policy
from haetae_policy.protected import Protected
from haetae_policy_api.errors import TooMany
from haetae_policy_api.io.feed import MOST_SNAPSHOTS, Feed
from haetae_policy_api.io.keeper import watch_refusals
from haetae_policy_api.roles import WRITE, Caller
from haetae_policy_api.service.changes import create
from haetae_policy_api.service.listing import audit_verify
from haetae_policy_api.settings import Settings
from haetae_policy_api.traffic import TrafficRing
from redis.asyncio import Redis

from tests.policy.policy_strategies import document
from tests.policy_api.test_policy_endpoints import CALLERS, EVERYONE, POLICY, World, events, make_context
from tests.policy_api.test_policy_endpoints import world as world

NOW = 1_777_629_600_000
EPOCH = b"12345678"
NOTE = AuditNote(actor="ada", action="create", target="x")
NETWORK = {**POLICY, "subject": {"ip": "198.51.100.0/24"}}


async def refuse(world: World, policy_id: str, *, times: int, addresses: int) -> None:
    for number in range(times):
        facts = {"ip": f"198.51.100.{number % addresses}"}
        refusal = Refusal(policy_id=policy_id, action="block", why="manual", at_ms=int(time.time() * 1000), facts=facts)
        await world.context.refusals.record(f"R{number}", refusal)


async def test_attacker_who_hammers_against_a_block_does_not_take_it_back(world: World) -> None:
    world.ring.add(events(1000) + events(2, ip="198.51.100.9"))
    policy_id = (await world.send("analyst", "POST", "/v1/policies", NETWORK)).json()["policy"]["id"]
    await refuse(world, policy_id, times=400, addresses=5)
    assert await watch_refusals(world.context, now_ms=int(time.time() * 1000)) == []
    assert (await world.context.store.get(policy_id)).mode.value == "enforce"


async def test_block_that_refuses_many_more_callers_than_foretold_is_taken_back(world: World) -> None:
    world.ring.add(events(1000) + events(2, ip="198.51.100.9"))
    policy_id = (await world.send("analyst", "POST", "/v1/policies", NETWORK)).json()["policy"]["id"]
    await refuse(world, policy_id, times=400, addresses=200)
    assert await watch_refusals(world.context, now_ms=int(time.time() * 1000)) == [policy_id]


@pytest.mark.parametrize("kind", ["account", "pw_fp"])
async def test_attackers_from_everywhere_do_not_take_back_what_shuts_an_account_or_a_secret_to_them(
    world: World, kind: str
) -> None:
    world.ring.add(events(1000))
    asked = {**NETWORK, "subject": {kind: "0011223344556677", "untrusted": True}}
    policy_id = (await world.send("writer", "POST", "/v1/policies", asked)).json()["policy"]["id"]
    await refuse(world, policy_id, times=400, addresses=200)
    assert await watch_refusals(world.context, now_ms=int(time.time() * 1000)) == []
    assert (await world.context.store.get(policy_id)).mode.value == "enforce"


@pytest.mark.parametrize("wide", [True, False])
async def test_approved_minutes_are_not_made_a_month_without_an_approver(world: World, wide: bool) -> None:
    world.ring.add(events(90) + events(10, ip="198.51.100.9"))
    asked = await world.send("analyst", "POST", "/v1/policies", EVERYONE if wide else NETWORK)
    assert asked.json()["course"] == "pending"
    policy_id = asked.json()["policy"]["id"]
    await world.send("approver", "POST", f"/v1/pending/{policy_id}/approve")
    path, month = f"/v1/policies/{policy_id}/extend", {"lasts_s": 2_592_000}
    for who in ("analyst", "writer"):
        assert (await world.send(who, "POST", path, month, if_match='"1"')).status_code == 403
    assert (await world.send("approver", "POST", path, month, if_match='"1"')).status_code == 200


async def test_one_policy_twice_in_a_transaction_is_refused_before_the_sums_go_wrong(client: Redis) -> None:
    settings = StoreSettings(prefix="t:", deadline_s=5.0)
    ledger = Ledger(client, settings)
    made = [parse_policy(document(1)), parse_policy(document(1, reason="another"))]
    puts: list[Operation] = [PutPolicy(policy=policy, expected=0) for policy in made]
    with pytest.raises(ValueError, match="once"):
        await ledger.commit(puts, now_ms=NOW, epoch_randomness=EPOCH)
    news = [NewPolicy(policy=policy, document=policy.to_json()) for policy in made]
    with pytest.raises(ValueError, match="once"):
        await ledger.add_all(news, NOTE, now_ms=NOW, epoch_randomness=EPOCH)
    assert await PolicyStore(client, settings).head() is None


def twice() -> list[dict[str, Any]]:
    return [document(1), document(2), document(1, reason="another")]


def from_the_future() -> list[dict[str, Any]]:
    far = {"created": "2030-01-01T00:00:00Z", "changed": "2030-01-01T00:00:00Z", "expires": "2030-01-30T00:00:00Z"}
    return [document(1), {**document(2), **far}]


@pytest.mark.parametrize("made", [twice, from_the_future])
async def test_forged_backup_stores_nothing(client: Redis, made: Any) -> None:
    settings = StoreSettings(prefix="t:", deadline_s=5.0)
    lines = [parse_policy(one).to_json() for one in made()]
    with pytest.raises(PolicyInvalid, match="line"):
        await import_lines(Ledger(client, settings), lines, by="kim", now_ms=NOW, epoch_randomness=EPOCH)
    assert await PolicyStore(client, settings).head() is None


async def test_follower_is_let_go_after_its_time_and_comes_back_with_its_place(client: Redis) -> None:
    ledger = Ledger(client, StoreSettings(prefix="t:", deadline_s=5.0))
    for number in (1, 2):
        put = PutPolicy(policy=parse_policy(document(number)), expected=0)
        await ledger.commit([put], now_ms=NOW, epoch_randomness=EPOCH)
    feed = Feed(client, prefix="t:", deadline_s=2.0, life_s=0.0)
    seen = [event async for event in await feed.follow("0-0")]
    assert [b"event: put" in event for event in seen] == [True, True]
    place = seen[0].split(b"\n")[0].removeprefix(b"id: ").decode()
    assert [event async for event in await feed.follow(place)] == seen[1:]


async def test_snapshots_at_a_time_are_bounded(client: Redis) -> None:
    feed = Feed(client, prefix="t:", deadline_s=5.0)
    made = await asyncio.gather(*(feed.snapshot() for _ in range(MOST_SNAPSHOTS + 3)), return_exceptions=True)
    assert [isinstance(one, TooMany) for one in made] == [False] * MOST_SNAPSHOTS + [True] * 3
    assert (await feed.snapshot())["records"] == []


async def noted(world: World, count: int) -> None:
    for start in range(0, count, 500):
        notes: list[Operation] = [NOTE] * min(500, count - start)
        await world.context.ledger.commit(notes, now_ms=NOW, epoch_randomness=EPOCH)


@pytest.mark.parametrize("count", [0, 499, 500, 1201])
async def test_trail_of_any_length_is_verified_part_by_part(world: World, count: int) -> None:
    await noted(world, count)
    told = await audit_verify(world.context, anchor=None)
    assert (told["entries"], told["head"]) == (count, str(await world.context.ledger.audit_head()))


@pytest.mark.parametrize("seq", [1, 500, 501, 1200])
async def test_anchor_in_any_part_is_compared(world: World, seq: int) -> None:
    await noted(world, 1200)
    entries = [entry async for entry in world.context.ledger.audit_entries(up_to=1200)]
    good = AuditHead(seq, entries[seq - 1].hash)
    assert (await audit_verify(world.context, anchor=good))["entries"] == 1200
    for wrong in (AuditHead(seq, "0" * 64), AuditHead(1201, good.hash)):
        with pytest.raises(AuditBroken):
            await audit_verify(world.context, anchor=wrong)


@pytest.mark.parametrize("seq", [1, 500, 501, 1200])
async def test_entry_deleted_in_any_part_is_found(world: World, client: Redis, seq: int) -> None:
    await noted(world, 1200)
    await client.xdel(Keys("t:").audit, f"{seq}-0")
    with pytest.raises(AuditBroken):
        await audit_verify(world.context, anchor=None)


@pytest.mark.parametrize("reason", ["over\x1b[2J", "two\nlines", "left\u202eright", "zero\u200bwidth", "   "])
async def test_reason_that_would_steer_a_colleagues_terminal_is_not_kept(world: World, reason: str) -> None:
    made = (await world.send("analyst", "POST", "/v1/policies", POLICY)).json()["policy"]["id"]
    asked = (await world.send("analyst", "POST", "/v1/policies", EVERYONE)).json()["policy"]["id"]
    told = {"reason": reason}
    for who, path in (("analyst", f"/v1/policies/{made}/revoke"), ("approver", f"/v1/pending/{asked}/reject")):
        answer = await world.send(who, "POST", path, told, if_match='"1"')
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "reason")
    assert (await world.context.ledger.audit_head()).seq == 2


async def test_machine_that_asks_without_end_leaves_people_room_to_ask(world: World) -> None:
    world.app.state.context = replace(world.context, settings=replace(world.context.settings, most_pending=4))
    wide = {**POLICY, "subject": {"ip": "203.0.0.0/8"}}
    asked = [(await world.send("writer", "POST", "/v1/policies", wide)).status_code for _ in range(3)]
    assert asked == [202, 202, 429]
    asked = [(await world.send("analyst", "POST", "/v1/policies", wide)).status_code for _ in range(3)]
    assert asked == [202, 202, 429]


async def test_block_that_may_not_be_stored_any_more_and_refuses_too_many_ends_and_the_next_one_is_still_looked_at(
    client: Redis,
) -> None:
    ring = TrafficRing(most=10_000, span_ms=900_000)
    ring.add(events(1000) + events(2, ip="198.51.100.9"))
    now_ms = int(time.time() * 1000)
    before = make_context(client, ring, Settings(prefix="t:", share_least=100))
    made = []
    for number, caller in ((100, Caller(name="r1", scopes=frozenset({WRITE}))), (113, CALLERS["analyst"])):
        asked = {**POLICY, "subject": {"ip": f"198.51.{number}.0/24"}}
        made.append((await create(before, asked, caller, now_ms=now_ms)).body["policy"]["id"])
    listed = Protected(networks=(parse_network("198.51.100.0/28"),))
    after = make_context(client, ring, Settings(prefix="t:", share_least=100, protected=listed))
    for policy_id in made:
        for number in range(300):
            facts = {"ip": f"198.51.100.{number % 200}"}
            refusal = Refusal(policy_id=policy_id, action="block", why="fds", at_ms=now_ms, facts=facts)
            await after.refusals.record(f"{policy_id}{number}", refusal)
    assert set(await watch_refusals(after, now_ms=now_ms)) == set(made)
    assert (await after.store.ended(made[0])).by == "guard"
    assert (await after.store.get(made[1])).mode.value == "shadow"
    assert await watch_refusals(after, now_ms=now_ms) == []
