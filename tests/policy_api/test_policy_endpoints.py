"""The application over a real store: who may do what, and what comes of it."""

import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from haetae_fds.event import Event
from haetae_fds.io.feedback import Labels
from haetae_fds.io.modes import Modes
from haetae_policy.io.commands import Commands
from haetae_policy.io.ledger import Ledger, Side
from haetae_policy.io.refusals import Refusal, RefusalStore
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.io.workers import WorkerReports
from haetae_policy_api.errors import NotSignedIn
from haetae_policy_api.io.app import make_app
from haetae_policy_api.io.feed import Feed
from haetae_policy_api.io.keeper import Keeper, watch_refusals
from haetae_policy_api.roles import FEED, OPERATIONS, READ, WRITE, Caller, Role
from haetae_policy_api.service.context import Context
from haetae_policy_api.settings import Settings
from haetae_policy_api.traffic import TrafficRing
from redis.asyncio import Redis

POLICY = {"subject": {"user": "u-1"}, "action": "block", "reason": "stuffing", "lasts_s": 600}
EVERYONE = {"api": {"route": "transfer"}, "action": "block", "reason": "incident", "lasts_s": 600}
CALLERS = {
    "viewer": Caller(name="vic", role=Role.VIEWER),
    "analyst": Caller(name="ana", role=Role.ANALYST),
    "approver": Caller(name="app", role=Role.APPROVER),
    "admin": Caller(name="adm", role=Role.ADMIN),
    "reader": Caller(name="m-read", scopes=frozenset({READ})),
    "writer": Caller(name="m-write", scopes=frozenset({WRITE})),
    "feeder": Caller(name="m-feed", scopes=frozenset({FEED})),
}


class ByName:
    """Stands for verification, which has tests of its own: the header names one of the callers."""

    async def __call__(self, headers: list[tuple[str, str]], /) -> Caller:
        for name, value in headers:
            if name == "x-caller":
                return CALLERS[value]
        raise NotSignedIn("nobody")


@dataclass
class World:
    app: FastAPI
    context: Context
    ring: TrafficRing
    http: httpx.AsyncClient

    async def send(self, who: str, method: str, path: str, document: Any = None, **headers: str) -> httpx.Response:
        sent = {"x-caller": who, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if method == "POST":
            return await self.http.post(path, json=document or {}, headers=sent)
        return await self.http.get(path, headers=sent)


def make_context(client: Redis, ring: TrafficRing, settings: Settings) -> Context:
    store_settings = StoreSettings(prefix=settings.prefix, deadline_s=5.0)
    rules = settings.rules()
    return Context(
        store=PolicyStore(client, store_settings, rules=rules),
        ledger=Ledger(client, store_settings, rules=rules),
        refusals=RefusalStore(client, prefix=settings.prefix),
        workers=WorkerReports(client, store_settings),
        traffic=ring,
        settings=settings,
        rules=rules,
        labels=Labels(Commands(client, deadline_s=5.0), prefix=settings.prefix),
        modes=Modes(Commands(client, deadline_s=5.0), prefix=settings.prefix),
    )


@pytest.fixture
async def world(client: Redis) -> AsyncIterator[World]:
    ring = TrafficRing(most=10_000, span_ms=900_000)
    settings = Settings(prefix="t:", machine_per_minute=50, share_least=100)
    context = make_context(client, ring, settings)
    app = make_app(context, identify=ByName(), feed=Feed(client, prefix="t:", deadline_s=2.0))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
        yield World(app, context, ring, http)


def events(count: int, **members: Any) -> list[Event]:
    now = int(time.time() * 1000)
    kept = {"ip": "203.0.113.7", "status": 200, "api": "GET /a", "route": "a", **members}
    return [Event(id=f"e{n}-{os.urandom(4).hex()}", ts=now, gw="app", **kept) for n in range(count)]


REQUESTS: dict[str, tuple[str, str, Any]] = {
    "create_policy": ("POST", "/v1/policies", POLICY),
    "create_batch": ("POST", "/v1/policies/batch", {"policies": [POLICY]}),
    "list_policies": ("GET", "/v1/policies", None),
    "get_policy": ("GET", "/v1/policies/{id}", None),
    "revoke_policy": ("POST", "/v1/policies/{id}/revoke", {"reason": "over"}),
    "extend_policy": ("POST", "/v1/policies/{id}/extend", {"lasts_s": 900}),
    "except_policy": ("POST", "/v1/policies/{id}/except", {"reason": "customer called"}),
    "judge_policy": ("POST", "/v1/policies/{id}/verdict", {"word": "confirm"}),
    "show_detection": ("GET", "/v1/detection", None),
    "turn_detection": ("POST", "/v1/detection/mode", {"mode": "enforce"}),
    "undo_detection": ("POST", "/v1/detection/undo", {"minutes": 5}),
    "preview_policy": ("POST", "/v1/policies/preview", POLICY),
    "policy_convergence": ("GET", "/v1/convergence/1", None),
    "list_pending": ("GET", "/v1/pending", None),
    "approve_pending": ("POST", "/v1/pending/{id}/approve", {}),
    "reject_pending": ("POST", "/v1/pending/{id}/reject", {"reason": "no"}),
    "why": ("GET", "/v1/why?kind=user&value=u-1", None),
    "subject_timeline": ("GET", "/v1/subjects/user/u-1", None),
    "feed_snapshot": ("GET", "/v1/feed", None),
    "feed_follow": ("GET", "/v1/feed/follow?after=wrong", None),
    "convergence": ("GET", "/v1/convergence", None),
    "audit_list": ("GET", "/v1/audit", None),
    "audit_verify": ("GET", "/v1/audit/verify", None),
}


def test_every_route_has_a_row_in_the_table_and_a_request_here() -> None:
    assert REQUESTS.keys() == OPERATIONS.keys()


async def test_routes_and_the_table_of_roles_name_the_same_operations(world: World) -> None:
    document = world.app.openapi()
    named = {operation["operationId"] for item in document["paths"].values() for operation in item.values()}
    assert named - {"ready"} == set(OPERATIONS)
    assert document["openapi"].startswith("3.1")
    assert any(isinstance(route, APIRoute) for route in world.app.routes) or document["paths"]


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_table_of_roles_decides_about_every_operation(world: World, operation: str, who: str) -> None:
    method, path, document = REQUESTS[operation]
    path = path.replace("{id}", "pol_" + "0" * 26)
    answer = await world.send(who, method, path, document, if_match='"1"')
    needs, caller = OPERATIONS[operation], CALLERS[who]
    may = caller.role >= needs.role if caller.role is not None else needs.scope in caller.scopes
    assert (answer.status_code != 403) == may, answer.text
    if not may:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_nobody_in_particular_may_do_nothing(world: World, operation: str) -> None:
    method, path, document = REQUESTS[operation]
    answer = await world.http.request(method, path.replace("{id}", "pol_" + "0" * 26), json=document)
    assert answer.status_code == 401


async def test_created_policy_is_listed_explained_extended_and_revoked(world: World) -> None:
    made = await world.send("analyst", "POST", "/v1/policies", POLICY)
    assert (made.status_code, made.headers["etag"], made.json()["course"]) == (201, '"1"', "in_force")
    policy_id = made.json()["policy"]["id"]
    path = f"/v1/policies/{policy_id}"
    assert [p["id"] for p in (await world.send("viewer", "GET", "/v1/policies?user=u-1")).json()["policies"]] == [
        policy_id
    ]
    assert (await world.send("viewer", "GET", "/v1/policies?user=u-2")).json()["policies"] == []
    longer = await world.send("analyst", "POST", f"{path}/extend", {"lasts_s": 900}, if_match='"1"')
    assert (longer.status_code, longer.headers["etag"]) == (200, '"2"')
    stale = await world.send("analyst", "POST", f"{path}/revoke", {"reason": "x"}, if_match='"1"')
    assert stale.status_code == 412
    assert (await world.send("analyst", "POST", f"{path}/revoke", {"reason": "x"})).status_code == 428
    ended = await world.send("analyst", "POST", f"{path}/revoke", {"reason": "x"}, if_match='"2"')
    assert ended.status_code == 200
    assert (await world.send("viewer", "GET", path)).status_code == 404
    audit = (await world.send("approver", "GET", "/v1/audit")).json()
    assert [entry["action"] for entry in audit["entries"]] == ["revoke", "extend", "create"]
    assert (await world.send("approver", "GET", "/v1/audit/verify")).json()["entries"] == 3


async def test_repeated_request_with_its_key_makes_one_policy(world: World) -> None:
    first = await world.send("analyst", "POST", "/v1/policies", POLICY, idempotency_key="k1")
    again = await world.send("analyst", "POST", "/v1/policies", POLICY, idempotency_key="k1")
    assert again.status_code == 201
    assert again.json()["policy"] == first.json()["policy"]
    assert again.headers["idempotent-replayed"] == "true"
    other = await world.send("analyst", "POST", "/v1/policies", EVERYONE, idempotency_key="k1")
    assert other.status_code == 422
    foreign = await world.send("admin", "POST", "/v1/policies", POLICY, idempotency_key="k1")
    assert foreign.json()["policy"]["id"] != first.json()["policy"]["id"]


async def test_block_for_everyone_waits_for_another_person(world: World) -> None:
    asked = await world.send("approver", "POST", "/v1/policies", EVERYONE)
    assert (asked.status_code, asked.json()["reasons"]) == (202, ["wide"])
    policy_id = asked.json()["policy"]["id"]
    assert (await world.context.store.list()).policies == ()
    path = f"/v1/pending/{policy_id}/approve"
    assert (await world.send("approver", "POST", path)).status_code == 403
    approved = await world.send("admin", "POST", path)
    assert approved.json()["policy"]["approved_by"] == "adm"
    assert (await world.context.store.get(policy_id)).source.name == "app"
    assert (await world.send("admin", "POST", path)).status_code == 404


async def test_waiting_policy_is_rejected_by_name_or_lapses(world: World) -> None:
    asked = [(await world.send("analyst", "POST", "/v1/policies", EVERYONE)).json()["policy"]["id"] for _ in "ab"]
    gone = await world.send("approver", "POST", f"/v1/pending/{asked[0]}/reject", {"reason": "too broad"})
    assert gone.json()["asked_by"] == "ana"
    later = Keeper(world.context, clock=lambda: time.time() + 90_000)
    await later.turn()
    assert await world.context.ledger.side_count(Side.PENDING) == 0


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"hard": True}, 403),
        ({"action": "allow"}, 403),
        ({"subject": {"ip": "10.1.2.3"}}, 422),
        ({"approved_by": "me"}, 422),
        ({"subject": {"ip": "203.0.0.0/8"}}, 202),
        ({"subject": {"ip": "203.0.113.1/24"}}, 422),
        ({"unknown": 1}, 422),
        ({"lasts_s": 2_592_001}, 422),
    ],
)
async def test_machine_stays_within_its_guards(world: World, changes: dict[str, Any], status: int) -> None:
    answer = await world.send("writer", "POST", "/v1/policies", {**POLICY, **changes})
    assert answer.status_code == status, answer.text


async def test_machine_that_makes_too_many_is_slowed(world: World) -> None:
    many = {"policies": [{**POLICY, "subject": {"user": f"u-{n}"}} for n in range(51)]}
    assert (await world.send("writer", "POST", "/v1/policies/batch", many)).status_code == 429
    assert (await world.context.store.list()).policies == ()


async def test_policy_that_would_hit_many_observes_for_machines_and_waits_for_people(world: World) -> None:
    world.ring.add(events(90) + events(10, ip="198.51.100.9", user="u-5", user_v=True))
    address = {**POLICY, "subject": {"ip": "198.51.100.9"}}
    seen = (await world.send("viewer", "POST", "/v1/policies/preview", address)).json()
    assert (seen["requests"], seen["users"], seen["share"]) == (10, 1, 0.1)
    machine = (await world.send("writer", "POST", "/v1/policies", address)).json()
    assert (machine["course"], machine["policy"]["mode"]) == ("observed", "shadow")
    person = await world.send("analyst", "POST", "/v1/policies", address)
    assert (person.status_code, person.json()["reasons"]) == (202, ["share_above_limit"])


async def test_share_of_too_few_requests_says_nothing(world: World) -> None:
    world.ring.add(events(99, user="u-1", user_v=True))
    assert (await world.send("analyst", "POST", "/v1/policies", POLICY)).json()["course"] == "in_force"
    world.ring.add(events(1))
    assert (await world.send("analyst", "POST", "/v1/policies", POLICY)).json()["course"] == "pending"


async def test_policy_whose_refusals_jump_only_watches_again(world: World) -> None:
    world.ring.add(events(1000) + events(2, ip="198.51.100.9"))
    made = await world.send("analyst", "POST", "/v1/policies", {**POLICY, "subject": {"ip": "198.51.100.9"}})
    policy_id, now = made.json()["policy"]["id"], int(time.time() * 1000)
    for number in range(201):
        refusal = Refusal(policy_id=policy_id, action="block", why="manual", at_ms=now)
        await world.context.refusals.record(f"R{number}", refusal)
        if number == 198:
            assert await watch_refusals(world.context, now_ms=now) == []
    assert await watch_refusals(world.context, now_ms=now) == [policy_id]
    assert (await world.context.store.get(policy_id)).mode.value == "shadow"
    [entry] = await world.context.ledger.audit_page(limit=1)
    assert (entry.to_dict()["actor"], entry.to_dict()["action"]) == ("guard", "roll_back")


async def test_batch_of_many_is_stored_whole_or_not_at_all(world: World) -> None:
    many = [{**POLICY, "subject": {"user": f"u-{n}"}} for n in range(1000)]
    bad = await world.send(
        "analyst", "POST", "/v1/policies/batch", {"policies": [*many, {**POLICY, "action": "allow", "hard": True}]}
    )
    assert bad.status_code == 422
    assert bad.json()["errors"][0]["field"].startswith("1000.")
    assert await world.context.store.head() is None
    made = await world.send("analyst", "POST", "/v1/policies/batch", {"policies": many})
    assert (made.status_code, made.json()["skipped"]) == (201, [])
    told = (await world.send("analyst", "GET", "/v1/subjects/user/u-7")).json()["events"]
    assert [event["change"]["action"] for event in told if event["what"] == "change"] == ["create"], "among the others"
    head = await world.context.store.head()
    assert head is not None
    assert head.count == 1000


async def test_reference_leads_to_policy_even_after_it_was_taken_back(world: World) -> None:
    made = (await world.send("analyst", "POST", "/v1/policies", POLICY)).json()["policy"]
    facts = {"user": "u-1", "route": "a"}
    refusal = Refusal(policy_id=made["id"], action="block", why="manual", at_ms=int(time.time() * 1000), facts=facts)
    await world.context.refusals.record("ABCD-EFGH", refusal)
    told = (await world.send("viewer", "GET", "/v1/why?reference=ABCD-EFGH")).json()
    assert (told["policy"]["reason"], told["policy"]["state"]) == ("stuffing", "in_force")
    await world.send("analyst", "POST", f"/v1/policies/{made['id']}/revoke", {"reason": "x"}, if_match='"1"')
    told = (await world.send("viewer", "GET", "/v1/why?reference=ABCD-EFGH")).json()
    assert (told["policy"]["state"], told["policy"]["ended_by"]) == ("revoked", "ana")
    line = (await world.send("viewer", "GET", "/v1/subjects/user/u-1")).json()
    assert {event["what"] for event in line["events"]} == {"refusal", "change"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://api", "sec-fetch-site": "same-origin"}, 201),
        ({"content-type": "text/plain"}, 415),
        ({}, 201),
    ],
)
async def test_change_caused_by_another_site_is_refused(world: World, headers: dict[str, str], status: int) -> None:
    answer = await world.http.post("/v1/policies", json=POLICY, headers={"x-caller": "analyst", **headers})
    assert answer.status_code == status


async def test_snapshot_holds_what_the_edges_hold(world: World) -> None:
    made = (await world.send("analyst", "POST", "/v1/policies", POLICY)).json()
    snapshot = (await world.send("feeder", "GET", "/v1/feed")).json()
    assert [record["pid"] for record in snapshot["records"]] == [made["policy"]["id"]]
    assert snapshot["seq"] == made["seq"]


@pytest.mark.parametrize(
    ("who", "media", "status"),
    [(None, "application/json", 401), ("viewer", "application/json", 403), ("analyst", "text/plain", 415)],
)
async def test_body_of_a_caller_who_may_not_send_one_is_never_read(
    world: World, who: str | None, media: str, status: int
) -> None:
    read: list[bytes] = []
    headers = {"content-type": media} | ({} if who is None else {"x-caller": who})
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        read.append(b"[" * 1000)
        return {"type": "http.request", "body": read[-1], "more_body": len(read) < 3}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/policies/batch",
        "raw_path": b"/v1/policies/batch",
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await world.app(scope, receive, send)
    assert sent[0]["status"] == status
    assert read == []
