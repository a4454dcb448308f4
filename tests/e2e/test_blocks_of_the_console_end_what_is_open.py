"""From an analyst's POST to a closed socket: everything between them runs in processes of its own.

Two people have a WebSocket and an event stream of a tool open through the internal gateway, with two workers. A third
person, who is an analyst by her groups, blocks one of them through the policy API behind the same gateway.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from haetae_cli.stack import StackOptions, run_stack
from haetae_cli.staff import tool_origin
from haetae_cli.state import StateDirectory
from haetae_cli.tour.browser import Browser
from haetae_cli.tour.staff import demo_password
from haetae_demo.io.localhost import local_session

INTERNAL = Path(__file__).resolve().parents[2] / "config" / "internal"
WORKERS = 2
AT_ONCE = 1.0
SOCKETS = 4
WAITED = 0.02
#: For a policy, or because its session ended with it: whichever a worker hears of first.
CLOSED = {1008, 4401}

pytestmark = pytest.mark.timeout(120)


@dataclass(kw_only=True)
class Person:
    """Somebody who signed in, and what they hold open."""

    browser: Browser
    dashboard: str
    sockets: list[aiohttp.ClientWebSocketResponse] = field(default_factory=list)
    stream: aiohttp.ClientResponse | None = None

    async def open_everything(self) -> None:
        """So many sockets that each worker has some, and a stream; all of them deliver."""
        for _ in range(SOCKETS):
            url = f"{self.dashboard}/live"
            headers = {**self.browser.cookie_header(url), "Origin": self.dashboard}
            socket = await self.browser.session.ws_connect(url, headers=headers)
            assert "tick" in await socket.receive_json(timeout=5)
            self.sockets.append(socket)
        url = f"{self.dashboard}/events"
        headers = {**self.browser.cookie_header(url), "Accept": "text/event-stream"}
        self.stream = await self.browser.session.get(url, headers=headers)
        assert self.stream.status == 200
        assert self.stream.content_type == "text/event-stream"
        assert await self.stream.content.readany()

    async def all_closed(self) -> list[int | None]:
        """Read everything to its end; the codes the sockets were closed with."""
        assert self.stream is not None
        await asyncio.gather(*(_read_out(socket) for socket in self.sockets), _break_off(self.stream))
        return [socket.close_code for socket in self.sockets]

    async def let_go(self) -> None:
        """Close what is still open."""
        for socket in self.sockets:
            await socket.close()
        if self.stream is not None:
            self.stream.close()

    async def still_delivers(self) -> bool:
        """Whether every socket and the stream have something new, not only what was under way."""
        assert self.stream is not None
        asks: list[Callable[[], Awaitable[Any]]] = [socket.receive_json for socket in self.sockets]
        asks.append(self.stream.content.readany)
        return all([await _fresh(ask) for ask in asks])


async def _fresh(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Read what has piled up until something had to be waited for; return that."""
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        found = await asyncio.wait_for(ask(), 5)
        if loop.time() - began >= WAITED or not found:
            return found


async def _read_out(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


async def _break_off(stream: aiohttp.ClientResponse) -> None:
    """Read until the gateway breaks off; an answer that ended in good order was not cut."""
    with pytest.raises(aiohttp.ClientPayloadError):
        await stream.content.read()


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """A running stack with the internal gateway."""

    port: int
    opened: list[Person] = field(default_factory=list)

    @asynccontextmanager
    async def person(self, who: str, tool: str = "dashboard") -> AsyncIterator[Person]:
        """Sign in at a tool."""
        async with local_session() as session:
            browser = Browser(session=session)
            origin = tool_origin(tool, self.port)
            page = await browser.visit(f"{origin}/")
            page = await browser.submit(page, username=who, password=demo_password(who))
            assert page.status == 200
            assert page.url.startswith(origin), page.url
            person = Person(browser=browser, dashboard=origin)
            try:
                yield person
            finally:
                await person.let_go()

    async def ask(self, analyst: Person, path: str, document: dict[str, Any], **headers: str) -> tuple[int, Any]:
        """POST to the policy API as a script of the console's own page would."""
        console = tool_origin("console", self.port)
        url = f"{console}{path}"
        sent = {
            **analyst.browser.cookie_header(url),
            "Origin": console,
            "Sec-Fetch-Site": "same-origin",
            "Sec-Fetch-Mode": "cors",
            "Accept": "application/json",
            **headers,
        }
        async with analyst.browser.session.post(url, json=document, headers=sent) as answer:
            return answer.status, json.loads(await answer.read())


@asynccontextmanager
async def office(folder: Path) -> AsyncIterator[Office]:
    config = folder / "config"
    shutil.copytree(INTERNAL, config / "internal")
    options = StackOptions(state=StateDirectory(folder / "state"), config=config, port_base=0, workers=WORKERS)
    async with run_stack(options) as started:
        yield Office(port=urlsplit(started.running.gateways["internal"]).port or 0)


def block(**subject: str) -> dict[str, Any]:
    return {"subject": subject, "action": "block", "reason": "seen on the phone", "lasts_s": 300}


async def test_sockets_and_streams_of_who_is_blocked_close_within_a_second_and_nobody_elses(tmp_path: Path) -> None:
    async with (
        office(tmp_path) as site,
        site.person("mina", "console") as analyst,
        site.person("joon") as joon,
        site.person("sora") as sora,
    ):
        await asyncio.gather(joon.open_everything(), sora.open_everything())
        status, told = await site.ask(analyst, "/v1/policies", block(user="somebody-else"))
        assert (status, told["course"]) == (201, "in_force")
        assert await joon.still_delivers(), "a block of somebody else ends nothing"
        loop = asyncio.get_running_loop()
        closing = asyncio.create_task(joon.all_closed())
        began = loop.time()
        status, told = await site.ask(analyst, "/v1/policies", block(user="op-joon"))
        assert (status, told["policy"]["source"]["name"]) == (201, "op-mina")
        async with asyncio.timeout_at(began + AT_ONCE):
            codes = await closing
        assert len(codes) == SOCKETS
        assert set(codes) <= CLOSED
        assert await sora.still_delivers(), "nobody else's is closed"
        page = await joon.browser.visit(f"{joon.dashboard}/")
        assert page.status == 403, "signing in anew is no way around"
        status, _ = await site.ask(
            analyst, f"/v1/policies/{told['policy']['id']}/revoke", {"reason": "a mistake"}, **{"If-Match": '"1"'}
        )
        assert status == 200
        async with site.person("joon") as back:
            await back.open_everything()
            assert await back.still_delivers(), "who was let in again works as before"
