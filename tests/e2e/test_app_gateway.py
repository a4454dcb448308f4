"""The App gateway with two workers, a real store and the demo world: one of many wins, and nothing passes unclaimed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from haetae_cli.blocks import Blocks, open_blocks
from haetae_cli.stack import StackOptions, run_stack
from haetae_cli.state import StateDirectory
from haetae_cli.tour.calls import JOON_CODE, MINA_CODE, new_app
from haetae_cli.tour.place import Place
from haetae_cli.visit import visit
from haetae_demo.io.mobile import Answer, MobileApp

from tests.simulator.valkey import valkey

CONFIG = Path(__file__).parents[2] / "config"
ACCOUNTS = "/api/v1/accounts"
pytestmark = pytest.mark.timeout(120)


@asynccontextmanager
async def stack(folder: Path, *, redis_url: str | None = None) -> AsyncIterator[tuple[Place, Blocks]]:
    """Everything of `haetae up` on free ports, with two workers."""
    options = StackOptions(
        state=StateDirectory(folder / "state"), config=CONFIG, port_base=0, workers=2, redis_url=redis_url
    )
    async with (
        run_stack(options) as started,
        visit(started.running) as place,
        open_blocks(started.running.redis_url) as blocks,
    ):
        yield place, blocks


async def timed(app: MobileApp) -> tuple[Answer, float]:
    """One fresh call and its seconds."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    answer = await app.call("GET", ACCOUNTS)
    return answer, loop.time() - started


async def order(app: MobileApp, key: str) -> Answer:
    """Move one won between two accounts of Mina's."""
    body = orjson.dumps({"from": "110-204-0001", "to": "110-204-0002", "amount": 1, "memo": "e2e"})
    headers = (("Content-Type", "application/json"), ("Idempotency-Key", key))
    return await app.call("POST", "/api/v1/transfers", headers=headers, body=body)


async def until_served(app: MobileApp) -> float:
    """Seconds until a call is answered with 200 again."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with asyncio.timeout(20):
        while (await app.call("GET", ACCOUNTS)).status != 200:  # noqa: ASYNC110 - the answer itself is waited for
            await asyncio.sleep(0.02)
    return loop.time() - started


async def test_of_a_hundred_identical_requests_sent_at_once_to_two_workers_exactly_one_passes(tmp_path: Path) -> None:
    async with stack(tmp_path) as (place, _):
        app = await new_app(place, MINA_CODE)
        prepared = app.prepare("GET", ACCOUNTS)
        answers = await asyncio.gather(*(app.send(prepared) for _ in range(100)))
        assert Counter((answer.status, answer.code) for answer in answers) == {(200, None): 1, (401, "replayed"): 99}


async def test_hung_store_means_503_in_time_nothing_forwarded_and_service_soon_after(tmp_path: Path) -> None:
    async with valkey() as server, stack(tmp_path, redis_url=f"unix://{server.socket}") as (place, _):
        app = await new_app(place, MINA_CODE)
        before = (await app.call("GET", ACCOUNTS)).body
        server.hang()
        calls = [await timed(app) for _ in range(20)]
        orders = [await order(app, f"while-hung-{number}") for number in range(5)]
        server.resume()
        assert {(answer.status, answer.code) for answer, _ in calls} == {(503, "replay-store-unavailable")}
        assert {(answer.status, answer.code) for answer in orders} == {(503, "replay-store-unavailable")}
        assert max(seconds for _, seconds in calls) < 0.2  # 0.1 s at the gateway, and the app's own connection and keys
        assert await until_served(app) < 1
        assert (await app.call("GET", ACCOUNTS)).body == before


async def test_killed_store_means_503_blocks_stay_and_service_returns_with_the_store(tmp_path: Path) -> None:
    async with valkey() as server, stack(tmp_path, redis_url=f"unix://{server.socket}") as (place, blocks):
        mina, joon = await new_app(place, MINA_CODE), await new_app(place, JOON_CODE)
        await blocks.create(
            {"subject": {"user": joon.device.user_id}, "action": "block", "reason": "e2e"}, lasts_s=600, by="e2e"
        )
        server.kill()
        answers = [await mina.call("GET", ACCOUNTS) for _ in range(20)]
        assert {(answer.status, answer.code) for answer in answers} == {(503, "replay-store-unavailable")}
        await server.start()
        assert await until_served(mina) < 1
        # The store came back empty; what the workers know stays in force.
        codes = [(await joon.call("GET", ACCOUNTS)).code for _ in range(40)]
        assert set(codes) <= {"blocked", "replay-store-unavailable"}
        assert set(codes[20:]) == {"blocked"}


async def test_a_block_is_in_force_on_both_workers_at_once_and_for_nobody_else(tmp_path: Path) -> None:
    async with stack(tmp_path) as (place, blocks):
        mina, joon = await new_app(place, MINA_CODE), await new_app(place, JOON_CODE)
        effect = await blocks.create(
            {"subject": {"user": mina.device.user_id}, "api": {"route": "bank"}, "action": "block", "reason": "e2e"},
            lasts_s=600,
            by="e2e",
        )
        assert (effect.applied, effect.workers) == (2, 2)
        blocked = [await mina.call("GET", ACCOUNTS) for _ in range(12)]
        assert {(answer.status, answer.code) for answer in blocked} == {(403, "blocked")}
        assert (await joon.call("GET", ACCOUNTS)).status == 200
