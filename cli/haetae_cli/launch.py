"""Becomes another program that ends when the process that started it ends, even by ``kill -9``.

``python -m haetae_cli.launch PARENT_PID PROGRAM ARGUMENT...``. On Linux the kernel sends SIGTERM at the
parent's death (``PR_SET_PDEATHSIG``, which survives ``execve``). On other systems only an orderly end of the
parent ends its children.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then replace it."""
    parent, *program = sys.argv[1:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
            sys.exit(f"cannot tie this process to its parent: {os.strerror(ctypes.get_errno())}")
    # The parent may have died before the tie was made.
    if os.getppid() != int(parent):
        sys.exit("the parent is gone")
    try:
        os.execv(program[0], program)  # noqa: S606 - an argument list, no shell
    except OSError as error:
        sys.exit(f"cannot run {program[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
