"""`python -m bench.profiled OUT MODULE [ARG…]`: run a module so that SIGUSR1 starts and stops a profile.

The first SIGUSR1 starts cProfile in the process that receives it, forked workers included; the second stops
it and writes `OUT.<pid>` (complete once it exists). Start-up is thereby not in the picture, only the load.
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
    """Starts the profiler, then stops it and writes what it saw, by turns."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._running: cProfile.Profile | None = None

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """The signal handler."""
        if self._running is None:
            self._running = cProfile.Profile()
            self._running.enable()
            return
        profile, self._running = self._running, None
        profile.disable()
        target = self._out.with_name(f"{self._out.name}.{os.getpid()}")
        partial = target.with_name(f"{target.name}.part")
        profile.dump_stats(partial)
        partial.rename(target)


def main() -> None:
    """Install the switch and become the module."""
    out, module, *arguments = sys.argv[1:]
    signal.signal(signal.SIGUSR1, Switch(Path(out)))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
