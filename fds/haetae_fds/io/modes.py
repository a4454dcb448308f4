"""The switch: off, shadow or enforce, for everything and for each detector, in one hash that every worker follows.

Switching enforcement off also takes back what machines have decided, so that the gateways forget it as fast as the
policy feed travels; a worker that is down or busy does not delay that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from haetae_policy import PolicyConflict, PolicyNotFound
from haetae_policy.io.commands import Commands
from haetae_policy.io.store import MAX_PAGE, PolicyStore
from haetae_policy.model import SourceKind

from haetae_fds.decision import Mode
from haetae_fds.io.keys import modes_key

OVERALL: Final = "overall"
CAUTION: Final = (Mode.OFF, Mode.SHADOW, Mode.ENFORCE)


class Modes:
    """Reads and sets the modes. Raises StoreUnavailable."""

    def __init__(self, commands: Commands, *, prefix: str) -> None:
        self._commands = commands
        self._key = modes_key(prefix)

    async def read(self) -> dict[str, Mode]:
        """What is set; unknown words count as shadow, which harms nobody."""
        raw = await self._commands.call("HGETALL", self._key)
        pairs = raw.items() if isinstance(raw, Mapping) else zip(raw[::2], raw[1::2], strict=True)
        return {name.decode(): _mode(value.decode()) for name, value in pairs}

    async def of(self, detector: str) -> Mode:
        """The most that is switched on for a detector at this moment."""
        set_ = await self.read()
        found = [set_[name] for name in (OVERALL, detector) if name in set_]
        return min(found, key=CAUTION.index, default=Mode.ENFORCE)

    async def set(self, name: str, mode: Mode) -> None:
        """Set the mode of a detector, or of `OVERALL`."""
        await self._commands.call("HSET", self._key, name, mode.value)


async def take_back(store: PolicyStore, *, detector: str | None, since_ms: int, by: str, now_ms: int) -> int:
    """Revoke what machines decided since a time, of one detector or all; returns how many policies ended."""
    after, taken = None, 0
    while True:
        page = await store.list(limit=MAX_PAGE, after=after)
        for policy in page.policies:
            if policy.source.kind is not SourceKind.FDS or policy.created_ms < since_ms:
                continue
            if detector is not None and policy.source.name != detector:
                continue
            try:
                await store.revoke(policy.id, version=policy.version, by=by, now_ms=now_ms)
            except (PolicyNotFound, PolicyConflict):
                continue
            taken += 1
        after = page.after
        if after is None or page.policies[-1].created_ms < since_ms:
            return taken


def _mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        return Mode.SHADOW
