import os
import pstats
import signal
import subprocess
import sys
import time
from pathlib import Path

BUSY_FORKED_WORKER = """
import os, sys, time
def busy_under_load():
    return sum(range(200))
child = os.fork()
if child:
    print(child, flush=True)
    os.waitpid(child, 0)
else:
    while True:
        busy_under_load()
"""


def test_second_signal_writes_what_a_forked_worker_did_since_the_first(tmp_path: Path) -> None:
    (tmp_path / "busy_worker.py").write_text(BUSY_FORKED_WORKER)
    out = tmp_path / "profile"
    command = [sys.executable, "-m", "bench.profiled", str(out), "busy_worker"]
    path = os.pathsep.join([str(Path.cwd()), str(tmp_path)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        try:
            target = tmp_path / f"profile.{worker}"
            os.kill(worker, signal.SIGUSR1)
            time.sleep(0.05)  # what is measured is time; any length will do
            os.kill(worker, signal.SIGUSR1)
            give_up = time.monotonic() + 10
            while not target.exists():
                assert time.monotonic() < give_up, "no profile was written"
                time.sleep(0.005)
        finally:
            os.kill(worker, signal.SIGKILL)
    calls = {function[2]: row[0] for function, row in pstats.Stats(str(target)).stats.items()}  # type: ignore[attr-defined]
    assert calls["busy_under_load"] > 0
    assert "fork" not in "".join(calls), "what happened before the first signal is not in the profile"
