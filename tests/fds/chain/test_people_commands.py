"""What people do with `haetae fds`: on a real store, with a worker that `haetae fds run` started."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from haetae_cli.ports import ReservedPort
from haetae_fds.blob import encode_blob, stream_key
from haetae_fds.event import Event, encode_event
from haetae_fds.words import AuthOutcome
from haetae_policy import Policy
from haetae_policy.io.ledger import Ledger
from haetae_policy.io.store import PolicyStore, StoreSettings

from tests.simulator.valkey import Valkey, valkey

PREFIX = "haetae:"
pytestmark = pytest.mark.timeout(120)


class Stand:
    """A store, one worker with the real engine, and a terminal."""

    def __init__(self, server: Valkey, folder: Path) -> None:
        self.url = f"unix://{server.socket}"
        self.folder = folder
        self.client = server.client()
        self.store = PolicyStore(self.client, StoreSettings(prefix=PREFIX))
        self.port = ReservedPort(0, what="metrics")
        self.process: asyncio.subprocess.Process | None = None
        self._number = 0

    async def start(self, *words: str) -> None:
        settings = self.folder / "settings.json"
        settings.write_text(json.dumps({"narrow_ms": 0}))
        with (self.folder / "worker.log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "haetae_cli.main", "fds", "run", "--redis", self.url),
                *("--state", str(self.folder / "worker"), "--settings", str(settings)),
                *("--metrics", f"127.0.0.1:{self.port.number}", *words),
                stderr=log,
            )

    async def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 20)

    async def attack(self, host: int, *, attempts: int = 10) -> None:
        """One address tries many accounts."""
        now = time.time_ns() // 1_000_000
        events = []
        for _ in range(attempts):
            self._number += 1
            event = Event(
                id=f"E{self._number:06}", ts=now, gw="sign-in", route="log-in", api="POST /api/v1/login", status=401,
                ip=f"11.22.{host}.7", net=f"11.22.{host}.0/24", ua="tool", hdr="h", auth=AuthOutcome.BAD,
                acct=f"a{self._number}", cred_fp=f"c{self._number}",
            )  # fmt: skip
            events.append(encode_event(event))
        await self.client.xadd(stream_key(PREFIX, 0), {b"b": encode_blob(events, source="test")})

    async def policies(self, count: int) -> tuple[Policy, ...]:
        async with asyncio.timeout(20):
            while len(found := (await self.store.list()).policies) != count:  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.02)
        return found

    async def haetae(self, *words: str) -> tuple[int, str, str]:
        def call() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "haetae_cli.main", "fds", *words, "--redis", self.url],
                capture_output=True, text=True, check=False, timeout=30,
            )  # fmt: skip

        done = await asyncio.to_thread(call)
        return done.returncode, done.stdout, done.stderr

    async def metrics(self) -> dict[str, float]:
        url = f"http://127.0.0.1:{self.port.number}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            lines = (await answer.text()).splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


@asynccontextmanager
async def stand(tmp_path: Path, *words: str) -> AsyncIterator[Stand]:
    async with valkey() as server:
        found = Stand(server, tmp_path)
        await found.store.establish(now_ms=time.time_ns() // 1_000_000, epoch_randomness=b"12345678")
        await found.start(*words)
        try:
            yield found
        finally:
            if found.process is not None and found.process.returncode is None:
                found.process.kill()
                await found.process.wait()
            found.port.release()
            await found.client.aclose()


async def test_block_is_explained_called_a_false_alarm_and_not_made_again(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        await world.attack(1)
        (policy,) = await world.policies(1)
        code, out, _ = await world.haetae("explain", policy.id)
        assert code == 0
        assert re.search(r"accounts +8 +limit 8", out), out
        assert "E000008" in out
        decision = re.search(r"fds_[0-9a-f]{20}", out)
        assert decision is not None
        code, out, _ = await world.haetae("explain", decision[0], "--json")
        assert (code, json.loads(out)["detector"]) == (0, "stuffing_from_address")
        code, out, _ = await world.haetae("feedback", policy.id, "false-alarm", "--by", "mina")
        assert (code, "the policy was taken back" in out) == (0, True)
        code, out, _ = await world.haetae("labels", "--summary")
        assert (code, re.search(r"stuffing_from_address +0 +1 +0.0 % +0 +0", out) is not None) == (0, True), out
        await world.policies(0)
        async with asyncio.timeout(20):
            # The worker hears of it within a moment, between two events; until then the decision still stands for it.
            while not (found := (await world.store.list()).policies):
                await world.attack(1, attempts=1)
                await asyncio.sleep(0.05)
        (again,) = found
        assert again.mode == "shadow"
        code, out, _ = await world.haetae("explain", policy.id)
        assert "revoked" in out
        assert "by mina" in out


@asynccontextmanager
async def identity_service(switched_off: list[tuple[str, str]]) -> AsyncIterator[str]:
    """Whoever keeps the accounts."""

    async def disable(request: web.Request) -> web.Response:
        switched_off.append((request.match_info["user"], request.headers["authorization"]))
        return web.json_response({"status": "disabled"})

    application = web.Application()
    application.router.add_post("/v1/accounts/{user}/disable", disable)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def take_over(world: Stand) -> None:
    """Somebody guesses until he is in, then moves money."""
    now, events = time.time_ns() // 1_000_000, list[list[object]]()
    for number in range(6):
        login = {
            "acct": "kim", "cred_fp": f"c{number}", "api": "POST /login", "user": "u-9" if number == 5 else None,
            "auth": AuthOutcome.OK if number == 5 else AuthOutcome.BAD,
        }  # fmt: skip
        call = {"api": "POST /transfers", "user": "u-9", "user_v": True}
        for fields in (login, call) if number == 5 else (login,):
            at: dict[str, Any] = {"ip": "11.22.9.7", "net": "11.22.9.0/24", "ua": "tool", "hdr": "h", **fields}
            events.append(encode_event(Event(id=f"T{len(events)}", ts=now, gw="sign-in", route="r", status=200, **at)))
    await world.client.xadd(stream_key(PREFIX, 0), {b"b": encode_blob(events, source="test")})


async def test_confirmed_takeover_switches_the_account_off_and_the_trail_says_who_did(tmp_path: Path) -> None:
    token, switched_off = tmp_path / "token", list[tuple[str, str]]()
    token.write_text("service-token")
    async with stand(tmp_path) as world, identity_service(switched_off) as url:
        await take_over(world)
        (policy,) = await world.policies(1)
        assert (policy.source.name, policy.action, policy.subject.user) == ("takeover", "challenge", "u-9")
        confirm = ("feedback", policy.id, "confirm", "--by", "mina")
        where = ("--identity-url", url, "--identity-token-file", str(token))
        code, out, _ = await world.haetae(*confirm)
        assert (code, switched_off) == (0, [])
        assert "say it again with --disable-account" in out
        code, out, _ = await world.haetae(*confirm, "--disable-account", *where)
        assert (code, switched_off) == (0, [("u-9", "Bearer service-token")])
        assert "account u-9 is switched off" in out
        ledger = Ledger(world.client, StoreSettings(prefix=PREFIX))
        told = [entry.to_dict() for entry in await ledger.audit_page(before=None, limit=20)]
        (noted,) = [one for one in told if one["action"] == "account-disable"]
        assert (noted["actor"], noted["target"], noted["details"]["user"]) == ("mina", policy.id, "u-9")


async def test_mode_and_undo_say_what_ended_and_workers_follow(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        for host in range(2):  # a third would make their client known
            await world.attack(host)
        await world.policies(2)
        code, out, _ = await world.haetae("undo", "--detector", "spraying", "--minutes", "5")
        assert (code, out.splitlines()[0]) == (0, "0 policies ended")
        code, out, _ = await world.haetae("undo", "--minutes", "5")
        assert (code, out.splitlines()[0]) == (0, "2 policies ended")
        code, out, _ = await world.haetae("mode", "shadow", "--detector", "stuffing_from_address")
        assert code == 0
        await asyncio.sleep(0.6)  # a worker looks four times a second
        await world.attack(9)
        (policy,) = await world.policies(1)
        assert policy.mode == "shadow"
        code, out, _ = await world.haetae("mode")
        assert re.search(r"stuffing_from_address +shadow", out), out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("mode", "off", "--detector", "nonsense"), "no such detector"),
        (("explain", "fds_ffffffffffffffffffff"), "knows no decision"),
        (("explain", "nonsense"), "names neither"),
        (("feedback", "pol_00000000000000000000000000", "confirm"), "there is no"),
    ],
)
async def test_mistakes_are_one_clear_line(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    async with stand(tmp_path) as world:
        code, _, err = await world.haetae(*words)
    assert code == 1
    assert says in err
    assert len(err.splitlines()) == 1


async def test_metrics_count_and_a_stopped_worker_leaves_a_checkpoint_with_nothing_to_repeat(tmp_path: Path) -> None:
    async with stand(tmp_path) as world:
        await world.attack(1, attempts=30)
        late = encode_event(Event(id="E", ts=1, gw="app"))
        late[2] = "soon"
        for data in (b"junk", b"[" * 60_000, encode_blob([[1], late, [[]]], source="test")):
            await world.client.xadd(stream_key(PREFIX, 0), {b"b": data})
        await world.policies(1)
        found: dict[str, Any] = {}
        refused = "haetae_fds_refused_total"
        async with asyncio.timeout(10):
            while sum(number for name, number in found.items() if name.startswith(refused)) < 5:
                found = await world.metrics()
        by_field = {name: number for name, number in found.items() if name.startswith(refused)}
        assert by_field == {
            f'{refused}{{field="blob"}}': 2, f'{refused}{{field="event"}}': 1, f'{refused}{{field="gw"}}': 1,
            f'{refused}{{field="ts"}}': 1,
        }  # fmt: skip
        assert found['haetae_fds_events_total{shard="0"}'] == 30
        assert found['haetae_fds_lease{shard="0"}'] == 1
        label = '{action="block",detector="stuffing_from_address",mode="enforce",op="put"}'
        assert found[f"haetae_fds_decisions_total{label}"] == 1
        assert await world.stop() == 0
        await world.start()
        await world.attack(2, attempts=30)
        await world.policies(2)
        assert (await world.metrics())['haetae_fds_events_total{shard="0"}'] == 30
