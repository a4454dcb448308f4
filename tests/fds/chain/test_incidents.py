"""Our own faults and detectors that went too far, from events to the people who are woken: `haetae fds run` on a real
store, a webhook that stands for Slack, the log and the metrics.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from haetae_fds import Event
from haetae_fds.blob import encode_blob, stream_key
from haetae_fds.event import encode_event
from haetae_fds.io.keys import ShardKeys

from tests.fds.chain.test_people_commands import PREFIX, Stand, stand
from tests.fds.detectors.scene import HOUR, Scene

PEOPLE = 60
SAYS = {
    "over_budget": "rule_everything went over its budget",
    "systemic_fault": "many established devices of version 5.0 have one fault",
    "clock_skew": "the clock of gateway fast is ahead",
}
INCIDENTS = tuple(SAYS)


def everything(now_ms: int) -> bytes:
    """A rule that calls every log-in an attack."""
    rule = {
        "name": "rule_everything", "when": "login >= 1", "action": "block", "mode": "enforce",
        "expires": now_ms + HOUR, "why": "somebody was in a hurry",
    }  # fmt: skip
    return json.dumps({"format": 1, "rules": [rule]}).encode()


class Day:
    """What the gateways report: an hour of plain life that has just passed, and then the three incidents."""

    def __init__(self, now_ms: int) -> None:
        self._scene = Scene(warm=False)
        self._at = now_ms - HOUR - 300_000
        self.events: list[Event] = []
        for minute in range(0, 61, 3):
            for person in range(PEOPLE):
                self._at = now_ms - HOUR - 300_000 + minute * 60_000 + person * 20
                self._add(**self._scene.at_home(person), api="GET /things/{id}", obj=f"t{person}-{minute % 5}")
        self._broken_release()
        self._wave_of_log_ins()
        self._clock_ahead()

    def _add(self, **fields: Any) -> None:
        self._scene.now = self._at
        self.events.append(self._scene.event(**fields))

    def _broken_release(self) -> None:
        for person in range(20, 40):
            self._at += 500
            broken = {"api": "POST /transfers", "sig": "bad", "dev_v": False, "user_v": False, "status": 401}
            self._add(**{**self._scene.at_home(person), **broken})

    def _wave_of_log_ins(self) -> None:
        for person in range(PEOPLE):
            self._at += 1000
            self._add(**{**self._scene.at_home(person), **self._scene.login(person, "ok", "right")})

    def _clock_ahead(self) -> None:
        for _ in range(5):
            self._at += 10
            self._add(ip="100.70.1.1")
            self._add(ip="100.70.1.2", gw="fast", ts=self._at + 60_000)


@asynccontextmanager
async def slack(told: list[str]) -> AsyncIterator[str]:
    """A webhook; yields its address."""

    async def hook(request: web.Request) -> web.Response:
        told.append((await request.json())["text"])
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_post("/hook", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


async def report(world: Stand, events: Sequence[Event]) -> None:
    for start in range(0, len(events), 200):
        blob = encode_blob([encode_event(event) for event in events[start : start + 200]], source="test")
        for _ in range(2):
            await world.client.xadd(stream_key(PREFIX, 0), {b"b": blob})


async def decided(world: Stand) -> list[str]:
    entries: Any = await world.client.xrange(ShardKeys(PREFIX, 0).log)
    return [orjson.loads(fields[b"d"])["detector"] for _, fields in entries]


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not what():  # noqa: ASYNC110 - a webhook is called, it calls nobody
            await asyncio.sleep(0.02)


async def test_every_kind_of_incident_reaches_slack_the_log_and_the_metrics_once(tmp_path: Path) -> None:
    told: list[str] = []
    now_ms = time.time_ns() // 1_000_000
    secret, rules = tmp_path / "webhook", tmp_path / "rules.json"
    rules.write_bytes(everything(now_ms))
    async with slack(told) as url:
        secret.write_text(url)
        secret.chmod(0o600)
        async with stand(tmp_path, "--slack-webhook-file", str(secret), "--rules", str(rules)) as world:
            numbers: dict[str, float] = {}
            async with asyncio.timeout(20):  # the next checkpoint is ten seconds away
                while not numbers.get('haetae_fds_checkpoints_total{shard="0"}'):
                    await asyncio.sleep(0.05)
                    with suppress(aiohttp.ClientError):
                        numbers = await world.metrics()
            await report(world, Day(now_ms).events)
            await until(lambda: len(told) >= len(INCIDENTS))
            log = (tmp_path / "worker.log").read_text()
            numbers = await world.metrics()
            assert world.process is not None
            world.process.kill()  # what no checkpoint covers is decided again
            await world.process.wait()
            await world.start("--slack-webhook-file", str(secret), "--rules", str(rules))
            await world.attack(1)
            async with asyncio.timeout(20):
                while "stuffing_from_address" not in await decided(world):  # noqa: ASYNC110 - the store tells nobody
                    await asyncio.sleep(0.02)
            names = await decided(world)
            again = (tmp_path / "worker.log").read_text()
    assert len(told) == len(INCIDENTS)
    for words in SAYS.values():
        assert sum(words in text for text in told) == 1, words
        assert words in log
        assert words not in again
    for kind in INCIDENTS:
        assert names.count(kind) == 1
        told_of = [n for name, n in numbers.items() if "decisions_total" in name and f'detector="{kind}"' in name]
        assert told_of == [1.0]
    assert 0 < numbers['haetae_fds_warm{detector="flood",shard="0"}'] < 1
    assert numbers['haetae_fds_warm{detector="canary",shard="0"}'] == 1
    assert numbers['haetae_fds_circuit{detector="rule_everything",shard="0"}'] == 2
