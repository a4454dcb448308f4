"""Spike alerts beside fraud detection: the same events, counted by minutes, told to people.

One watch per process sees the events of all its shards. What it has learned is kept in a file of its own, so that a
restart does not begin with ten silent minutes; minutes that were open then may count a few seconds twice. An event from
the future counts when it arrives: one gateway whose clock is wrong must not close the minutes of the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from haetae_fds.alerts import Alert, SpikeDetector, WindowCounter
from haetae_fds.decision import Decision, Op
from haetae_fds.delivery.checkpoint import Checkpoint
from haetae_fds.event import Event
from haetae_fds.io.checkpoints import CheckpointFolder

_log = logging.getLogger("haetae.alerts")
_SAVE_SECONDS: Final = 60.0
_AHEAD: Final = 30_000


INCIDENTS: Final = frozenset({"over_budget", "systemic_fault", "clock_skew"})


def incident_of(decision: Decision) -> Alert | None:
    """What people are woken for: our own faults, and detectors that were taken out of action. None for the rest."""
    if decision.detector not in INCIDENTS or decision.op is not Op.PUT:
        return None
    gateway = None if decision.api is None else decision.api.gateway
    return Alert(
        minute=decision.ts // 60_000,
        kind="incident",
        gateway=gateway or "haetae",
        errors=decision.detector,
        episode=decision.campaign or decision.pid,
        text=decision.why,
    )


class Watch:
    """Call `observe` with every event; run `keep` beside. `clock_ms` is this process's."""

    def __init__(self, folder: CheckpointFolder, *sinks: Callable[[Alert], None], clock_ms: Callable[[], int]) -> None:
        self._folder = folder
        self._clock_ms = clock_ms
        self._sinks = sinks
        self._counter = WindowCounter()
        self._detector = SpikeDetector()
        self.told = 0
        checkpoint, wrong = folder.load()
        for line in wrong:
            _log.error("saved alerts left aside: %s", line)
        if checkpoint is not None:
            self._counter, self._detector = checkpoint.state

    @property
    def late(self) -> int:
        """Events of minutes that were closed before they came."""
        return self._counter.late

    def observe(self, event: Event) -> None:
        """Count one event; tell what its minute brings to light."""
        if event.ts > (now := self._clock_ms()) + _AHEAD:
            event = replace(event, ts=now)
        for minute, windows in self._counter.observe(event):
            for alert in self._detector.minute(minute, windows):
                self.told += 1
                for sink in self._sinks:
                    sink(alert)

    async def keep(self) -> None:
        """Save now and then, and once more when cancelled."""
        try:
            while True:
                await asyncio.sleep(_SAVE_SECONDS)
                self._save()
        finally:
            self._save()

    def _save(self) -> None:
        self._folder.write(self._make, written=lambda: None, wait=True)

    def _make(self) -> Checkpoint:
        return Checkpoint(positions={}, made_ms=0, state=(self._counter, self._detector))
