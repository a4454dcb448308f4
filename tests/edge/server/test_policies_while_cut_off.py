"""Gateway processes whose line to the store is cut or hangs: they enforce what they have, say how old it is, and
afterwards take in what was written meanwhile, in order and without loading everything anew.
"""

import asyncio
import os
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from haetae_policy import Api, Policy, Subject, parse_network
from haetae_policy.audit import AuditNote
from haetae_policy.io.ledger import Ledger, NewPolicy
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.io.workers import WorkerReports
from redis.asyncio import Redis

from tests.simulator.processes import Configuration, GatewayProcesses, gateway_processes
from tests.simulator.store_line import StoreLine, store_line
from tests.simulator.stored_policies import block_of
from tests.simulator.upstream import recording_upstream
from tests.simulator.valkey import valkey

WORKERS = 2
MANY = 600
SETTINGS = StoreSettings(deadline_s=10.0)


def now_ms() -> int:
    return int(time.time() * 1000)


def block_here(path: str) -> Policy:
    """A block of this machine on one path."""
    made = block_of(Subject(ip=parse_network("127.0.0.1")), now_ms=now_ms() // 1000 * 1000)
    return replace(made, api=Api(path=path))


class Writer:
    """Whoever writes policies, on a line of their own to the store."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self.store, self._ledger = PolicyStore(client, SETTINGS), Ledger(client, SETTINGS)

    async def add(self, policies: Sequence[Policy]) -> None:
        for start in range(0, len(policies), 256):
            news = [NewPolicy(policy=one, document=one.to_json()) for one in policies[start : start + 256]]
            note = AuditNote(actor="kim", action="create", target="batch")
            done = await self._ledger.add_all(news, note, now_ms=now_ms(), epoch_randomness=os.urandom(8))
            assert not done.refused

    async def seq(self) -> int:
        head = await self.store.head()
        assert head is not None
        return head.seq

    async def scans(self) -> int:
        """How often a snapshot's scan asked the store so far."""
        stats = await self.client.info("commandstats")
        return int(stats["cmdstat_hscan"]["calls"])


async def statuses(gateway: GatewayProcesses, path: str) -> set[int]:
    """What a path answers on a dozen new connections, which the kernel spreads over the workers."""
    found = set()
    for _ in range(12):
        async with gateway.client() as client:
            found.add((await client.ask(b"GET %b HTTP/1.1\r\nHost: api.test\r\n\r\n" % path.encode())).status)
    return found


async def metrics(gateway: GatewayProcesses) -> dict[str, float]:
    """What the first worker says of its policies; also that it still counts as ready."""
    port = int((await gateway.until_logged(rb"admin on 127\.0\.0\.1:(\d+)")).group(1))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        async with http.get("/readyz") as ready:
            assert ready.status == 200
        async with http.get("/metrics") as answer:
            text = await answer.text()
    found = re.findall(r"^(haetae_polic\w+)(?:{[^}]*})? (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


@pytest.mark.parametrize("how", ["cut", "hang"])
async def test_gateway_cut_off_from_the_store_enforces_on_and_catches_up_without_a_gap(
    tmp_path: Path, how: str
) -> None:
    async with recording_upstream() as upstream, valkey() as server, store_line(server.socket) as line:
        writer = Writer(server.client())
        lifted = block_here("/lifted")
        others = [block_of(Subject(user=f"u-{n}"), now_ms=now_ms() // 1000 * 1000) for n in range(MANY)]
        await writer.add([block_here("/blocked"), lifted, *others])
        configuration = Configuration(tmp_path, upstream=upstream.port)
        configuration.write(f"redis:\n  uri: unix://{line.socket}\ndefault-filters:\n- Block\n")
        async with gateway_processes(configuration, workers=WORKERS) as gateway:
            assert await statuses(gateway, "/blocked") == await statuses(gateway, "/lifted") == {403}
            assert await statuses(gateway, "/later") == {200}
            before, scans = await metrics(gateway), await writer.scans()
            await interrupt(line, how)
            await writer.add([block_of(Subject(user=f"v-{n}"), now_ms=now_ms() // 1000 * 1000) for n in range(MANY)])
            await writer.add([block_here("/later")])
            await writer.store.revoke(lifted.id, version=1, by="kim", now_ms=now_ms())
            await writer.add([block_of(Subject(user=f"w-{n}"), now_ms=now_ms() // 1000 * 1000) for n in range(MANY)])
            async with asyncio.timeout(20):
                while (during := await metrics(gateway))["haetae_policy_age_seconds"] < 3:
                    assert await statuses(gateway, "/blocked") == await statuses(gateway, "/lifted") == {403}
                    assert await statuses(gateway, "/later") == {200}, "nobody could have told it"
            assert during["haetae_policy_sequence"] == before["haetae_policy_sequence"]
            assert during["haetae_policies"] == before["haetae_policies"] == MANY + 2
            await line.mend()
            await until_all_have_everything(writer)
            assert await statuses(gateway, "/blocked") == await statuses(gateway, "/later") == {403}
            assert await statuses(gateway, "/lifted") == {200}
            after = await metrics(gateway)
            assert (
                after["haetae_policy_sequence"] == await writer.seq() == before["haetae_policy_sequence"] + 2 * MANY + 2
            )
            assert after["haetae_policies"] == 3 * MANY + 2
            assert (after["haetae_policy_following"], after["haetae_policies_kept"]) == (1, 0)
            assert after["haetae_policy_age_seconds"] < 3
            assert await writer.scans() == scans, "the log was followed from where it broke off: no new snapshot"
        await writer.client.aclose()


async def interrupt(line: StoreLine, how: str) -> None:
    if how == "cut":
        await line.cut()
    else:
        line.hang()


async def until_all_have_everything(writer: Writer) -> None:
    """Wait until every worker reports the end of the log, in step."""
    reports = WorkerReports(writer.client, SETTINGS)
    async with asyncio.timeout(20):
        while True:
            told = await reports.read(now_ms=now_ms())
            if [(one.seq, one.state) for one in told] == [(await writer.seq(), "following")] * WORKERS:
                return
            await asyncio.sleep(0.01)
