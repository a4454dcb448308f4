"""Block policies from the policy API to real gateway workers: how soon, how many, how fast to load.

    uv run python -m bench.policy_feed enforce     a block and its end, with 100 000 standing policies and 4 workers
    uv run python -m bench.policy_feed flood       10 000 new policies a second for a minute, while requests are served
    uv run python -m bench.policy_feed start       starting with 1 000 000 policies: seconds to readiness, memory

Everything runs as it does in production, on all cores of this machine: the policy API, the store with an append-only
file, the gateway with the web row's filters, its upstream. Exits with 1 when something was not enforced, got lost, came
out of order, or was refused to somebody who is not blocked.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from haetae_policy.io.connect import RedisSettings, connect
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.io.workers import WorkerReports

from bench.contender import Contender, get_request
from bench.errors import BadAnswer, BenchError
from bench.gateway import Gateways
from bench.loader import Address
from bench.machine import usable_cores
from bench.processes import Process, free_port, session_pids
from bench.tokens import Caller
from bench.world import HOST, PLAIN_PATH, World

WORKERS = 4
CONNECTIONS = 48
OTHERS = 100
OTHER_PATH = "/api/v1/cards"
READY = get_request("/readyz", "localhost")


@dataclass(slots=True)
class Stage:
    """What a measurement stands on."""

    world: World
    gateway: Contender
    store: str
    api: str


def stage(world: World, *, policies: int, workers: int) -> Stage:
    """Upstream, store, policies, gateway and policy API; all end with the world."""
    gateways = Gateways(world, policies=policies, patient=True, durable=True)
    world.start_upstream(gateways.service_answers())
    gateway = gateways.start_row("web", workers=workers)
    port = free_port()
    words = ["-m", "haetae_cli.main", "policy-api", "--listen", f"127.0.0.1:{port}", "--redis", gateways.store]
    api = world.start("policy-api", [sys.executable, *words, "--insecure-development"], gateway=False)
    api.wait_ready(("127.0.0.1", port), READY)
    return Stage(world, gateway, gateways.store, f"http://127.0.0.1:{port}")


class Connection:
    """One keep-alive connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, address: Address) -> "Connection":
        """Connect."""
        return cls(*await asyncio.open_connection(*address))

    async def status(self, request: bytes) -> int:
        """Send a request, read its whole answer, return the status."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await self._reader.readexactly(length)
        return int(head[9:12])

    def close(self) -> None:
        """End it."""
        self._writer.close()


async def enforce(place: Stage, trials: int) -> int:
    """Block one user after another on one path, take it back, and see when all connections notice."""
    found: dict[str, list[float]] = {"block": [], "block, whole call": [], "unblock": [], "unblock, whole call": []}
    wrong = 0
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(aiohttp.ClientSession(place.api))
        lines = [await Connection.to(place.gateway.address) for _ in range(CONNECTIONS)]
        for line in lines:
            stack.callback(line.close)
        held = _holders(place.gateway.process, place.gateway.address[1])
        print(f"{CONNECTIONS} connections, by worker: {sorted(held.values())}", flush=True)
        if len(held) < WORKERS:
            raise BadAnswer("some worker has no connection")
        # A block of more than 2 % of the recent requests waits for a second person: others make most of them.
        for request in place.world.bearer_requests()[-OTHERS:]:
            wrong += sum(status != 200 for status in await _all(lines, request))
        now = int(time.time())
        for trial in range(trials):
            token = place.world.issuer.token(Caller(f"v-{trial}"), now=now, number=trial)
            request = get_request(PLAIN_PATH, HOST, Authorization=f"Bearer {token}")
            other_path = get_request(OTHER_PATH, HOST, Authorization=f"Bearer {token}")
            wrong += sum(status != 200 for status in await _all(lines, request))
            document = {
                "action": "block",
                "reason": "bench",
                "lasts_s": 600,
                "subject": {"user": f"v-{trial}"},
                "api": {"path": PLAIN_PATH.partition("?")[0]},
            }
            began = time.monotonic()
            async with api.post("/v1/policies", json=document) as answer:
                told = await answer.json()
            if told["course"] != "in_force":
                raise BadAnswer(f"the block of user {trial} is not in force but {told['course']}: {told['reasons']}")
            made = told["policy"]["id"]
            answered = time.monotonic()
            seen = max(await asyncio.gather(*(_until(line, request, 403) for line in lines)))
            found["block"].append(seen - answered)
            found["block, whole call"].append(seen - began)
            wrong += sum(status != 200 for status in await _all(lines, other_path))
            wrong += sum(status != 200 for status in await _all(lines, place.world.bearer_requests()[trial]))
            began = time.monotonic()
            revoke = f"/v1/policies/{made}/revoke"
            async with api.post(revoke, json={"reason": "over"}, headers={"If-Match": '"1"'}) as answer:
                wrong += answer.status != 200
                await answer.read()
            answered = time.monotonic()
            seen = max(await asyncio.gather(*(_until(line, request, 200) for line in lines)))
            found["unblock"].append(seen - answered)
            found["unblock, whole call"].append(seen - began)
    for name, took in found.items():
        told = "from its answer" if "," not in name else "from its sending"
        print(f"{name.partition(',')[0]:8} on all {WORKERS} workers, {told}: {_spread(took)}")
    print(f"{trials} users; other path, other people and before: {wrong} wrong answers")
    return int(wrong > 0 or sorted(found["block"])[int(0.99 * trials)] > 0.05)


async def _until(line: Connection, request: bytes, status: int) -> float:
    """Ask until that status comes; return when the request that got it was sent."""
    give_up = time.monotonic() + 5
    while True:
        sent = time.monotonic()
        if await line.status(request) == status:
            return sent
        if sent > give_up:
            raise BadAnswer(f"no {status} within 5 s")


async def _all(lines: Sequence[Connection], request: bytes) -> list[int]:
    return list(await asyncio.gather(*(line.status(request) for line in lines)))


async def flood(place: Stage, rate: int, seconds: int) -> int:
    """New policies through batches of the API at a steady rate, while callers who are not blocked are served."""
    client = connect(RedisSettings(url=place.store, connect_s=5, reply_s=5, pool_wait_s=5))
    settings = StoreSettings(deadline_s=5.0)
    reports, store = WorkerReports(client, settings), PolicyStore(client, settings)
    before = await store.head()
    spent_before = {process.name: process.cpu_seconds() for process in place.world.processes}
    stop = asyncio.Event()
    serving = asyncio.create_task(_serve(place, stop))
    watching = asyncio.create_task(_watch(reports, store, stop))
    size, began = min(1000, rate), time.monotonic()
    async with aiohttp.ClientSession(place.api) as api:
        await asyncio.gather(*(_send(api, lane, 2, size, rate, seconds, began) for lane in range(2)))
    took = time.monotonic() - began
    after = await store.head()
    assert before is not None
    assert after is not None
    while min(report.seq for report in await reports.read(now_ms=int(time.time() * 1000))) < after.seq:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    caught_up = time.monotonic() - began - took
    stop.set()
    latencies, refused = await serving
    behind, states = await watching
    last = await reports.read(now_ms=int(time.time() * 1000))
    made = after.seq - before.seq
    print(f"{made} policies in {took:.1f} s, {made / took:.0f} a second (asked for {rate}), {len(last)} workers")
    print(
        f"entries behind meanwhile: p50 {_at(sorted(behind), 0.5):.0f}, p99 {_at(sorted(behind), 0.99):.0f}; "
        f"all had everything {1000 * caught_up:.0f} ms after the last answer"
    )
    print(f"requests served meanwhile: {len(latencies)}, {refused} refused, {_spread(latencies)}")
    spent = {process.name: process.cpu_seconds() - spent_before[process.name] for process in place.world.processes}
    told = ", ".join(f"{name.partition('-web')[0]} {1e6 * took / made:.0f} us" for name, took in spent.items())
    print(f"processor time for each policy: {told}")
    lost = sum(report.seq != after.seq for report in last) + (states != {"following"})
    print(f"states of the workers meanwhile: {sorted(states)} (anything lost or out of order ends `following`)")
    print(f"memory of a worker: {_resident(place.gateway) >> 20} MB")
    await client.aclose()
    return int(lost > 0 or refused > 0 or len(last) < WORKERS or made / took < 0.99 * rate)


async def _send(
    api: aiohttp.ClientSession, lane: int, lanes: int, size: int, rate: int, seconds: int, began: float
) -> None:
    """Every `lanes`-th batch, each when it is due; who is late sends at once."""
    for number in range(lane, rate * seconds // size, lanes):
        policy = {"action": "block", "reason": "bench", "lasts_s": 3600, "api": {"route": "bench"}}
        policies = [{**policy, "subject": {"user": f"f-{number}-{n}"}} for n in range(size)]
        body = json.dumps({"policies": policies}).encode()
        await asyncio.sleep(max(0.0, began + number * size / rate - time.monotonic()))
        async with api.post("/v1/policies/batch", data=body, headers={"Content-Type": "application/json"}) as answer:
            if answer.status != 201:
                raise BadAnswer(f"a batch was refused: {await answer.text()}")
            await answer.read()


async def _serve(place: Stage, stop: asyncio.Event) -> tuple[list[float], int]:
    """Callers who are not blocked: 16 connections, each asking some twenty times a second; latencies and refusals."""
    requests = place.world.bearer_requests()
    took: list[float] = []
    refused = 0

    async def one(number: int) -> None:
        nonlocal refused
        line = await Connection.to(place.gateway.address)
        turn = number
        while not stop.is_set():
            began = time.monotonic()
            refused += await line.status(requests[turn % len(requests)]) != 200
            took.append(time.monotonic() - began)
            turn += 16
            await asyncio.sleep(0.05)
        line.close()

    await asyncio.gather(*(one(number) for number in range(16)))
    return took, refused


async def _watch(reports: WorkerReports, store: PolicyStore, stop: asyncio.Event) -> tuple[list[int], set[str]]:
    """How many entries the slowest worker is behind, ten times a second, and the states workers were in."""
    behind: list[int] = []
    states: set[str] = set()
    while not stop.is_set():
        found = await reports.read(now_ms=int(time.time() * 1000))
        head = await store.head()
        states |= {report.state for report in found}
        behind.append(max(0, (head.seq if head else 0) - min(report.seq for report in found)))
        await asyncio.sleep(0.1)
    return behind, states


def start(world: World, policies: int) -> int:
    """How long one worker, and four at once, take from the start of their process until they are ready."""
    gateways = Gateways(world, policies=policies, patient=True, durable=True)
    world.start_upstream(gateways.service_answers())
    missed = 0
    for workers in (1, WORKERS):
        contender = gateways.start_row("web", workers=workers)
        resident = _resident(contender)
        ready_s = gateways.ready_s
        spent = contender.cpu_seconds() / workers
        told = f"ready after {ready_s:.1f} s, {spent:.1f} s of processor time and {resident >> 20} MB each"
        print(f"{workers} workers, {policies} policies: {told}", flush=True)
        missed |= workers == 1 and ready_s > 10
        if contender.process is not None:
            contender.process.stop()
    return int(missed)


def _resident(contender: Contender) -> int:
    assert contender.process is not None
    return max(memory.rss for memory in contender.process.memory())


def _holders(process: Process | None, port: int) -> dict[int, int]:
    """How many connections to `port` each process of the gateway has accepted."""
    assert process is not None
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "01" and int(fields[1].rpartition(":")[2], 16) == port:
            inodes.add(f"socket:[{fields[9]}]")
    held = {}
    for pid in session_pids(process.pid):
        links = (str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink())
        if count := sum(link in inodes for link in links):
            held[pid] = count
    return held


def _at(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def _spread(took: Sequence[float]) -> str:
    values = [1000 * value for value in sorted(took)]
    return f"p50 {_at(values, 0.5):.1f} ms, p99 {_at(values, 0.99):.1f} ms, most {values[-1]:.1f} ms"


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["enforce", "flood", "start"])
    parser.add_argument("--policies", type=int, help="standing policies (enforce, flood: 100000; start: 1000000)")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--rate", type=int, default=10_000, help="new policies a second")
    parser.add_argument("--seconds", type=int, default=60)
    args = parser.parse_args()
    cores = usable_cores()
    standing = args.policies or (1_000_000 if args.what == "start" else 100_000)
    try:
        with World(gateway_cores=cores, other_cores=cores) as world:
            if args.what == "start":
                return start(world, standing)
            place = stage(world, policies=standing, workers=WORKERS)
            if args.what == "enforce":
                return asyncio.run(enforce(place, args.trials))
            return asyncio.run(flood(place, args.rate, args.seconds))
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
