"""The follower task against real servers: in force quickly, alive through kills, honest about what it has."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from haetae_policy.changes import Arrived, ArrivedTogether, Delete, News
from haetae_policy.errors import StoreUnavailable
from haetae_policy.facts import ApiFacts, Facts
from haetae_policy.feed import FeedState
from haetae_policy.identifiers import make_policy_id
from haetae_policy.io.connect import RedisSettings, connect, connect_blocking
from haetae_policy.io.follower import FeedSettings, PolicyFeed
from haetae_policy.io.keys import Keys
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.io.workers import WorkerReports
from haetae_policy.model import Action, Api, Policy, Source, SourceKind, Subject
from haetae_policy.parse import parse_new_policy
from haetae_policy.record import encode_record, record_digest, record_of
from haetae_policy.table import PolicyTable
from redis.asyncio import Redis

from tests.policy.conftest import Server

EPOCH = b"12345678"
API = ApiFacts("app", "r", "GET", "/")
STORE = StoreSettings(prefix="f:", beat_s=0.0)
KEYS = Keys("f:")
QUICK = FeedSettings(
    block_s=0.1, answer_s=2.0, herd_s=0.01, pause_s=0.01, longest_pause_s=0.05, report_gap_s=0.01, quiet_s=0.2
)


def now() -> int:
    return int(time.time() * 1000)


def policy(user: str, *, seconds: int = 600) -> Policy:
    moment = now()
    return Policy(
        id=make_policy_id(now_ms=moment, randomness=os.urandom(10)),
        subject=Subject(user=user),
        api=Api(),
        action=Action.BLOCK,
        reason="test",
        source=Source(SourceKind.ANALYST, "kim"),
        created_ms=moment // 1000 * 1000,
        changed_ms=moment // 1000 * 1000,
        expires_ms=(moment // 1000 + seconds) * 1000,
    )


async def block(store: PolicyStore, user: str) -> Policy:
    made = policy(user)
    await store.add(made, now_ms=now(), epoch_randomness=EPOCH)
    return made


async def beat(store: PolicyStore) -> None:
    await store.establish(now_ms=now(), epoch_randomness=EPOCH)
    await store.beat(now_ms=now())


async def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    """Let the loop run until the condition holds; the condition is the thing waited for."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - the table has no event for each of its policies
            await asyncio.sleep(0.001)


class Worker:
    """One edge worker: a table and its feed."""

    def __init__(self, settings: RedisSettings, name: str = "w1", feed: FeedSettings = QUICK) -> None:
        self.table = PolicyTable()
        self.changes: list[News] = []
        self.client = connect(settings)
        self.reader = connect_blocking(settings, block_s=feed.block_s)
        self.feed = PolicyFeed(
            client=self.client,
            reader=self.reader,
            table=self.table,
            worker=name,
            store=STORE,
            settings=feed,
            on_change=self.changes.append,
        )

    def blocks(self, user: str) -> bool:
        return self.table.check(Facts(user=user), API, now()) is not None

    @property
    def state(self) -> FeedState:
        return self.feed.status().state


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[Worker]:
    task = asyncio.create_task(worker.feed.run())
    try:
        yield worker
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await worker.client.aclose()
        await worker.reader.aclose()


@pytest.fixture(params=["valkey", "redis"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[tuple[RedisSettings, Redis, PolicyStore]]:
    server: Server = request.getfixturevalue(f"{request.param}_server")
    client = connect(server.settings)
    await client.flushall()
    yield server.settings, client, PolicyStore(client, STORE)
    await client.aclose()


async def test_worker_loads_what_is_there_and_then_follows(place: tuple[RedisSettings, Redis, PolicyStore]) -> None:
    settings, _, store = place
    many = [policy(f"user-{number}") for number in range(700)]
    await store.add_many(many, now_ms=now(), epoch_randomness=EPOCH)
    async with running(Worker(settings)) as worker:
        await worker.feed.wait_following()
        assert all(worker.blocks(made.subject.user or "") for made in many)
        late = await block(store, "late")
        await until(lambda: worker.blocks("late"))
        await store.revoke(late.id, version=1, by="kim", now_ms=now())
        await until(lambda: not worker.blocks("late"))
        await beat(store)
        seq = worker.feed.status().seq
        assert seq == 702
        assert isinstance(worker.changes[-2], Arrived)
        assert isinstance(worker.changes[-1], Delete)
        status = worker.feed.status()
        assert (status.state, status.snapshots, status.failures, status.policies) == (FeedState.FOLLOWING, 1, 0, 700)
        assert status.age_s is not None
        assert status.age_s < 5
        assert status.latency_ms is not None


async def test_console_learns_that_a_block_is_in_force_on_every_worker(
    place: tuple[RedisSettings, Redis, PolicyStore],
) -> None:
    settings, client, store = place
    await beat(store)
    reports = WorkerReports(client, STORE)
    async with running(Worker(settings, "w1")) as one, running(Worker(settings, "w2")) as two:
        await one.feed.wait_following()
        await two.feed.wait_following()
        issued = now()
        added = await store.add(policy("u"), now_ms=issued, epoch_randomness=EPOCH)
        async with asyncio.timeout(20):
            force = await reports.in_force(added.seq, now_ms=now())
            while (force.applied, force.workers) != (2, 2):
                force = await reports.in_force(added.seq, now_ms=now())
        assert force.at_ms is not None
        assert 0 <= force.at_ms - issued < 2000
        assert one.blocks("u")
        assert two.blocks("u")


async def test_lost_entries_are_noticed_at_the_next_heartbeat_and_repaired(
    place: tuple[RedisSettings, Redis, PolicyStore],
) -> None:
    settings, client, store = place
    await beat(store)
    async with running(Worker(settings)) as worker:
        await worker.feed.wait_following()
        # A block reaches the store, but its entry is gone before any worker can read it.
        async with client.pipeline(transaction=True) as pipe:
            hidden = policy("hidden")
            encoded = encode_record(record_of(hidden))
            pipe.hset(KEYS.live, hidden.id, encoded)
            pipe.hset(KEYS.head, mapping={"seq": 1, "count": 1, "digest": record_digest(encoded)})
            await pipe.execute()
        assert not worker.blocks("hidden")
        await beat(store)
        await until(lambda: worker.feed.status().snapshots == 2)
        await until(lambda: worker.state is FeedState.FOLLOWING)
        assert worker.feed.status().seq == 1
        assert worker.blocks("hidden")


async def test_emptied_store_lifts_no_block_until_an_operator_resets_the_log(
    place: tuple[RedisSettings, Redis, PolicyStore], caplog: pytest.LogCaptureFixture
) -> None:
    settings, client, store = place
    await block(store, "old")
    async with running(Worker(settings)) as worker:
        await worker.feed.wait_following()
        await client.flushall()
        assert not await store.beat(now_ms=now()), "a heartbeat must not make an empty log look right"
        await until(lambda: worker.state is FeedState.BROKEN)
        assert worker.feed.status().reason == "the log is gone from the store"
        assert worker.blocks("old")
        assert "gone from the store" in caplog.text
        await store.add(policy("new"), now_ms=now(), epoch_randomness=b"another!")
        await until(lambda: worker.blocks("new") and worker.state is FeedState.FOLLOWING)
        assert worker.blocks("old")
        status = worker.feed.status()
        assert (status.epoch, status.policies, status.kept) == (b"another!".hex(), 2, 1)
        await until(lambda: "lost 1 policies" in caplog.text)
        for _ in range(3):
            await beat(store)
        await block(store, "newer")
        await until(lambda: worker.blocks("newer"))
        assert worker.blocks("old")
        assert worker.state is FeedState.FOLLOWING
        await store.reset(now_ms=now(), epoch_randomness=b"as it is")
        await until(lambda: not worker.blocks("old") and worker.state is FeedState.FOLLOWING)
        assert worker.blocks("new")
        assert worker.feed.status().kept == 0


async def test_log_not_yet_established_is_waited_for(place: tuple[RedisSettings, Redis, PolicyStore]) -> None:
    settings, _, store = place
    async with running(Worker(settings)) as worker:
        await until(lambda: worker.feed.status().failures > 1)
        assert worker.state is FeedState.EMPTY
        await block(store, "u")
        await until(lambda: worker.blocks("u"))


async def test_blocks_stay_in_force_through_a_kill_and_new_ones_arrive_after_the_restart(own_server: Server) -> None:
    client = connect(own_server.settings)
    store = PolicyStore(client, STORE)
    await block(store, "before")
    async with running(Worker(own_server.settings)) as worker:
        await worker.feed.wait_following()
        for round_number in range(3):
            own_server.kill()
            await until(lambda: worker.feed.status().failures > round_number)  # noqa: B023 - the same
            assert worker.blocks("before")
            with pytest.raises(StoreUnavailable):
                await block(store, "lost")
            own_server.start()
            await block(store, f"after-{round_number}")
            await until(lambda: worker.blocks(f"after-{round_number}"))  # noqa: B023 - awaited within the round
        await beat(store)
        await until(lambda: worker.state is FeedState.FOLLOWING)
        status = worker.feed.status()
        assert (status.seq, status.policies, status.snapshots) == (4, 4, 1)
        # The first one came with the first snapshot, of which nobody has to be told one by one.
        assert [change.seq for change in worker.changes] == [2, 3, 4], "none lost, none doubled"
    await client.aclose()


async def test_redis_restored_from_an_older_state_is_noticed_and_what_it_lost_stays_in_force(
    own_server: Server,
) -> None:
    client = connect(own_server.settings)
    store = PolicyStore(client, STORE)
    await block(store, "kept")
    files = {path: path.read_bytes() for path in (own_server.folder / "appendonlydir").iterdir()}
    await block(store, "rolled-back")
    async with running(Worker(own_server.settings)) as worker:
        await worker.feed.wait_following()
        assert worker.blocks("rolled-back")
        own_server.kill()
        for path, content in files.items():
            path.write_bytes(content)
        own_server.start()
        await until(lambda: worker.feed.status().snapshots == 2 and worker.state is FeedState.FOLLOWING)
        assert worker.blocks("rolled-back")
        assert worker.blocks("kept")
        assert (worker.feed.status().seq, worker.feed.status().kept) == (1, 1)
    await client.aclose()


async def test_loading_many_policies_never_holds_the_event_loop_for_long(valkey_server: Server) -> None:
    client = connect(valkey_server.settings)
    await client.flushall()
    store = PolicyStore(client, STORE)
    many = [policy(f"user-{number}") for number in range(4000)]
    await store.add_many(many, now_ms=now(), epoch_randomness=EPOCH)
    worker = Worker(valkey_server.settings)
    busy: list[float] = []
    inner = worker.feed._in_steps

    async def measured(items: object, work: object, *, together: int) -> None:
        coroutine = inner(items, work, together=together)  # type: ignore[arg-type]
        value = None
        while True:
            started = time.thread_time()
            try:
                value = coroutine.send(None)
            except StopIteration:
                return
            finally:
                busy.append(time.thread_time() - started)
            assert value is None
            await asyncio.sleep(0)

    worker.feed._in_steps = measured  # type: ignore[method-assign]
    async with running(worker):
        await worker.feed.wait_following()
    assert len(worker.table) == 4000
    assert sorted(busy)[-2] < 0.005
    await client.aclose()


async def test_feed_stops_when_cancelled_even_in_the_middle_of_a_command(valkey_server: Server) -> None:
    client = connect(valkey_server.settings)
    await client.flushall()
    await block(PolicyStore(client, STORE), "u")
    for turns in range(40):
        worker = Worker(valkey_server.settings)
        task = asyncio.create_task(worker.feed.run())
        await worker.feed.wait_following()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([task])
        assert task.cancelled()
        await worker.client.aclose()
        await worker.reader.aclose()
    await client.aclose()


async def test_policies_of_a_machine_arrive_as_such(place: tuple[RedisSettings, Redis, PolicyStore]) -> None:
    settings, _, store = place
    moment = now()
    made = parse_new_policy(
        {
            "subject": {"client": "t13d1516h2", "untrusted": True},
            "api": {"route": "login"},
            "action": "throttle",
            "rate": {"limit": 5, "per_seconds": 60},
            "why": "r4",
            "reason": "distributed stuffing",
            "expires": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment // 1000 + 600)),
        },
        policy_id=make_policy_id(now_ms=moment, randomness=os.urandom(10)),
        source=Source(SourceKind.FDS, "r4"),
        now_ms=moment,
    )
    await store.add(made, now_ms=moment, epoch_randomness=EPOCH)
    async with running(Worker(settings)) as worker:
        await worker.feed.wait_following()
        verdict = worker.table.check(
            Facts(client="t13d1516h2", user="u"), ApiFacts("app", "login", "POST", "/login"), now()
        )
        assert verdict is not None
        assert (verdict.policy_id, verdict.machine, verdict.why, verdict.rate) == (made.id, True, "r4", (5, 60))


async def test_policies_before_an_unreadable_one_of_their_entry_are_told_of_as_they_are_enforced(
    place: tuple[RedisSettings, Redis, PolicyStore],
) -> None:
    settings, client, store = place
    await beat(store)
    async with running(Worker(settings)) as worker:
        await worker.feed.wait_following()
        records = [encode_record(record_of(policy(f"u{number}"))) for number in range(2)]
        head = await store.head()
        assert head is not None
        told_of = b"\n".join([*records, b"{}"]).decode()
        fields: dict[Any, Any] = {"e": head.epoch, "s": head.seq + 1, "o": "m", "t": now(), "n": 3, "r": told_of}
        await client.xadd(KEYS.log, fields)
        await until(lambda: worker.feed.status().failures > 0)
        told = [news for news in worker.changes if isinstance(news, ArrivedTogether)]
        assert [subject.user for news in told for subject in news.subjects()] == ["u0", "u1"]
