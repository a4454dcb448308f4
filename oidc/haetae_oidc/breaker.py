"""A circuit breaker for one dependency: when it fails too often, callers are told at once instead of waiting.

Closed → open when, within one window, at least `min_calls` calls were made and `failure_share` of them failed. Open →
half-open after `open_seconds`: one call goes through to try. It succeeds → closed; it fails → open again, for twice as
long, up to `max_open_seconds`.

Rules kept: a share without a volume never opens it; only the calls that were let through are counted; a trial that is
never reported is given up after `open_seconds`. Time is an argument (monotonic seconds). Not done here: I/O, retries.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from haetae_oidc.errors import SettingsInvalid

_TWICE: Final = 2.0


class BreakerState(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """When to open and for how long; times in seconds. Raises SettingsInvalid."""

    window_seconds: float = 10.0
    min_calls: int = 10
    failure_share: float = 0.5
    open_seconds: float = 1.0
    max_open_seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.min_calls < 1 or not 0 < self.failure_share <= 1 or self.window_seconds <= 0:
            raise SettingsInvalid("a breaker needs a window, a least number of calls and a share of failures")
        if not 0 < self.open_seconds <= self.max_open_seconds:
            raise SettingsInvalid("open_seconds is positive and at most max_open_seconds")


class Breaker:
    """One per dependency and event loop. Ask `admit` before a call; report each admitted call exactly once."""

    __slots__ = ("_calls", "_failures", "_limits", "_opened", "_pause", "_state", "_trial", "_window")

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._state = BreakerState.CLOSED
        self._calls = 0
        self._failures = 0
        self._window = 0.0
        self._opened = 0.0
        self._pause = limits.open_seconds
        self._trial: float | None = None

    @property
    def state(self) -> BreakerState:
        """As of the last call or report."""
        return self._state

    def admit(self, *, now: float) -> bool:
        """Whether a call may be made now."""
        if self._state is BreakerState.CLOSED:
            return True
        if self._state is BreakerState.OPEN:
            if now < self._opened + self._pause:
                return False
            self._state = BreakerState.HALF_OPEN
            self._trial = now
            return True
        if self._trial is not None and now < self._trial + self._limits.open_seconds:
            return False
        self._trial = now
        return True

    def succeeded(self, *, now: float) -> None:
        """An admitted call got its answer."""
        if self._state is BreakerState.HALF_OPEN:
            self._close(now)
        elif self._state is BreakerState.CLOSED:
            self._count(now, failed=False)

    def failed(self, *, now: float) -> None:
        """An admitted call did not."""
        if self._state is BreakerState.HALF_OPEN:
            self._pause = min(self._pause * _TWICE, self._limits.max_open_seconds)
            self._open(now)
        elif self._state is BreakerState.CLOSED:
            self._count(now, failed=True)
            enough = self._calls >= self._limits.min_calls
            if enough and self._failures >= self._limits.failure_share * self._calls:
                self._open(now)

    def _count(self, now: float, *, failed: bool) -> None:
        if now >= self._window + self._limits.window_seconds:
            self._window, self._calls, self._failures = now, 0, 0
        self._calls += 1
        self._failures += failed

    def _open(self, now: float) -> None:
        self._state = BreakerState.OPEN
        self._opened = now
        self._trial = None

    def _close(self, now: float) -> None:
        self._state = BreakerState.CLOSED
        self._pause = self._limits.open_seconds
        self._window, self._calls, self._failures = now, 0, 0
        self._trial = None
