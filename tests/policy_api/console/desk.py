"""The console for its tests: the real application over a real store, people by Passports that are really verified.

The clock of the Passport check stands still, so that a minted Passport is good for a whole test.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpx
import orjson
import uvicorn
from fastapi import FastAPI
from haetae_crypto.jwks import JwkSet
from haetae_crypto.signing_keys import new_signing_ring
from haetae_fds.event import Event
from haetae_fds.io.feedback import Labels
from haetae_passport import CallContext, PassportMinter, PassportPolicy, PassportVerifier
from haetae_passport.io.gate import PassportGate
from haetae_passport.io.jwks import PassportKeys
from haetae_policy.io.commands import Commands
from haetae_policy.io.ledger import Ledger
from haetae_policy.io.refusals import Refusal, RefusalStore
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.io.workers import WorkerReport, WorkerReports
from haetae_policy_api.console.io.mount import mount_console
from haetae_policy_api.io.app import make_app
from haetae_policy_api.io.feed import Feed
from haetae_policy_api.io.identify import Verified
from haetae_policy_api.roles import Caller, Role
from haetae_policy_api.service import changes
from haetae_policy_api.service.context import Context
from haetae_policy_api.settings import Settings
from haetae_policy_api.traffic import TrafficRing
from redis.asyncio import Redis

NOW = 1_777_629_600
RING = new_signing_ring(b"k" * 32, now=NOW - 600)
ORIGIN = "http://console.test"
GROUPS = {"viewers": Role.VIEWER, "analysts": Role.ANALYST, "approvers": Role.APPROVER, "admins": Role.ADMIN}
PEOPLE = {"vic": ["viewers"], "ana": ["analysts"], "app": ["approvers"], "adm": ["admins"], "out": ["others"]}
CONTEXT = CallContext(gateway="internal", route="console", trace="t", client="192.0.2.1", auth=("session",))
FORM = "application/x-www-form-urlencoded"


class Published:
    async def keys_for(self, kid: str) -> JwkSet:
        return JwkSet((RING.active(now=NOW).key.public,))


def passport(who: str, **members: Any) -> str:
    minter = PassportMinter(issuer="gate", ring=RING)
    user = {"groups": PEOPLE[who]} if who in PEOPLE else {}
    return minter.mint(
        audience="haetae-policy-api",
        subject=who,
        context=CONTEXT,
        passport_id="p" * 22,
        now=NOW,
        **({"user": user} | members),
    )


@dataclass
class Console:
    """One console and everything behind it."""

    app: FastAPI
    context: Context
    ring: TrafficRing
    client: Redis
    http: httpx.AsyncClient

    async def get(self, who: str, path: str, **headers: str) -> httpx.Response:
        sent = {"x-passport": passport(who), **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self.http.get(path, headers=sent)

    async def token(self, who: str) -> str:
        """The token of a page that has a form; anybody's page of the console carries the same one."""
        page = await self.get(who, "/new" if PEOPLE[who] != ["viewers"] else "/")
        _, _, rest = page.text.partition('name="token" value="')
        return rest[:64]

    async def post(
        self, who: str, path: str, fields: dict[str, Any], *, token: str | None = None, **headers: str
    ) -> httpx.Response:
        sent = {"x-passport": passport(who), "origin": ORIGIN, "sec-fetch-site": "same-origin"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in sent.items() if value}
        held = {"token": await self.token(who) if token is None else token, **fields}
        return await self.http.post(path, data=held, headers=sent)

    async def policy(self, *, machine: bool = False, by: str = "ana", **members: Any) -> dict[str, Any]:
        """Make a policy as a person or as the fraud detection; return what was answered."""
        document = {"subject": {"user": "u-1"}, "action": "block", "reason": "stuffing", "lasts_s": 3600, **members}
        caller = (
            Caller(name="velocity", scopes=frozenset({"policies:write"}))
            if machine
            else Caller(name=by, role=Role.ANALYST)
        )
        made = await changes.create(self.context, document, caller, now_ms=now_ms())
        return dict(made.body)

    async def refusal(self, policy_id: str, number: int = 0, **facts: str) -> str:
        """Record a refused request; return its reference."""
        reference = f"HT-{number:06d}-TEST"
        told = Refusal(policy_id=policy_id, action="block", why="manual", at_ms=now_ms() - number * 1000, facts=facts)
        await self.context.refusals.record(reference, told)
        return reference

    async def worker(self, name: str, seq: int, *, policies: int = 1) -> None:
        """Report what a worker has applied."""
        now = now_ms()
        recent = ((seq, now),)
        report = WorkerReport(name, "current", "e", seq, (now, 0), policies, 0, now, recent)
        await self.context.workers.write(report)


async def policies_in_force(desk: Console) -> list[dict[str, Any]]:
    """What the API lists, newest first."""
    found: list[dict[str, Any]] = (await desk.get("adm", "/v1/policies")).json()["policies"]
    return found


def now_ms() -> int:
    return int(time.time() * 1000)


def evidence(**members: Any) -> dict[str, Any]:
    """What the fraud detection writes beside a policy."""
    held = {
        "decision": "fds_1",
        "subject": {"user": "u-1"},
        "score": 0.93,
        "numbers": {"failed_logins": [180, 40], "distinct_accounts": [12, 30]},
        "events": ["e1", "e2"],
    }
    return held | members


def decision(**members: Any) -> bytes:
    """A line of the fraud detection's decision log."""
    held = {
        "ts": now_ms(),
        "op": "put",
        "mode": "shadow",
        "action": "block",
        "subject": {"ip": "203.0.113.9"},
        "api": None,
        "exp": now_ms() + 60_000,
        "detector": "sequence",
        "why": "order nobody follows",
        "pid": "fds_9",
        "numbers": [{"name": "surprise", "value": 9.1, "limit": 6.0}],
    }
    return orjson.dumps(held | members)


def requests(count: int, **members: Any) -> list[Event]:
    kept = {"ip": "203.0.113.7", "status": 200, "api": "POST /login", "route": "login", "gw": "app", **members}
    return [Event(id=f"e-{number}", ts=now_ms(), **kept) for number in range(count)]


@asynccontextmanager
async def console(client: Redis) -> AsyncIterator[Console]:
    ring = TrafficRing(most=10_000, span_ms=900_000)
    settings = Settings(prefix="t:", share_least=100, groups=GROUPS, services={"fraud": frozenset({"policies:read"})})
    store, rules = StoreSettings(prefix="t:", deadline_s=5.0), settings.rules()
    context = Context(
        store=PolicyStore(client, store, rules=rules),
        ledger=Ledger(client, store, rules=rules),
        refusals=RefusalStore(client, prefix="t:"),
        workers=WorkerReports(client, store),
        traffic=ring,
        settings=settings,
        rules=rules,
        labels=Labels(Commands(client, deadline_s=5.0), prefix="t:"),
    )
    verifier = PassportVerifier(PassportPolicy(issuer="gate", audience="haetae-policy-api"))
    gate = PassportGate(verifier=verifier, keys=cast(PassportKeys, Published()), clock=lambda: NOW)
    identify = Verified(settings=settings, gate=gate)
    app = make_app(context, identify=identify, feed=Feed(client, prefix="t:", deadline_s=2.0))
    mount_console(app, context, identify=identify, client=client, deadline_s=2.0)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
        yield Console(app, context, ring, client, http)


async def furnish(desk: Console) -> dict[str, Any]:
    """Put something of everything into the store; return the identifiers."""
    block = await desk.policy(
        subject={"user": "u-1029"}, reason="Credential stuffing from a leaked list", ticket="FR-311"
    )
    await desk.policy(
        subject={"ip": "203.0.113.0/24"}, api={"gateway": "app", "route": "login"}, reason="Scanner network"
    )
    await desk.policy(subject={"device": "d-77"}, action="challenge", reason="New device after a password reset")
    await desk.policy(
        subject={"user": "u-9"}, action="throttle", rate={"limit": 5, "per_seconds": 60}, reason="Too many transfers"
    )
    wide = await desk.policy(
        subject={}, api={"route": "transfer", "method": "POST"}, reason="Incident 4711: stop transfers"
    )
    case = await desk.policy(
        machine=True,
        subject={"account": "a-5f3", "ip": "198.51.100.23"},
        reason="180 failed log-ins in ten minutes",
        evidence=evidence(),
        why="velocity",
    )
    for number in range(60):
        await desk.refusal(
            block["policy"]["id"],
            number * 7,
            user="u-1029",
            ip="203.0.113.7",
            method="POST",
            path="/api/v1/login",
            trace="4bf92f3577b34da6a3ce929d0e0e4736",
        )
    for name in ("edge-1:4101", "edge-1:4102", "edge-2:3977"):
        await desk.worker(name, case["seq"], policies=5)
    await desk.worker("edge-2:3978", case["seq"] - 1, policies=4)
    await desk.client.xadd("t:fds:{0}:decisions", {"n": "1", "d": decision()})
    desk.ring.add(requests(140, user="u-1029", user_v=True, trace="4bf92f3577b34da6a3ce929d0e0e4736"))
    desk.ring.add(requests(1900, ip="198.51.100.99", user="u-2", user_v=True))
    return {
        "block": block["policy"]["id"],
        "wide": wide["policy"]["id"],
        "case": case["policy"]["id"],
        "seq": case["seq"],
    }


@asynccontextmanager
async def serving(desk: Console) -> AsyncIterator[str]:
    """Serve the console on a port of its own; yield its address."""
    config = uvicorn.Config(desk.app, host="127.0.0.1", port=0, log_config=None, access_log=False, lifespan="off")
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listening.close()
