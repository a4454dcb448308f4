"""The policy feed is lost while an attack goes on: what was decided stays decided, once, and every gateway enforces it.

A real worker process with the real engine, a real store, and two followers as gateways run them; the worker's and the
gateways' lines to the store are apart.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import orjson
import pytest
from haetae_fds import Engine
from haetae_fds.io.keys import ShardKeys
from haetae_policy import StoreUnavailable, address_key
from haetae_policy.facts import ApiFacts, Facts
from haetae_policy.feed import FeedState
from haetae_policy.io.connect import RedisSettings, connect, connect_blocking
from haetae_policy.io.follower import FeedSettings, PolicyFeed
from haetae_policy.io.keys import Keys
from haetae_policy.io.store import StoreSettings
from haetae_policy.table import PolicyTable

from tests.fds.delivery.assault import assault
from tests.fds.delivery.test_same_decisions import (
    CULPRITS,
    culprits,
    decided,
    lots,
    now_ms,
    real_worker,
    send,
    until_seen,
)
from tests.fds.delivery.test_worker import Stand, stand
from tests.fds.delivery.worker_process import PREFIX, REAL
from tests.simulator.store_line import StoreLine, store_line

STORE = StoreSettings(prefix=PREFIX, beat_s=0.0)
ROUNDS = 40
PLAIN = 42  # nobody is found before
HALF = 70  # two of the four are found before, two after it
PACE = FeedSettings(block_s=0.1, herd_s=0.05, pause_s=0.02, longest_pause_s=0.1, quiet_s=0.3)


def ip(text: str) -> int:
    return address_key(text)


STOPPED = [
    (Facts(ip=ip("12.0.1.7")), ApiFacts("app", "log-in", "POST", "/api/v1/login")),
    (Facts(ip=ip("12.0.2.7")), ApiFacts("app", "log-in", "POST", "/api/v1/login")),
    (Facts(ip=ip("13.0.3.9"), user="thief"), ApiFacts("app", "r", "GET", "/api/v1/accounts/9")),
    (Facts(ip=ip("14.0.0.9"), user="miner"), ApiFacts("app", "r", "GET", "/api/v1/cards/9")),
]
SERVED = [
    (Facts(ip=ip("11.0.3.1"), user="u3", trusted=True), ApiFacts("app", "r", "GET", "/api/v1/me")),
    (Facts(ip=ip("12.0.3.7")), ApiFacts("app", "log-in", "POST", "/api/v1/login")),
    (Facts(ip=ip("13.0.3.9"), user="thief"), ApiFacts("app", "r", "GET", "/api/v1/me")),
]


class Gateway:
    """The policies of one gateway worker, and what keeps them in step."""

    def __init__(self, socket: Path, name: str) -> None:
        settings = RedisSettings(f"unix://{socket}")
        self.table = PolicyTable()
        self.client, self.reader = connect(settings), connect_blocking(settings, block_s=PACE.block_s)
        self.feed = PolicyFeed(
            client=self.client, reader=self.reader, table=self.table, worker=name, store=STORE, settings=PACE
        )  # fmt: skip

    def refuses(self, facts: Facts, api: ApiFacts) -> bool:
        return self.table.check(facts, api, now_ms()) is not None

    @property
    def enforces(self) -> bool:
        return all(self.refuses(*one) for one in STOPPED)


@asynccontextmanager
async def gateways(world: Stand, socket: Path, count: int) -> AsyncIterator[list[Gateway]]:
    """Gateway workers that follow, and the heartbeats of the log."""
    async with AsyncExitStack() as stack:
        found = [Gateway(socket, f"g{number}") for number in range(count)]
        for one in found:
            stack.push_async_callback(one.client.aclose)
            stack.push_async_callback(one.reader.aclose)
        tasks = [asyncio.create_task(one.feed.run()) for one in found]
        tasks.append(asyncio.create_task(heart(world)))
        try:
            yield found
            assert not any(task.done() for task in tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def heart(world: Stand) -> None:
    """The heartbeat that gateways see to."""
    while True:
        await asyncio.sleep(0.1)
        with suppress(StoreUnavailable):
            await world.store.beat(now_ms=now_ms())


class Scene:
    """A stand with a line for the worker and one for the gateways."""

    def __init__(self, world: Stand, worker: StoreLine, gateways: StoreLine) -> None:
        self.world = world
        self.worker = worker
        self.gateways = gateways
        self.parts = 0


Trouble = Callable[[Scene], AbstractAsyncContextManager[None]]
"""Around each part of the attack; what the worker decides in it, it decides in the middle of the trouble."""


@asynccontextmanager
async def log_deleted(scene: Scene) -> AsyncIterator[None]:
    """Before gateways could read what was decided."""
    scene.gateways.hang()
    yield
    await until_seen(scene.world)
    await scene.world.client.delete(Keys(PREFIX).log)
    await scene.gateways.mend()


@asynccontextmanager
async def log_cut_short(scene: Scene) -> AsyncIterator[None]:
    scene.gateways.hang()
    yield
    await until_seen(scene.world)
    await scene.world.client.xtrim(Keys(PREFIX).log, maxlen=1, approximate=False)
    await scene.gateways.mend()


@asynccontextmanager
async def gateways_cut_off(scene: Scene) -> AsyncIterator[None]:
    await scene.gateways.cut()
    yield
    await until_seen(scene.world)
    await scene.gateways.mend()


@asynccontextmanager
async def worker_cut_off(scene: Scene) -> AsyncIterator[None]:
    """Again and again; answers are lost on their way, so the worker cannot know what was done."""
    chance, over = random.Random(7), asyncio.Event()

    async def cut() -> None:
        while not over.is_set():
            await asyncio.sleep(chance.uniform(0.0, 0.03))
            await scene.worker.cut()
            await scene.worker.mend()

    cutting = asyncio.create_task(cut())
    yield
    await asyncio.sleep(0.3)
    over.set()
    await cutting  # not cancelled: a line that is half mended would leave its socket open


@asynccontextmanager
async def store_killed(scene: Scene) -> AsyncIterator[None]:
    yield
    await asyncio.sleep(random.Random(scene.parts).uniform(0.0, 0.05))
    scene.world.server.kill()
    await scene.world.server.start()


TROUBLES = [log_deleted, log_cut_short, gateways_cut_off, worker_cut_off, store_killed]


@asynccontextmanager
async def scene_of(tmp_path: Path, *, keeps: bool = True) -> AsyncIterator[Scene]:
    async with (
        stand(tmp_path, keeps=keeps) as world,
        store_line(world.server.socket, name="w") as worker,
        store_line(world.server.socket) as gateways_line,
    ):
        yield Scene(world, worker, gateways_line)


async def until_enforced(found: Sequence[Gateway]) -> None:
    async with asyncio.timeout(20):
        while not all(one.enforces for one in found):  # noqa: ASYNC110 - a table has no event for a policy
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_feed_lost_during_an_attack_loses_and_doubles_no_decision_and_gateways_enforce_all(
    tmp_path: Path, trouble: Trouble
) -> None:
    events = assault(now_ms() - 9000, rounds=ROUNDS)
    engine = Engine(REAL)
    undisturbed = [decision.to_dict() for event in events for decision in engine.observe(event)]
    async with scene_of(tmp_path) as scene:
        world = scene.world
        await real_worker(world, socket=scene.worker.socket)
        async with gateways(world, scene.gateways.socket, 2) as found:
            for lot in lots(events[:PLAIN]):
                await send(world, lot)
            await until_seen(world)
            for part in lots(events[PLAIN:], 28):
                scene.parts += 1
                async with trouble(scene):
                    for lot in lots(part):
                        await send(world, lot)
            policies = await world.until(len(CULPRITS))
            await until_seen(world)
            await until_enforced(found)
            async with asyncio.timeout(20):
                while any(one.feed.status().state is not FeedState.FOLLOWING for one in found):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert [len(one.table) for one in found] == [len(CULPRITS)] * 2
            assert not any(one.refuses(*served) for one in found for served in SERVED)
            told = await decided(world)
            audited = [entry.to_dict()["target"] for entry in await world.ledger.audit_page()]
    assert told == [orjson.loads(orjson.dumps(one)) for one in undisturbed]
    assert sorted(audited) == sorted(policy.id for policy in policies)
    assert len(policies) == len(CULPRITS)


async def test_emptied_store_during_an_attack_lifts_no_block_gets_them_back_and_the_rest_is_decided(
    tmp_path: Path,
) -> None:
    """The first two of four were stopped before the store lost everything."""
    events = assault(now_ms() - 9000, rounds=ROUNDS)
    async with scene_of(tmp_path, keeps=False) as scene:
        world = scene.world
        await real_worker(world, socket=scene.worker.socket)
        async with gateways(world, scene.gateways.socket, 2) as found:
            for lot in lots(events[:HALF]):
                await send(world, lot)
            before = {policy.id for policy in await world.until(2)}
            async with asyncio.timeout(20):
                while not all(len(one.table) == 2 for one in found):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.01)
            stopped = [one for one in STOPPED if found[0].refuses(*one)]
            assert len(stopped) == 2
            await world.client.flushall()
            async with asyncio.timeout(20):
                while not await world.client.exists(ShardKeys(PREFIX, 0).lease):
                    assert all(one.refuses(*other) for one in found for other in stopped)
                    await asyncio.sleep(0.02)
            for lot in lots(events[HALF:]):
                await send(world, lot)
            await until_enforced(found)
            after = {policy.id for policy in await world.until(len(CULPRITS))}
            async with asyncio.timeout(20):
                while any(one.feed.status().kept for one in found):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.01)
            assert [len(one.table) for one in found] == [len(CULPRITS)] * 2
            assert not any(one.refuses(*served) for one in found for served in SERVED)
            told = culprits(await decided(world))
            restored = [
                one for entry in await world.ledger.audit_page() if (one := entry.to_dict())["action"] == "restore"
            ]
    assert len(after) == len(CULPRITS)
    assert before < after
    assert {one["target"] for one in restored} == before
    assert len(told) == 2
