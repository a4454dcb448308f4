"""Sessions after the login: idle and absolute ends, renewed tickets, refreshes, endings, a store that fails."""

import asyncio
from typing import Any

import pytest
from haetae_oidc import Loaded, LogoutTokenInvalid, SessionMissing, SessionStoreUnavailable
from haetae_oidc.io.staff_sign_in import StaffSignIn
from haetae_oidc.session.ticket import Ticket

from tests.oidc.session.conftest import World


async def load(world: World, worker: StaffSignIn, ticket: str, *, activity: bool = True) -> Loaded:
    return await worker.load(ticket, activity=activity, now=world.now)


async def gone(world: World, worker: StaffSignIn, ticket: str) -> str:
    with pytest.raises(SessionMissing) as missing:
        await load(world, worker, ticket)
    return missing.value.reason


async def test_ticket_that_was_changed_opens_nothing(world: World, worker: StaffSignIn) -> None:
    ticket = (await world.sign_in(worker)).ticket
    other = (await world.sign_in(worker)).ticket
    name, _, secret = ticket.partition(".")
    assert await gone(world, worker, f"{name}.{other.partition('.')[2]}") == "forged"
    assert await gone(world, worker, f"{other.partition('.')[0]}.{secret}") == "forged"
    assert await gone(world, worker, f"{'A' * 22}.{secret}") == "unknown"
    for text in ("x", ticket + "A", ticket[:-1], f" {ticket}", f'"{ticket}"', ticket + "\n", "é" * 66):
        assert await gone(world, worker, text) == "malformed"
    assert await gone(world, worker, "") == "no-ticket"


async def test_session_ends_after_idle_time_which_only_activity_puts_off(world: World, worker: StaffSignIn) -> None:
    busy, quiet = (await world.sign_in(worker)).ticket, (await world.sign_in(worker)).ticket
    world.provider.expires_in = 100_000
    for _ in range(3):
        world.now += 1000
        await load(world, worker, busy)
        if world.now < 1_800_001_800:
            await load(world, worker, quiet, activity=False)
    assert await gone(world, worker, quiet) == "idle"
    assert (await load(world, worker, busy)).session.idle_end == int(world.now) + 1800


async def test_session_ends_at_its_absolute_end_whatever_its_activity(world: World) -> None:
    worker = await world.worker(idle=600, absolute=1200)
    world.provider.answer = {"expires_in": ...}
    ticket = (await world.sign_in(worker)).ticket
    for _ in range(3):
        world.now += 399
        session = (await load(world, worker, ticket)).session
        assert session.idle_end <= session.absolute_end
    world.now += 3
    assert await gone(world, worker, ticket) == "expired"


async def test_copy_of_the_store_opens_no_session(world: World, worker: StaffSignIn) -> None:
    done = await world.sign_in(worker)
    client: Any = world.store.client()
    dump = b""
    for key in await client.keys("*"):
        kind = await client.type(key)
        value: Any = await (client.hgetall(key) if kind == b"hash" else client.zrange(key, 0, -1))
        dump += key + repr(value).encode()
    await client.aclose()
    ticket_id, _, secret = done.ticket.partition(".")
    for word in (ticket_id, secret, "u-1", "sky", "analysts", "access-", "code-", "eyJ"):
        assert word.encode() not in dump, word
    assert done.session.id.encode() in dump


async def test_slow_provider_is_asked_once_for_all_requests_of_all_workers(world: World) -> None:
    workers = [await world.worker(), await world.worker()]
    ticket = (await world.sign_in(workers[0])).ticket
    world.provider.token_delay = 3.0
    world.now += 250
    loop = asyncio.get_running_loop()
    began = loop.time()
    loads = await asyncio.gather(*(load(world, workers[number % 2], ticket) for number in range(20)))
    assert loop.time() - began < 2.5
    assert {one.session.subject for one in loads} == {"u-1"}
    await renewed(world, workers[0], ticket)
    assert len(world.provider.refreshes) == 1
    assert world.provider.ended_grants == set()


async def test_request_after_the_access_token_ran_out_waits_for_one_refresh(world: World) -> None:
    workers = [await world.worker(), await world.worker()]
    ticket = (await world.sign_in(workers[0])).ticket
    world.provider.token_delay = 0.3
    world.provider.refreshed_claims = {"groups": ["ops"]}
    world.now += 400
    loads = await asyncio.gather(*(load(world, workers[number % 2], ticket) for number in range(6)))
    assert {one.session.groups for one in loads} == {frozenset({"ops"})}
    assert len(world.provider.refreshes) == 1


async def renewed(world: World, worker: StaffSignIn, ticket: str) -> str:
    """The ticket that follows after a refresh; waits for the refresh itself."""
    async with asyncio.timeout(20):
        while True:
            new = (await load(world, worker, ticket)).new_ticket
            if new is not None:
                return new
            await asyncio.sleep(0.02)


async def test_refreshed_token_by_a_key_that_is_not_published_yet_ends_no_session(
    world: World, worker: StaffSignIn
) -> None:
    done = await world.sign_in(worker)
    world.provider.refreshed_claims = {"groups": ["ops"]}
    world.provider.head = {"kid": "not-published-yet"}
    world.now += 250
    new = await renewed(world, worker, done.ticket)
    session = (await load(world, worker, new)).session
    assert (session.id, session.groups) == (done.session.id, done.session.groups)
    world.provider.head = {}
    world.now += 250
    assert (await load(world, worker, await renewed(world, worker, new))).session.groups == {"ops"}


async def test_old_ticket_is_good_until_ten_seconds_after_the_new_one_was_used(
    world: World, worker: StaffSignIn
) -> None:
    done = await world.sign_in(worker)
    world.now += 250
    new = await renewed(world, worker, done.ticket)
    world.now += 5
    again = await load(world, worker, done.ticket)
    assert again.new_ticket == new  # whose answer was lost gets the same ticket again
    assert again.session.id == done.session.id
    assert (await load(world, worker, new)).new_ticket is None
    world.now += 9
    assert (await load(world, worker, done.ticket)).new_ticket == new
    world.now += 2
    assert await gone(world, worker, done.ticket) == "ended"
    assert (await load(world, worker, new)).session.id == done.session.id


async def test_grant_that_is_no_longer_good_ends_the_session(world: World, worker: StaffSignIn) -> None:
    done = await world.sign_in(worker)
    ended: asyncio.Queue[frozenset[str]] = asyncio.Queue()
    worker.on_ended(ended.put_nowait)
    world.provider.refresh_error = (400, "invalid_grant")
    world.now += 250
    await load(world, worker, done.ticket)
    assert await ended.get() == {done.session.id}
    assert await gone(world, worker, done.ticket) == "unknown"


@pytest.mark.parametrize("error", [(503, "busy"), (400, "invalid_client"), (500, "invalid_grant")])
async def test_provider_in_trouble_ends_no_session(error: tuple[int, str], world: World, worker: StaffSignIn) -> None:
    done = await world.sign_in(worker)
    world.provider.refresh_error = error
    world.now += 400
    for _ in range(5):
        assert (await load(world, worker, done.ticket)).session.subject == "u-1"
    assert len(world.provider.refreshes) == 1  # and is left alone for a while


@pytest.mark.parametrize(
    "claims",
    [{"sub": "u-2"}, {"aud": "other"}, {"nonce": "another"}, {"auth_time": 7}, {"iss": "https://evil.example"}],
    ids=lambda claims: next(iter(claims)),
)
async def test_refreshed_id_token_of_somebody_else_ends_the_session(
    claims: dict[str, Any], world: World, worker: StaffSignIn
) -> None:
    done = await world.sign_in(worker)
    world.provider.refreshed_claims = claims
    world.now += 400
    assert await gone(world, worker, done.ticket) == "unknown"


async def test_logout_ends_the_session_on_the_other_worker_within_a_second(world: World) -> None:
    here, there = await world.worker(), await world.worker()
    done = await world.sign_in(here)
    await there.load(done.ticket, activity=True, now=world.now)
    await there.listening()
    ended: asyncio.Queue[frozenset[str]] = asyncio.Queue()
    there.on_ended(ended.put_nowait)
    over = await here.end(done.ticket, now=world.now)
    async with asyncio.timeout(1):
        assert await ended.get() == {done.session.id}
    assert await gone(world, there, done.ticket) == "unknown"
    url = over.logout_url("https://grafana.bank.example/", "s-1")
    assert url is not None
    assert url.startswith(f"{world.provider.issuer}/logout?id_token_hint=ey")
    assert "state=s-1" in url
    again = await here.end(done.ticket, now=world.now)
    assert again.session is None
    assert again.logout_url("https://grafana.bank.example/", "s-1") is None


async def test_everybody_hears_when_all_sessions_of_a_person_end(world: World) -> None:
    here, there = await world.worker(), await world.worker()
    mine = [await world.sign_in(here), await world.sign_in(there)]
    other = await world.sign_in(here, subject="u-2")
    assert await there.end_user("u-1") == 2
    assert await there.end_user("u-1") == 0
    for done in mine:
        assert await gone(world, here, done.ticket) == "unknown"
    assert (await load(world, here, other.ticket)).session.subject == "u-2"
    names = [done.session.id for done in (*mine, other)]
    assert await here.alive(names) == {other.session.id}
    await here.end_session(other.session.id)
    assert await here.alive(names) == frozenset()


async def test_logout_token_ends_the_session_it_names_and_is_used_once(world: World, worker: StaffSignIn) -> None:
    first, second = await world.sign_in(worker, sid="p-1"), await world.sign_in(worker, sid="p-2")
    token = world.provider.logout_token(sid="p-1")
    assert await worker.back_channel_logout(token, now=world.now) == 1
    assert await gone(world, worker, first.ticket) == "unknown"
    with pytest.raises(LogoutTokenInvalid, match="replayed"):
        await worker.back_channel_logout(token, now=world.now)
    assert await worker.back_channel_logout(world.provider.logout_token(sid="p-1", sub=...), now=world.now) == 0
    assert await worker.back_channel_logout(world.provider.logout_token(sid="p-2", sub="u-9"), now=world.now) == 0
    assert (await load(world, worker, second.ticket)).session.provider_sid == "p-2"
    assert await worker.back_channel_logout(world.provider.logout_token(), now=world.now) == 1
    assert await gone(world, worker, second.ticket) == "unknown"


@pytest.mark.parametrize("lives", [60, 120, 3600])
async def test_used_logout_token_is_remembered_for_as_long_as_it_could_be_used(
    world: World, worker: StaffSignIn, lives: int
) -> None:
    leeway = 30
    await worker.back_channel_logout(world.provider.logout_token(exp=int(world.now) + lives), now=world.now)
    client: Any = world.store.client()
    [key] = await client.keys("*logout*")
    left_ms = await client.pttl(key)
    await client.aclose()
    assert left_ms > (lives + leeway) * 1000


async def test_provider_that_hangs_up_has_its_logout_carried_out_all_the_same(
    world: World, worker: StaffSignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = await world.sign_in(worker)
    reached, go = asyncio.Event(), asyncio.Event()
    carry_out = worker._store.end_listed

    async def slowly(**whom: Any) -> frozenset[str]:
        reached.set()
        await go.wait()
        return await carry_out(**whom)

    monkeypatch.setattr(worker._store, "end_listed", slowly)
    told = asyncio.ensure_future(worker.back_channel_logout(world.provider.logout_token(), now=world.now))
    await reached.wait()
    told.cancel()
    await asyncio.wait({told})
    assert told.cancelled()
    go.set()
    await asyncio.wait(set(worker._chores))
    with pytest.raises(SessionMissing):
        await worker.load(done.ticket, activity=True, now=world.now)


async def test_logout_whose_claim_got_no_answer_may_be_sent_again(
    world: World, worker: StaffSignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = await world.sign_in(worker)
    token = world.provider.logout_token()
    claim = worker._store.claim_logout

    async def claimed_without_an_answer(**what: Any) -> bool:
        await claim(**what)
        raise SessionStoreUnavailable("late")

    with monkeypatch.context() as patch:
        patch.setattr(worker._store, "claim_logout", claimed_without_an_answer)
        with pytest.raises(SessionStoreUnavailable):
            await worker.back_channel_logout(token, now=world.now)
    if worker._chores:
        await asyncio.wait(set(worker._chores))
    assert await worker.back_channel_logout(token, now=world.now) == 1
    with pytest.raises(SessionMissing):
        await worker.load(done.ticket, activity=True, now=world.now)


EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "with a nonce": ({}, {"nonce": "n"}),
    "no event": ({}, {"events": ...}),
    "another event": ({}, {"events": {"https://evil.example": {}}}),
    "event of another type": ({}, {"events": {EVENT: True}}),
    "events as list": ({}, {"events": [EVENT]}),
    "nobody": ({}, {"sub": ...}),
    "another issuer": ({}, {"iss": "https://evil.example"}),
    "another audience": ({}, {"aud": "other"}),
    "no audience": ({}, {"aud": ...}),
    "no beginning": ({}, {"iat": ...}),
    "no end": ({}, {"exp": ...}),
    "over": ({}, {"iat": 1_799_999_000, "exp": 1_799_999_100}),
    "old": ({}, {"iat": 1_799_990_000}),
    "from the future": ({}, {"iat": 1_800_000_500, "exp": 1_800_000_900}),
    "good for years": ({}, {"exp": 1_900_000_000}),
    "no id": ({}, {"jti": ...}),
    "empty id": ({}, {"jti": ""}),
    "access token": ({"typ": "at+jwt"}, {}),
    "algorithm none": ({"alg": "none"}, {}),
    "another algorithm": ({"alg": "HS256"}, {}),
    "unknown key": ({"kid": "k9"}, {}),
}


@pytest.mark.parametrize(("head", "claims"), LOGOUTS.values(), ids=LOGOUTS)
async def test_wrong_logout_token_ends_nothing(
    head: dict[str, Any], claims: dict[str, Any], world: World, worker: StaffSignIn
) -> None:
    done = await world.sign_in(worker)
    with pytest.raises(LogoutTokenInvalid):
        await worker.back_channel_logout(world.provider.logout_token(head, **claims), now=world.now)
    assert (await load(world, worker, done.ticket)).session == done.session


async def test_store_that_hangs_is_unavailable_in_time_and_logs_nobody_out(world: World) -> None:
    worker = await world.worker(deadline=0.2)
    done = await world.sign_in(worker)
    loop = asyncio.get_running_loop()
    world.store.hang()
    began = loop.time()
    with pytest.raises(SessionStoreUnavailable):
        await load(world, worker, done.ticket)
    assert loop.time() - began < 1
    with pytest.raises(SessionStoreUnavailable):
        await worker.end(done.ticket, now=world.now)
    world.store.resume()
    async with asyncio.timeout(10):
        while True:
            try:
                assert (await load(world, worker, done.ticket)).session == done.session
                break
            except SessionStoreUnavailable:
                await asyncio.sleep(0.02)


async def test_copy_in_memory_stands_in_for_the_store_for_its_time_only(world: World) -> None:
    worker = await world.worker(deadline=0.2, remembered=30)
    done = await world.sign_in(worker)
    await load(world, worker, done.ticket)
    world.store.kill()
    world.now += 29
    assert (await load(world, worker, done.ticket)).session == done.session
    world.now += 2
    with pytest.raises(SessionStoreUnavailable):
        await load(world, worker, done.ticket)


async def test_copy_in_memory_is_worth_nothing_past_the_idle_end_of_its_session(world: World) -> None:
    worker = await world.worker(deadline=2.0, remembered=30)
    done = await world.sign_in(worker)
    world.now = done.session.idle_end - 10
    await load(world, worker, done.ticket, activity=False)
    world.store.kill()
    world.now += 9
    assert (await load(world, worker, done.ticket, activity=False)).session.id == done.session.id
    world.now += 1
    with pytest.raises(SessionStoreUnavailable):
        await load(world, worker, done.ticket, activity=False)


async def test_sessions_lost_while_the_store_was_away_are_told_when_it_is_back(world: World) -> None:
    worker = await world.worker()
    done = await world.sign_in(worker)
    await worker.listening()
    ended: asyncio.Queue[frozenset[str]] = asyncio.Queue()
    worker.on_ended(ended.put_nowait)
    world.store.kill()  # without a disk: it forgets
    world.store.socket.unlink(missing_ok=True)
    await world.store.start()
    async with asyncio.timeout(10):
        assert await ended.get() == {done.session.id}
    assert await gone(world, worker, done.ticket) == "unknown"


async def test_login_that_races_with_the_end_of_all_sessions_leaves_none_behind(world: World) -> None:
    workers = [await world.worker(), await world.worker()]
    for _ in range(10):
        outcomes = await asyncio.gather(
            world.sign_in(workers[0]), workers[1].end_user("u-1"), world.sign_in(workers[1]), return_exceptions=True
        )
        assert not [one for one in outcomes if isinstance(one, AssertionError)]
        await workers[0].end_user("u-1")
        client = world.store.client()
        assert await client.keys("haetae:session:*") == []
        await client.aclose()


async def test_first_request_after_a_restart_of_the_store_is_served(world: World) -> None:
    workers = [await world.worker(), await world.worker()]
    tickets = [(await world.sign_in(worker)).ticket for worker in workers for _ in range(3)]
    await asyncio.gather(*(load(world, worker, ticket) for worker in workers for ticket in tickets))
    client = world.store.client()
    await client.save()
    await client.aclose()
    world.store.kill()
    world.store.socket.unlink(missing_ok=True)
    await world.store.start()
    loads = await asyncio.gather(*(load(world, worker, ticket) for worker in workers for ticket in tickets))
    assert {one.session.subject for one in loads} == {"u-1"}


async def test_worker_that_lost_the_lock_of_a_refresh_cannot_write_over_the_one_that_took_it(
    world: World, worker: StaffSignIn
) -> None:
    ticket = Ticket.parse((await world.sign_in(worker)).ticket)
    store = worker._store
    slow = await store.lock(ticket.name, ttl_ms=1)
    async with asyncio.timeout(5):
        while (quick := await store.lock(ticket.name, ttl_ms=5000)) == 0:  # noqa: ASYNC110 - the store's own clock
            await asyncio.sleep(0.001)
    opened = await store.load(ticket, now=world.now)
    assert quick > slow > 0
    with pytest.raises(SessionMissing):
        await store.refreshed(opened, opened.record, fence=slow)
    assert await store.refreshed(opened, opened.record, fence=quick)
