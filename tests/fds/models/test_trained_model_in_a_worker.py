"""A trained and promoted version in a started worker process, on a real store: from the folder to a policy."""

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from haetae_cli.ports import HOST, ReservedPort
from haetae_fds.blob import encode_blob, stream_key
from haetae_fds.detectors.registry import DETECTORS
from haetae_fds.event import encode_event
from haetae_fds.flat import event_of
from haetae_fds.io.models import ModelFolder
from haetae_fds.models.card import card, markdown
from haetae_fds.models.measures import Costs
from haetae_fds.models.registry import Reviewed, Stage
from haetae_fds.models.roles import OFFLINE
from haetae_fds.models.train import train
from haetae_policy import Policy
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.model import Action, Mode
from redis.asyncio import Redis

from tests.fds.models.rows_of import world
from tests.simulator.valkey import Valkey, valkey

pytestmark = pytest.mark.timeout(90)
PREFIX = "t:"
ENOUGH = 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one version, trained, and promoted by somebody who answers for it."""
    path = tmp_path_factory.mktemp("worker") / "models"
    rows, made = world(), 1_772_409_600_000
    models, trained = ModelFolder(path), train(rows, version=1)
    written = card(trained, rows, made=made, costs=Costs(), seed=1)
    models.make()
    models.add(trained.model, written, markdown(written), now=made)
    models.keep(
        models.registry().moved(
            OFFLINE, 1, Stage.ENFORCE, by="lee", why="", now=made + 1, reviewed=Reviewed(right=0, wrong=0), owner="kim"
        )
    )
    return path


class Stand:
    """A worker with models and without rules, and what it made."""

    def __init__(self, client: Redis, port: int) -> None:
        self.client = client
        self.store = PolicyStore(client, StoreSettings(prefix=PREFIX, deadline_s=10.0))
        self.url = f"http://{HOST}:{port}/metrics"
        self.number = 0

    async def send(self, *events: dict[str, Any]) -> None:
        rows = []
        for fields in events:
            self.number += 1
            base = {"id": f"E{self.number:08}", "ts": time.time_ns() // 1_000_000, "gw": "app", "pol": "allow"}
            rows.append(encode_event(event_of(base | fields)))
        await self.client.xadd(stream_key(PREFIX, 0), {b"b": encode_blob(rows, source="test")})

    async def metric(self, name: str) -> float | None:
        """The trained version's number."""
        async with aiohttp.ClientSession() as session, session.get(self.url) as answer:
            text = await answer.text()
        found = re.search(rf'^{name}{{[^}}]*"{OFFLINE}"[^}}]*version="1"}} (\S+)', text, re.MULTILINE)
        return None if found is None else float(found[1])

    async def enforced(self) -> list[Policy]:
        page = await self.store.list(limit=500, after=None)
        return [policy for policy in page.policies if policy.mode is Mode.ENFORCE]


@asynccontextmanager
async def working(server: Valkey, folder: Path, tmp_path: Path) -> AsyncIterator[Stand]:
    settings = tmp_path / "settings.json"
    off = {rule.name: {"mode": "off"} for rule in DETECTORS}
    settings.write_text(json.dumps({"detectors": off, "narrow_ms": 0}))
    port = ReservedPort(0, what="metrics")
    client = server.client()
    stand = Stand(client, port.number)
    await stand.store.establish(now_ms=time.time_ns() // 1_000_000, epoch_randomness=os.urandom(8))
    port.release()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "haetae_cli.main", "fds", "run", "--redis", f"unix://{server.socket}"),
        *("--prefix", PREFIX, "--state", str(tmp_path / "state"), "--metrics", f"{HOST}:{port.number}"),
        *("--settings", str(settings), "--models", str(folder)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield stand
    finally:
        process.terminate()
        await process.wait()
        await client.aclose()


def log_in(address: str, account: str, *, right: bool) -> dict[str, Any]:
    return {
        "ip": address, "asn": 64500, "ja4": "j", "ua": "a", "hdr": "h", "api": "POST /sessions", "route": "login",
        "acct": account, "auth": "ok" if right else "bad", "cred_fp": f"{account}:{right}",
        "status": 200 if right else 401,
    }  # fmt: skip


async def test_trained_model_watches_until_it_knows_the_service_and_then_asks_an_attacker_for_more(
    folder: Path, tmp_path: Path
) -> None:
    async with valkey() as server, working(server, folder, tmp_path) as stand:
        await stand.send(*(log_in(f"198.51.{n}.1", f"a{n}", right=True) for n in range(20)))
        await until(lambda: judged(stand))
        assert await stand.metric("haetae_fds_model_role") == 0
        for batch in range(ENOUGH // 50):
            people = range(50 * batch, 50 * batch + 50)
            await stand.send(*(log_in(f"198.52.{n // 250}.{n % 250}", f"b{n}", right=True) for n in people))
        await until(lambda: acts(stand))
        assert not await stand.enforced()
        await stand.send(*(log_in("203.0.113.9", f"v{n}", right=False) | {"ja4": "k"} for n in range(40)))
        await until(stand.enforced)
        made = await stand.enforced()
        assert await stand.metric("haetae_fds_model_beyond_total")
    assert {(policy.action, policy.why) for policy in made} == {(Action.CHALLENGE, OFFLINE)}
    assert all((policy.subject.client or "").startswith("k|") for policy in made), made


async def judged(stand: Stand) -> bool:
    try:
        return bool(await stand.metric("haetae_fds_model_judged_total"))
    except aiohttp.ClientError:
        return False


async def acts(stand: Stand) -> bool:
    return await stand.metric("haetae_fds_model_role") == 1


async def until(look: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(60):
        while not await look():  # noqa: ASYNC110 - another process, which tells nobody
            await asyncio.sleep(0.05)
