"""How long an attack goes on, from the event that decides to the worker that enforces. `python -m bench.fds_chain`

Four processes and a store of their own: a gateway's sender of events (busy people, and every quarter of a second an
address that begins to stuff credentials), one fraud-detection worker, and gateway workers that follow the policies.
`--drain N` measures how fast a worker catches up with N waiting events instead.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from haetae_edge.config.gateway import RedisSettings
from haetae_edge.io.events import EventSender
from haetae_edge.io.policies import EdgePolicies
from haetae_fds.blob import encode_blob, stream_key
from haetae_fds.event import Event, encode_event
from haetae_fds.io.keys import ShardKeys
from haetae_fds.words import AuthOutcome
from haetae_policy import Record
from haetae_policy.io.store import PolicyStore, StoreSettings
from redis.asyncio import Redis

from tests.simulator.valkey import Valkey, valkey

PREFIX = "bench:"
DECISIVE = 8
ATTACK_SECONDS = 0.25
PEOPLE = 5000
_APIS = ("GET /api/v1/accounts", "GET /api/v1/accounts/{}", "GET /api/v1/cards/{}", "POST /api/v1/transfers")
_PATIENCE = 3.0


class Traffic:
    """Busy people, and log-ins of an attacker who has a network of his own each time."""

    def __init__(self) -> None:
        self._chance = random.Random(1)  # noqa: S311 - made-up traffic
        self._number = 0
        self.attackers = 0

    def ordinary(self) -> list[object]:
        """One request of one of five thousand people."""
        who = self._chance.randrange(PEOPLE)
        return self._event(
            api=self._chance.choice(_APIS), obj=f"o{who}", status=200, ip=f"11.0.{who // 250}.{who % 250 + 1}",
            net=f"11.0.{who // 250}.0/24", ua=f"ua{who % 40}", hdr="h", dev=f"dev{who}", dev_v=True, user=f"u{who}",
            user_v=True, route="bank",
        )  # fmt: skip

    def attack(self) -> tuple[str, list[list[object]]]:
        """The address of a new attacker, and the attempts up to the decisive one."""
        self.attackers += 1
        high, low = divmod(self.attackers, 250)
        net = f"12.{high}.{low}"
        return f"{net}.7", [
            self._event(
                api="POST /api/v1/login", status=401, ip=f"{net}.7", net=f"{net}.0/24", ua=f"tool{self.attackers}",
                hdr="h", route="log-in", auth=AuthOutcome.BAD, acct=f"a{self.attackers}-{number}",
                cred_fp=f"c{self.attackers}-{number}",
            )
            for number in range(DECISIVE)
        ]  # fmt: skip

    def _event(self, **values: object) -> list[object]:
        self._number += 1
        found: dict[str, object] = {"id": f"E{self._number:012}", "ts": time.time_ns() // 1_000_000, "gw": "bench"}
        return encode_event(Event(**(found | values)))  # type: ignore[arg-type]


async def follow(socket: str, seconds: float) -> None:
    """Be a gateway worker: print each address that becomes refused, and when (ns)."""
    policies = EdgePolicies(RedisSettings(uri=f"unix://{socket}", prefix=PREFIX), worker=f"bench-{os.getpid()}")

    def applied(record: Record) -> None:
        print(record.subject.ip, time.time_ns(), flush=True)

    policies.on_put(applied)
    async with policies:
        await asyncio.sleep(seconds)


async def send(socket: str, rate: int, seconds: float) -> None:
    """Be a gateway's sender; print when the decisive attempt of each attacker was handed over (ns)."""
    loop = asyncio.get_running_loop()
    sender = EventSender(
        f"unix://{socket}", source="bench", prefix=PREFIX, shards=1, ring=50_000, ceiling=1_000_000, loop=loop
    )
    await sender.start()
    traffic, started, sent, next_attack = Traffic(), loop.time(), 0, 1.0
    while (now := loop.time() - started) < seconds:
        while sent < now * rate:
            sender.append(traffic.ordinary())
            sent += 1
        if now >= next_attack:
            next_attack += ATTACK_SECONDS
            address, attempts = traffic.attack()
            for event in attempts:
                sender.append(event)
            print(address, time.time_ns(), flush=True)
        await asyncio.sleep(0.002)
    await sender.close()
    print(f"# {sender.sent} sent, {sender.lost_anonymous + sender.lost_other} lost", flush=True)


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[tuple[Valkey, Redis]]:
    """A store with an empty policy log."""
    async with valkey() as server:
        client = server.client()
        store = PolicyStore(client, StoreSettings(prefix=PREFIX))
        await store.establish(now_ms=time.time_ns() // 1_000_000, epoch_randomness=os.urandom(8))
        (folder / "settings.json").write_text(json.dumps({"narrow_ms": 0}))
        try:
            yield server, client
        finally:
            await client.aclose()


def worker(server: Valkey, folder: Path) -> subprocess.Popen[bytes]:
    """The worker as `haetae fds run` starts it."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "haetae_cli.main", "fds", "run", "--redis", f"unix://{server.socket}"),
            *("--state", str(folder / "state"), "--prefix", PREFIX, "--settings", str(folder / "settings.json")),
        ],
        stderr=(folder / "worker.log").open("wb"),
    )


def _role(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.fds_chain", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


async def chain(rate: int, seconds: float, followers: int) -> None:
    """Measure at one rate; print a line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with world(folder) as (server, client):
            running = worker(server, folder)
            await _until_leased(client)
            edges = [_role("--follow", str(server.socket), str(seconds + _PATIENCE + 2)) for _ in range(followers)]
            await asyncio.sleep(2)
            source = _role("--send", str(server.socket), str(rate), str(seconds))
            out, _ = await asyncio.to_thread(source.communicate)
            applied = [await asyncio.to_thread(edge.communicate) for edge in edges]
            _end(running)
    began = {line.split()[0]: int(line.split()[1]) for line in out.splitlines() if not line.startswith("#")}
    took: list[float] = []
    missed = 0
    for text, _ in applied:
        seen = {line.split()[0].partition("/")[0]: int(line.split()[1]) for line in text.splitlines()}
        for address, at in began.items():
            if address in seen:
                took.append((seen[address] - at) / 1e6)
            else:
                missed += 1
    took.sort()
    print(
        f"{rate:6} events/s, {followers} workers: {len(began)} attacks, p50 {_at(took, 0.5):.1f} ms, "
        f"p99 {_at(took, 0.99):.1f} ms, p99.9 {_at(took, 0.999):.1f} ms, {missed} not enforced; "
        f"{next(line for line in out.splitlines() if line.startswith('#'))[2:]}",
        flush=True,
    )


async def drain(count: int) -> None:
    """Measure how fast one worker reads what waits; print a line."""
    traffic = Traffic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with world(folder) as (server, client):
            for _ in range(count // 100):
                blob = encode_blob([traffic.ordinary() for _ in range(100)], source="bench")
                await client.xadd(stream_key(PREFIX, 0), {b"b": blob})
            # The last events are an attack: its decision says that everything before it was seen.
            _, attempts = traffic.attack()
            await client.xadd(stream_key(PREFIX, 0), {b"b": encode_blob(attempts, source="bench")})
            running = worker(server, folder)
            await _until_leased(client)
            began = time.monotonic()
            while not await client.exists(ShardKeys(PREFIX, 0).log):  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.01)
            took = time.monotonic() - began
            _end(running)
    print(f"drain: {count} events in {took:.2f} s, {count / took:.0f} events/s, {1e6 * took / count:.1f} us an event")


async def _until_leased(client: Redis) -> None:
    while not await client.exists(ShardKeys(PREFIX, 0).lease):  # noqa: ASYNC110 - the store tells nobody
        await asyncio.sleep(0.002)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    process.kill()
    process.wait()


def _at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def main() -> None:
    """Measure, or play one of the parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default="1000,3000,5000", metavar="LIST", help="events a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--followers", type=int, default=1)
    parser.add_argument("--drain", type=int, metavar="N")
    parser.add_argument("--follow", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--send", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.follow:
        asyncio.run(follow(args.follow[0], float(args.follow[1])))
    elif args.send:
        asyncio.run(send(args.send[0], int(args.send[1]), float(args.send[2])))
    elif args.drain:
        asyncio.run(drain(args.drain))
    else:
        for rate in args.rates.split(","):
            asyncio.run(chain(int(rate), args.seconds, args.followers))


if __name__ == "__main__":
    main()
