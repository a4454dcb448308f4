"""A real HTTP server that publishes keys, and misbehaves on demand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

Answer = Callable[[web.Request], web.StreamResponse]


@dataclass
class JwksServer:
    """Counts the requests it gets; `answer` makes each answer; while `open_gate` is clear, answers are held
    back.
    """

    document: bytes
    answer: Answer | None = None
    hits: int = 0
    port: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)
    open_gate: asyncio.Event = field(default_factory=asyncio.Event)
    hit: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/jwks.json"

    async def wait_for_hits(self, count: int) -> None:
        async with self.hit:
            await self.hit.wait_for(lambda: self.hits >= count)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        async with self.hit:
            self.hits += 1
            self.headers.append(dict(request.headers))
            self.hit.notify_all()
        await self.open_gate.wait()
        if self.answer is not None:
            return self.answer(request)
        return web.Response(body=self.document, content_type="application/jwk-set+json")


@asynccontextmanager
async def jwks_server(document: bytes) -> AsyncIterator[JwksServer]:
    """A running server with its gate open."""
    server = JwksServer(document)
    server.open_gate.set()
    app = web.Application()
    app.router.add_get("/{anything:.*}", server._handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


def bad_answers(document: bytes) -> dict[str, Answer]:
    """Answers that must not replace good keys, by what is wrong with them."""
    json_type = "application/json"
    return {
        "server error": lambda _: web.Response(status=500, body=document, content_type=json_type),
        "redirect": lambda _: web.Response(status=302, headers={"Location": "/elsewhere"}),
        "error page": lambda _: web.Response(text="<html>", content_type="text/html"),
        "no keys": lambda _: web.Response(body=b'{"keys":[]}', content_type=json_type),
        "not JSON": lambda _: web.Response(body=b"keys", content_type=json_type),
        "huge": lambda _: web.Response(body=document + b" " * 5_000_000, content_type=json_type),
        "claims to be compressed": lambda _: web.Response(
            body=document, content_type=json_type, headers={"Content-Encoding": "gzip"}
        ),
        "secret among the keys": lambda _: web.Response(
            body=document.replace(b'"kty"', b'"d":"AA","kty"', 1), content_type=json_type
        ),
    }
