"""What is told of a request: who asked for what, how it ended, and nothing that a person would mind."""

import os
from collections.abc import Mapping
from dataclasses import replace

import pytest
from haetae_edge.auth_report import AuthReport
from haetae_edge.events import EventMaker
from haetae_edge.exchange import Exchange
from haetae_edge.fingerprint import Fingerprints
from haetae_edge.networks import NetworkTable
from haetae_fds import Event, decode_event
from haetae_fds.event import PLACES

from tests.simulator.world import World, world

KEY = bytes(range(32))


def maker(*, key: bytes = KEY, networks: NetworkTable | None = None) -> EventMaker:
    return EventMaker(gateway="app", prints=Fingerprints(key), random_bytes=os.urandom, networks=networks)


async def event_of(edge: World, request: bytes, *, by: EventMaker | None = None) -> Event:
    before = len(edge.gateway.finished.all)
    await edge.client.ask(request)
    finished = (await edge.gateway.finished.until(before + 1))[before]
    assert finished.exchange is not None
    made = (by or maker()).make(
        finished.exchange, finished.response, seconds=0.0123, sent=finished.sent, now_ms=1_800_000_000_123
    )
    return decode_event(made)


def get(path: str, headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: api.test\r\n{headers}\r\n".encode()


async def test_event_says_what_was_asked_and_how_it_ended() -> None:
    async with world() as edge:
        event = await event_of(
            edge, get("/accounts/4711/statements?month=5", "User-Agent: x\r\nX-App-Version: 7.2\r\n")
        )
    assert (event.gw, event.route, event.api) == ("app", "everything", "GET /accounts/{}/statements")
    assert (event.status, event.lat, event.ts) == (200, 12.3, 1_800_000_000_123)
    assert (event.obj_n, event.ver, event.pol, event.rl) == (4711, "7.2", "allow", False)
    assert (event.ip, event.net, event.ip64) == ("127.0.0.1", "127.0.0.0/24", None)
    assert event.ipc == "internal"
    assert not event.dev_v
    assert not event.user_v


async def test_event_holds_no_query_no_raw_path_no_header_value() -> None:
    async with world() as edge:
        secret = "s3cr3t-value"
        path = f"/users/{secret}?token={secret}"
        event = await event_of(edge, get(path, f"User-Agent: {secret}\r\nCookie: a={secret}\r\nX-A: {secret}\r\n"))
    assert secret not in repr(event)
    assert event.obj is not None
    assert event.ua is not None


async def test_hashes_compare_between_workers_with_the_same_key_and_with_no_other() -> None:
    async with world() as edge:
        request = get("/users/alpha-77", "User-Agent: app\r\n")
        one, two = await event_of(edge, request, by=maker()), await event_of(edge, request, by=maker())
        other = await event_of(edge, request, by=maker(key=bytes(32)))
    assert (one.obj, one.ua, one.hdr) == (two.obj, two.ua, two.hdr)
    assert one.id != two.id
    assert other.obj != one.obj
    assert other.ua != one.ua


async def test_ids_are_unique_and_sort_as_the_events_were_made() -> None:
    async with world() as edge:
        by = maker()
        await edge.client.ask(get("/a"))
        (finished,) = await edge.gateway.finished.until(1)
        assert isinstance(finished.exchange, Exchange)
        ids = [
            str(by.make(finished.exchange, finished.response, seconds=0, sent=0, now_ms=1_800_000_000_000 + n // 50)[1])
            for n in range(2000)
        ]
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    assert {len(text) for text in ids} == {26}


async def test_a_route_with_endless_shapes_is_known_by_its_id_after_a_while() -> None:
    async with world() as edge:
        by = maker()
        words = [f"/{a}{b}" for a in "abcdefghijklmnopqrst" for b in "abcdefghijklmnopqrst"]
        apis = {(await event_of(edge, get(path), by=by)).api for path in words}
    assert len(apis) <= 321
    assert "GET <everything>" in apis


async def test_shapes_that_nobody_answers_do_not_hide_the_real_ones() -> None:
    async with world() as edge:
        by = maker()
        for number in range(400):
            await edge.client.ask(get(f"/{'abcdefghij'[number % 10]}{'abcdefghijklmnopqrst'[number // 20]}"))
        finished = await edge.gateway.finished.until(400)
        refused = set()
        for exchange, response, *_ in finished:
            assert exchange is not None
            made = by.make(exchange, replace(response, status=404), seconds=0, sent=0, now_ms=1)
            refused.add(decode_event(made).api)
        real = await event_of(edge, get("/payments/17"), by=by)
    assert "GET <everything>" in refused
    assert len(refused) <= 65
    assert real.api == "GET /payments/{}"


async def test_bodies_of_log_ins_are_known_by_what_the_service_reports_only() -> None:
    async with world() as edge:
        await edge.client.ask(get("/a"))
        (finished,) = await edge.gateway.finished.until(1)
        assert finished.exchange is not None
        finished.exchange.facts.report = AuthReport("bad", "0a" * 8, "0b" * 8, "0c" * 8)
        made = maker().make(finished.exchange, finished.response, seconds=0, sent=0, now_ms=1)
    event = decode_event(made)
    assert (event.auth, event.acct, event.cred_fp, event.pw_fp) == ("bad", "0a" * 8, "0b" * 8, "0c" * 8)


async def test_networks_say_whose_an_address_is() -> None:
    table = NetworkTable(["127.0.0.0/8,64500,KR,mobile"])
    async with world() as edge:
        event = await event_of(edge, get("/"), by=maker(networks=table))
    assert (event.asn, event.cc, event.ipc) == (64500, "KR", "mobile")


async def test_an_address_of_version_six_has_its_64_and_48() -> None:
    async with world(trusted=("127.0.0.0/8",)) as edge:
        event = await event_of(edge, get("/", "X-Forwarded-For: 2001:db8:1:2:3::4\r\n"))
    assert (event.ip, event.net, event.ip64) == ("2001:db8:1:2:3::4", "2001:db8:1::/48", "2001:db8:1:2::/64")


@pytest.mark.parametrize("version", ["", "x" * 40, "7.2 beta", "<b>"])
async def test_an_app_version_that_is_none_is_left_out(version: str) -> None:
    async with world() as edge:
        event = await event_of(edge, get("/", f"X-App-Version: {version}\r\n"))
    assert event.ver is None


def test_every_place_is_filled_in_the_order_of_the_vocabulary() -> None:
    places: Mapping[str, int] = PLACES
    assert list(places.values()) == list(range(1, len(places) + 1))


async def test_a_policy_for_a_kind_of_client_names_what_events_say_of_it() -> None:
    prints = Fingerprints(KEY)
    async with world() as edge:
        request = get("/", "User-Agent: tool/1\r\nAccept: */*\r\n")
        event = await event_of(edge, request)
        finished = edge.gateway.finished.all[0]
    assert finished.exchange is not None
    assert prints.client(finished.exchange.request) == f"|{event.ua}|{event.hdr}"


@pytest.mark.parametrize(("status", "word"), [(200, "challenge"), (404, "challenge"), (401, "allow"), (403, "allow")])
async def test_challenge_that_was_passed_is_told_unless_the_answer_looks_like_one_that_was_not(
    status: int, word: str
) -> None:
    async with world() as edge:
        await edge.client.ask(get("/a"))
        (finished,) = await edge.gateway.finished.until(1)
    assert isinstance(finished.exchange, Exchange)
    finished.exchange.facts.policy, finished.exchange.facts.policy_action = "pol_x", "challenge"
    answer = replace(finished.response, status=status)
    event = decode_event(maker().make(finished.exchange, answer, seconds=0, sent=0, now_ms=1))
    assert (event.pol, event.pid) == (word, "pol_x")
