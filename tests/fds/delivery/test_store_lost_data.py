"""The store forgets: all it had, its newest part, or the events alone. What stood stands again, and a turned switch
stays turned.
"""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from haetae_fds.blob import stream_key
from haetae_fds.decision import Mode
from haetae_fds.io.keys import ShardKeys
from haetae_fds.io.modes import OVERALL
from haetae_policy import Policy

from tests.fds.delivery.test_same_decisions import now_ms, until_seen
from tests.fds.delivery.test_worker import Stand, stand
from tests.fds.delivery.worker_process import ENOUGH, PREFIX


async def blocked(world: Stand, *users: str, all_: int) -> list[Policy]:
    await world.send(*(world.event(user) for user in users for _ in range(ENOUGH)))
    found = await world.until(all_)
    await until_seen(world)
    return found


async def until_leased(world: Stand) -> None:
    async with asyncio.timeout(20):
        while not await world.client.exists(ShardKeys(PREFIX, 0).lease):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("worker", ["works on", "starts again"])
async def test_emptied_store_gets_back_what_stands_but_not_what_a_person_took_back(tmp_path: Path, worker: str) -> None:
    async with stand(tmp_path) as world:
        process = await world.worker()
        before = await blocked(world, "u-1", "u-2", "flood", all_=3)
        await world.send(world.event("flood"), world.event("flood"))
        await until_seen(world)
        before = await world.policies()
        if worker == "starts again":
            process.kill()
            await process.wait()
        await world.client.flushall()
        if worker == "starts again":
            await world.worker()
        after = await world.until(3)
        audited = [entry.to_dict() for entry in await world.ledger.audit_page()]
        gone = next(policy for policy in after if policy.subject.user == "u-2")
        await world.store.revoke(gone.id, version=gone.version, by="mina", now_ms=now_ms())
        await world.client.delete(ShardKeys(PREFIX, 0).lease)  # taken up again, from the newest checkpoint
        assert {policy.subject.user for policy in await blocked(world, "u-3", all_=3)} == {"u-1", "flood", "u-3"}
    assert {(one.id, one.expires_ms, one.action, one.mode) for one in after} == {
        (one.id, one.expires_ms, one.action, one.mode) for one in before
    }
    assert sorted((one["action"], one["target"]) for one in audited) == sorted(("restore", one.id) for one in before)


async def test_store_restored_from_an_older_copy_gets_back_what_was_decided_since(tmp_path: Path) -> None:
    async with stand(tmp_path, keeps=True) as world:
        process = await world.worker()
        await blocked(world, "u-1", all_=1)
        files, copy = world.server.socket.parent / "appendonlydir", tmp_path / "copy"
        shutil.copytree(files, copy)
        await blocked(world, "u-2", "u-3", all_=3)
        world.server.kill()
        shutil.rmtree(files)
        shutil.copytree(copy, files)
        await world.server.start()
        found = await world.until(3)
        assert {policy.subject.user for policy in found} == {"u-1", "u-2", "u-3"}
        assert len(await blocked(world, "u-4", all_=4)) == 4
        assert process.returncode is None


@pytest.mark.parametrize("worker", ["works on", "starts again"])
async def test_switch_that_people_turned_stays_turned_although_the_store_forgot_it(tmp_path: Path, worker: str) -> None:
    async with stand(tmp_path) as world:
        await world.modes.set(OVERALL, Mode.SHADOW)
        process = await world.worker()
        await blocked(world, "u-1", all_=1)
        if worker == "starts again":
            process.kill()
            await process.wait()
        await world.client.flushall()
        if worker == "starts again":
            await world.worker()
        await until_leased(world)
        found = await blocked(world, "u-2", all_=2)
        assert {policy.mode for policy in found} == {"shadow"}
        assert await world.client.hgetall(f"{PREFIX}fds:modes") == {b"overall": b"shadow"}


async def test_stream_that_was_deleted_is_read_again_from_its_new_start(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        await world.worker()
        await blocked(world, "u-1", all_=1)
        await world.client.delete(stream_key(PREFIX, 0))
        await blocked(world, "u-2", all_=2)
        groups: Any = await world.client.xinfo_groups(stream_key(PREFIX, 0))
        await blocked(world, "u-3", all_=3)
    assert len(groups) == 1


async def test_new_store_whose_clock_is_behind_is_read_from_its_start(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        process = await world.worker()
        await blocked(world, "u-1", all_=1)
        process.kill()
        await process.wait()
        await world.client.flushall()
        for number in range(ENOUGH):
            await world.client.xadd(stream_key(PREFIX, 0), {b"b": b"x"}, id=f"{number + 1}-0")
        await world.worker()
        async with asyncio.timeout(20):
            done: Any = None
            while done != f"{ENOUGH}-0".encode():
                done = await world.client.hget(ShardKeys(PREFIX, 0).done, "trimmed")
                await asyncio.sleep(0.02)
        assert len(await world.until(1)) == 1
