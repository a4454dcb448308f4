"""Starting one demo service: in-process for tests, or as a program.

Rules kept: no request body is decompressed behind the handler's back, bodies are bounded, every refusal is
problem+json without internals, a stop signal ends the program with exit code 0. Terminates no TLS: the demo
world listens on loopback.
"""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson
from aiohttp import web

from haetae_demo.errors import DemoError
from haetae_demo.fields import MAX_BODY_BYTES, Fields, parse_object

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def json_response(value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """``value`` as ``application/json``, never cached."""
    return web.Response(
        body=orjson.dumps(value),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def problem(*, status: int, code: str, title: str) -> web.Response:
    """An RFC 9457 answer; 401 carries the challenge RFC 9110 section 11.6.1 requires."""
    headers = {"Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 503:
        headers["Retry-After"] = "1"
    body = {"type": "about:blank", "title": title, "status": status, "code": code}
    return web.Response(
        body=orjson.dumps(body), status=status, content_type="application/problem+json", headers=headers
    )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn refusals, and aiohttp's own, into problem+json."""
    try:
        if request.headers.get("Content-Encoding", "identity") != "identity":
            return problem(status=415, code="content-encoding", title="Send the body without a content coding")
        return await handler(request)
    except DemoError as refusal:
        return problem(status=refusal.status, code=refusal.code, title=str(refusal))
    except web.HTTPException as answer:
        if answer.status < 400:
            raise
        made = problem(status=answer.status, code=f"http-{answer.status}", title=answer.reason)
        if "Allow" in answer.headers:
            made.headers["Allow"] = answer.headers["Allow"]
        return made


async def body_fields(request: web.Request) -> Fields:
    """The request's JSON object, ready to be read member by member.

    Raises:
        RequestInvalid: not a JSON object, or too long.
    """
    return Fields(parse_object(await request.read()))


def application(*middlewares: Callable[..., Awaitable[web.StreamResponse]]) -> web.Application:
    """An application with the middlewares every service has, then ``middlewares``."""
    app = web.Application(middlewares=[problems, *middlewares], client_max_size=MAX_BODY_BYTES)
    app.router.add_get("/readyz", _ready)
    return app


async def _ready(_: web.Request) -> web.Response:
    return json_response({"ready": True})


def bind(*, host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A bound socket for :func:`serve`, so that a service can know its address before it exists.

    Port 0 takes a free one. The port may be shared with a socket of the same user that is bound but not
    listening: that is how a supervisor keeps a port for its child.

    Raises:
        OSError: the address is taken or not ours.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    """The base URL of a bound socket, without a trailing slash."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def serve(app: web.Application, *, listener: socket.socket | None = None) -> AsyncIterator[str]:
    """Run ``app`` until the block ends; gives its base URL. Closes ``listener`` (default: a free port)."""
    listener = bind() if listener is None else listener
    runner = web.AppRunner(app, auto_decompress=False, access_log=None, shutdown_timeout=2)
    try:
        await runner.setup()
        await web.SockSite(runner, listener).start()
        yield url_of(listener)
    finally:
        await runner.cleanup()
        listener.close()


async def until_stopped() -> None:
    """Wait for SIGINT or SIGTERM."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
