"""Hearing within a second, on every worker, that sessions ended.

Rules kept: messages may be lost while the connection is, so after each new connection, and every half minute, the
sessions that this worker knows are looked up, and the missing ones count as ended. A session counts as ended once.
Bounded: the sessions known longest are forgotten first.

Not done here: ending sessions; closing streams.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from redis.exceptions import RedisError

from haetae_oidc.errors import SessionStoreUnavailable
from haetae_oidc.io.session_redis import connect

_LOG: Final = logging.getLogger("haetae.oidc")
MAX_KNOWN: Final = 50_000
_LOOK_EVERY: Final = 30.0
_LISTEN: Final = 1.0
_PING_EVERY: Final = 5.0
_SILENT: Final = 12.0
_PAUSE: Final = 0.2
OnEnded = Callable[[frozenset[str]], None]
_MAX_NAME: Final = 64


class EndedSessions:
    """Listens to the store and calls back; `start` inside the event loop, `aclose` at the end."""

    def __init__(
        self, url: str, *, channel: str, deadline: float, alive: Callable[[Iterable[str]], Awaitable[frozenset[str]]]
    ) -> None:
        """`alive` tells which of some sessions exist; it may raise SessionStoreUnavailable."""
        self._url = url
        self._channel = channel
        self._deadline = max(deadline, 0.5)
        self._alive = alive
        self._callbacks: list[OnEnded] = []
        self._known: OrderedDict[str, None] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()
        self._closed = False

    def on_ended(self, callback: OnEnded) -> None:
        """Call `callback` with the names of sessions that ended. It must not raise, and return at once."""
        self._callbacks.append(callback)

    def know(self, name: str) -> None:
        """Watch this session, which was just seen alive."""
        self._known[name] = None
        self._known.move_to_end(name)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def tell(self, names: Iterable[str]) -> None:
        """These sessions ended, as this worker knows first: call back at once."""
        ended = frozenset(names)
        for name in ended:
            self._known.pop(name, None)
        if ended:
            for callback in self._callbacks:
                callback(ended)

    async def look(self) -> None:
        """Look up all known sessions; those that are gone ended. Raises SessionStoreUnavailable."""
        known = list(self._known)
        alive = await self._alive(known)
        self.tell(name for name in known if name not in alive)

    def start(self) -> None:
        """Begin to listen."""
        self._task = asyncio.create_task(self._run())

    @property
    def hearing(self) -> bool:
        """Whether an ending on another worker would be heard now, as far as can be known."""
        return self._listening.is_set()

    async def listening(self) -> None:
        """Wait until messages arrive."""
        await self._listening.wait()

    async def aclose(self) -> None:
        """Stop listening."""
        # redis-py may swallow a cancellation that comes with a reply (cpython#86296), hence also a word to look for.
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while not self._closed:
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError, SessionStoreUnavailable) as why:
                _LOG.warning("not hearing of ended sessions: %s", type(why).__name__)
            self._listening.clear()
            await asyncio.sleep(_PAUSE)

    async def _listen(self) -> None:
        client = connect(self._url, deadline=self._deadline, reply=_LISTEN + self._deadline)
        pubsub: Any = client.pubsub()
        loop = asyncio.get_running_loop()
        try:
            await pubsub.subscribe(self._channel)
            heard = pinged = loop.time()
            look_at = heard
            while not self._closed:
                message = await pubsub.get_message(timeout=_LISTEN)
                now = loop.time()
                if message is not None:
                    heard = now
                    self._take(message)
                if self._listening.is_set() and now >= look_at:
                    look_at = now + _LOOK_EVERY
                    await self.look()
                if now - pinged > _PING_EVERY:
                    pinged = now
                    await pubsub.ping()
                if now - heard > _SILENT:
                    raise TimeoutError
        finally:
            await pubsub.aclose()
            await client.aclose()

    def _take(self, message: dict[str, Any]) -> None:
        data = message.get("data")
        if message.get("type") == "subscribe":
            self._listening.set()
        elif message.get("type") == "message" and isinstance(data, bytes) and len(data) <= _MAX_NAME:
            self.tell((data.decode("ascii", "replace"),))
