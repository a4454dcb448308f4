"""The worker on a real store: every decision has its effect once, whatever dies."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from haetae_fds.blob import encode_blob, stream_key
from haetae_fds.decision import Mode
from haetae_fds.errors import FeedbackInvalid
from haetae_fds.event import Event, encode_event
from haetae_fds.io.feedback import Labels, Word, give_feedback
from haetae_fds.io.keys import GROUP, ShardKeys
from haetae_fds.io.modes import OVERALL, Modes, take_back
from haetae_policy import Policy, Source, SourceKind, make_policy_id, parse_new_policy
from haetae_policy.audit import verify_chain
from haetae_policy.identifiers import RANDOM_BYTES
from haetae_policy.io.commands import Commands
from haetae_policy.io.connect import RedisSettings, connect
from haetae_policy.io.ledger import Ledger, Side
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.model import format_time

from tests.fds.delivery.worker_process import ENOUGH, PREFIX
from tests.simulator.valkey import Valkey, valkey


class Stand:
    """A store, and the workers on it."""

    def __init__(self, server: Valkey, folder: Path) -> None:
        self.server = server
        self.folder = folder
        # Patient: many workers starting at once keep a small machine busy.
        self.client = connect(RedisSettings(f"unix://{server.socket}", connect_s=10.0, reply_s=10.0, pool_wait_s=10.0))
        settings = StoreSettings(prefix=PREFIX, deadline_s=10.0)
        self.store = PolicyStore(self.client, settings)
        self.ledger = Ledger(self.client, settings)
        self.labels = Labels(Commands(self.client, deadline_s=5), prefix=PREFIX)
        self.modes = Modes(Commands(self.client, deadline_s=5), prefix=PREFIX)
        self.processes: list[asyncio.subprocess.Process] = []
        self.number = 0

    async def worker(
        self,
        *,
        name: str = "w",
        shards: int = 1,
        kind: str = "counting",
        protected: str = "",
        socket: Path | None = None,
    ) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.fds.delivery.worker_process"),
            *(str(socket or self.server.socket), str(self.folder / name), name, str(shards), kind, protected),
            stderr=asyncio.subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def event(self, user: str, **changes: Any) -> list[object]:
        self.number += 1
        base: dict[str, Any] = {"id": f"E{self.number:08}", "ts": time.time_ns() // 1_000_000, "gw": "app"}
        return encode_event(Event(**(base | {"user": user, "user_v": True} | changes)))

    async def send(self, *events: list[object], shard: int = 0, twice: bool = False) -> None:
        blob = encode_blob(events, source="test")
        for _ in range(2 if twice else 1):
            await self.client.xadd(stream_key(PREFIX, shard), {b"b": blob})

    async def policies(self) -> list[Policy]:
        found: list[Policy] = []
        after = None
        while True:
            page = await self.store.list(limit=500, after=after)
            found += page.policies
            after = page.after
            if after is None:
                return found

    async def until(self, count: int) -> list[Policy]:
        async with asyncio.timeout(40):
            while len(found := await self.policies()) < count:  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.02)
        return found

    async def log(self, shard: int = 0) -> list[bytes]:
        entries: Any = await self.client.xrange(ShardKeys(PREFIX, shard).log)
        return [fields[b"n"] for _, fields in entries]


@asynccontextmanager
async def stand(tmp_path: Path, *, keeps: bool = False) -> AsyncIterator[Stand]:
    """`keeps`: the store has its data again after it was killed and started."""
    async with valkey(keeps=keeps) as server:
        found = Stand(server, tmp_path)
        await found.store.establish(now_ms=time.time_ns() // 1_000_000, epoch_randomness=os.urandom(8))
        try:
            yield found
        finally:
            for process in found.processes:
                if process.returncode is None:
                    process.kill()
                await process.wait()
            await found.client.aclose()


async def test_decision_becomes_a_policy_with_its_evidence(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        await world.worker()
        await world.send(*(world.event("u-1") for _ in range(ENOUGH)), world.event("u-2"))
        (policy,) = await world.until(1)
    assert policy.subject.user == "u-1"
    assert (policy.source.kind, policy.source.name, policy.why) == ("fds", "counting", "counting")
    assert policy.reason == "5 events of u-1"
    assert policy.evidence()["numbers"] == {"events": [5, 5]}
    assert policy.evidence()["events"] == ["E00000005"]


async def test_whom_the_installation_protects_is_not_blocked_whatever_the_engine_decides(tmp_path: Path) -> None:
    listed = tmp_path / "protected.yaml"
    listed.write_text("users: [u-batch]\n")
    async with stand(tmp_path) as world:
        await world.worker(protected=str(listed))
        await world.send(*(world.event("u-batch") for _ in range(ENOUGH)), *(world.event("u-1") for _ in range(ENOUGH)))
        (policy,) = await world.until(1)
        assert policy.subject.user == "u-1"
        assert len(await world.log()) == 2


async def test_a_blob_that_comes_twice_counts_once(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        await world.worker()
        await world.send(*(world.event("u-1") for _ in range(ENOUGH - 1)), twice=True)
        await world.send(*(world.event("u-2") for _ in range(ENOUGH)), twice=True)
        (policy,) = await world.until(1)
        assert policy.subject.user == "u-2"
        await world.send(world.event("u-1"), twice=True)
        assert len(await world.until(2)) == 2
        assert len(await world.log()) == 2


async def test_worker_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(7)
    users = [f"u-{number}" for number in range(150)]
    async with stand(tmp_path) as world:
        process = await world.worker()
        for start in range(0, len(users), 30):
            for _ in range(ENOUGH):
                await world.send(*(world.event(user) for user in users[start : start + 30]))
                await asyncio.sleep(chance.random() * 0.1)
            process.kill()
            await process.wait()
            process = await world.worker()
        found = await world.until(len(users))
        names = await world.log()
    assert sorted(policy.subject.user or "" for policy in found) == sorted(users)
    assert len(names) == len(set(names)) == len(users)


async def test_policy_that_a_person_took_back_is_not_made_again_after_a_crash(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        process = await world.worker()
        await world.send(*(world.event("u-1") for _ in range(ENOUGH)))
        (policy,) = await world.until(1)
        await world.store.revoke(policy.id, version=1, by="mina", now_ms=time.time_ns() // 1_000_000)
        process.kill()
        await process.wait()
        await world.worker()
        await world.send(*(world.event("u-2") for _ in range(ENOUGH)))
        (only,) = await world.until(1)
    assert only.subject.user == "u-2"


@pytest.mark.parametrize("how", ["hung", "killed"])
async def test_store_that_hung_or_was_restarted_with_its_data_costs_nothing(tmp_path: Path, how: str) -> None:
    async with stand(tmp_path, keeps=True) as world:
        await world.worker()
        await world.send(*(world.event("u-1") for _ in range(ENOUGH)))
        await world.until(1)
        world.server.hang()
        await asyncio.sleep(2.5)  # longer than any deadline of the worker
        if how == "killed":
            world.server.kill()
            await world.server.start()
        else:
            world.server.resume()
        await world.send(*(world.event("u-2") for _ in range(ENOUGH)))
        assert len(await world.until(2)) == 2
        assert len(await world.log()) == 2


async def test_decision_that_goes_on_moves_the_end_of_its_policy(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        await world.worker()
        await world.send(*(world.event("flood") for _ in range(ENOUGH)))
        (policy,) = await world.until(1)
        assert policy.action == "challenge"
        for _ in range(3):
            await world.send(world.event("flood"))
        async with asyncio.timeout(10):
            while (held := (await world.policies())[0]).version < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert held.id == policy.id
    assert held.expires_ms > policy.expires_ms


async def test_policy_that_a_person_agreed_to_is_not_made_longer_by_a_machine(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        worker = await world.worker()
        await world.send(*(world.event("flood") for _ in range(ENOUGH)))
        (policy,) = await world.until(1)
        agreed = replace(policy, version=policy.version + 1, approved_by="ann")
        await world.store.change(agreed, now_ms=time.time_ns() // 1_000_000, epoch_randomness=os.urandom(8))
        for _ in range(3):
            await world.send(world.event("flood"))
        await world.send(*(world.event("u-2") for _ in range(ENOUGH)))
        await world.until(2)
        worker.kill()
        await worker.wait()
        held = next(one for one in await world.policies() if one.id == policy.id)
    assert (held.version, held.expires_ms) == (agreed.version, policy.expires_ms)


async def test_a_second_worker_takes_over_when_the_first_is_gone_and_not_before(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        first = await world.worker(name="one")
        await world.send(*(world.event("u-1") for _ in range(ENOUGH)))
        await world.until(1)
        await world.worker(name="two")
        await world.send(*(world.event("u-2") for _ in range(ENOUGH)))
        await world.until(2)
        held: Any = await world.client.get(ShardKeys(PREFIX, 0).lease)
        assert held.endswith(b":one")
        first.send_signal(signal.SIGTERM)  # leaves its lease
        await first.wait()
        held = await world.client.get(ShardKeys(PREFIX, 0).lease)
        assert held is None or held.endswith(b":two")
        await world.send(*(world.event("u-3") for _ in range(ENOUGH)))
        found = await world.until(3)
        held = await world.client.get(ShardKeys(PREFIX, 0).lease)
        assert held.endswith(b":two")
    assert {policy.subject.user for policy in found} == {"u-1", "u-2", "u-3"}


@pytest.mark.parametrize("workers", [1, 2, 4])
async def test_shards_are_shared_among_workers(tmp_path: Path, workers: int) -> None:
    async with stand(tmp_path) as world:
        for number in range(workers):
            await world.worker(name=f"w{number}", shards=4)
        for shard in range(4):
            await world.send(*(world.event(f"u-{shard}") for _ in range(ENOUGH)), shard=shard)
        found = await world.until(4)
    assert {policy.subject.user for policy in found} == {f"u-{shard}" for shard in range(4)}


async def test_what_a_checkpoint_covers_is_trimmed_and_the_group_stands_there(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        await world.worker()
        for _ in range(300):
            await world.send(world.event("u-1"))
        key = stream_key(PREFIX, 0)
        async with asyncio.timeout(10):
            while True:
                groups: Any = await world.client.xinfo_groups(key)
                last: Any = await world.client.xrevrange(key, count=1)
                if groups and groups[0]["last-delivered-id"] == last[0][0]:
                    break
                await asyncio.sleep(0.05)
        assert groups[0]["name"] == GROUP.encode()
        assert await world.client.xlen(key) <= 300


async def test_hostile_entries_are_counted_and_cost_nothing(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        await world.worker()
        key = stream_key(PREFIX, 0)
        for junk in (b"", b"x" * 100, b"[1]", b"\xff" * 50):
            await world.client.xadd(key, {b"b": junk})
        await world.client.xadd(key, {b"other": b"field"})
        await world.send([1], world.event("u-1", id=""), *(world.event("u-1") for _ in range(ENOUGH)))
        assert len(await world.until(1)) == 1


async def test_switching_off_takes_back_what_machines_decided_and_nothing_else(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        await world.worker()
        await world.send(*(world.event(f"u-{n}") for n in range(20) for _ in range(ENOUGH)))
        await world.until(20)
        now = time.time_ns() // 1_000_000
        started = time.monotonic()
        await world.modes.set(OVERALL, Mode.SHADOW)
        taken = await take_back(world.store, world.ledger, detector=None, since_ms=0, by="mina", now_ms=now)
        assert len(taken) == 20
        assert time.monotonic() - started < 1
        assert await world.policies() == []
        await asyncio.sleep(0.5)  # the worker looks four times a second
        await world.send(*(world.event("late") for _ in range(ENOUGH)))
        (policy,) = await world.until(1)
    assert policy.mode == "shadow"


async def test_decision_that_the_engine_made_before_it_heard_of_the_switch_acts_on_nobody(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        await world.worker()
        await world.send(*(world.event("u-1") for _ in range(ENOUGH)))
        found = await world.until(1)
        for number in range(3):  # a worker looks four times a second
            await world.modes.set(OVERALL, Mode.SHADOW)
            await world.send(*(world.event(f"late-{number}") for _ in range(ENOUGH)))
            found = await world.until(2 + number)
            await world.modes.set(OVERALL, Mode.ENFORCE)
            await asyncio.sleep(0.3)
    assert {policy.mode for policy in found if policy.subject.user != "u-1"} == {"shadow"}


async def test_false_alarm_is_taken_back_and_not_decided_again(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        process = await world.worker()
        await world.send(*(world.event(user) for user in ("flood-a", "flood-b") for _ in range(ENOUGH)))
        alarm = next(policy for policy in await world.until(2) if policy.subject.user == "flood-a")
        now = time.time_ns() // 1_000_000
        given = await give_feedback(
            world.store, world.labels, policy_id=alarm.id, word=Word.FALSE_ALARM, by="mina", now_ms=now
        )
        assert given.revoked
        assert [policy.subject.user for policy in given.same_cause] == ["flood-b"]
        (left,) = await world.policies()
        assert left.subject.user == "flood-b"
        process.kill()  # labels outlive the worker that followed them
        await process.wait()
        await world.worker()
        await world.send(*(world.event(user) for user in ("flood-a", "flood-b", "flood-a")))
        found = {policy.subject.user: policy.mode for policy in await world.until(2)}
    assert found == {"flood-a": "shadow", "flood-b": "enforce"}


async def test_false_alarm_said_of_a_cause_takes_all_of_it_back(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        await world.worker()
        await world.send(*(world.event(user) for user in ("flood-a", "flood-b") for _ in range(ENOUGH)))
        (one, other) = await world.until(2)
        now = time.time_ns() // 1_000_000
        given = await give_feedback(
            world.store, world.labels, policy_id=one.id, word=Word.FALSE_ALARM, by="mina", now_ms=now, sweep=True
        )
        assert given.swept
        assert [policy.id for policy in given.same_cause] == [other.id]
        assert await world.policies() == []
        said = [label for _, label in await world.labels.after("0") if label is not None]
    assert [label.policy_id for label in said] == [one.id, other.id]
    assert {label.word for label in said} == {Word.FALSE_ALARM}


async def test_feedback_about_a_policy_of_a_person_is_refused(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        now = time.time_ns() // 1_000_000
        policy = parse_new_policy(
            {
                "subject": {"user": "u-1"},
                "action": "block",
                "reason": "by hand",
                "expires": format_time(now // 1000 * 1000 + 60_000),
            },
            policy_id=make_policy_id(now_ms=now, randomness=os.urandom(RANDOM_BYTES)),
            source=Source(kind=SourceKind.ANALYST, name="mina"),
            now_ms=now,
        )
        await world.store.add(policy, now_ms=now, epoch_randomness=os.urandom(8))
        with pytest.raises(FeedbackInvalid, match="a person made"):
            await give_feedback(
                world.store, world.labels, policy_id=policy.id, word=Word.FALSE_ALARM, by="joon", now_ms=now
            )
        assert len(await world.policies()) == 1


async def test_worker_that_starts_while_the_switch_stands_at_shadow_enforces_nothing(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        await world.modes.set(OVERALL, Mode.SHADOW)
        await world.send(*(world.event(f"u-{n}") for n in range(30) for _ in range(ENOUGH)))
        await world.worker()
        assert {policy.mode for policy in await world.until(30)} == {"shadow"}


async def test_taking_back_is_in_the_audit_trail(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        await world.worker()
        await world.send(*(world.event(f"u-{n}") for n in range(3) for _ in range(ENOUGH)))
        made = await world.until(3)
        now = time.time_ns() // 1_000_000
        await take_back(world.store, world.ledger, detector="counting", since_ms=0, by="mina", now_ms=now)
        entry = (await world.ledger.audit_page())[0]
    found = entry.to_dict()
    assert (found["actor"], found["action"]) == ("mina", "take-back")
    assert sorted(found["details"]["policies"]) == sorted(policy.id for policy in made)


async def test_every_decision_is_in_the_audit_trail_once_although_the_worker_was_killed(tmp_path: Path) -> None:
    users = [f"u-{number}" for number in range(60)]
    async with stand(tmp_path) as world:
        for start in range(0, len(users), 20):
            process = await world.worker()
            for _ in range(ENOUGH):
                await world.send(*(world.event(user) for user in users[start : start + 20]))
            await world.until(start + 7)  # somewhere among its decisions
            process.kill()
            await process.wait()
        await world.worker()
        made = await world.until(len(users))
        entries = [entry async for entry in world.ledger.audit_entries(up_to=(await world.ledger.audit_head()).seq)]
        head = await world.ledger.audit_head()
    told = [entry.to_dict() for entry in entries]
    assert sorted(one["target"] for one in told) == sorted(policy.id for policy in made)
    assert {(one["actor"], one["action"]) for one in told} == {("fds:counting", "create")}
    assert all("evidence" not in one["details"]["policy"] for one in told)
    verify_chain(entries, head=head)


async def test_extending_and_taking_back_are_audited_too(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        await world.worker()
        await world.send(*(world.event("flood") for _ in range(ENOUGH)))
        (policy,) = await world.until(1)
        await world.send(world.event("flood"))
        async with asyncio.timeout(10):
            while (held := (await world.policies())[0]).version < 2:  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.02)
        newest = (await world.ledger.audit_page())[0].to_dict()
    assert (newest["actor"], newest["action"], newest["target"]) == ("fds:counting", "extend", policy.id)
    assert newest["details"]["to"] == format_time(held.expires_ms)


@pytest.mark.parametrize(
    ("name", "subject", "action"),
    [("broad-1", {"user": "broad-1"}, "block"), ("broad-everybody", {"untrusted": True}, "challenge")],
)
async def test_what_needs_a_person_waits_for_one_once_and_acts_on_nobody_until_then(
    tmp_path: Path, name: str, subject: dict[str, object], action: str
) -> None:
    async with stand(tmp_path) as world:
        process = await world.worker()
        await world.send(*(world.event(name) for _ in range(ENOUGH)))
        await world.send(*(world.event("u-2") for _ in range(ENOUGH)))
        (only,) = await world.until(1)
        assert only.subject.user == "u-2"
        process.kill()
        await process.wait()
        await world.worker()
        await world.send(*(world.event("u-3") for _ in range(ENOUGH)))
        await world.until(2)
        (raw,) = (await world.ledger.sides(Side.PENDING)).values()
        told = [entry.to_dict() for entry in await world.ledger.audit_page()]
    waiting = orjson.loads(raw)
    assert (waiting["policy"]["subject"], waiting["policy"]["action"]) == (subject, action)
    assert (waiting["by"], waiting["machine"]) == ("fds:counting", True)
    assert [one["target"] for one in told if one["action"] == "create.ask"] == [waiting["id"]]
