"""A connection to Redis that is dialled again whenever it is lost, in the background.

Rules kept: one connection and one dialling at a time; whoever asks while there is none is told so at once, so that a
store that hangs or is gone costs a request neither memory nor time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from haetae_edge.io.redis_link import LinkError, RedisLink

#: Seconds for opening a connection.
CONNECT: Final = 0.5


class StandingLink:
    """`start` before use, `close` after. `failures` counts attempts that failed and links that were dropped."""

    def __init__(self, url: str, *, pause: float, on_open: Callable[[], None] | None = None) -> None:
        """`pause` is seconds between two attempts; `on_open` is called when a connection stands."""
        self._url = url
        self._pause = pause
        self._on_open = on_open
        self._link: RedisLink | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._closed = False
        self.failures = 0

    @property
    def link(self) -> RedisLink | None:
        """The connection, if one stands."""
        link = self._link
        return link if link is not None and link.usable else None

    async def start(self) -> None:
        """Open the connection; a store that is down is dialled again in the background."""
        self.dial()
        if self._dialling is not None:
            await asyncio.wait((self._dialling,), timeout=CONNECT)

    def dial(self) -> None:
        """Begin to open a connection, where nobody does so already."""
        if self._dialling is None and not self._closed:
            self._link = None
            self._dialling = asyncio.ensure_future(self._connect())

    def drop(self, link: RedisLink) -> None:
        """Close a connection that cannot be relied on; where it was the one in use, dial another."""
        self.failures += 1
        if link is self._link:
            self._link = None
            self.dial()
        link.close()

    async def _connect(self) -> None:
        try:
            while not self._closed:
                try:
                    self._link = await RedisLink.connect(self._url, deadline=CONNECT)
                except LinkError:
                    self.failures += 1
                    await asyncio.sleep(self._pause)
                else:
                    break
        finally:
            self._dialling = None
        if self._link is not None and self._on_open is not None:
            self._on_open()

    async def end_dialling(self) -> None:
        """Open no connection any more; one that stands may still be used."""
        self._closed = True
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.wait((self._dialling,))

    async def close(self) -> None:
        """Give up what is under way: its callers get `LOST`."""
        await self.end_dialling()
        if self._link is not None:
            self._link.close()
            self._link = None
