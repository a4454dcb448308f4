"""Events on their way to a real store: none lost while it answers, exact counts of what was lost when it did not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from haetae_edge.io.events import EventSender
from haetae_fds.blob import Blob, decode_blob, stream_key
from haetae_fds.event import Event, encode_event

from tests.simulator.valkey import Valkey, valkey

TS = 1_800_000_000_000


def event(number: int, **changes: Any) -> list[object]:
    base: dict[str, Any] = {"id": f"E{number:06}", "ts": TS + number, "gw": "app", "net": "203.0.113.0/24"}
    return encode_event(Event(**(base | changes)))


def read(number: int) -> list[object]:
    """A successful anonymous read."""
    return event(number, status=200, api="GET /x")


@asynccontextmanager
async def sending(server: Valkey, **changes: Any) -> AsyncIterator[EventSender]:
    settings: dict[str, Any] = {"source": "app/h/1", "prefix": "t:", "shards": 1, "ring": 1000, "ceiling": 10_000}
    sender = EventSender(f"unix://{server.socket}", loop=asyncio.get_running_loop(), **(settings | changes))
    await sender.start()
    try:
        yield sender
    finally:
        await sender.close()


async def blobs(server: Valkey, shard: int = 0) -> list[Blob]:
    client = server.client()
    try:
        entries: Any = await client.xrange(stream_key("t:", shard))
        return [decode_blob(fields[b"b"]) for _, fields in entries]
    finally:
        await client.aclose()


async def until_sent(sender: EventSender, count: int) -> None:
    async with asyncio.timeout(10):
        while sender.sent < count:  # noqa: ASYNC110 - the sender tells nobody
            await asyncio.sleep(0.005)


async def test_events_arrive_in_order_and_together() -> None:
    async with valkey() as server, sending(server, ring=5000) as sender:
        for number in range(1200):
            sender.append(event(number))
        await until_sent(sender, 1200)
        found = await blobs(server)
    assert [item.id for blob in found for item in blob.events] == [f"E{number:06}" for number in range(1200)]
    assert len(found) <= 5
    assert sender.lost_other == sender.lost_anonymous == 0


async def test_a_network_always_goes_to_the_same_shard_and_all_shards_are_used() -> None:
    async with valkey() as server, sending(server, shards=4) as sender:
        for number in range(400):
            sender.append(event(number, net=f"10.0.{number % 40}.0/24"))
        await until_sent(sender, 400)
        shards = [{item.net for blob in await blobs(server, shard) for item in blob.events} for shard in range(4)]
    assert all(shards)
    assert sum(len(nets) for nets in shards) == 40


async def test_full_ring_gives_up_anonymous_reads_first_and_says_exactly_how_many() -> None:
    async with valkey() as server:
        server.kill()
        async with sending(server, ring=100) as sender:
            for number in range(80):
                sender.append(read(number))
            for number in range(80, 180):
                sender.append(event(number, user="u-1", user_v=True, status=200, api="GET /x"))
            sender.append(read(180))
            sender.append(event(181, status=401, api="POST /login"))
            assert (sender.lost_anonymous, sender.lost_other) == (81, 1)
            await server.start()
            await until_sent(sender, 100)
            found = await blobs(server)
    assert [item.id for blob in found for item in blob.events] == [f"E{number:06}" for number in range(80, 180)]
    assert sum(blob.lost_anonymous for blob in found) == 81
    assert sum(blob.lost_other for blob in found) == 1


@pytest.mark.parametrize(
    "identity", [{"user": "u-1"}, {"dev": "d-1"}, {"sess": "s-1"}, {"san": "batch.partner.example"}]
)
async def test_read_of_anybody_who_is_known_is_not_anonymous(identity: dict[str, str]) -> None:
    async with valkey() as server:
        server.kill()
        async with sending(server, ring=1) as sender:
            sender.append(event(0, status=200, api="GET /x", **identity))
            sender.append(read(1))
            assert (sender.lost_anonymous, sender.lost_other) == (1, 0)


async def test_store_that_hangs_costs_the_caller_nothing_and_gets_everything_afterwards() -> None:
    async with valkey() as server, sending(server, ring=5000) as sender:
        sender.append(event(0))
        await until_sent(sender, 1)
        server.hang()
        started = asyncio.get_running_loop().time()
        for number in range(1, 3000):
            sender.append(event(number))
        assert asyncio.get_running_loop().time() - started < 1
        await asyncio.sleep(1.3)  # longer than the sender waits for a silent store
        server.resume()
        async with asyncio.timeout(10):
            while len({item.id for blob in await blobs(server) for item in blob.events}) < 3000:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert sender.lost_other == sender.lost_anonymous == 0


async def test_stream_that_nobody_reads_stays_bounded() -> None:
    async with valkey() as server, sending(server, ceiling=100) as sender:
        for number in range(600):
            sender.append(event(number))
            await until_sent(sender, number + 1)
        found = await blobs(server)
    assert 100 <= len(found) < 300
