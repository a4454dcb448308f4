"""A session that was just looked up is not looked up again, and not believed one moment too long."""

import asyncio
from dataclasses import replace

import pytest
from haetae_oidc import Loaded, SessionMissing, SessionStoreUnavailable, StaffSession
from haetae_oidc.io.staff_sign_in import StaffSignIn
from haetae_oidc.session.recent import RecentSessions

from tests.oidc.session.conftest import World

NOW = 1_800_000_000.0
SESSION = StaffSession(
    id="s", issuer="https://op.test", subject="u", name=None, email=None, username=None, groups=frozenset(), claims={},
    acr=None, auth_time=None, amr=(), provider_sid=None, created=int(NOW), absolute_end=int(NOW) + 100,
    idle_end=int(NOW) + 50,
)  # fmt: skip


async def heard(world: World) -> StaffSignIn:
    worker = await world.worker(recheck=1.0, deadline=0.2)
    await worker.listening()
    return worker


async def look_ups(world: World) -> int:
    client = world.store.client()
    try:
        info = await client.info("commandstats")
        return int(info.get("cmdstat_hmget", {"calls": 0})["calls"])
    finally:
        await client.aclose()


async def test_many_requests_within_a_second_are_one_look_up(world: World) -> None:
    worker = await heard(world)
    ticket = (await world.sign_in(worker)).ticket
    await worker.load(ticket, activity=True, now=world.now)
    before = await look_ups(world)
    for number in range(50):
        await worker.load(ticket, activity=True, now=world.now + number / 60)
    assert await look_ups(world) == before
    await worker.load(ticket, activity=True, now=world.now + 1.0)
    assert await look_ups(world) == before + 1


async def test_sign_out_is_in_force_with_the_next_request_here_and_within_a_moment_elsewhere(world: World) -> None:
    here, elsewhere = await heard(world), await heard(world)
    ticket = (await world.sign_in(here)).ticket
    for worker in (here, elsewhere):
        await worker.load(ticket, activity=True, now=world.now)
    told = asyncio.Event()
    elsewhere.on_ended(lambda _: told.set())
    await here.end(ticket, now=world.now)
    with pytest.raises(SessionMissing):
        await here.load(ticket, activity=True, now=world.now)
    await asyncio.wait_for(told.wait(), 1)
    with pytest.raises(SessionMissing):
        await elsewhere.load(ticket, activity=True, now=world.now)


async def test_background_polling_does_not_swallow_a_persons_activity(world: World) -> None:
    worker = await heard(world)
    ticket = (await world.sign_in(worker)).ticket
    world.now += 600
    await worker.load(ticket, activity=False, now=world.now)
    session = (await worker.load(ticket, activity=True, now=world.now + 0.5)).session
    assert session.idle_end == int(world.now + 0.5) + 1800


async def test_another_ticket_of_the_same_session_is_looked_up(world: World) -> None:
    worker = await heard(world)
    ticket = (await world.sign_in(worker)).ticket
    await worker.load(ticket, activity=True, now=world.now)
    name, _, secret = ticket.partition(".")
    forged = f"{name}.{'A' * (len(secret) - 1)}{'A' if secret[-1] != 'A' else 'B'}"
    with pytest.raises(SessionMissing):
        await worker.load(forged, activity=True, now=world.now)


async def test_nothing_is_believed_while_endings_are_not_heard(world: World) -> None:
    worker = await heard(world)
    ticket = (await world.sign_in(worker)).ticket
    await worker.load(ticket, activity=True, now=world.now)
    world.store.kill()
    async with asyncio.timeout(5):
        while True:
            try:
                await worker.load(ticket, activity=True, now=world.now)
            except SessionStoreUnavailable:
                break
            await asyncio.sleep(0.01)


def test_ending_that_arrives_during_a_look_up_is_not_undone_by_it() -> None:
    recent = RecentSessions(1.0)
    before = recent.endings
    recent.forget(frozenset({SESSION.id}))
    recent.remember("ticket", Loaded(session=SESSION, new_ticket=None), activity=True, now=NOW, endings=before)
    assert recent.recall("ticket", activity=True, now=NOW) is None
    recent.remember("ticket", Loaded(session=SESSION, new_ticket=None), activity=True, now=NOW, endings=recent.endings)
    assert recent.recall("ticket", activity=True, now=NOW) is not None


def test_a_copy_ends_with_its_session() -> None:
    recent = RecentSessions(2.0)
    ending = replace(SESSION, idle_end=int(NOW) + 1)
    recent.remember("ticket", Loaded(session=ending, new_ticket=None), activity=True, now=NOW, endings=0)
    assert recent.recall("ticket", activity=True, now=NOW + 0.9) is not None
    assert recent.recall("ticket", activity=True, now=NOW + 1) is None
    assert recent.recall("ticket", activity=True, now=NOW - 1) is None
