"""The one timer of a connection.

Rules kept: moving a deadline later costs an assignment; only moving it before the timer that is already
armed costs a timer. When the timer fires its owner looks at what is due by then and arms it again. Late by
the loop's timer resolution, about a millisecond, never early by more than that.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Final

SLACK: Final = 0.001  # seconds; the resolution of the loop's timers


class Watch:
    """Calls ``on_due`` at the time set last, on the loop's clock.

    ``limit`` is a second time that is never passed.
    """

    __slots__ = ("_armed_at", "_loop", "_on_due", "_on_early", "_timer", "due", "limit")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, on_early: Callable[[], float], on_due: Callable[[], None]
    ) -> None:
        """``on_early`` is asked, each time the timer fires, when the owner is really due."""
        self._loop = loop
        self._on_early = on_early
        self._on_due = on_due
        self._timer: asyncio.TimerHandle | None = None
        self._armed_at = math.inf
        self.due = math.inf
        self.limit = math.inf

    def set(self, due: float) -> None:
        """Expect ``on_due`` at ``due`` or ``limit``, whichever is first, instead of any time set before."""
        if self.limit < due:
            due = self.limit
        self.due = due
        if due < self._armed_at:
            if self._timer is not None:
                self._timer.cancel()
            self._armed_at = due
            self._timer = self._loop.call_at(due, self._fired)

    def cancel(self) -> None:
        """Never call back again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed_at = -math.inf

    def _fired(self) -> None:
        self._timer = None
        self._armed_at = math.inf
        due = min(self._on_early(), self.limit)
        if due > self._loop.time() + SLACK:
            self.set(due)
        else:
            self._on_due()
