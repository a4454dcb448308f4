"""The whole stack through the command: the tour, two stacks at once, requests, the demo, and every way to end it."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from haetae_cli.tour import STEPS
from haetae_cli.tour.staff import STAFF_STEPS

CONFIG = str(Path(__file__).parents[2] / "config")
pytestmark = pytest.mark.timeout(180)


def announced(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / ".haetae" / "stack.json").read_bytes())
    return found


@contextmanager
def running(haetae: Any, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``haetae up`` on free ports, and what it printed when it was ready."""
    process = haetae.start("up", "--config", CONFIG, "--port-base", "0", *words)
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C ends"):
                break
        assert lines, process.stderr.read()
        yield process, "".join(lines)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=40)
        finally:
            process.kill()
            process.communicate()


def test_tour_passes_in_two_stacks_at_once(haetae: Any) -> None:
    with ThreadPoolExecutor(2) as pool:
        tours = [pool.submit(haetae.run, "up", "--check", "--config", CONFIG, timeout=150) for _ in range(2)]
        for outcome in (tour.result() for tour in tours):
            assert (outcome.code, outcome.err) == (0, ""), outcome.out
            assert outcome.out.count("  ok   ") == len(STEPS) + 1 + len(STAFF_STEPS)
            assert "stuffed credentials are refused, people are not" in outcome.out
            assert f"{len(STEPS)} of {len(STEPS)} steps passed\n" in outcome.out
            assert outcome.out.endswith(f"{len(STAFF_STEPS)} of {len(STAFF_STEPS)} steps passed\n")
            assert "\x1b" not in outcome.out
    assert haetae.left_behind() == []


def test_stack_serves_requests_demo_and_blocks_and_ends_on_sigint(haetae: Any, tmp_path: Path) -> None:
    with running(haetae) as (process, welcome):
        stack = announced(tmp_path)
        gateway = stack["gateways"]["app"]
        assert gateway in welcome
        assert "haetae demo app" in welcome
        assert (tmp_path / ".haetae").stat().st_mode & 0o777 == 0o700
        _requests(haetae, tmp_path, gateway)
        _block(haetae, gateway)
        _demo(haetae)
        second = haetae.run("up", "--config", CONFIG, "--port-base", "0")
        assert second.code == 1
        assert "another haetae stack already runs" in second.err
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=40)
        assert (process.returncode, err) == (0, "")
        assert "stopping" in out
    assert haetae.left_behind() == []
    assert not (tmp_path / ".haetae" / "stack.json").exists()


def _requests(haetae: Any, folder: Path, gateway: str) -> None:
    first = haetae.run("request", "GET", f"{gateway}/api/v1/accounts")
    assert first.code == 1
    assert "--enrol" in first.err
    accounts = haetae.run("request", "GET", f"{gateway}/api/v1/accounts", "--enrol")
    assert accounts.code == 0, accounts.err
    assert [account["id"] for account in json.loads(accounts.out)["accounts"]] == ["110-204-0001", "110-204-0002"]
    assert (folder / ".haetae" / "device.json").stat().st_mode & 0o777 == 0o600
    echo = haetae.run(
        "request", "post", f"{gateway}/api/v1/echo", "-d", "@-", "-v", "-H", "X-Mine: yes", stdin='{"a": "plain"}'
    )
    seen = json.loads(echo.out)
    assert seen["body"] == '{"a": "plain"}'
    assert ["x-mine", "yes"] in [[name.lower(), value] for name, value in seen["headers"]]
    assert "plain" not in echo.err.replace("(plain)", "")
    assert "> signature-input: app=" in echo.err
    missing = haetae.run("request", "GET", f"{gateway}/nowhere", "-i")
    assert missing.code == 1
    assert missing.out.startswith("HTTP/1.1 404")
    assert json.loads(missing.out.rpartition("\n")[2])["code"] == "route-not-found"


def _block(haetae: Any, gateway: str) -> None:
    added = haetae.run("block", "add", "--user", "u-1001", "--for", "5m", "--reason", "test", "--json")
    effect = json.loads(added.out)
    assert effect["applied"] == effect["workers"] >= len(list(Path(CONFIG).glob("*/gateway.yaml")))
    refused = haetae.run("request", "GET", f"{gateway}/api/v1/accounts")
    assert refused.code == 1
    problem = json.loads(refused.out)
    assert (problem["status"], problem["code"]) == (403, "blocked")
    explained = haetae.run("block", "why", problem["ref"])
    assert explained.code == 0, explained.err
    assert effect["id"] in explained.out
    assert haetae.run("block", "remove", effect["id"]).code == 0


def _demo(haetae: Any) -> None:
    shown = haetae.run("demo", "app")
    assert shown.code == 0, shown.out + shown.err
    assert f"{len(STEPS)} of {len(STEPS)} steps came out as they must" in shown.out
    for words in ("signature-input", "haetae-key", "body on the wire", "passport sub", "401 replayed", "403 blocked"):
        assert words in shown.out
    shown = haetae.run("demo", "sso")
    assert shown.code == 0, shown.out + shown.err
    assert f"{len(STAFF_STEPS)} of {len(STAFF_STEPS)} steps came out as they must" in shown.out
    for words in ("http://dashboard.localhost:", "mina-demo-password", "closed after"):
        assert words in shown.out


def test_stack_keeps_keys_devices_and_policies_over_a_restart(haetae: Any, tmp_path: Path) -> None:
    url = ""
    with running(haetae):
        url = announced(tmp_path)["gateways"]["app"]
        assert haetae.run("request", "GET", f"{url}/api/v1/accounts", "--enrol").code == 0
        assert haetae.run("block", "add", "--user", "u-1002", "--reason", "kept").code == 0
    with running(haetae):
        moved = announced(tmp_path)
        device = tmp_path / ".haetae" / "device.json"
        # Free ports moved; the device itself, its pinned root key and the policy are what must be kept.
        kept = json.loads(device.read_bytes())
        device.write_text(json.dumps(kept | {"issuer": moved["issuer"]}))
        url = moved["gateways"]["app"]
        outcome = haetae.run("request", "GET", f"{url}/api/v1/accounts")
        assert outcome.code == 0, outcome.err
        assert "kept" in haetae.run("block", "list").out


def test_killed_stack_leaves_nothing_behind(haetae: Any, until: Callable[[Callable[[], bool]], None]) -> None:
    with running(haetae) as (process, _):
        assert len(haetae.left_behind()) >= 6
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)
        until(lambda: haetae.left_behind() == [])


def test_child_that_dies_ends_the_stack_with_its_last_words(haetae: Any, tmp_path: Path) -> None:
    with running(haetae) as (process, _):
        victim = _pid_of(haetae, "haetae_demo bank")
        os.kill(victim, signal.SIGKILL)
        _, err = process.communicate(timeout=40)
        assert process.returncode == 1
        assert err.startswith("haetae up: bank ended by itself (signal SIGKILL)")
        assert "bank ready at http://127.0.0.1:" in err
    assert haetae.left_behind() == []


def test_stopping_during_the_start_leaves_nothing_behind(haetae: Any, tmp_path: Path) -> None:
    process = haetae.start("up", "--config", CONFIG, "--port-base", "0")
    log = tmp_path / ".haetae" / "logs" / "identity.log"
    while not log.exists():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=40)
    assert (process.returncode, err) == (143, "")
    assert haetae.left_behind() == []


def _pid_of(haetae: Any, words: str) -> int:
    wanted = f"HAETAE_TEST_MARK={haetae.mark}".encode()
    for entry in Path("/proc").iterdir():
        if re.fullmatch(r"[0-9]+", entry.name):
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if words in command and wanted in (entry / "environ").read_bytes():
                    return int(entry.name)
            except OSError:
                continue
    raise AssertionError(f"no process runs {words}")
