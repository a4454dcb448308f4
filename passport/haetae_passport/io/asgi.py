"""ASGI middleware: every request of the service carries a Passport, or does not get in.

Rules kept: HTTP and WebSocket alike; an unknown kind of connection is refused, not passed through; paths are
left open only when listed, compared exactly. The Passport is at `scope["haetae.passport"]` and, for Starlette
and FastAPI, at `request.state.passport`.

    app = PassportMiddleware(app, gate=PassportGate(verifier=…, keys=PassportKeys("https://gateway/…")))

Not done here: authorization. What a caller may do is for the service to decide from the Passport.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from haetae_passport.io.gate import PassportGate
from haetae_passport.refusal import Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

SCOPE_KEY: Final = "haetae.passport"
STATE_KEY: Final = "passport"
_POLICY_VIOLATION: Final = 1008  # RFC 6455 section 7.4.1


class PassportMiddleware:
    """Wraps an ASGI application. Starts fetching keys with the application and stops with it."""

    def __init__(self, app: AsgiApp, *, gate: PassportGate, open_paths: frozenset[str] = frozenset()) -> None:
        """`open_paths` are served without a Passport: health checks, nothing else. HTTP only."""
        self._app = app
        self._gate = gate
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection. Raises ValueError for kinds of connection it cannot guard."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(scope, receive, send)
        elif kind == "http" and scope["path"] in self._open_paths:
            await self._app(scope, receive, send)
        elif kind in ("http", "websocket"):
            await self._guard(scope, receive, send)
        else:
            raise ValueError(f"cannot guard a connection of type {kind!r}")

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        outcome = await self._gate.admit(lines)
        if not isinstance(outcome, Refusal):
            state = {**scope.get("state", {}), STATE_KEY: outcome}
            await self._app({**scope, SCOPE_KEY: outcome, "state": state}, receive, send)
        elif scope["type"] == "http":
            await _answer(outcome, send, "http.response")
        elif "websocket.http.response" in (scope.get("extensions") or {}):
            await receive()  # websocket.connect comes first, whatever the answer
            await _answer(outcome, send, "websocket.http.response")
        else:
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watch_receive() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._gate.keys.warm()
            return message

        try:
            await self._app(scope, watch_receive, send)
        finally:
            await self._gate.keys.aclose()


async def _answer(refusal: Refusal, send: Send, prefix: str) -> None:
    length = ("Content-Length", str(len(refusal.body)))
    headers = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in (*refusal.headers, length)]
    await send({"type": f"{prefix}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{prefix}.body", "body": refusal.body})
