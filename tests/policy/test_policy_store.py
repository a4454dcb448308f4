"""The store on real servers: one transaction per change, idempotent, versioned, explained."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from haetae_policy.entries import BeatEntry, DeleteEntry, Entry, PutEntry, decode_entry
from haetae_policy.errors import (
    PolicyConflict,
    PolicyInvalid,
    PolicyNotFound,
    ReferenceInvalid,
    StoreUnavailable,
    TooManyPolicies,
)
from haetae_policy.io.connect import RedisSettings, connect
from haetae_policy.io.keys import Keys
from haetae_policy.io.refusals import Refusal, RefusalStore
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.io.workers import WorkerReport, WorkerReports
from haetae_policy.model import Policy
from haetae_policy.network import address_key
from haetae_policy.parse import parse_policy
from haetae_policy.protected import parse_protected
from haetae_policy.record import encode_record, record_digest, record_of
from haetae_policy.rules import Rules
from redis.asyncio import Redis

from tests.policy.policy_strategies import document, policy_id

EPOCH = b"12345678"
NOW = 1_777_629_600_000  # 2026-05-01T10:00:00Z, when the documents are made
DAY = 86_400_000
SETTINGS = StoreSettings(prefix="t:", per_subject=3)
KEYS = Keys("t:")


@pytest.fixture
def store(client: Redis) -> PolicyStore:
    return PolicyStore(client, SETTINGS)


def policy(number: int = 1, **changes: Any) -> Policy:
    return parse_policy(document(number, **changes))


async def add(store: PolicyStore, made: Policy) -> int:
    return (await store.add(made, now_ms=NOW, epoch_randomness=EPOCH)).seq


async def entries_of(client: Redis) -> list[Entry]:
    log: Any = await client.xrange(KEYS.log)
    return [decode_entry(entry_id, fields) for entry_id, fields in log]


async def test_added_policy_its_log_entry_and_the_head_agree(client: Redis, store: PolicyStore) -> None:
    made = policy()
    added = await store.add(made, now_ms=NOW, epoch_randomness=EPOCH)
    assert (added.seq, added.repeated) == (1, False)
    assert await store.get(made.id) == made
    [entry] = await entries_of(client)
    assert isinstance(entry, PutEntry)
    assert entry.record == encode_record(record_of(made)) == await client.hget(KEYS.live, made.id)
    head = await store.head()
    assert head is not None
    assert (head.seq, head.entry_id, head.count) == (1, entry.entry_id, 1)
    assert head.digest == record_digest(entry.record)
    assert head.epoch == entry.epoch == EPOCH.hex()


async def test_repeating_an_add_whose_answer_was_lost_changes_nothing(client: Redis, store: PolicyStore) -> None:
    await add(store, policy(1))
    await add(store, policy(2, subject={"user": "v"}))
    again = await store.add(policy(1), now_ms=NOW, epoch_randomness=EPOCH)
    assert (again.seq, again.repeated) == (1, True)
    assert await client.xlen(KEYS.log) == 2


async def test_same_identifier_with_other_content_is_a_conflict(store: PolicyStore) -> None:
    await add(store, policy(1))
    with pytest.raises(PolicyConflict):
        await add(store, policy(1, reason="something else"))


async def test_many_policies_go_in_together_and_one_refusal_is_told(client: Redis, store: PolicyStore) -> None:
    many = [policy(number, subject={"user": f"u{number}"}) for number in range(1, 251)]
    added = await store.add_many(many, now_ms=NOW, epoch_randomness=EPOCH)
    assert [one.seq for one in added] == list(range(1, 251))
    again = await store.add_many(many[:150], now_ms=NOW, epoch_randomness=EPOCH)
    assert all(one.repeated for one in again)
    with pytest.raises(PolicyConflict):
        await store.add_many([policy(1, reason="other", subject={"user": "u1"})], now_ms=NOW, epoch_randomness=EPOCH)
    assert await client.xlen(KEYS.log) == 250


async def test_of_two_concurrent_extensions_one_wins_and_one_is_told(store: PolicyStore) -> None:
    made = policy()
    await add(store, made)

    async def extend(days: int) -> object:
        return await store.extend(
            made.id, version=1, expires_ms=NOW + days * DAY, now_ms=NOW + 5000, epoch_randomness=EPOCH
        )

    results = await asyncio.gather(extend(3), extend(4), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Added", "PolicyConflict"]
    held = await store.get(made.id)
    assert held.version == 2
    head = await store.head()
    assert head is not None
    assert (head.seq, head.count, head.digest) == (2, 1, record_digest(encode_record(record_of(held))))


async def test_extension_repeated_after_a_lost_answer_is_recognised(store: PolicyStore) -> None:
    made = policy()
    await add(store, made)
    first = await store.extend(made.id, version=1, expires_ms=NOW + 2 * DAY, now_ms=NOW + 1000, epoch_randomness=EPOCH)
    again = await store.extend(made.id, version=1, expires_ms=NOW + 2 * DAY, now_ms=NOW + 9000, epoch_randomness=EPOCH)
    assert (again.seq, again.repeated) == (first.seq, True)


async def test_extension_beyond_thirty_days_is_refused(store: PolicyStore) -> None:
    made = policy()
    await add(store, made)
    with pytest.raises(PolicyInvalid):
        await store.extend(made.id, version=1, expires_ms=NOW + 31 * DAY, now_ms=NOW, epoch_randomness=EPOCH)


async def test_change_keeps_the_subject_and_names_the_version_it_replaces(store: PolicyStore) -> None:
    await add(store, policy(1))
    changed = policy(1, version=2, action="challenge")
    assert (await store.change(changed, now_ms=NOW, epoch_randomness=EPOCH)).seq == 2
    with pytest.raises(PolicyConflict):
        await store.change(policy(1, version=4), now_ms=NOW, epoch_randomness=EPOCH)
    with pytest.raises(PolicyConflict):
        await store.change(policy(1, version=3, subject={"user": "x"}), now_ms=NOW, epoch_randomness=EPOCH)
    with pytest.raises(PolicyConflict):
        await store.add(policy(2, version=2), now_ms=NOW, epoch_randomness=EPOCH)


async def test_revoked_policy_is_gone_explained_and_cannot_come_back(client: Redis, store: PolicyStore) -> None:
    made = policy()
    await add(store, made)
    with pytest.raises(PolicyConflict):
        await store.revoke(made.id, version=2, by="lee", now_ms=NOW)
    assert await store.revoke(made.id, version=1, by="lee", now_ms=NOW + 1) == 2
    assert await store.revoke(made.id, version=1, by="lee", now_ms=NOW + 2) == 2
    with pytest.raises(PolicyNotFound):
        await store.get(made.id)
    ended = await store.ended(made.id)
    assert (ended.policy, ended.how, ended.by, ended.at_ms) == (made, "revoked", "lee", NOW + 1)
    with pytest.raises(PolicyConflict):
        await add(store, made)
    with pytest.raises(PolicyNotFound):
        await store.revoke(policy_id(77), version=1, by="lee", now_ms=NOW)
    entries = await entries_of(client)
    assert isinstance(entries[1], DeleteEntry)
    head = await store.head()
    assert head is not None
    assert (head.seq, head.count, head.digest) == (2, 0, 0)
    assert await store.why_subject(kind="user", value="u-1029") == ()


async def test_expired_policy_cannot_be_added_or_extended(store: PolicyStore) -> None:
    made = policy()
    with pytest.raises(PolicyInvalid, match="expires"):
        await store.add(made, now_ms=NOW + DAY, epoch_randomness=EPOCH)
    await add(store, made)
    with pytest.raises(PolicyInvalid, match="expires"):
        await store.extend(made.id, version=1, expires_ms=NOW + 3 * DAY, now_ms=NOW + DAY, epoch_randomness=EPOCH)


async def test_one_subject_carries_a_bounded_number_of_policies(store: PolicyStore) -> None:
    for number in range(1, 4):
        await add(store, policy(number))
    with pytest.raises(TooManyPolicies):
        await add(store, policy(4))
    await store.revoke(policy_id(1), version=1, by="lee", now_ms=NOW)
    await add(store, policy(4))


async def test_rules_are_checked_again_by_the_store(client: Redis) -> None:
    rules = Rules(protected=parse_protected({"networks": ["203.0.113.0/24"]}))
    strict = PolicyStore(client, SETTINGS, rules=rules)
    made = policy(1, subject={"ip": "203.0.113.9"}, source={"kind": "fds", "name": "r3"})
    with pytest.raises(PolicyInvalid, match=r"subject\.ip"):
        await strict.add(made, now_ms=NOW, epoch_randomness=EPOCH)


async def test_list_gives_newest_first_in_pages(store: PolicyStore) -> None:
    for number in range(1, 6):
        await add(store, policy(number, subject={"user": f"u{number}"}))
    first = await store.list(limit=2)
    second = await store.list(limit=2, after=first.after)
    last = await store.list(limit=2, after=second.after)
    ids = [made.id for page in (first, second, last) for made in page.policies]
    assert ids == [policy_id(number) for number in (5, 4, 3, 2, 1)]
    assert last.after is None


async def test_why_subject_finds_every_condition_and_every_network_around_an_address(store: PolicyStore) -> None:
    both = policy(1, subject={"device": "d", "ip": "203.0.113.7"})
    net = policy(2, subject={"ip": "203.0.113.0/24"})
    other = policy(3, subject={"ip": "2001:db8::/32"})
    everyone = policy(4, subject=None, approved_by="lee")
    for made in (both, net, other, everyone):
        await add(store, made)
    assert await store.why_subject(address=address_key("203.0.113.7")) == (net, both)
    assert await store.why_subject(address=address_key("2001:db8::9")) == (other,)
    assert await store.why_subject(kind="device", value="d") == (both,)
    assert await store.why_subject() == (everyone,)
    with pytest.raises(PolicyInvalid):
        await store.why_subject(kind="shoe", value="d")


async def test_heartbeat_makes_no_log_where_there_is_none_and_establishing_makes_one_once(
    client: Redis, store: PolicyStore
) -> None:
    assert not await store.beat(now_ms=NOW)
    assert await store.head() is None
    assert await store.establish(now_ms=NOW, epoch_randomness=EPOCH)
    assert not await store.establish(now_ms=NOW, epoch_randomness=b"another!")
    assert await store.beat(now_ms=NOW)
    head = await store.head()
    assert head is not None
    assert (head.epoch, head.seq, head.count, head.reset_id) == (EPOCH.hex(), 0, 0, (0, 0))


async def test_reset_begins_another_epoch_with_the_same_contents(client: Redis, store: PolicyStore) -> None:
    await add(store, policy(1))
    await store.reset(now_ms=NOW, epoch_randomness=b"another!")
    head = await store.head()
    assert head is not None
    assert (head.epoch, head.seq, head.count) == (b"another!".hex(), 1, 1)
    assert head.reset_id == head.entry_id
    entry = (await entries_of(client))[-1]
    assert isinstance(entry, BeatEntry)
    assert (entry.epoch, entry.seq, entry.count, entry.digest) == (head.epoch, 1, 1, head.digest)


async def test_heartbeat_tells_count_and_digest_once_an_interval(client: Redis, store: PolicyStore) -> None:
    await add(store, policy(1))
    assert await store.beat(now_ms=NOW + 1000)
    assert not await store.beat(now_ms=NOW + 2000)
    assert await store.beat(now_ms=NOW + 6000)
    entries = await entries_of(client)
    beat = entries[-1]
    assert isinstance(beat, BeatEntry)
    assert (beat.seq, beat.count, beat.digest) == (1, 1, record_digest(encode_record(record_of(policy(1)))))
    assert len(entries) == 3


@pytest.mark.parametrize("later", [2 * DAY, 29 * DAY], ids=["bucket by bucket", "all buckets at once"])
async def test_expiry_leaves_the_digest_with_the_heartbeat_and_the_store_with_the_purge(
    store: PolicyStore, later: int
) -> None:
    await add(store, policy(1))
    await add(store, policy(2, subject={"user": "v"}, expires="2026-05-31T10:00:00Z"))
    assert await store.beat(now_ms=NOW + later)
    head = await store.head()
    assert head is not None
    remaining = policy(2, subject={"user": "v"}, expires="2026-05-31T10:00:00Z")
    assert (head.count, head.digest) == (1, record_digest(encode_record(record_of(remaining))))
    assert await store.purge() == 1
    assert await store.purge() == 0
    assert [made.id for made in (await store.list()).policies] == [policy_id(2)]
    ended = await store.ended(policy_id(1))
    assert (ended.how, ended.by) == ("expired", None)
    assert head == await store.head(), "a purge is not a change"


async def test_log_is_trimmed_by_age_but_not_past_a_live_worker(client: Redis) -> None:
    settings = StoreSettings(prefix="t:", retention_s=0, trim_above=0, worker_life_s=60)
    store, reports = PolicyStore(client, settings), WorkerReports(client, settings)
    for number in range(1, 251):
        await add(store, policy(number, subject={"user": f"u{number}"}))
    slow = WorkerReport("w1", "following", EPOCH.hex(), 1, (1, 0), 1, 0, NOW, ((1, NOW),))
    await reports.write(slow)
    await store.beat(now_ms=NOW)
    assert await client.xlen(KEYS.log) == 251
    await store.beat(now_ms=NOW + 61_000)
    assert await client.xlen(KEYS.log) < 200


async def test_in_force_counts_live_workers_and_says_when_the_last_applied_it(client: Redis) -> None:
    reports = WorkerReports(client, SETTINGS)
    for name, seq, seen, recent in (
        ("a", 7, NOW, ((5, NOW - 90), (7, NOW - 50))),
        ("b", 6, NOW, ((6, NOW - 40),)),
        ("gone", 9, NOW - 60_000, ((9, NOW - 60_000),)),
    ):
        await reports.write(WorkerReport(name, "following", EPOCH.hex(), seq, (1, 0), 1, 0, seen, recent))
    force = await reports.in_force(6, now_ms=NOW)
    assert (force.applied, force.workers, force.at_ms) == (2, 2, NOW - 40)
    force = await reports.in_force(7, now_ms=NOW)
    assert (force.applied, force.workers, force.at_ms) == (1, 2, None)
    assert [report.worker for report in await reports.read(now_ms=NOW)] == ["a", "b"]


async def test_refusal_is_found_by_its_reference_for_a_week_and_counted(client: Redis) -> None:
    refusals = RefusalStore(client, prefix="t:")
    refusal = Refusal(policy_id(1), "block", "r3", NOW, {"user": "u-1029", "trace": "\udcff" + "x" * 999})
    await refusals.record("REF1", refusal)
    found = await refusals.why("REF1", now_ms=NOW + 6 * DAY)
    assert found.policy_id == policy_id(1)
    assert found.facts == {"user": "u-1029", "trace": "?" + "x" * 255}
    assert await refusals.hits([policy_id(1), policy_id(2)]) == {policy_id(1): 1, policy_id(2): 0}
    for reference, when in (("REF1", NOW + 7 * DAY), ("REF2", NOW)):
        with pytest.raises(ReferenceInvalid):
            await refusals.why(reference, now_ms=when)


async def test_refusals_are_bounded_and_the_oldest_go_first(client: Redis) -> None:
    refusals = RefusalStore(client, prefix="t:", most=5)
    for number in range(12):
        await refusals.record(f"R{number}", Refusal(policy_id(number), "block", "r3", NOW + number))
    assert await client.hlen(KEYS.refusals) == await client.zcard(KEYS.refusal_times) == 5
    assert await client.hlen(KEYS.hits) == 5
    assert (await refusals.why("R7", now_ms=NOW)).policy_id == policy_id(7)
    with pytest.raises(ReferenceInvalid):
        await refusals.why("R6", now_ms=NOW)
    await refusals.record("late", Refusal(policy_id(1), "block", "r3", NOW + 8 * DAY))
    assert await client.hlen(KEYS.refusals) == 1


async def test_redis_away_is_a_typed_error_at_once() -> None:
    client = connect(RedisSettings(url="unix:///nonexistent/socket"))
    store = PolicyStore(client, SETTINGS)
    async with asyncio.timeout(1.0):
        with pytest.raises(StoreUnavailable):
            await store.get(policy_id(1))
    await client.aclose()


async def test_hung_redis_fails_within_the_reply_time_and_is_not_asked_twice() -> None:
    asked: list[bytes] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            asked.append(data)
        writer.close()

    folder = tempfile.TemporaryDirectory(prefix="hp")  # a socket's path must be short, which tmp_path is not
    path = str(Path(folder.name) / "s")
    server = await asyncio.start_unix_server(hang, path)
    client = connect(RedisSettings(url=f"unix://{path}", reply_s=0.1))
    started = asyncio.get_running_loop().time()
    with pytest.raises(StoreUnavailable):
        await PolicyStore(client, SETTINGS).get(policy_id(1))
    assert asyncio.get_running_loop().time() - started < 0.9
    assert sum(data.count(b"HGET") for data in asked) <= 1
    await client.aclose()
    server.close()
    await server.wait_closed()
    folder.cleanup()


@pytest.mark.parametrize("url", ["http://x", "redis", ""])
def test_redis_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="redis://"):
        RedisSettings(url=url)
