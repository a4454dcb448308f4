"""A gateway with staff routes whose sessions are in a dictionary: the port is a double, every byte is real.

What the real session package does is proven where it is; here it is only made to say what a test wants.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from haetae_edge.filters.block import Block
from haetae_edge.filters.oidc_session import OidcSession
from haetae_edge.services import DependencyUnavailable, Services, StoreUnavailable
from haetae_edge.staff.endpoints import StaffEndpoints
from haetae_edge.staff.gate import StaffGate
from haetae_edge.staff.pages import Tool
from haetae_edge.staff.ports import (
    Begun,
    Finished,
    Loaded,
    LogoutRefused,
    NoSession,
    SignInRefused,
    SignInStale,
)
from haetae_edge.staff.tools import ToolRoute, Tools

from tests.simulator.client import Answer, Client
from tests.simulator.policies import MemoryPolicies
from tests.simulator.world import World, world

HOST = b"tool.test"
ORIGIN = "https://tool.test"
TICKET = "id-1.secret-1"
COOKIE = b"Cookie: __Host-haetae-session=id-1.secret-1\r\n"
PAGE = b"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nAccept: text/html\r\n"
SCRIPT = b"Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Site: same-origin\r\n"


@dataclass(frozen=True, kw_only=True)
class Badge:
    """A session."""

    id: str = "s-1"
    subject: str = "u-mina"
    name: str | None = "Mina 김"
    email: str | None = "mina@example.org"
    username: str | None = "mina"
    groups: frozenset[str] = frozenset({"sre", "staff"})
    claims: Mapping[str, Any] = field(default_factory=dict)
    acr: str | None = None
    auth_time: int | None = None
    absolute_end: int = field(default_factory=lambda: int(time.time()) + 3600)
    idle_end: int = field(default_factory=lambda: int(time.time()) + 600)


@dataclass
class Office:
    """The `SignIn` port. `down` makes the store or the provider fail."""

    sessions: dict[str, Badge] = field(default_factory=dict)
    down: type[Exception] | None = None
    new_ticket: str | None = None
    loads: list[bool] = field(default_factory=list)
    begun: list[dict[str, Any]] = field(default_factory=list)
    finished: list[dict[str, Any]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    logout_tokens: list[str] = field(default_factory=list)
    returns_to: str = "/back"
    refusal: Exception | None = None
    calms: bool = True
    calmed: int = 0

    async def begin(self, **asked: Any) -> Begun:
        """Send to a provider."""
        self._fail()
        self.begun.append(asked)
        return Begun(location="https://op.test/authorize?state=st-1&x=%22%3E", state="st-1", browser="browser-1")

    async def finish(self, **asked: Any) -> Finished:
        """Let in."""
        self._fail()
        self.finished.append(asked)
        self.sessions[TICKET] = Badge()
        return Finished(ticket=TICKET, session=Badge(), return_to=self.returns_to)

    async def load(self, ticket: str, *, activity: bool, now: float) -> Loaded:
        """Look up."""
        self._fail()
        self.loads.append(activity)
        if ticket not in self.sessions:
            raise NoSession("unknown")
        return Loaded(session=self.sessions[ticket], new_ticket=self.new_ticket)

    async def end(self, ticket: str, *, return_uri: str, now: float) -> str | None:
        """Sign out."""
        self._fail()
        if self.sessions.pop(ticket, None) is None:
            raise NoSession("unknown")
        self.ended.append(ticket)
        return f"https://op.test/end?post_logout_redirect_uri={return_uri}"

    async def back_channel_logout(self, logout_token: str, *, now: float) -> int:
        """Sign out from afar."""
        self._fail()
        if logout_token != "good":
            raise LogoutRefused("signature")
        self.logout_tokens.append(logout_token)
        return 1

    async def calm(self) -> bool:
        """Count instead of waiting."""
        self.calmed += 1
        return self.calms

    def _fail(self) -> None:
        if self.down is not None:
            raise self.down()
        if self.refusal is not None:
            raise self.refusal


@dataclass
class StaffWorld:
    """The world, with an office."""

    edge: World
    office: Office
    policies: MemoryPolicies

    async def ask(self, line: bytes, *fields: bytes, host: bytes = HOST, body: bytes = b"", method: str = "") -> Answer:
        """One request with exactly these header lines."""
        length = b"Content-Length: %d\r\n" % len(body) if body else b""
        request = b"%b HTTP/1.1\r\nHost: %b\r\n%b%b\r\n%b" % (line, host, b"".join(fields), length, body)
        return await self.edge.client.ask(request, method=method or line.partition(b" ")[0].decode())

    @property
    def client(self) -> Client:
        """The connection that `ask` uses."""
        return self.edge.client

    def sign_in(self, **changes: Any) -> Badge:
        """Give the ticket a session."""
        badge = replace(Badge(), **changes)
        self.office.sessions[TICKET] = badge
        return badge


@asynccontextmanager
async def staff_world(
    door: OidcSession | None = None,
    *,
    signed_in: bool = False,
    portal: str | None = None,
    tools: Mapping[str, ToolRoute] | None = None,
    trusted: tuple[str, ...] = (),
    **badge: Any,
) -> AsyncIterator[StaffWorld]:
    """One staff route that takes every path of every host."""
    door = door or OidcSession()
    office, policies = Office(), MemoryPolicies()
    services = Services(clock=time.time, random_bytes=os.urandom, policies=policies)
    origins = {"tool.test": ORIGIN, "other.test": "https://other.test"}
    gate = StaffGate(sign_in=office, origins=origins, clock=time.time, random_bytes=os.urandom)
    services.staff = gate
    known = {"everything": ToolRoute(requirement=door.requirement, entry=None)} | dict(tools or {})
    endpoints = StaffEndpoints(gate, Tools(known), portal=portal, guard=None)
    async with world(filters=(door, Block()), services=services, trusted=trusted) as edge:
        policies.listener = edge.gateway.server.live.check_soon
        edge.gateway.server._pipeline._well_known.mount(endpoints.find)
        made = StaffWorld(edge, office, policies)
        if signed_in:
            made.sign_in(**badge)
        yield made


__all__ = [
    "COOKIE",
    "HOST",
    "ORIGIN",
    "PAGE",
    "SCRIPT",
    "TICKET",
    "Badge",
    "DependencyUnavailable",
    "Office",
    "SignInRefused",
    "SignInStale",
    "StaffWorld",
    "StoreUnavailable",
    "Tool",
    "staff_world",
]
