"""Policies that were made together, as the feed over HTTP tells of them: one event each, and no place lost between."""

import os

import orjson
from haetae_policy.audit import AuditNote
from haetae_policy.io.ledger import Ledger, NewPolicy
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.parse import parse_policy
from haetae_policy_api.io.feed import Feed
from redis.asyncio import Redis

from tests.policy.policy_strategies import document

PREFIX = "t:"
NOW_MS = 1_777_629_600_000
SETTINGS = StoreSettings(prefix=PREFIX)


async def told(client: Redis, after: str, *, entries: int) -> list[dict[str, bytes]]:
    """The events of so many entries."""
    feed = Feed(client, prefix=PREFIX, deadline_s=5.0)
    found: list[dict[str, bytes]] = []
    chunks = 0
    async for chunk in await feed.follow(after):
        for block in chunk.split(b"\n\n")[:-1]:
            lines = [line.partition(b": ") for line in block.split(b"\n")]
            found.append({name.decode(): value for name, _, value in lines})
        chunks += 1
        if chunks == entries:
            break
    return found


async def test_each_policy_of_a_batch_is_an_event_and_only_the_last_one_moves_the_place(client: Redis) -> None:
    ledger, store = Ledger(client, SETTINGS), PolicyStore(client, SETTINGS)
    made = [parse_policy(document(number)) for number in range(3)]
    news = [NewPolicy(policy=policy, document=policy.to_json()) for policy in made]
    note = AuditNote(actor="kim", action="create", target="bat")
    done = await ledger.add_all(news, note, now_ms=NOW_MS, epoch_randomness=os.urandom(8))
    assert done.seqs == (1, 3)
    await store.revoke(made[1].id, version=1, by="kim", now_ms=NOW_MS)
    events = await told(client, "0-0", entries=2)
    assert [event["event"] for event in events] == [b"put", b"put", b"put", b"delete"]
    documents = [orjson.loads(event["data"]) for event in events]
    assert [document["seq"] for document in documents] == [1, 2, 3, 4]
    assert [document["record"]["pid"] for document in documents[:3]] == [policy.id for policy in made]
    assert ["id" in event for event in events] == [False, False, True, True]
    [last] = await told(client, events[2]["id"].decode(), entries=1)
    assert last == events[3], "whoever comes back after the batch goes on behind it"
