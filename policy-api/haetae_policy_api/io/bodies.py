"""Request bodies: bounded in size, whatever `Content-Length` says."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from haetae_policy_api.errors import TooLarge

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class BodyLimit:
    """ASGI middleware inside the one that turns problems into answers; raises TooLarge while a body is read."""

    def __init__(self, app: App, *, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._most:
                raise TooLarge(f"a request has at most {self._most} bytes", headers={"Connection": "close"})
            return message

        await self._app(scope, bounded, send)
