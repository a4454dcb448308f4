"""aiohttp middleware: every request of the service carries a Passport, or does not get in.

Rules kept: WebSocket handshakes and unknown paths alike; paths are left open only when listed, compared
exactly. The Passport is at `request[PASSPORT]`.

    app = web.Application()
    guard_with_passport(app, gate=PassportGate(verifier=…, keys=PassportKeys("https://gateway/…")))

Not done here: authorization. What a caller may do is for the service to decide from the Passport.
"""

from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from haetae_passport.claims import Passport
from haetae_passport.io.gate import PassportGate
from haetae_passport.refusal import Refusal

PASSPORT: Final = web.RequestKey("haetae.passport", Passport)


def guard_with_passport(app: web.Application, *, gate: PassportGate, open_paths: frozenset[str] = frozenset()) -> None:
    """Put `passport_middleware` in front of all other middlewares of `app`, and tie the keys to its life."""

    async def keys(_app: web.Application) -> AsyncIterator[None]:
        gate.keys.warm()
        yield
        await gate.keys.aclose()

    app.middlewares.insert(0, passport_middleware(gate=gate, open_paths=open_paths))
    app.cleanup_ctx.append(keys)


def passport_middleware(*, gate: PassportGate, open_paths: frozenset[str] = frozenset()) -> Middleware:
    """The middleware by itself. `open_paths` are served without a Passport: health checks, nothing else."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in open_paths:
            return await handler(request)
        outcome = await gate.admit(request.headers.items())
        if isinstance(outcome, Refusal):
            return web.Response(status=outcome.status, headers=dict(outcome.headers), body=outcome.body)
        request[PASSPORT] = outcome
        return await handler(request)

    return middleware
