"""Which gateway's clock is ahead of the others'.

A gap in the traffic looks like a clock that is ahead until somebody else is heard: a jump of more than two seconds is
believed at first, and taken back when another gateway then speaks from before it. A gateway found ahead counts with
the time of the others until it agrees with them again, or is the only one heard.

Rules kept: O(1), bounded. Not here: what is done with late events.
"""

from __future__ import annotations

from typing import Final

AHEAD: Final = 2_000
LATE: Final = 30_000
_ALONE: Final = 20
_WILD: Final = 600_000
_TELL_EVERY: Final = 600_000
_MAX_GATEWAYS: Final = 1_000


class Clocks:
    """Who jumped last, and who is known to be ahead."""

    def __init__(self) -> None:
        self.jump: tuple[str, int, int] | None = None
        self.fast: dict[str, int] = {}
        self.told: dict[str, int] = {}

    def ahead(self, gateway: str, ts: int, watermark: int) -> bool:
        """Say whether this gateway is known to be ahead and still is."""
        if not self.fast:
            return False
        alone = self.fast.get(gateway)
        if alone is None:
            for other in self.fast:
                self.fast[other] = 0
            return False
        if ts <= watermark + AHEAD or alone >= _ALONE:
            del self.fast[gateway]
            return False
        self.fast[gateway] = alone + 1
        return True

    def settle(self, gateway: str, ts: int, watermark: int) -> int | None:
        """Note or judge a jump; return what the watermark was before one that turns out to be a fast clock."""
        if self.jump is not None:
            jumper, before, to = self.jump
            if gateway == jumper:
                if to - ts > _WILD and ts >= before - LATE:
                    # Its own clock has come back: one wild time must not make everything after it late.
                    self.jump = None
                    return max(before, ts)
            else:
                self.jump = None
                # After a real gap others speak from near its end, or are late from before it.
                if ts < to - AHEAD and (ts <= before + AHEAD or ts < to - LATE):
                    if len(self.fast) < _MAX_GATEWAYS:
                        self.fast[jumper] = 0
                    return max(before, ts)
        if ts > watermark + AHEAD and watermark:
            before = self.jump[1] if self.jump is not None and self.jump[0] == gateway else watermark
            if self.jump is None or watermark - self.jump[2] > AHEAD:
                before = watermark
            self.jump = (gateway, before, ts)
        return None

    def tell(self, gateway: str, now: int) -> bool:
        """Say whether it is time to raise the alarm about this gateway again."""
        last = self.told.get(gateway)
        if last is not None and now - last < _TELL_EVERY:
            return False
        if len(self.told) >= _MAX_GATEWAYS:
            self.told.clear()
        self.told[gateway] = now
        return True
