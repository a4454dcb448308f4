"""The real engine in real workers on a real store: whatever happens to delivery, the same attack ends the same way."""

import asyncio
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from haetae_fds import Engine
from haetae_fds.blob import encode_blob, stream_key
from haetae_fds.decision import Action, Decision, Mode, Op, Subject
from haetae_fds.delivery.levels import all_shards, decides, homes_of
from haetae_fds.event import Event, encode_event
from haetae_fds.io.keys import ShardKeys
from haetae_fds.io.modes import OVERALL
from hypothesis import given
from hypothesis import strategies as st

from tests.fds.delivery.assault import assault, shard_of
from tests.fds.delivery.test_worker import Stand, stand
from tests.fds.delivery.worker_process import PREFIX, REAL

CULPRITS = {
    ("object_sweep", "block", ("user", "thief")),
    ("object_sweep", "block", ("user", "miner")),
    ("stuffing_from_address", "block", ("ip", "12.0.1.7")),
    ("stuffing_from_address", "block", ("ip", "12.0.2.7")),
}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def lots(events: Sequence[Event], size: int = 7) -> list[Sequence[Event]]:
    return [events[start : start + size] for start in range(0, len(events), size)]


async def send(world: Stand, events: Sequence[Event], *, shards: int = 1) -> None:
    by_shard: dict[int, list[Event]] = {}
    for event in events:
        by_shard.setdefault(shard_of(event, shards), []).append(event)
    for shard, chosen in by_shard.items():
        blob = encode_blob([encode_event(event) for event in chosen], source="test")
        await world.client.xadd(stream_key(PREFIX, shard), {b"b": blob})


async def real_worker(
    world: Stand, *, name: str = "w", shards: int = 1, socket: Path | None = None
) -> asyncio.subprocess.Process:
    return await world.worker(name=name, shards=shards, kind="real", socket=socket)


async def until_seen(world: Stand, shards: int = 1) -> None:
    """Until a checkpoint covers everything in every stream, those by identity after those by network."""
    async with asyncio.timeout(30):
        for shard in range(all_shards(shards)):
            while True:
                last: Any = await world.client.xrevrange(stream_key(PREFIX, shard), count=1)
                trimmed = await world.client.hget(ShardKeys(PREFIX, shard).done, "trimmed")
                if not last or trimmed == last[0][0]:
                    break
                await asyncio.sleep(0.02)


async def decided(world: Stand, shards: int = 1) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for shard in range(all_shards(shards)):
        entries: Any = await world.client.xrange(ShardKeys(PREFIX, shard).log)
        found += [orjson.loads(fields[b"d"]) for _, fields in entries]
    return found


def culprits(decisions: Sequence[dict[str, Any]]) -> list[tuple[str, str, tuple[str, Any]]]:
    return [
        (one["detector"], one["action"], *one["subject"].items())
        for one in decisions
        if one["op"] == "put" and one["action"] != "alert"
    ]


def ends(found: Iterable[tuple[str, str, tuple[str, Any]]]) -> list[tuple[str, tuple[str, Any]]]:
    """What becomes of whom. Which rule said so first may differ where requests change places: a sweep through numbers
    that does not come in their order is an enumeration.
    """
    return sorted((action, subject) for _, action, subject in found)


@pytest.mark.parametrize("shards", [1, 2, 4])
async def test_attack_ends_the_same_with_one_two_and_four_workers(tmp_path: Path, shards: int) -> None:
    async with stand(tmp_path) as world:
        for number in range(shards):
            await real_worker(world, name=f"w{number}", shards=shards)
        for lot in lots(assault(now_ms() - 9000)):
            await send(world, lot, shards=shards)
        await world.until(len(CULPRITS))
        await until_seen(world, shards)
        found = culprits(await decided(world, shards))
        policies = await world.policies()
    assert ends(found) == ends(CULPRITS)
    if shards == 1:
        assert sorted(found) == sorted(CULPRITS)
    assert len(policies) == len(CULPRITS)


@pytest.mark.parametrize("seed", [1, 2])
async def test_worker_killed_at_any_time_decides_what_an_undisturbed_engine_does(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    events = assault(now_ms() - 9000)
    engine = Engine(REAL)
    undisturbed = [decision.to_dict() for event in events for decision in engine.observe(event)]
    async with stand(tmp_path) as world:
        waiting = lots(events)
        process = await real_worker(world)
        for start in range(0, len(waiting), 12):
            for lot in waiting[start : start + 12]:
                await send(world, lot)
            await asyncio.sleep(chance.uniform(0.0, 1.2))  # starting up, reading, deciding or writing a checkpoint
            process.kill()
            await process.wait()
            process = await real_worker(world)
        found = await world.until(len(CULPRITS))
        await until_seen(world)
        told = await decided(world)
        audited = [entry.to_dict()["target"] for entry in await world.ledger.audit_page()]
    assert told == [orjson.loads(orjson.dumps(one)) for one in undisturbed]
    assert sorted(audited) == sorted(policy.id for policy in found)
    assert len(found) == len(CULPRITS)


async def test_level_two_worker_killed_while_events_are_handed_on_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(3)
    async with stand(tmp_path) as world:
        process = await real_worker(world, shards=2)
        waiting = lots(assault(now_ms() - 9000))
        for start in range(0, len(waiting), 20):
            for lot in waiting[start : start + 20]:
                await send(world, lot, shards=2)
            await asyncio.sleep(chance.uniform(0.2, 1.2))
            process.kill()
            await process.wait()
            process = await real_worker(world, shards=2)
        await world.until(len(CULPRITS))
        await until_seen(world, 2)
        found = culprits(await decided(world, 2))
    assert ends(found) == ends(CULPRITS)


def doubled(events: list[Event]) -> list[Sequence[Event]]:
    return [lot for lot in lots(events) for _ in range(2)]


def out_of_order(events: list[Event]) -> list[Sequence[Event]]:
    found = lots(events)
    for start in range(0, len(found), 4):
        random.Random(start).shuffle(part := found[start : start + 4])
        found[start : start + 4] = part
    return found


def late(events: list[Event]) -> list[Sequence[Event]]:
    """One network's events come seconds after everybody else's."""
    behind = [event for event in events if event.ip == "12.0.1.7"]
    return lots([event for event in events if event.ip != "12.0.1.7"]) + lots(behind)


def through_another(events: list[Event], *, off_ms: int) -> list[Sequence[Event]]:
    """Two of the four come through a gateway whose clock is off."""
    return lots(
        [replace(one, gw="other", ts=one.ts + off_ms) if one.ip in ("12.0.2.7", "14.0.0.9") else one for one in events]
    )


def gateway_ahead(events: list[Event]) -> list[Sequence[Event]]:
    return through_another(events, off_ms=5000)


def gateway_behind(events: list[Event]) -> list[Sequence[Event]]:
    return through_another(events, off_ms=-5000)


@pytest.mark.parametrize("trouble", [doubled, out_of_order, late, gateway_ahead, gateway_behind])
async def test_trouble_on_the_way_changes_no_decision(tmp_path: Path, trouble: Any) -> None:
    async with stand(tmp_path) as world:
        await real_worker(world)
        for lot in trouble(assault(now_ms() - 9000)):
            await send(world, lot)
        await world.until(len(CULPRITS))
        await until_seen(world)
        found = culprits(await decided(world))
    assert ends(found) == ends(CULPRITS)
    if trouble is not out_of_order:
        assert sorted(found) == sorted(CULPRITS)


async def test_store_that_dies_and_comes_back_empty_is_worked_with_again(tmp_path: Path) -> None:
    events = assault(now_ms() - 9000)
    async with stand(tmp_path) as world:
        await real_worker(world)
        for lot in lots(events[:40]):
            await send(world, lot)
        await until_seen(world)
        world.server.kill()
        await asyncio.sleep(1.0)  # the worker finds nobody there
        await world.server.start()
        await world.store.establish(now_ms=now_ms(), epoch_randomness=bytes(8))
        async with asyncio.timeout(20):
            while not await world.client.exists(ShardKeys(PREFIX, 0).lease):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
        for lot in lots(events[40:]):
            await send(world, lot)
        await world.until(len(CULPRITS))
        found = culprits(await decided(world))
    assert set(found) == CULPRITS


async def test_shadow_writes_down_the_same_decisions_and_nothing_that_acts(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        await world.modes.set(OVERALL, Mode.SHADOW)
        await real_worker(world)
        for lot in lots(assault(now_ms() - 9000)):
            await send(world, lot)
        await world.until(len(CULPRITS))
        await until_seen(world)
        told = await decided(world)
        policies = await world.policies()
        audited = [entry.to_dict() for entry in await world.ledger.audit_page()]
    assert set(culprits(told)) == CULPRITS
    assert {one["mode"] for one in told} == {policy.mode for policy in policies} == {"shadow"}
    assert {one["details"]["policy"]["mode"] for one in audited} == {"shadow"}


async def test_off_decides_nothing_at_all(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        await world.modes.set(OVERALL, Mode.OFF)
        await real_worker(world)
        for lot in lots(assault(now_ms() - 9000)):
            await send(world, lot)
        await until_seen(world)
        assert await decided(world) == []
        assert await world.policies() == []
        assert (await world.ledger.audit_head()).seq == 0


TEXTS = st.none() | st.sampled_from(["1", "2", "3"])
EVENTS = st.builds(
    Event, id=st.just("e"), ts=st.just(1), gw=st.just("g"), acct=TEXTS, user=TEXTS, user_v=st.booleans(),
    dev=TEXTS, dev_v=st.booleans(), sess=TEXTS, pw_fp=TEXTS,
)  # fmt: skip
SUBJECTS = st.builds(Subject, session=TEXTS, user=TEXTS, device=TEXTS, account=TEXTS, pw_fp=TEXTS, ip=TEXTS)


def about(subject: Subject) -> Decision:
    return Decision(
        ts=1, op=Op.PUT, mode=Mode.ENFORCE, action=Action.BLOCK, subject=subject, api=None, exp=2, detector="d", why="w"
    )


@given(SUBJECTS, EVENTS, st.integers(1, 64))
def test_every_subject_is_at_home_in_one_shard_of_its_level_only(subject: Subject, event: Event, shards: int) -> None:
    decision = about(subject)
    homes = [
        shard for shard in range(shards, all_shards(shards)) if decides(decision, event, shard=shard, shards=shards)
    ]
    if shards == 1:
        assert decides(decision, event, shard=0, shards=1)
    elif subject.session or subject.user or subject.device or subject.account or subject.pw_fp:
        assert len(homes) == 1
        assert not any(decides(decision, event, shard=shard, shards=shards) for shard in range(shards))
    else:
        assert homes == []
        assert all(decides(decision, event, shard=shard, shards=shards) for shard in range(shards))


@given(EVENTS, st.integers(2, 64))
def test_verified_identities_of_an_event_reach_the_shards_that_decide_about_them(event: Event, shards: int) -> None:
    homes = homes_of(event, shards)
    assert len(homes) <= 4
    named = [Subject(account=event.acct)] if event.acct else []
    named += [Subject(pw_fp=event.pw_fp, untrusted=True)] if event.pw_fp else []
    named += [Subject(user=event.user)] if event.user and event.user_v else []
    named += [Subject(session=event.sess)] if event.sess else []
    named += [Subject(device=event.dev)] if event.dev and event.dev_v else []
    for subject in named:
        assert any(decides(about(subject), event, shard=home, shards=shards) for home in homes)
    if not named:
        assert homes == set()
