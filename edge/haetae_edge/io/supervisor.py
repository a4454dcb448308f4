"""Keeps the worker processes of one gateway alive, replaces them on reload, ends them gracefully.

No event loop and no threads here, so that forking is safe: it waits for signals. Signals: SIGHUP reads the
configuration again and, if it is good, starts a new generation and drains the old one; SIGTERM and SIGINT drain and
stop. A worker that dies is replaced within a second, more slowly if it keeps dying. Workers hold one end of a pipe and
stop by themselves when the supervisor is gone.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

_log = logging.getLogger("haetae.supervisor")

_SIGNALS: Final = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
_READY_SECONDS: Final = 30.0
_MAX_BACKOFF: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStart:
    """What a worker process is told: its slot, the descriptor to write to when ready, the one that ends it.

    `replaces`: workers of an older configuration serve until this one is ready.
    """

    slot: int
    ready: int
    lifeline: int
    replaces: bool


@dataclass(slots=True)
class _Worker:
    pid: int
    slot: int
    generation: int
    started: float
    ready: int
    is_ready: bool = False


@dataclass(slots=True)
class _Slot:
    failures: int = 0
    start_at: float | None = None
    workers: dict[int, _Worker] = field(default_factory=dict)


class Supervisor:
    """Runs `count` workers. `run_worker` is called in the child and returns its exit code.

    `reload` is called on SIGHUP in the parent and returns a new `run_worker`, or None to keep the old generation.
    """

    def __init__(
        self,
        run_worker: Callable[[WorkerStart], int],
        *,
        count: int,
        reload: Callable[[], Callable[[WorkerStart], int] | None],
        stop_seconds: float,
    ) -> None:
        self._run_worker = run_worker
        self._count = count
        self._reload = reload
        self._stop_seconds = stop_seconds
        self._generation = 0
        self._slots = [_Slot() for _ in range(count)]
        self._lifeline_read, self._lifeline_write = os.pipe()
        self._announced = False
        self._stopping = False

    def run(self, on_ready: Callable[[], None]) -> int:
        """Serve until told to stop; returns the exit code. `on_ready` is called once all workers serve."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        for slot in range(self._count):
            self._spawn(slot)
        while True:
            received = signal.sigtimedwait(_SIGNALS, self._pause())
            if received is not None and received.si_signo in (signal.SIGTERM, signal.SIGINT):
                return self._stop()
            if received is not None and received.si_signo == signal.SIGHUP:
                self._start_generation()
            self._reap()
            self._restart_due()
            if not self._announced and self._all_ready():
                self._announced = True
                on_ready()

    def _pause(self) -> float:
        if not self._announced or any(slot.start_at is not None for slot in self._slots):
            return 0.02
        return 1.0

    def _spawn(self, slot: int, *, replaces: bool = False) -> _Worker:
        ready_read, ready_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._become_worker(slot, ready_read, ready_write, replaces=replaces)
        os.close(ready_write)
        os.set_blocking(ready_read, False)
        worker = _Worker(pid, slot, self._generation, time.monotonic(), ready_read)
        self._slots[slot].workers[pid] = worker
        self._slots[slot].start_at = None
        return worker

    def _become_worker(self, slot: int, ready_read: int, ready_write: int, *, replaces: bool) -> None:
        """In the child: never returns."""
        code = 1
        try:
            os.close(ready_read)
            os.close(self._lifeline_write)
            for signum in _SIGNALS:
                signal.signal(signum, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            code = self._run_worker(
                WorkerStart(slot=slot, ready=ready_write, lifeline=self._lifeline_read, replaces=replaces)
            )
        except Exception:  # noqa: BLE001 - whatever ends a worker is logged, and the process with it
            _log.exception("worker %d failed", slot)
        finally:
            logging.shutdown()
            os._exit(code)

    def _all_ready(self) -> bool:
        for slot in self._slots:
            for worker in slot.workers.values():
                self._check_ready(worker)
        return all(any(w.is_ready for w in slot.workers.values()) for slot in self._slots)

    def _check_ready(self, worker: _Worker) -> None:
        if worker.is_ready or worker.ready < 0:
            return
        try:
            worker.is_ready = os.read(worker.ready, 1) == b"1"
        except BlockingIOError:
            return
        os.close(worker.ready)
        worker.ready = -1

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for index, slot in enumerate(self._slots):
                worker = slot.workers.pop(pid, None)
                if worker is not None:
                    if worker.ready >= 0:
                        os.close(worker.ready)
                    self._after_death(index, worker, os.waitstatus_to_exitcode(status))

    def _after_death(self, index: int, worker: _Worker, code: int) -> None:
        if self._stopping or worker.generation != self._generation:
            return
        slot = self._slots[index]
        lived = time.monotonic() - worker.started
        slot.failures = 0 if lived > 10 else slot.failures + 1
        delay = 0.0 if slot.failures < 3 else min(_MAX_BACKOFF, 0.25 * 2 ** (slot.failures - 3))
        slot.start_at = time.monotonic() + delay
        _log.error("worker %d ended with code %d after %.1f s; replacing it in %.2f s", index, code, lived, delay)

    def _restart_due(self) -> None:
        now = time.monotonic()
        for index, slot in enumerate(self._slots):
            if slot.start_at is not None and slot.start_at <= now:
                self._spawn(index)

    def _start_generation(self) -> None:
        """Replace every worker by one with the new configuration, or keep all if any of the new ones fails."""
        run_worker = self._reload()
        if run_worker is None:
            return
        previous = self._run_worker
        self._run_worker = run_worker
        self._generation += 1
        fresh = [self._spawn(index, replaces=True) for index in range(self._count)]
        if self._wait_ready(fresh):
            for slot in self._slots:
                for worker in slot.workers.values():
                    if worker.generation != self._generation:
                        os.kill(worker.pid, signal.SIGTERM)
            _log.info("generation %d serves", self._generation)
            return
        _log.error("the new generation did not start; the old one goes on")
        self._generation -= 1
        self._run_worker = previous
        for worker in fresh:
            if worker.pid in self._slots[worker.slot].workers:
                worker.generation = -1
                os.kill(worker.pid, signal.SIGKILL)

    def _wait_ready(self, workers: list[_Worker]) -> bool:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            waiting = [worker.ready for worker in workers if worker.ready >= 0]
            if signal.sigpending() & {signal.SIGTERM, signal.SIGINT}:
                return False
            if not waiting:
                return all(worker.is_ready for worker in workers)
            select.select(waiting, [], [], 0.5)
            for worker in workers:
                self._check_ready(worker)
                if worker.ready < 0 and not worker.is_ready:
                    return False
        return False

    def _stop(self) -> int:
        self._stopping = True
        self._signal_all(signal.SIGTERM)
        deadline = time.monotonic() + self._stop_seconds
        while any(slot.workers for slot in self._slots) and time.monotonic() < deadline:
            signal.sigtimedwait({signal.SIGCHLD}, 0.2)
            self._reap()
        self._signal_all(signal.SIGKILL)
        while any(slot.workers for slot in self._slots):
            signal.sigtimedwait({signal.SIGCHLD}, 0.2)
            self._reap()
        return 0

    def _signal_all(self, signum: signal.Signals) -> None:
        for slot in self._slots:
            for worker in slot.workers.values():
                os.kill(worker.pid, signum)
