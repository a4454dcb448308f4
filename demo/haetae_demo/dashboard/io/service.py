"""The tools over HTTP: ``/`` (the page), ``/live`` (WebSocket), ``/events`` (SSE), ``/api/...`` (long poll, JSON).

Which tool answers goes by the first word of the host: ``vault.…`` is the vault, all others the dashboard.

Rules kept: every path but ``/readyz`` and the files of the page wants to know who is looking; streams are
bounded in number and end with the service. Knows nothing of sessions: that is the point.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from importlib import resources

import orjson
from aiohttp import WSCloseCode, web
from haetae_passport.io.gate import PassportGate
from haetae_passport.refusal import Refusal

from haetae_demo.dashboard import page
from haetae_demo.dashboard.viewer import from_headers, from_passport
from haetae_demo.errors import CapacityReached, CredentialsInvalid, RequestInvalid
from haetae_demo.io.serving import application, json_response

MAX_STREAMS = 200
BEAT_SECONDS = 0.5
POLL_SECONDS = 20.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ToolService:
    """All tools. ``gate`` None believes identity headers instead of Passports; ``beat`` in seconds."""

    def __init__(self, *, gate: PassportGate | None, beat: float = BEAT_SECONDS) -> None:
        self._gate = gate
        self._beat = beat
        self._streams: set[asyncio.Task[object]] = set()
        self._began = time.monotonic()

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = application()
        app.router.add_get("/", self._page)
        app.router.add_get("/live", self._live)
        app.router.add_get("/events", self._events)
        app.router.add_get("/api/orders", self._orders)
        app.router.add_get("/api/news", self._news)
        app.router.add_get("/api/me", self._me)
        for name, kind in (("tool.css", "text/css"), ("tool.js", "text/javascript")):
            app.router.add_get(f"/{name}", _file(name, kind))
        app.on_shutdown.append(self._stop)
        return app

    async def viewer(self, request: web.Request) -> page.Viewer:
        """Who is looking.

        Raises:
            CredentialsInvalid: nobody, or nobody to be believed.
        """
        if self._gate is None:
            return from_headers(request.headers)
        admitted = await self._gate.admit(request.headers.items())
        if isinstance(admitted, Refusal):
            raise CredentialsInvalid("this tool is behind a gateway that signs Passports")
        return from_passport(admitted.subject, admitted.user)

    async def _page(self, request: web.Request) -> web.Response:
        viewer = await self.viewer(request)
        draw = page.vault if request.host.partition(".")[0] == "vault" else page.dashboard
        headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": page.policy(request.host),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
        }
        return web.Response(text=draw(viewer), content_type="text/html", headers=headers)

    async def _me(self, request: web.Request) -> web.Response:
        viewer = await self.viewer(request)
        return json_response({"subject": viewer.subject, "name": viewer.name, "groups": list(viewer.groups)})

    async def _orders(self, request: web.Request) -> web.Response:
        await self.viewer(request)
        return json_response({"waiting": 7})

    async def _news(self, request: web.Request) -> web.Response:
        """Waits until there is news after the number the caller has seen."""
        await self.viewer(request)
        after = request.query.get("after", "0")
        if not after.isascii() or not after.isdigit() or len(after) > 9:
            raise RequestInvalid("after must be a number")
        every = self._beat * 4
        told = self._began + (int(after) + 1) * every
        await asyncio.sleep(min(max(told - time.monotonic(), 0.0), POLL_SECONDS))
        return json_response({"number": self._news_number(every)})

    def _news_number(self, every: float) -> int:
        return int((time.monotonic() - self._began) / every)

    async def _live(self, request: web.Request) -> web.WebSocketResponse:
        await self.viewer(request)
        socket = web.WebSocketResponse(heartbeat=30, max_msg_size=4096)
        self._room()
        await socket.prepare(request)
        ticking = asyncio.create_task(self._tick(socket))
        self._streams.add(ticking)
        try:
            async for _ in socket:
                pass  # whatever the page says is not for us
        finally:
            self._streams.discard(ticking)
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
        return socket

    async def _tick(self, socket: web.WebSocketResponse) -> None:
        try:
            for number in itertools.count(1):
                await socket.send_str(orjson.dumps({"tick": number}).decode())
                await asyncio.sleep(self._beat)
        except ConnectionError:
            return
        except asyncio.CancelledError:
            await socket.close(code=WSCloseCode.GOING_AWAY)
            raise

    async def _events(self, request: web.Request) -> web.StreamResponse:
        await self.viewer(request)
        self._room()
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        task = asyncio.current_task()
        if task is not None:
            self._streams.add(task)
        try:
            while True:
                await response.write(f"data: {time.strftime('%H:%M:%S')}\n\n".encode())
                await asyncio.sleep(self._beat)
        except ConnectionError:
            return response
        finally:
            if task is not None:
                self._streams.discard(task)

    def _room(self) -> None:
        if len(self._streams) >= MAX_STREAMS:
            raise CapacityReached("too many open streams")

    async def _stop(self, _: web.Application) -> None:
        for task in list(self._streams):
            task.cancel()


def _file(name: str, kind: str) -> Handler:
    data = resources.files("haetae_demo").joinpath("dashboard", "assets", name).read_bytes()

    async def send(_: web.Request) -> web.Response:
        return web.Response(body=data, content_type=kind, charset="utf-8", headers={"Cache-Control": "max-age=60"})

    return send
