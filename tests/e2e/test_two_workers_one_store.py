"""Two gateway workers, one real store, the demo world behind them: raw bytes on many connections at once.

Kept connections are spread over the workers by the kernel; two dozen of them miss a worker once in eight million runs.
"""

import asyncio
import base64
import json
import secrets
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from haetae_cli.blocks import Blocks, open_blocks
from haetae_cli.key_material import KeyMaterial
from haetae_cli.stack import StackOptions, run_stack
from haetae_cli.state import StateDirectory
from haetae_cli.tour import Place
from haetae_cli.tour.calls import JOON_CODE, MINA_CODE, new_app
from haetae_cli.visit import visit
from haetae_crypto.client import PreparedRequest
from haetae_crypto.signing_keys import SigningKey
from haetae_demo.errors import AnswerInvalid
from haetae_demo.io.mobile import MobileApp, fetch_app_keys
from haetae_passport import JWKS_PATH
from yarl import URL

from tests.simulator.client import Client, connect
from tests.simulator.valkey import Valkey, valkey

APP = Path(__file__).parents[2] / "config" / "app"
ACCOUNTS, ECHO, TRANSFERS = "/api/v1/accounts", "/api/v1/echo", "/api/v1/transfers"
WORKERS, CONNECTIONS = 2, 24
DOWN = (503, "replay-store-unavailable")
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What runs: the place as the tour sees it, the policies, the store."""

    place: Place
    blocks: Blocks
    store: Valkey

    @property
    def port(self) -> int:
        port = URL(self.place.gateway).port
        assert port is not None
        return port


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An answer as the app reads it. `seconds` from the first byte sent to the last one received."""

    status: int
    code: str | None
    body: bytes
    retry_after: list[bytes]
    seconds: float

    @property
    def outcome(self) -> tuple[int, str | None]:
        return self.status, self.code


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Stack]:
    """The stack of `haetae up` on free ports, with a store that the test can hang and kill; both people enrolled."""
    config = folder / "config"
    shutil.copytree(APP, config / "app")
    async with valkey() as store:
        options = StackOptions(
            state=StateDirectory(folder / "state"),
            config=config,
            port_base=0,
            workers=WORKERS,
            redis_url=store_url(store),
        )
        async with (
            run_stack(options) as started,
            visit(started.running) as place,
            open_blocks(store_url(store)) as blocks,
        ):
            place.apps["mina"] = await new_app(place, MINA_CODE)
            place.apps["joon"] = await new_app(place, JOON_CODE)
            yield Stack(place=place, blocks=blocks, store=store)


def store_url(store: Valkey) -> str:
    return f"unix://{store.socket}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with running(tmp_path_factory.mktemp("stack")) as found:
        yield found


@asynccontextmanager
async def connections(stack: Stack, count: int = CONNECTIONS) -> AsyncIterator[list[Client]]:
    """So many open connections, accepted by one worker or the other."""
    async with AsyncExitStack() as opened:
        yield [await opened.enter_async_context(connect(stack.port)) for _ in range(count)]


def raw(prepared: PreparedRequest) -> bytes:
    """The request as it crosses the wire."""
    fields = [("host", prepared.authority), *prepared.headers]
    if prepared.body is not None:
        fields.append(("content-length", str(len(prepared.body))))
    names = [name.lower() for name, _ in fields]
    assert len(names) == len(set(names)), names
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{prepared.method} {prepared.target} HTTP/1.1\r\n{head}\r\n".encode() + (prepared.body or b"")


async def ask(client: Client, prepared: PreparedRequest) -> Seen:
    """Send these bytes on this connection and open the answer."""
    loop = asyncio.get_running_loop()
    data = raw(prepared)
    began = loop.time()
    answer = await client.ask(data)
    seconds = loop.time() - began
    fields = [(name.decode(), value.decode()) for name, value in answer.fields]
    body = prepared.opener.open(answer.status, fields, answer.body).body
    is_problem = answer.values(b"content-type") == [b"application/problem+json"]
    return Seen(
        status=answer.status,
        code=json.loads(body)["code"] if is_problem else None,
        body=body,
        retry_after=answer.values(b"retry-after"),
        seconds=seconds,
    )


async def ask_each(clients: list[Client], prepared: list[PreparedRequest]) -> list[Seen]:
    """One request on each connection, all at once."""
    return await asyncio.gather(*(ask(client, one) for client, one in zip(clients, prepared, strict=True)))


def reads(app: MobileApp, count: int = CONNECTIONS) -> list[PreparedRequest]:
    return [app.prepare("GET", ACCOUNTS) for _ in range(count)]


def order(app: MobileApp) -> PreparedRequest:
    """Move one won from Mina's first account to her second. The bank answers 201, and 200 to a repetition."""
    headers = (("content-type", "application/json"), ("idempotency-key", secrets.token_hex(12)))
    body = json.dumps({"from": "110-204-0001", "to": "110-204-0002", "amount": 1}).encode()
    return app.prepare("POST", TRANSFERS, headers=headers, body=body)


async def balances(stack: Stack) -> dict[str, int]:
    answer = await stack.place.mina.call("GET", ACCOUNTS)
    assert answer.status == 200, answer
    return {account["id"]: account["balance"] for account in json.loads(answer.body)["accounts"]}


async def until_served(clients: list[Client], app: MobileApp) -> float:
    """Seconds until a fresh request is answered with 200 on every one of these connections."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(20):
        for client in clients:
            while (await ask(client, app.prepare("GET", ACCOUNTS))).status != 200:  # noqa: ASYNC110 - the answer tells
                await asyncio.sleep(0.01)
    return loop.time() - began


async def assert_everything_is_refused(stack: Stack, clients: list[Client]) -> None:
    """Orders all at once, then reads one by one: each is refused in time and says when to come again."""
    mina = stack.place.mina
    together = await ask_each(clients, [order(mina) for _ in clients])
    alone = [await ask(client, one) for client, one in zip(clients, reads(mina), strict=True)]
    assert {seen.outcome for seen in alone + together} == {DOWN}
    assert all(len(seen.retry_after) == 1 and int(seen.retry_after[0]) > 0 for seen in alone + together)
    assert max(seen.seconds for seen in alone + together) < 0.1


async def test_of_a_hundred_identical_orders_sent_at_once_to_two_workers_exactly_one_passes(stack: Stack) -> None:
    before = await balances(stack)
    async with connections(stack, 100) as clients:
        found = await ask_each(clients, [order(stack.place.mina)] * 100)
    assert Counter(seen.outcome for seen in found) == {(201, None): 1, (401, "replayed"): 99}
    after = await balances(stack)
    assert before["110-204-0001"] - after["110-204-0001"] == 1
    assert after["110-204-0002"] - before["110-204-0002"] == 1


async def test_hung_store_means_503_in_time_nothing_forwarded_and_served_again_within_a_second(stack: Stack) -> None:
    mina = stack.place.mina
    before = await balances(stack)
    async with connections(stack) as clients:
        assert {seen.outcome for seen in await ask_each(clients, reads(mina))} == {(200, None)}
        stack.store.hang()
        try:
            await assert_everything_is_refused(stack, clients)
        finally:
            stack.store.resume()
        assert await until_served(clients, mina) < 1
    assert await balances(stack) == before


async def test_killed_store_means_the_same_and_blocks_outlive_the_store_that_told_of_them(tmp_path: Path) -> None:
    async with running(tmp_path) as stack, connections(stack) as clients:
        mina, joon = stack.place.mina, stack.place.joon
        await block(stack, joon)
        before = await balances(stack)
        made = await orders_while_the_store_is_killed(stack, clients)
        await assert_everything_is_refused(stack, clients)
        assert {seen.outcome for seen in await ask_each(clients, reads(joon))} == {DOWN}
        await stack.store.start()
        assert await until_served(clients, mina) < 1
        # The store came back empty: what the workers knew stays in force.
        assert {seen.outcome for seen in await ask_each(clients, reads(joon))} == {(403, "blocked")}
        assert before["110-204-0001"] - (await balances(stack))["110-204-0001"] == made


async def orders_while_the_store_is_killed(stack: Stack, clients: list[Client]) -> int:
    """How many orders were made; every other one was refused for want of the store."""
    sent = [asyncio.create_task(ask(client, order(stack.place.mina))) for client in clients]
    await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
    stack.store.kill()
    outcomes = Counter(seen.outcome for seen in await asyncio.gather(*sent))
    made = outcomes.pop((201, None))
    assert set(outcomes) <= {DOWN}
    return made


async def block(stack: Stack, app: MobileApp) -> str:
    """Block a person everywhere; both workers must have said that they enforce it."""
    effect = await stack.blocks.create(
        {"subject": {"user": app.device.user_id}, "action": "block", "reason": "a test"}, lasts_s=300, by="test"
    )
    assert (effect.applied, effect.workers) == (WORKERS, WORKERS)
    return effect.policy.id


async def test_block_is_enforced_by_both_workers_on_open_connections_and_for_nobody_else(stack: Stack) -> None:
    mina, joon = stack.place.mina, stack.place.joon
    async with connections(stack) as clients:
        assert {seen.outcome for seen in await ask_each(clients, reads(joon))} == {(200, None)}
        policy = await block(stack, joon)
        try:
            assert {seen.outcome for seen in await ask_each(clients, reads(joon))} == {(403, "blocked")}
            assert {seen.outcome for seen in await ask_each(clients, reads(mina))} == {(200, None)}
        finally:
            await stack.blocks.remove(policy)
        assert await until_served(clients, joon) < 5


async def test_retired_app_key_is_refused_by_both_workers_and_apps_go_on_with_the_one_that_took_its_place(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as stack, connections(stack) as clients:
        mina = stack.place.mina
        assert {seen.outcome for seen in await ask_each(clients, echoes(mina))} == {(200, None)}
        keys = KeyMaterial(tmp_path / "state" / "keys")
        [leaked] = [line.kid for line in keys.lines() if line.purpose == "app" and line.state == "active"]
        keys.retire("app", leaked, now=time.time(), random_bytes=secrets.token_bytes)
        async with asyncio.timeout(20):
            while {seen.code for seen in await ask_each(clients, echoes(mina))} != {"content-key-invalid"}:  # noqa: ASYNC110 - the answers tell
                await asyncio.sleep(0.1)
        answer = await mina.call("POST", ECHO, body=b'{"a": 1}')
        assert answer.status == 200, answer
        assert {seen.outcome for seen in await ask_each(clients, echoes(mina))} == {(200, None)}


def echoes(app: MobileApp) -> list[PreparedRequest]:
    return [app.prepare("POST", ECHO, body=b'{"a": 1}') for _ in range(CONNECTIONS)]


async def test_published_app_keys_verify_with_the_pinned_root_key_and_with_no_other(stack: Stack) -> None:
    place = stack.place
    published = await fetch_app_keys(place.session, gateway_url=place.gateway, root_key=place.root_key)
    assert published.choose(now=place.clock()).kid
    stranger = SigningKey.from_seed(bytes(32)).public
    with pytest.raises(AnswerInvalid, match="not to be trusted"):
        await fetch_app_keys(place.session, gateway_url=place.gateway, root_key=stranger)


async def test_published_passport_keys_name_the_key_of_the_passport_and_nothing_secret(stack: Stack) -> None:
    async with connections(stack) as clients:
        request = f"GET {JWKS_PATH} HTTP/1.1\r\nhost: 127.0.0.1:{stack.port}\r\n\r\n".encode()
        answers = [await client.ask(request) for client in clients]
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    keys = json.loads(answers[0].body)["keys"]
    assert all("d" not in key for key in keys)
    echoed = await stack.place.mina.call("GET", "/api/v1/echo")
    passport = dict(json.loads(echoed.body)["headers"])
    [value] = [text for name, text in passport.items() if name.lower() == "x-passport"]
    assert header_of(value)["kid"] in {key["kid"] for key in keys}


def header_of(token: str) -> dict[str, Any]:
    part = token.partition(".")[0]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found
