"""The embedded store and the supervision of children, with real processes."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from haetae_cli.children import Children
from haetae_cli.errors import CannotStart, NotRunning, StateInvalid, StoreUnusable
from haetae_cli.ports import ReservedPort, reserve_run
from haetae_cli.state import RunningStack, StateDirectory
from haetae_cli.store import connect, describe, start_embedded


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    state = StateDirectory(tmp_path / "state")
    state.create()
    return state


@pytest.fixture
async def children(state: StateDirectory) -> AsyncIterator[Children]:
    async with Children(logs=state.logs) as children:
        yield children


async def test_embedded_store_answers_and_keeps_what_it_was_told_over_a_restart(
    state: StateDirectory,
) -> None:
    for attempt in range(2):
        async with Children(logs=state.logs) as children:
            store = await start_embedded(children, state)
            assert store.description.startswith("Valkey ")
            client = connect(store.url)
            if attempt == 0:
                await client.set("kept", "yes")
            assert await client.get("kept") == "yes"
            settings = await client.config_get("maxmemory-policy", "appendonly")
            assert settings == {"maxmemory-policy": "noeviction", "appendonly": "yes"}
            await client.aclose()
        with pytest.raises(StoreUnusable):
            await describe(store.url)


async def test_embedded_store_works_below_a_very_long_path(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / ("d" * 100) / ("e" * 100))
    state.create()
    async with Children(logs=state.logs) as children:
        store = await start_embedded(children, state)
        assert store.description.startswith("Valkey ")
    socket_folder = Path(store.url.removeprefix("unix://")).parent
    assert socket_folder.stat().st_mode & 0o077 == 0
    socket_folder.rmdir()


async def test_store_that_evicts_is_refused(children: Children, state: StateDirectory) -> None:
    store = await start_embedded(children, state)
    client = connect(store.url)
    await client.config_set("maxmemory-policy", "allkeys-lru")
    await client.aclose()
    with pytest.raises(StoreUnusable, match="noeviction"):
        await describe(store.url)


async def test_store_url_that_is_none_or_dead_is_one_clear_sentence() -> None:
    with pytest.raises(StoreUnusable, match="redis://"):
        await describe("http://127.0.0.1:1")
    with pytest.raises(StoreUnusable, match=r"redis://127\.0\.0\.1:1/ does not answer") as refused:
        await describe("redis://user:secret@127.0.0.1:1/")
    assert "secret" not in str(refused.value)


async def test_child_that_ends_is_reported_with_its_last_words(children: Children) -> None:
    command = [sys.executable, "-c", "print('first'); raise SystemExit('\\x1b[31mgone wrong')"]
    await children.start("worker", command)
    with pytest.raises(CannotStart, match=r"worker ended by itself \(exit code 1\)") as ended:
        await children.until_one_ends()
    assert "gone wrong" in str(ended.value)
    assert "\x1b" not in str(ended.value)


async def test_child_that_ends_before_it_is_ready_is_reported(children: Children) -> None:
    child = await children.start("worker", [sys.executable, "-c", "raise SystemExit(3)"])

    async def never() -> bool:
        return False

    with pytest.raises(CannotStart, match="exit code 3"):
        await children.ready(child, never)


async def test_child_that_is_never_ready_is_reported(children: Children) -> None:
    child = await children.start("worker", [sys.executable, "-c", "import time; time.sleep(60)"])

    async def never() -> bool:
        return False

    with pytest.raises(CannotStart, match="not ready after"):
        await children.ready(child, never, within=0.2)


async def test_program_that_does_not_exist_is_reported(children: Children) -> None:
    await children.start("worker", ["/no/such/program"])
    with pytest.raises(CannotStart, match="cannot run /no/such/program"):
        await children.until_one_ends()


async def test_stopping_ends_children_that_ignore_sigterm_and_their_own_children(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch, until: Callable[[Callable[[], bool]], None]
) -> None:
    monkeypatch.setattr("haetae_cli.children.GRACE_SECONDS", 0.3)
    script = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "if child: print(child, flush=True)\n"
        "time.sleep(60)\n"
    )
    async with Children(logs=state.logs) as children:
        child = await children.start("stubborn", [sys.executable, "-c", script])

        async def spoke() -> bool:
            return child.log.read_text().endswith("\n")

        await children.ready(child, spoke)
        grandchild = int(child.log.read_text())
    assert not alive(child.process.pid)
    until(lambda: not alive(grandchild))


def test_children_end_when_their_parent_is_killed(
    state: StateDirectory, until: Callable[[Callable[[], bool]], None]
) -> None:
    script = (
        "import asyncio, sys, pathlib\n"
        "from haetae_cli.children import Children\n"
        "async def main():\n"
        "    async with Children(logs=pathlib.Path(sys.argv[1])) as children:\n"
        "        child = await children.start('c', [sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "        print(child.process.pid, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(state.logs)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    until(lambda: not alive(child))


def test_reserved_port_is_refused_to_others_but_shared_with_a_child() -> None:
    port = ReservedPort(0, what="the test")
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", port.number))
    with socket.socket() as child:
        child.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        child.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        child.bind(("127.0.0.1", port.number))
        child.listen()
        with socket.create_connection(("127.0.0.1", port.number), timeout=5):
            accepted, _ = child.accept()
            accepted.close()
        with pytest.raises(CannotStart, match=f"port {port.number} for another"):
            ReservedPort(port.number, what="another")
    port.release()


def test_reserved_run_is_consecutive_and_overlaps_no_other_reservation() -> None:
    taken = [reserve_run(0, count=3, what="the test") for _ in range(10)]
    numbers = [port.number for run in taken for port in run]
    assert len(set(numbers)) == 30
    for run in taken:
        first = run[0].number
        assert [port.number for port in run] == [first, first + 1, first + 2]
    for run in taken:
        for port in run:
            port.release()
    with pytest.raises(CannotStart, match="port 70000"):
        reserve_run(70_000, count=1, what="the test")


def test_state_directory_belongs_to_one_stack_at_a_time(state: StateDirectory) -> None:
    second = StateDirectory(state.path)
    with pytest.raises(NotRunning, match="haetae up"):
        second.running()
    state.lock()
    with pytest.raises(StateInvalid, match="another haetae stack"):
        second.lock()
    stack = RunningStack(
        pid=os.getpid(),
        redis_url="unix:///x",
        identity="i",
        issuer="s",
        bank="b",
        root_key={"kty": "OKP"},
        gateways={"app": "a"},
    )
    state.announce(stack)
    assert second.running() == stack
    state.unlock()
    second.lock()
    second.unlock()
    with pytest.raises(NotRunning):
        second.running()


def test_state_directory_others_may_enter_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(StateInvalid, match="chmod 700"):
        StateDirectory(tmp_path).create()


def test_secret_is_kept_private_and_read_back(state: StateDirectory) -> None:
    path = state.service_token_file
    assert state.secret(path, "one") == "one"
    assert path.stat().st_mode & 0o777 == 0o600
    assert state.secret(path, "two") == "one"
    path.chmod(0o644)
    with pytest.raises(StateInvalid, match="chmod 600"):
        state.secret(path, "two")


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
