"""What requests share: one reading of the overview a second, and how many watch."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from haetae_policy_api.console.io.casebook import Casebook
from haetae_policy_api.console.overview import overview
from haetae_policy_api.errors import TooMany
from haetae_policy_api.faults import said
from haetae_policy_api.service.context import Context

MOST_WATCHERS: Final = 100
_FRESH_MS: Final = 1000


class Shared:
    """One per application."""

    def __init__(self, casebook: Casebook) -> None:
        self._casebook = casebook
        self._lock = asyncio.Lock()
        self._read_ms = 0
        self._data: dict[str, Any] = {}
        self._watchers = 0

    async def overview(self, context: Context, *, now_ms: int) -> dict[str, Any]:
        """Return the overview, at most a second old; raises StoreUnavailable."""
        async with self._lock:
            if not 0 <= now_ms - self._read_ms < _FRESH_MS:
                told, decided = await self._casebook.told(), await self._casebook.decisions()
                self._data = await overview(context, told=told, decided=decided, now_ms=now_ms)
                self._read_ms = now_ms
            return self._data

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count a watcher while the block runs."""
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1

    def check_room(self) -> None:
        """Raise TooMany when nobody else may watch."""
        if self._watchers >= MOST_WATCHERS:
            raise TooMany(said("watchers_full"), headers={"Retry-After": "10"})
