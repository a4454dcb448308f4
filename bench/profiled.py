"""`python -m bench.profiled OUT MODULE [ARG…]`: run a module so that signals start and stop a profile.

SIGUSR1 starts cProfile in the process that receives it, forked workers included (`OUT.<pid>.part` appears);
SIGUSR2 stops it and writes `OUT.<pid>`, complete once it exists. Start-up is thereby not in the picture, only
the load.
"""

import cProfile
import os
import runpy
import signal
import sys
from pathlib import Path
from types import FrameType

__all__ = ["Switch", "main"]


class Switch:
    """Starts the profiler, then stops it and writes what it saw; as often as told."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._running: cProfile.Profile | None = None

    def _target(self) -> Path:
        return self._out.with_name(f"{self._out.name}.{os.getpid()}")

    def start(self, _number: int, _frame: FrameType | None) -> None:
        """The handler of SIGUSR1."""
        self._running = cProfile.Profile()
        self._target().with_suffix(f"{self._target().suffix}.part").touch()
        self._running.enable()

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """The handler of SIGUSR2."""
        if self._running is None:
            return
        profile, self._running = self._running, None
        profile.disable()
        partial = self._target().with_suffix(f"{self._target().suffix}.part")
        profile.dump_stats(partial)
        partial.rename(self._target())


def main() -> None:
    """Install the handlers and become the module."""
    out, module, *arguments = sys.argv[1:]
    switch = Switch(Path(out))
    signal.signal(signal.SIGUSR1, switch.start)
    signal.signal(signal.SIGUSR2, switch.stop)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
