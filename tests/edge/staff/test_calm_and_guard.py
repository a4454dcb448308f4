"""Those who ask in a loop wait; those whom policies refuse may not even begin to sign in."""

from __future__ import annotations

import asyncio
import time

import pytest
from haetae_edge.filter import BuildContext
from haetae_edge.filters.block import Block
from haetae_edge.io import staff as staff_io
from haetae_edge.io.staff import OidcSignIn
from haetae_edge.services import Services
from haetae_edge.staff.endpoints import StaffEndpoints
from haetae_edge.staff.gate import StaffGate
from haetae_edge.staff.tools import Tools
from haetae_oidc import ProviderSettings, SessionSettings
from haetae_oidc.io.staff_sign_in import StaffSignIn
from haetae_policy import Action, Api, Record, Subject, parse_network

from tests.edge.staff.staff_office import Office
from tests.simulator.policies import MemoryPolicies
from tests.simulator.world import world


async def test_refused_ones_wait_for_different_times_and_only_so_many_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staff_io, "_MAX_CALMING", 3)
    monkeypatch.setattr(staff_io, "_CALM_SECONDS", (0.01, 0.03))
    provider = ProviderSettings(issuer="https://op.test", client_id="c", client_secret="s")
    unused = StaffSignIn(provider=provider, session=SessionSettings(), redis_url="unix:///nowhere")
    sign_in = OidcSignIn(unused, Services(clock=time.time, random_bytes=bytes))
    assert sorted(await asyncio.gather(*(sign_in.calm() for _ in range(5)))) == [False, False, True, True, True]
    assert await sign_in.calm() is True


async def test_blocked_address_cannot_begin_to_sign_in() -> None:
    office, policies = Office(), MemoryPolicies()
    services = Services(clock=time.time, random_bytes=bytes, policies=policies)
    gate = StaffGate(
        sign_in=office, origins={"tool.test": "https://tool.test"}, clock=time.time, random_bytes=services.random_bytes
    )
    context = BuildContext(gateway="test", route_id="haetae-sign-in", upstream="", services=services)
    guard = Block().build(context).request[0][1]
    async with world(services=services) as edge:
        endpoints = StaffEndpoints(gate, Tools({}), portal=None, guard=guard)
        edge.gateway.server._pipeline._well_known.mount(endpoints.find)
        login = b"GET /.haetae/login?to=/ HTTP/1.1\r\nHost: tool.test\r\n\r\n"
        assert (await edge.client.ask(login)).status == 200
        end = int(time.time() * 1000) + 60_000
        subject = Subject(ip=parse_network("127.0.0.0/8"))
        policies.put(Record(pid=1, ver=1, exp_ms=end, action=Action.BLOCK, subject=subject, api=Api()))
        assert (await edge.client.ask(login)).problem() == "blocked"
        assert len(office.begun) == 1
