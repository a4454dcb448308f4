"""Recent traffic, from a real stream of behaviour events: predictions, their precision, and roll-backs by them."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from haetae_fds.blob import FIELD, encode_blob, stream_key
from haetae_fds.event import Event, encode_event
from haetae_policy.audit import AuditNote
from haetae_policy.entries import Entry, ManyEntry, decode_entry, each_put
from haetae_policy.io.connect import connect_blocking
from haetae_policy.io.ledger import Ledger, NewPolicy, PutPolicy
from haetae_policy.io.refusals import Refusal
from haetae_policy.io.store import StoreSettings
from haetae_policy.model import Action, Api, Policy, Source, SourceKind, Subject
from haetae_policy.network import parse_network
from haetae_policy_api.io.events import EventFollower
from haetae_policy_api.io.keeper import Keeper
from haetae_policy_api.roles import Caller, Role
from haetae_policy_api.service import batches, changes
from haetae_policy_api.settings import Settings
from haetae_policy_api.traffic import TrafficRing
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from tests.policy.conftest import Server
from tests.policy.policy_strategies import T0, apis, policy_id, subjects
from tests.policy_api.test_policy_endpoints import make_context

PREFIX = "t:"
KIM = Caller(name="kim", role=Role.ANALYST)
ASKED = {"action": "block", "reason": "r", "lasts_s": 600}


def now() -> int:
    return int(time.time() * 1000)


def event(**members: Any) -> Event:
    kept = {"ip": "203.0.113.7", "status": 200, "api": "GET /a", "route": "a", **members}
    return Event(id=os.urandom(8).hex(), ts=now(), gw="app", **kept)


async def publish(client: Redis, events: list[Event], *, shard: int = 0) -> None:
    for start in range(0, len(events), 100):
        blob = encode_blob([encode_event(one) for one in events[start : start + 100]], source="app/1")
        await client.xadd(stream_key(PREFIX, shard), {FIELD: blob})


@asynccontextmanager
async def following(server: Server, ring: TrafficRing, *, shards: int = 1) -> AsyncIterator[EventFollower]:
    reader = connect_blocking(server.settings, block_s=2.0)
    follower = EventFollower(reader, ring, prefix=PREFIX, shards=shards, span_s=900)
    task = asyncio.create_task(follower.run())
    try:
        yield follower
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await reader.aclose()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the ring has no event for each of its requests
            await asyncio.sleep(0.005)


async def test_service_that_starts_knows_what_was_before_it_and_follows_every_shard(
    valkey: Server, client: Redis
) -> None:
    ring = TrafficRing(most=10_000, span_ms=900_000)
    await publish(client, [event(user="u-1", user_v=True) for _ in range(150)])
    async with following(valkey, ring, shards=2):
        await until(lambda: len(ring) == 150)
        await publish(client, [event(user="u-2", user_v=True)], shard=1)
        await publish(client, [event(user="u-2")], shard=0)
        await until(lambda: len(ring) == 152)
    context = make_context(client, ring, Settings(prefix=PREFIX))
    one = changes.read_request(context, {**ASKED, "subject": {"user": "u-2"}}, KIM, now_ms=now())
    assert ring.preview(one, now_ms=now()).requests == 1, "an identity that was not verified is nobody's"


async def test_entry_that_cannot_be_read_is_counted_and_the_next_one_is_read(valkey: Server, client: Redis) -> None:
    ring = TrafficRing(most=100, span_ms=900_000)
    await client.xadd(stream_key(PREFIX, 0), {FIELD: b"\xffnot a blob"})
    await client.xadd(stream_key(PREFIX, 0), {"other": b"field"})
    await publish(client, [event()])
    async with following(valkey, ring) as follower:
        await until(lambda: len(ring) == 1)
        assert follower.unreadable == 2


async def test_following_goes_on_after_the_store_was_killed(own_valkey: Server) -> None:
    ring = TrafficRing(most=100, span_ms=900_000)
    client = Redis(unix_socket_path=str(own_valkey.socket))
    async with following(own_valkey, ring):
        await publish(client, [event()])
        await until(lambda: len(ring) == 1)
        await client.aclose()
        own_valkey.kill()
        own_valkey.start()
        client = Redis(unix_socket_path=str(own_valkey.socket))
        await publish(client, [event()])
        await until(lambda: len(ring) == 2)
    await client.aclose()


@pytest.mark.parametrize("size", [1, 500])
async def test_policy_that_refuses_far_more_than_the_stream_foretold_is_rolled_back(
    valkey: Server, client: Redis, size: int
) -> None:
    ring = TrafficRing(most=10_000, span_ms=900_000)
    context = make_context(client, ring, Settings(prefix=PREFIX))
    await publish(client, [event() for _ in range(2000)] + [event(ip="198.51.100.9") for _ in range(3)])
    async with following(valkey, ring):
        await until(lambda: len(ring) == 2003)
    asked = [{**ASKED, "subject": {"ip": f"198.51.{100 + n // 250}.{n % 250}"}} for n in range(9, 9 + size)]
    made = await batches.create_batch(context, asked, KIM, now_ms=now(), key=None)
    first = made.body["ids"][0]
    keeper = Keeper(context)
    for number in range(context.settings.rollback_floor + 1):
        refusal = Refusal(policy_id=first, action="block", why="manual", at_ms=now())
        await context.refusals.record(f"R{number}", refusal)
    await keeper.turn()
    assert (await context.store.get(first)).mode.value == "shadow"
    [entry] = await context.ledger.audit_page(limit=1)
    assert (entry.to_dict()["action"], entry.to_dict()["target"]) == ("roll_back", first)
    others = [(await context.store.get(name)).mode.value for name in made.body["ids"][1:5]]
    assert set(others) <= {"enforce"}


def policy(number: int, subject: Subject, api: Api) -> Policy:
    return Policy(
        id=policy_id(number),
        subject=subject,
        api=api,
        action=Action.BLOCK,
        reason="r",
        source=Source(SourceKind.ANALYST, "kim"),
        created_ms=T0,
        changed_ms=T0,
        expires_ms=T0 + 60_000,
    )


requests = st.builds(
    lambda user, dev, ip, route, verified: Event(
        id=os.urandom(4).hex(), ts=T0, gw="a", status=200, api="GET /a", route=route, ip=ip,
        user=user, user_v=verified, dev=dev, dev_v=verified,
    ),
    user=st.sampled_from((None, "a", "b")),
    dev=st.sampled_from((None, "a", "b")),
    ip=st.sampled_from(("203.0.113.7", "203.0.112.1", "2001:db8::1", None)),
    route=st.sampled_from(("a", "b")),
    verified=st.booleans(),
)  # fmt: skip


@given(wanted=st.lists(st.tuples(subjects, apis), min_size=1, max_size=6), seen=st.lists(requests, max_size=12))
def test_each_policy_of_many_is_foretold_as_if_it_were_alone(
    wanted: list[tuple[Subject, Api]], seen: list[Event]
) -> None:
    ring = TrafficRing(most=100, span_ms=900_000)
    ring.add(seen)
    policies = [policy(number, *one) for number, one in enumerate(wanted)]
    assert ring.preview_many(policies, now_ms=T0) == [ring.preview(one, now_ms=T0) for one in policies]


def test_prediction_counts_by_hand() -> None:
    ring = TrafficRing(most=100, span_ms=900_000)
    named: dict[str, Any] = {"id": "e", "ts": T0, "gw": "app", "status": 200, "api": "GET /a", "route": "a"}
    ring.add([Event(**named, ip="203.0.113.7", user="u", user_v=True), Event(**named, ip="203.0.113.9")])
    found = ring.preview(policy(1, Subject(ip=parse_network("203.0.113.0/24")), Api()), now_ms=T0)
    assert (found.requests, found.of_requests, found.users, found.addresses) == (2, 2, 1, 2)


def each(entry: Entry) -> list[Entry]:
    """What an entry of the log says, policy by policy."""
    entries = list(each_put(entry)) if isinstance(entry, ManyEntry) else [entry]
    return [replace(one, entry_id=(0, 0)) for one in entries]


async def dump(client: Any) -> dict[bytes, Any]:
    """What the store holds, without the entries' times and the trail, which differ by nature."""
    found: dict[bytes, Any] = {}
    for key in await client.keys("*"):
        match await client.type(key):
            case b"hash":
                found[key] = await client.hgetall(key)
            case b"zset":
                found[key] = await client.zrange(key, 0, -1, withscores=True)
            case b"set":
                found[key] = await client.smembers(key)
            case b"stream" if key.endswith(b":log"):
                found[key] = [told for row in await client.xrange(key) for told in each(decode_entry(*row))]
    head = next(value for key, value in found.items() if key.endswith(b":head"))
    head.pop(b"id")
    return {key: value for key, value in found.items() if not key.endswith(b":audit-head")}


async def test_many_stored_at_once_leave_what_as_many_commits_leave(client: Redis) -> None:
    settings = StoreSettings(prefix=PREFIX, deadline_s=5.0)
    subjects_ = [Subject(user=f"u-{n}", ip=parse_network("203.0.113.7") if n % 3 else None) for n in range(40)]
    policies = [replace(policy(n, one, Api()), expires_ms=T0 + 60_000 * (1 + n % 3)) for n, one in enumerate(subjects_)]
    note = AuditNote(actor="kim", action="create", target="x")
    await Ledger(client, settings).commit(
        [PutPolicy(policy=one, expected=0) for one in policies], now_ms=T0, epoch_randomness=b"12345678"
    )
    expected = await dump(client)
    await client.flushall()
    news = [NewPolicy(policy=one, document=one.to_json()) for one in policies]
    ledger = Ledger(client, settings)
    done = await ledger.add_all(news, note, now_ms=T0, epoch_randomness=b"12345678")
    assert done.seqs == (1, 40)
    assert await dump(client) == expected
    again = await ledger.add_all(news, note, now_ms=T0, epoch_randomness=b"12345678")
    assert again.refused == tuple(f"same {n}" for n in range(1, 41))
    mixed = [*news[:1], NewPolicy(policy=policy(99, Subject(user="new"), Api()), document=b"{}")]
    refused = await ledger.add_all(mixed, note, now_ms=T0, epoch_randomness=b"12345678")
    assert refused.refused == ("same 1", "ok")
    assert await dump(client) == expected, "one refused policy leaves nothing of the others"


@given(
    st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 4)), max_size=12),
    st.lists(st.tuples(subjects, apis), min_size=1, max_size=4),
)
def test_requests_that_went_out_of_the_ring_or_are_too_old_are_foretold_by_nobody(
    seen: list[tuple[int, int]], wanted: list[tuple[Subject, Api]]
) -> None:
    people = ("a", "b", "c", None, "a")
    made = [
        replace(event(user=people[who], user_v=True, dev="a", dev_v=who == 4), ts=T0 - ago * 1000) for ago, who in seen
    ]
    small, right = TrafficRing(most=5, span_ms=900_000), TrafficRing(most=5, span_ms=900_000)
    for one in made:
        small.add([one])
    right.add([one for one in made[-5:] if one.ts >= T0 - 900_000])
    policies = [policy(number, subject, api) for number, (subject, api) in enumerate(wanted)]
    assert small.preview_many(policies, now_ms=T0) == right.preview_many(policies, now_ms=T0)
    assert len(small) == len(made[-5:])
