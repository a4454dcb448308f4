"""The whole command, once and short: every part starts, answers, is measured, and is gone afterwards."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.machine import usable_cores

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("nginx",)


def missing() -> list[str]:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    return [name for name in NEEDED if shutil.which(name, path=path) is None]


def living_commands() -> set[str]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.add((entry / "cmdline").read_text().replace("\0", " "))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
    return found


@pytest.mark.skipif(bool(missing()), reason=f"not installed here: {', '.join(missing())}")
@pytest.mark.skipif(len(usable_cores()) < 2, reason="one core for the gateway, one for the load")
def test_quick_run_measures_the_plain_row_and_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "--quick", "--only", "plain,latency", "--seconds", "0.2"]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "out.json")],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "out.json").read_text())
    keys = {measure["key"] for measure in document["measures"]}
    assert {"plain/no gateway", "plain/nginx", "plain/haetae", "latency/haetae/added p99"} <= keys
    assert all(measure["median"] > 0 for measure in document["measures"] if measure["unit"] == "req/s")
    assert "Plain route, requests a second" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    assert not [command for command in living_commands() if str(tmp_path) in command]
