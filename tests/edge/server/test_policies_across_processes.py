"""Workers come and go; a caller who is blocked is never served in between."""

import asyncio
import os
import signal
import time
from pathlib import Path

from haetae_policy import Subject, parse_network
from haetae_policy.io.store import PolicyStore, StoreSettings

from tests.simulator.client import BrokenOff
from tests.simulator.processes import Configuration, GatewayProcesses, gateway_processes, is_alive
from tests.simulator.stored_policies import block_of
from tests.simulator.upstream import recording_upstream
from tests.simulator.valkey import Valkey, valkey

GET = b"GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n"
_WITH_POLICIES = "redis:\n  uri: unix://{socket}\ndefault-filters:\n- Block\n"


async def fill(server: Valkey, *, others: int) -> None:
    """Block this machine, among many others."""
    now_ms = int(time.time()) * 1000
    made = [block_of(Subject(user=f"u-{number}"), now_ms=now_ms) for number in range(others)]
    made.insert(others // 2, block_of(Subject(ip=parse_network("127.0.0.1")), now_ms=now_ms))
    client = server.client()
    store = PolicyStore(client, StoreSettings())
    await store.add_many(made, now_ms=int(time.time() * 1000), epoch_randomness=os.urandom(8))
    await client.aclose()


async def ask(gateway: GatewayProcesses) -> int | None:
    """The status of one request on a new connection; None where the worker died with it."""
    try:
        async with gateway.client() as client:
            return (await client.ask(GET)).status
    except (BrokenOff, OSError):
        return None


async def test_blocked_caller_is_never_served_while_killed_workers_are_replaced(tmp_path: Path) -> None:
    async with recording_upstream() as upstream, valkey() as server:
        await fill(server, others=5000)
        configuration = Configuration(tmp_path, upstream=upstream.port)
        configuration.write(_WITH_POLICIES.format(socket=server.socket))
        async with gateway_processes(configuration, workers=2) as gateway:
            answers: list[int | None] = []
            for _ in range(3):
                victims = gateway.workers()
                for victim in victims:
                    os.kill(victim, signal.SIGKILL)
                refused = 0
                async with asyncio.timeout(30):
                    while refused < 20 or any(is_alive(victim) for victim in victims):
                        answers.append(await ask(gateway))
                        refused += answers[-1] == 403
            assert set(answers) <= {403, None}
        assert upstream.requests == []


async def test_reload_while_the_store_is_away_keeps_the_workers_that_know_the_policies(tmp_path: Path) -> None:
    async with recording_upstream() as upstream, valkey() as server:
        await fill(server, others=10)
        configuration = Configuration(tmp_path, upstream=upstream.port)
        configuration.write(_WITH_POLICIES.format(socket=server.socket))
        async with gateway_processes(configuration, workers=1) as gateway:
            assert await ask(gateway) == 403
            before = gateway.workers()
            server.kill()
            gateway.signal(signal.SIGHUP)
            answers = set()
            async with asyncio.timeout(45):
                while b"the old one goes on" not in gateway.log or gateway.workers() != before:
                    answers.add(await ask(gateway))
                    await asyncio.sleep(0.05)  # the new generation gives up after 20 s: no need to be quick
            assert answers == {403}
            assert await ask(gateway) == 403
        assert upstream.requests == []
