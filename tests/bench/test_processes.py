import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import NotStarted
from bench.machine import usable_cores
from bench.processes import Process, free_port, session_pids

CHILD_AND_GRANDCHILD = "import subprocess, sys; subprocess.run(['sleep', '60'])"
# The kernel tells processor time in ticks of 10 ms, which a fast start may not fill: the server works for some of them.
SERVER = """
import socketserver, sys, time
while time.process_time() < 0.05:
    pass
class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.readline()
        self.wfile.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')
socketserver.TCPServer(('127.0.0.1', int(sys.argv[1])), Answer).serve_forever()
"""


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "the awaited state did not come"
        time.sleep(0.005)


def start(command: list[str], directory: Path, name: str = "child") -> Process:
    return Process(name, command, cores=usable_cores()[:1], directory=directory)


def test_ready_server_is_noticed_measured_and_ended(tmp_path: Path) -> None:
    port = free_port()
    with start([sys.executable, "-c", SERVER, str(port)], tmp_path) as process:
        seconds = process.wait_ready(("127.0.0.1", port), b"GET / HTTP/1.1\r\n\r\n")
        assert 0 < seconds < 30
        assert os.sched_getaffinity(process.pid) == {usable_cores()[0]}
        assert process.memory()[0].rss > 1_000_000
        assert process.cpu_seconds() > 0
    assert not list(session_pids(process.pid))


def test_descendants_end_with_their_process(tmp_path: Path) -> None:
    with start([sys.executable, "-c", CHILD_AND_GRANDCHILD], tmp_path) as process:
        until(lambda: len(list(session_pids(process.pid))) == 2)
    until(lambda: not list(session_pids(process.pid)))


def test_process_that_dies_at_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with start([sys.executable, "-c", "raise SystemExit('no such setting')"], tmp_path) as process:
        with pytest.raises(NotStarted, match="no such setting"):
            process.wait_ready(("127.0.0.1", free_port()), b"")
        with pytest.raises(NotStarted, match="no such setting"):
            process.wait_listening(("127.0.0.1", free_port()))


def test_process_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with start(["sleep", "60"], tmp_path) as process, pytest.raises(NotStarted, match="not ready"):
        process.wait_ready(("127.0.0.1", free_port()), b"", seconds=0.2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_survives_a_killed_benchmark(tmp_path: Path, number: signal.Signals) -> None:
    holder = (
        "import signal, sys, time; from pathlib import Path; from bench.processes import Process;"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1));"
        f"d = Path({str(tmp_path)!r});"
        f"p = Process('held', ['sleep', '60'], cores=[{usable_cores()[0]}], directory=d);"
        "print(p.pid, flush=True); p.__enter__(); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True) as benchmark:
        assert benchmark.stdout is not None
        session = int(benchmark.stdout.readline())
        until(lambda: any(b"sleep" in command_line(pid) for pid in session_pids(session)))
        benchmark.send_signal(number)
        benchmark.wait(10)
        until(lambda: not list(session_pids(session)))


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/comm").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
