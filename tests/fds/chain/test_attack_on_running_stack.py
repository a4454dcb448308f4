"""The whole chain in real processes: requests → gateway → events → worker → policies → gateway, under attack."""

import argparse
import asyncio
import os
import random
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from haetae_cli.demo_attack_kinds import Attempt, find, honest
from haetae_cli.fds_accounts import switch_off
from haetae_cli.fds_mode import turn
from haetae_cli.fds_service import start_fds
from haetae_cli.fds_store import FdsStore, open_fds
from haetae_cli.ports import HOST, ReservedPort
from haetae_cli.stack import StackOptions, Started, run_stack
from haetae_cli.state import StateDirectory
from haetae_demo.log_in import customer_name, customer_password
from haetae_fds import Mode
from haetae_fds.io.modes import OVERALL
from haetae_policy import Policy

SIGN_IN = Path(__file__).parents[3] / "config" / "sign-in"
ENOUGH = 60
pytestmark = pytest.mark.timeout(120)


class World:
    """A running stack, with people and attackers."""

    def __init__(
        self, started: Started, store: FdsStore, session: aiohttp.ClientSession, state: StateDirectory
    ) -> None:
        self.started = started
        self.store = store
        self.state = state
        self.url = f"{started.running.gateways['sign-in']}/api/v1/login"
        self._session = session
        self.harmed: list[str] = []
        self.served = 0

    async def log_in(self, attempt: Attempt) -> tuple[int, str]:
        headers = {"x-forwarded-for": attempt.address, "user-agent": attempt.agent}
        body = {"name": attempt.name, "password": attempt.password}
        async with self._session.post(self.url, json=body, headers=headers) as answer:
            assert "haetae-auth" not in answer.headers
            return answer.status, str((await answer.json(content_type=None)).get("code", ""))

    async def live(self) -> None:
        """People sign in, and notice when they are refused."""
        for attempt in honest(random.Random(1)):
            status, code = await self.log_in(attempt)
            if status != (200 if attempt.right else 401):
                self.harmed.append(f"{attempt.name} {status} {code}")
            self.served += 1
            await asyncio.sleep(0.1)

    async def refused_within(self, attempts: Iterator[Attempt], seconds: float) -> tuple[Attempt, int]:
        """Attack until it is refused; returns the attempt, and how many there were."""
        async with asyncio.timeout(seconds):
            for number, attempt in enumerate(attempts, 1):
                _, code = await self.log_in(attempt)
                if code in ("blocked", "challenge"):
                    return attempt, number
                await asyncio.sleep(0.02)
        raise AssertionError("attacks go on for ever")

    async def policies(self) -> tuple[Policy, ...]:
        return (await self.store.policies.list(limit=100)).policies


@asynccontextmanager
async def world(tmp_path: Path) -> AsyncIterator[World]:
    config = tmp_path / "config"
    shutil.copytree(SIGN_IN, config / "sign-in")
    state = StateDirectory(tmp_path / "state")
    async with run_stack(StackOptions(state=state, config=config, port_base=0)) as started:
        url = started.running.redis_url
        async with open_fds(url, None) as store, aiohttp.ClientSession() as session:
            yield World(started, store, session, state)


@asynccontextmanager
async def people(found: World) -> AsyncIterator[None]:
    task = asyncio.create_task(found.live())
    try:
        yield
        await asyncio.wait([task], timeout=0.5)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert found.harmed == []
    assert found.served > 5


def attempts(name: str, *, address: str | None = None) -> Iterator[Attempt]:
    """An attack from one machine."""
    kind = find(name)
    assert kind is not None
    wanted = address
    for attempt in kind.attempts(random.Random(2)):
        wanted = wanted or attempt.address
        if attempt.address == wanted:
            yield attempt


async def test_attack_is_refused_at_the_gateway_people_are_not_and_the_switch_ends_it_within_a_second(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as found, people(found):
        attack = attempts("stuffing")
        refused, number = await found.refused_within(attack, 20)
        assert number < ENOUGH
        (policy,) = await found.policies()
        assert (policy.source.name, policy.action, policy.mode) == ("stuffing_from_address", "block", "enforce")
        assert str(policy.subject.ip).startswith(refused.address.partition("::")[0])
        assert (policy.api.gateway, policy.api.route) == ("sign-in", "log-in")
        assert policy.evidence()["numbers"]["accounts"][0] >= policy.evidence()["numbers"]["accounts"][1]
        began = time.monotonic()
        ended = await turn(found.store, detector=None, mode=Mode.OFF, by="mina")
        assert [one.id for one in ended] == [policy.id]
        while (await found.log_in(next(attack)))[0] == 403:
            assert time.monotonic() - began < 1
        assert time.monotonic() - began < 1
        for _ in range(ENOUGH):
            assert (await found.log_in(next(attack)))[0] != 403
        assert await found.policies() == ()


def from_everywhere(name: str) -> Iterator[Attempt]:
    """Another address and another program for each guess at one customer's password."""
    for number in range(200):
        address, agent = f"2001:db8:{0x8000 + number:x}::1", f"tool/{number}"
        yield Attempt(address=address, agent=agent, name=name, password=f"guess{number}", right=False)


async def test_one_account_guessed_from_ever_new_addresses_gives_nothing_away_not_even_for_the_right_password(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as found, people(found):
        name = customer_name(250)
        refused, number = await found.refused_within(from_everywhere(name), 20)
        assert number < ENOUGH
        (policy,) = await found.policies()
        assert policy.source.name == "account_brute_force"
        assert (policy.subject.account is not None, policy.subject.untrusted, policy.subject.ip) == (True, True, None)
        right = replace(refused, address="203.0.113.200", agent="never seen", password=customer_password(name))
        assert await found.log_in(right) == (401, "challenge")
        other = customer_name(251)
        assert await found.log_in(replace(right, name=other, password=customer_password(other))) == (200, "")


async def test_one_password_tried_on_everybody_from_ever_new_addresses_opens_no_account_any_more(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as found, people(found):
        names = (customer_name(number) for number in range(200, 300))
        tries = (
            replace(one, name=name, password="summer") for one, name in zip(from_everywhere(""), names, strict=False)
        )
        refused, number = await found.refused_within(tries, 20)
        assert number < ENOUGH
        (policy,) = await found.policies()
        assert (policy.source.name, policy.action) == ("spraying", "challenge")
        assert (policy.subject.pw_fp is not None, policy.subject.untrusted, policy.subject.ip) == (True, True, None)
        again = replace(refused, address="203.0.113.201", agent="never seen", name=customer_name(301))
        assert await found.log_in(again) == (401, "challenge")
        right = replace(again, password=customer_password(again.name))
        assert await found.log_in(right) == (200, "")


async def test_worker_killed_during_an_attack_is_replaced_and_the_attack_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        attack = attempts("enumeration")
        for _ in range(6):
            await found.log_in(next(attack))
        worker = next(child for child in found.started.children._children if child.name == "fds")
        os.kill(worker.process.pid, signal.SIGKILL)
        await worker.ended
        for _ in range(4):
            assert (await found.log_in(next(attack)))[0] == 401
        port = ReservedPort(0, what="another worker")
        try:
            await start_fds(
                found.started.children,
                found.state,
                found.started.running.redis_url,
                listen=f"{HOST}:{port.number}",
                mode=None,
            )
            await found.refused_within(attack, 30)
        finally:
            port.release()
        assert [policy.source.name for policy in await found.policies()] == ["user_enumeration"]


async def test_shadow_refuses_nobody_and_says_whom_it_would_have(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await turn(found.store, detector=None, mode=Mode.SHADOW, by="mina")
        attack = attempts("stuffing")
        for _ in range(ENOUGH):
            assert (await found.log_in(next(attack)))[0] != 403
        async with asyncio.timeout(10):
            while not (made := await found.policies()):  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.05)
        assert {policy.mode for policy in made} == {"shadow"}
        assert (await found.log_in(next(attack)))[0] != 403
        assert (await found.store.modes.read())[OVERALL] is Mode.SHADOW


async def test_confirmed_takeover_switches_the_account_off_at_the_identity_service(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        args = argparse.Namespace(state=found.state.path, identity_url=None, identity_token_file=None)
        await switch_off("u-1001", args)
        identity = found.started.running.identity
        headers = {"authorization": f"Bearer {found.state.service_token_file.read_text().strip()}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            codes: dict[str, Any] = {}
            for user in ("u-1001", "u-1002"):
                async with session.post(f"{identity}/v1/context", json={"sub": user}) as answer:
                    codes[user] = answer.status
    assert codes == {"u-1001": 403, "u-1002": 200}
