import os
import pstats
import signal
import subprocess
import sys
import time
from pathlib import Path

BUSY_FORKED_WORKER = """
import os, sys
from pathlib import Path
out = Path(sys.argv[1])
def busy_under_load():
    return sum(range(200))
child = os.fork()
if child:
    print(child, flush=True)
    os.waitpid(child, 0)
else:
    out.with_name("ready").touch()
    while True:
        profiled = out.with_name(f"{out.name}.{os.getpid()}.part").exists()
        busy_under_load()
        if profiled:
            out.with_name("worked").touch()
"""


def until_exists(path: Path) -> None:
    give_up = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < give_up, f"{path.name} was not written"
        time.sleep(0.005)


def test_stop_signal_writes_what_a_forked_worker_did_since_the_start_signal(tmp_path: Path) -> None:
    (tmp_path / "busy_worker.py").write_text(BUSY_FORKED_WORKER)
    out = tmp_path / "profile"
    command = [sys.executable, "-m", "bench.profiled", str(out), "busy_worker", str(out)]
    path = os.pathsep.join([str(Path.cwd()), str(tmp_path)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        try:
            target = tmp_path / f"profile.{worker}"
            until_exists(tmp_path / "ready")  # Python forgets signals that arrive while it forks
            os.kill(worker, signal.SIGUSR1)
            until_exists(tmp_path / "worked")
            os.kill(worker, signal.SIGUSR2)
            until_exists(target)
        finally:
            os.kill(worker, signal.SIGKILL)
    calls = {function[2]: row[0] for function, row in pstats.Stats(str(target)).stats.items()}  # type: ignore[attr-defined]
    assert calls["busy_under_load"] > 0
    assert "fork" not in "".join(calls), "what happened before the first signal is not in the profile"
