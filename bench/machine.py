"""What the numbers were taken on, and how quiet it was meanwhile.

A description names hardware and versions only: no host names, paths or addresses.
"""

import os
import platform
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.errors import NotAvailable
from bench.peers import version_of

__all__ = ["Quiet", "describe", "every_core", "pinned", "session_seconds", "usable_cores"]

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def usable_cores() -> list[int]:
    """The cores this process may run on, in order."""
    return sorted(os.sched_getaffinity(0))


def every_core() -> list[int]:
    """All cores that are online for this machine, whatever this process is pinned to."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        return usable_cores()
    finally:
        os.sched_setaffinity(0, before)


def describe() -> dict[str, str]:
    """Processor, cores, memory, kernel, Python and the versions of the peers."""
    facts = {
        "processor": _processor(),
        "cores": str(len(usable_cores())),
        "memory": f"{_memory_bytes() / 2**30:.0f} GiB",
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
    }
    for peer in ("envoy", "nginx", "haproxy"):
        try:
            facts[peer] = version_of(peer).rsplit("/", 1)[-1] if peer == "nginx" else _short(version_of(peer))
        except NotAvailable as missing:
            facts[peer] = str(missing)
    return facts


@contextmanager
def pinned(cores: Collection[int]) -> Iterator[None]:
    """Run this process on `cores` for a while."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _short(text: str) -> str:
    words = [word.strip("/,") for word in text.replace("/", " ").split()]
    return next((word for word in words if word[:1].isdigit() and "." in word), text[:60])


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Quiet:
    """How much of the machine others used: CPU time that was neither ours nor idle, and time stolen by the
    host.

    `ours` is what the benchmark and its processes used; give it when reading.
    """

    began: float
    busy_ticks: int
    steal_ticks: int

    @classmethod
    def begin(cls) -> Self:
        """Start to watch."""
        busy, steal = _cpu_ticks()
        return cls(time.monotonic(), busy, steal)

    def foreign_share(self, ours_seconds: float) -> float:
        """Share of all cores' time (0..1) that others used or the host took, since `begin`."""
        busy, steal = _cpu_ticks()
        capacity = (time.monotonic() - self.began) * (os.cpu_count() or 1)
        foreign = (busy - self.busy_ticks) / TICKS_PER_SECOND - ours_seconds
        stolen = (steal - self.steal_ticks) / TICKS_PER_SECOND
        return max(0.0, foreign + stolen) / capacity if capacity else 0.0


def session_seconds() -> float:
    """CPU time of this process and of all children that have ended, in seconds."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _cpu_ticks() -> tuple[int, int]:
    """Busy and stolen ticks of all cores (proc(5), first line of /proc/stat)."""
    numbers = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _wait, irq, softirq, steal = numbers[:8]
    return user + nice + system + irq + softirq, steal
