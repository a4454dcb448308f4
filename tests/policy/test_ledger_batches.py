"""Many new policies in one transaction, on each kind of server: what the log, the head and the followers then say."""

from typing import Any

import pytest
from haetae_policy.audit import AuditNote, verify_chain
from haetae_policy.digest import MODULUS
from haetae_policy.entries import MAX_TOGETHER, Head, ManyEntry, PutEntry, decode_entry
from haetae_policy.feed import FeedFollower, FeedState
from haetae_policy.io.keys import Keys
from haetae_policy.io.ledger import Ledger, NewPolicy
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.model import Policy
from haetae_policy.parse import parse_policy
from haetae_policy.record import encode_policy, record_digest
from haetae_policy.table import PolicyTable
from redis.asyncio import Redis

from tests.policy.policy_strategies import document, policy_id

NOW = 1_777_629_600_000
EPOCH = b"12345678"
SETTINGS = StoreSettings(prefix="t:", per_subject=3)
KEYS = Keys("t:")
NOTE = AuditNote(actor="kim", action="create", target="bat_1", details={"text": "é \U0001f415"})


def made(numbers: range, **changes: Any) -> list[Policy]:
    several = {"subject": {"device": "d", "ip": "203.0.113.0/24"}, "reason": "한글 é \U0001f415"}
    return [
        parse_policy(
            document(number, **({"subject": {"user": f"u{number}"}} | (several if number == 7 else {}) | changes))
        )
        for number in numbers
    ]


def news(policies: list[Policy]) -> list[NewPolicy]:
    watch = b'{"at_ms":1}'
    return [
        NewPolicy(policy=one, document=one.to_json(), watch=watch if n % 50 == 0 else b"")
        for n, one in enumerate(policies)
    ]


async def entries_of(client: Redis) -> list[Any]:
    log: Any = await client.xrange(KEYS.log)
    return [decode_entry(entry_id, fields) for entry_id, fields in log]


async def test_batch_is_few_entries_with_every_number_and_its_digest_is_that_of_its_policies(client: Redis) -> None:
    store, ledger = PolicyStore(client, SETTINGS), Ledger(client, SETTINGS)
    policies = made(range(1, 301))
    done = await ledger.add_all(news(policies), NOTE, now_ms=NOW, epoch_randomness=EPOCH)
    assert done.seqs == (1, 300)
    entries = await entries_of(client)
    assert [type(entry) for entry in entries] == [ManyEntry] * 3
    assert [(entry.seq, len(entry.records)) for entry in entries] == [(1, 128), (129, 128), (257, 44)]
    records = [encode_policy(policy) for policy in policies]
    assert [record for entry in entries for record in entry.records] == records
    head = await store.head()
    assert head is not None
    assert (head.seq, head.count, head.entry_id) == (300, 300, entries[-1].entry_id)
    assert head.digest == sum(map(record_digest, records)) % MODULUS
    assert await store.get(policies[6].id) == policies[6]
    assert await store.why_subject(kind="device", value="d") == (policies[6],)
    live: Any = await client.hgetall(KEYS.live)
    assert sorted(live.values()) == sorted(records)
    watched: Any = await client.hlen(KEYS.watched)
    assert watched == 6
    assert verify_chain([entry async for entry in ledger.audit_entries(up_to=1)], head=await ledger.audit_head()) == 1


async def test_follower_of_batches_and_single_changes_ends_up_agreeing_with_the_heartbeat(client: Redis) -> None:
    store, ledger = PolicyStore(client, SETTINGS), Ledger(client, SETTINGS)
    table = PolicyTable()
    follower = FeedFollower(table)
    await store.establish(now_ms=NOW, epoch_randomness=EPOCH)
    head = await store.head()
    assert head is not None
    follower.begin(head)
    follower.settle(head)
    policies = made(range(1, 201))
    await ledger.add_all(news(policies), NOTE, now_ms=NOW, epoch_randomness=EPOCH)
    await store.add(parse_policy(document(999)), now_ms=NOW, epoch_randomness=EPOCH)
    await store.revoke(policies[3].id, version=1, by="kim", now_ms=NOW)
    await ledger.add_all(news(made(range(300, 310))), NOTE, now_ms=NOW, epoch_randomness=EPOCH)
    assert await store.beat(now_ms=NOW + 5000)
    entries = await entries_of(client)
    for entry in entries:
        follower.feed(entry)
    assert follower.state is FeedState.FOLLOWING, follower.reason
    assert (follower.seq, len(table)) == (212, 210)
    assert any(isinstance(entry, PutEntry) for entry in entries)


@pytest.mark.parametrize("known", [0, MAX_TOGETHER, 150])
async def test_batch_with_one_policy_that_is_there_already_stores_nothing(client: Redis, known: int) -> None:
    store, ledger = PolicyStore(client, SETTINGS), Ledger(client, SETTINGS)
    policies = made(range(1, 201))
    await store.add(policies[known], now_ms=NOW, epoch_randomness=EPOCH)
    before: Head | None = await store.head()
    done = await ledger.add_all(news(policies), NOTE, now_ms=NOW, epoch_randomness=EPOCH)
    assert done.refused == ("ok",) * known + ("same 1",) + ("ok",) * (199 - known)
    assert await store.head() == before
    assert len(await entries_of(client)) == 1


async def test_batch_that_would_fill_a_subject_is_told_so_also_where_others_are_in_the_batch(client: Redis) -> None:
    store, ledger = PolicyStore(client, SETTINGS), Ledger(client, SETTINGS)
    same = made(range(1, 5), subject={"user": "one"})
    await store.add(same[0], now_ms=NOW, epoch_randomness=EPOCH)
    done = await ledger.add_all(news(same[1:]), NOTE, now_ms=NOW, epoch_randomness=EPOCH)
    assert done.refused == ("ok", "ok", "full")
    done = await ledger.add_all(
        news(made(range(5, 9), subject={"user": "two"})), NOTE, now_ms=NOW, epoch_randomness=EPOCH
    )
    assert done.refused == ("ok", "ok", "ok", "full")


async def test_identifier_of_an_ended_policy_and_an_expired_one_are_refused_in_a_batch(client: Redis) -> None:
    store, ledger = PolicyStore(client, SETTINGS), Ledger(client, SETTINGS)
    policies = made(range(1, 4))
    await store.add(policies[0], now_ms=NOW, epoch_randomness=EPOCH)
    await store.revoke(policy_id(1), version=1, by="kim", now_ms=NOW)
    late = parse_policy(document(9, expires="2026-05-01T10:00:01Z"))
    done = await ledger.add_all(news([*policies, late]), NOTE, now_ms=NOW + 2000, epoch_randomness=EPOCH)
    assert done.refused == ("ended", "ok", "ok", "expired")


async def test_log_is_trimmed_by_the_policies_it_holds_and_not_by_its_entries(client: Redis) -> None:
    settings = StoreSettings(prefix="t:", trim_above=100, most_entries=400)
    store, ledger = PolicyStore(client, settings), Ledger(client, settings)
    for number in range(8):
        policies = made(range(1 + 128 * number, 129 + 128 * number))
        await ledger.add_all(news(policies), NOTE, now_ms=NOW, epoch_randomness=EPOCH)
    assert len(await entries_of(client)) == 8
    assert await store.beat(now_ms=NOW + 5000)
    left = [entry for entry in await entries_of(client) if isinstance(entry, ManyEntry)]
    assert 1 <= len(left) <= 4
    assert left[-1].seq == 1 + 128 * 7
