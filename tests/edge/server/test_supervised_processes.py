"""Real processes: a worker that dies, a reload that is good or bad, a stop, a supervisor that dies."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulator.processes import Configuration, gateway_processes, is_alive, load, until_ended
from tests.simulator.upstream import ok, recording_upstream, when

GET = b"GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n"


async def test_killed_worker_is_replaced_and_waiting_connections_are_served(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with recording_upstream() as upstream:
        configuration = Configuration(tmp_path, upstream=upstream.port)
        async with gateway_processes(configuration, workers=2) as gateway, load(gateway, clients=6) as state:
            await state.until_answered(200)
            before = gateway.workers()
            victim = min(before)
            os.kill(victim, signal.SIGKILL)
            killed = loop.time()
            # Half of these land in the queue of the dead worker's socket and wait there for its successor.
            answers = await asyncio.gather(*(_ask_once(gateway.port) for _ in range(40)))
            served = loop.time() - killed
            assert set(answers) == {200}
            assert served < 1.0, f"served again after {served:.2f} s"
            assert len(gateway.workers()) == 2
            assert before & gateway.workers() == before - {victim}
            broken = len(state.failures)
            assert broken <= 6
            await state.until_answered(500)
            assert len(state.failures) == broken
        repeated = [line for line, count in Counter(upstream.lines).items() if count > 1 and b"/a " not in line]
        assert repeated == []


async def _ask_once(port: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(GET)
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
        return int(head.split(b" ")[1])
    finally:
        writer.close()


async def test_reload_with_a_good_configuration_fails_no_request(tmp_path: Path) -> None:
    async with recording_upstream() as upstream:
        configuration = Configuration(tmp_path, upstream=upstream.port)
        async with gateway_processes(configuration, workers=2) as gateway, load(gateway, clients=8) as state:
            await state.until_answered(200)
            for generation in (b"2", b"3"):
                old = gateway.workers()
                configuration.write(f"default-filters:\n- AddResponseHeader=X-Generation, {generation.decode()}\n")
                gateway.signal(signal.SIGHUP)
                await until_ended(*old)
                await state.until_answered(200)
                assert state.last_headers[b"x-generation"] == generation
                assert len(gateway.workers()) == 2
            assert state.failures == []


async def test_reload_with_a_bad_configuration_keeps_the_old_one(tmp_path: Path) -> None:
    async with recording_upstream() as upstream:
        configuration = Configuration(tmp_path, upstream=upstream.port)
        async with gateway_processes(configuration, workers=2) as gateway, load(gateway, clients=4) as state:
            before = gateway.workers()
            configuration.write("no-such-setting: 1\n")
            gateway.signal(signal.SIGHUP)
            await gateway.until_logged(rb"no.such.setting")
            await state.until_answered(300)
            assert state.failures == []
            assert gateway.workers() == before
            configuration.write()
            gateway.signal(signal.SIGHUP)
            await until_ended(*before)
            await state.until_answered(100)
            assert state.failures == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_stop_finishes_the_request_under_way_and_then_everything_is_gone(
    tmp_path: Path, signum: signal.Signals
) -> None:
    async with recording_upstream() as upstream:
        go = asyncio.Event()
        upstream.on("/a", when(go, ok(b"finished")))
        configuration = Configuration(tmp_path, upstream=upstream.port)
        async with gateway_processes(configuration, workers=2) as gateway, gateway.client() as client:
            workers = gateway.workers()
            await client.send(GET)
            await upstream.until(lambda seen: len(seen.requests) == 1)
            gateway.signal(signum)
            await _until_one_worker_is_left(workers)
            go.set()
            answer = await client.answer()
            assert (answer.body, answer.says_close) == (b"finished", True)
            assert await asyncio.wait_for(gateway.process.wait(), 10) == 0
            await until_ended(*workers)
            with pytest.raises(ConnectionError):
                await asyncio.open_connection("127.0.0.1", gateway.port)


async def _until_one_worker_is_left(workers: set[int]) -> None:
    """The idle worker has nothing to finish; the other has."""
    async with asyncio.timeout(10):
        while sum(is_alive(pid) for pid in workers) > 1:  # noqa: ASYNC110 - they are not our children
            await asyncio.sleep(0.01)


async def test_workers_end_with_a_killed_supervisor_and_finish_what_they_serve(tmp_path: Path) -> None:
    async with recording_upstream() as upstream:
        go = asyncio.Event()
        upstream.on("/a", when(go, ok(b"finished")))
        configuration = Configuration(tmp_path, upstream=upstream.port)
        async with gateway_processes(configuration, workers=2) as gateway, gateway.client() as client:
            workers = gateway.workers()
            await client.send(GET)
            await upstream.until(lambda seen: len(seen.requests) == 1)
            gateway.signal(signal.SIGKILL)
            await _until_one_worker_is_left(workers)
            go.set()
            assert (await client.answer()).body == b"finished"
            await until_ended(*workers)


def test_port_that_is_taken_is_said_so_and_nothing_starts(tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, upstream=9)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        outcome = subprocess.run(
            [
                sys.executable,
                "-m",
                "haetae_edge",
                "--config",
                str(configuration.folder),
                "--listen",
                f"127.0.0.1:{port}",
            ],
            capture_output=True,
            timeout=20,
            check=False,
        )
    assert outcome.returncode == 1
    assert b"cannot listen on" in outcome.stderr
