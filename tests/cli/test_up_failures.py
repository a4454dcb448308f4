"""``haetae up`` that cannot start: one clear message, exit code 1, nothing left running."""

import fcntl
import os
import re
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

GATEWAY = "name: app\nprofile: app\nrout: []\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A folder with a gateway that does not load."""
    folder = tmp_path / "config" / "app"
    folder.mkdir(parents=True)
    (folder / "gateway.yaml").write_text(GATEWAY)
    return folder.parent


def test_taken_port_is_named_with_its_purpose(haetae: Any, config: Path) -> None:
    base = free_base()
    port = base + 22
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        outcome = haetae.run("up", "--config", str(config), "--port-base", str(base))
    assert (outcome.code, outcome.out) == (1, "")
    assert re.fullmatch(
        rf"haetae up: port {port} for the token issuer cannot be used \(address already in use\);.*\n", outcome.err
    )


def free_base() -> int:
    """Forty free ports in a row, below those that outgoing connections take."""
    for base in range(12_000 + os.getpid() % 1000 * 16, 32_000, 40):
        with ExitStack() as tried:
            try:
                for port in range(base, base + 40):
                    tried.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise AssertionError("no free ports")


@pytest.mark.parametrize("place", ["file/state", "/proc/haetae-state"])
def test_state_directory_that_cannot_be_written_is_one_clear_line(
    haetae: Any, config: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("")
    outcome = haetae.run("up", "--config", str(config), "--state", place)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("haetae up: cannot write to ")
    assert outcome.err.endswith("choose another directory with --state DIR\n")
    assert outcome.err.count("\n") == 1


def test_state_directory_in_use_is_one_clear_line(haetae: Any, config: Path, tmp_path: Path) -> None:
    state = tmp_path / "s"
    state.mkdir(mode=0o700)
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        outcome = haetae.run("up", "--config", str(config), "--state", str(state))
    assert outcome.code == 1
    assert outcome.err.startswith("haetae up: another haetae stack already runs with")


def test_folder_without_gateways_is_one_clear_line(haetae: Any, tmp_path: Path) -> None:
    outcome = haetae.run("up", "--config", str(tmp_path))
    assert outcome.code == 1
    assert "holds no gateway" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / ".haetae").exists()


def test_store_that_does_not_answer_is_one_clear_line(haetae: Any, config: Path) -> None:
    outcome = haetae.run(
        "up", "--config", str(config), "--port-base", "0", HAETAE_REDIS_URL="redis://:pw@127.0.0.1:1/0"
    )
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        "haetae up: the store at redis://127.0.0.1:1/0 does not answer; start it, or unset HAETAE_REDIS_URL to use the"
        " embedded one\n"
    )


def test_gateway_that_does_not_load_ends_all_with_its_last_words(haetae: Any, config: Path) -> None:
    outcome = haetae.run("up", "--config", str(config), "--port-base", "0")
    assert outcome.code == 1
    assert "gateway-app ended by itself (exit code 1)" in outcome.err
    assert "rout" in outcome.err


def test_wrong_port_base_is_a_usage_error(haetae: Any) -> None:
    assert haetae.run("up", "--port-base", "80").code == 2
    assert haetae.run("up", "--port-base", "x").code == 2
