"""What each edge worker has applied, and from it: is this policy in force everywhere?

A worker writes its own hash, which expires with it, and its place in the lists of live workers and of positions in
the log; the latter keeps the log from being trimmed past a worker that is still reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from haetae_policy.entries import EntryId
from haetae_policy.io.commands import Commands, Executor
from haetae_policy.io.keys import Keys
from haetae_policy.io.scripts import REPORT
from haetae_policy.io.store import StoreSettings

MAX_WORKERS: Final = 1000
RECENT: Final = 64


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """One worker's state. `recent` holds (sequence number, Unix ms at which it and all before were applied)."""

    worker: str
    state: str
    epoch: str
    seq: int
    entry_id: EntryId
    policies: int
    unreadable: int
    seen_ms: int
    recent: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class InForce:
    """How far a change has come. `at_ms`: when the last worker applied it, if all have and still remember."""

    applied: int
    workers: int
    at_ms: int | None


class WorkerReports:
    """Writes and reads the reports."""

    def __init__(self, client: Executor, settings: StoreSettings) -> None:
        self._commands = Commands(client, deadline_s=settings.deadline_s)
        self._keys = Keys(settings.prefix)
        self._life_s = settings.worker_life_s

    async def write(self, report: WorkerReport) -> None:
        """Store a worker's report; raises StoreUnavailable."""
        document = {
            "state": report.state,
            "epoch": report.epoch,
            "seq": report.seq,
            "entry": list(report.entry_id),
            "policies": report.policies,
            "unreadable": report.unreadable,
            "seen": report.seen_ms,
            "recent": report.recent[-RECENT:],
        }
        keys = self._keys
        await self._commands.run(
            REPORT,
            [keys.report(report.worker), keys.workers, keys.positions],
            [
                *(report.worker, report.seen_ms, report.entry_id[0], self._life_s),
                *("seq", report.seq, "report", orjson.dumps(document)),
            ],
        )

    async def read(self, *, now_ms: int) -> tuple[WorkerReport, ...]:
        """Return the reports of workers seen within their life time, by name; raises StoreUnavailable."""
        oldest = now_ms - self._life_s * 1000
        names = await self._commands.call("ZRANGEBYSCORE", self._keys.workers, oldest, "+inf", "LIMIT", 0, MAX_WORKERS)
        reports = []
        for name in sorted(names):
            worker = name.decode()
            raw = await self._commands.call("HGET", self._keys.report(worker), "report")
            if raw is not None:
                reports.append(_report(worker, raw))
        return tuple(reports)

    async def in_force(self, seq: int, *, now_ms: int) -> InForce:
        """Tell how many of the live workers have applied number `seq`; raises StoreUnavailable."""
        reports = await self.read(now_ms=now_ms)
        times = [_applied_at(report, seq) for report in reports if report.seq >= seq]
        known = [moment for moment in times if moment is not None]
        complete = bool(reports) and len(known) == len(reports)
        return InForce(applied=len(times), workers=len(reports), at_ms=max(known) if complete else None)


def _applied_at(report: WorkerReport, seq: int) -> int | None:
    recent: Sequence[tuple[int, int]] = report.recent
    if not recent or recent[0][0] > seq:
        return None
    return next(moment for number, moment in recent if number >= seq)


def _report(worker: str, raw: bytes) -> WorkerReport:
    document = orjson.loads(raw)
    return WorkerReport(
        worker=worker,
        state=document["state"],
        epoch=document["epoch"],
        seq=document["seq"],
        entry_id=(document["entry"][0], document["entry"][1]),
        policies=document["policies"],
        unreadable=document["unreadable"],
        seen_ms=document["seen"],
        recent=tuple((number, moment) for number, moment in document["recent"]),
    )
