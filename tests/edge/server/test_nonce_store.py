"""One-time claims against a real store that is healthy, dead, hung, back, or loses its answer."""

import asyncio
import multiprocessing
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from haetae_edge.io.nonces import RedisNonces
from haetae_edge.services import NonceSeen, StoreUnavailable

from tests.simulator.valkey import Valkey, valkey

TTL = 60_000


@asynccontextmanager
async def store(server: Valkey, *, prefix: str = "t:") -> AsyncIterator[RedisNonces]:
    """A nonce store on its own connection."""
    nonces = RedisNonces(f"unix://{server.socket}", prefix=prefix)
    await nonces.start()
    try:
        yield nonces
    finally:
        await nonces.close()


async def _outcome(nonces: RedisNonces, nonce: str) -> str:
    try:
        await nonces.claim("key", nonce, ttl_ms=TTL)
    except NonceSeen:
        return "seen"
    except StoreUnavailable:
        return "down"
    return "claimed"


async def _until_claimed(nonces: RedisNonces) -> float:
    """Seconds until a claim goes through again."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    number = 0
    async with asyncio.timeout(5):
        while await _outcome(nonces, f"back-{number}") != "claimed":
            number += 1
            await asyncio.sleep(0.01)
    return loop.time() - started


async def test_nonce_is_claimed_once_per_key_and_forgotten_after_its_time() -> None:
    async with valkey() as server, store(server) as nonces:
        await nonces.claim("a", "n", ttl_ms=TTL)
        await nonces.claim("b", "n", ttl_ms=TTL)
        with pytest.raises(NonceSeen):
            await nonces.claim("a", "n", ttl_ms=TTL)
        client = server.client()
        assert await client.get("t:nonce:a:n") == b"1"
        assert 0 < await client.pttl("t:nonce:a:n") <= TTL
        await client.pexpire("t:nonce:a:n", 1)
        async with asyncio.timeout(5):
            while await client.exists("t:nonce:a:n"):  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.002)
        await nonces.claim("a", "n", ttl_ms=TTL)
        await client.aclose()


async def test_hundred_identical_claims_at_once_from_two_clients_give_exactly_one() -> None:
    async with valkey() as server, store(server) as one, store(server) as two:
        outcomes = await asyncio.gather(*(_outcome(nonces, "same") for _ in range(50) for nonces in (one, two)))
        assert sorted(set(outcomes)) == ["claimed", "seen"]
        assert outcomes.count("claimed") == 1


def _claim_in_a_process(path: str, go: object, results: object) -> None:
    async def claim() -> list[str]:
        nonces = RedisNonces(f"unix://{path}", prefix="t:", deadline=2)
        await nonces.start()
        go.wait()  # type: ignore[attr-defined]  # a Barrier; typeshed has no public name for it
        return list(await asyncio.gather(*(_outcome(nonces, f"n-{number}") for number in range(50) for _ in range(2))))

    results.put(asyncio.run(claim()))  # type: ignore[attr-defined]


async def test_two_processes_never_both_claim_a_nonce() -> None:
    context = multiprocessing.get_context("spawn")
    async with valkey() as server:
        go, results = context.Barrier(2), context.Queue()
        processes = [
            context.Process(target=_claim_in_a_process, args=(str(server.socket), go, results)) for _ in range(2)
        ]
        for process in processes:
            process.start()
        loop = asyncio.get_running_loop()
        first, second = [await loop.run_in_executor(None, results.get, True, 30) for _ in processes]
        for process in processes:
            process.join()
        assert (first + second).count("claimed") == 50
        assert "down" not in first + second


async def test_dead_store_is_an_error_at_once_and_works_again_soon_after_it_is_back() -> None:
    loop = asyncio.get_running_loop()
    async with valkey() as server, store(server) as nonces:
        await nonces.claim("key", "before", ttl_ms=TTL)
        server.kill()
        for number in range(20):
            started = loop.time()
            assert await _outcome(nonces, f"dead-{number}") == "down"
            assert loop.time() - started < 0.1
        await server.start()
        assert await _until_claimed(nonces) < 1


async def test_hung_store_is_an_error_in_time_and_works_again_soon_after_it_goes_on() -> None:
    loop = asyncio.get_running_loop()
    async with valkey() as server, store(server) as nonces:
        await nonces.claim("key", "before", ttl_ms=TTL)
        server.hang()
        for _ in range(5):
            started = loop.time()
            outcomes = await asyncio.gather(*(_outcome(nonces, f"hung-{number}") for number in range(5000)))
            assert set(outcomes) == {"down"}
            assert loop.time() - started < 2  # making and ending 5000 tasks; single claims are timed below
        server.resume()
        assert await _until_claimed(nonces) < 1
        assert await _outcome(nonces, "before") == "seen"


async def test_single_claims_during_a_hang_fail_within_100_ms() -> None:
    loop = asyncio.get_running_loop()
    async with valkey() as server, store(server) as nonces:
        await nonces.claim("key", "before", ttl_ms=TTL)
        server.hang()
        slowest = 0.0
        for number in range(60):
            started = loop.time()
            assert await _outcome(nonces, f"hung-{number}") == "down"
            slowest = max(slowest, loop.time() - started)
            await asyncio.sleep(0.01)
        assert slowest < 0.1


async def test_claims_that_queue_behind_a_hang_fail_with_it() -> None:
    loop = asyncio.get_running_loop()
    async with valkey() as server, store(server) as nonces:
        await nonces.claim("key", "before", ttl_ms=TTL)
        server.hang()
        waits: list[float] = []

        async def timed(number: int) -> None:
            started = loop.time()
            assert await _outcome(nonces, f"n-{number}") == "down"
            waits.append(loop.time() - started)

        tasks = []
        for number in range(100):
            tasks.append(asyncio.create_task(timed(number)))
            await asyncio.sleep(0.0005)
        await asyncio.gather(*tasks)
        assert max(waits) < 0.1


async def test_memory_stays_flat_under_a_flood_while_the_store_hangs() -> None:
    async with valkey() as server, store(server) as nonces:
        server.hang()
        for number in range(2000):
            await _outcome(nonces, f"warm-{number}")
        tracemalloc.start()
        for number in range(20_000):
            assert await _outcome(nonces, f"flood-{number}") == "down"
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert grown < 300_000


async def test_lost_answer_is_an_error_never_seen_and_the_claim_is_never_sent_twice(tmp_path: Path) -> None:
    async with valkey() as server:
        async with lossy_relay(server.socket) as (relay, commands):
            nonces = RedisNonces(f"unix://{relay}", prefix="t:")
            await nonces.start()
            assert await _outcome(nonces, "lost") == "down"
            assert await _outcome(nonces, "next") == "down"
            assert b"".join(commands).count(b"t:nonce:key:lost") == 1
            await nonces.close()
        async with store(server) as honest:
            assert await _outcome(honest, "lost") == "seen"


@asynccontextmanager
async def lossy_relay(target: Path) -> AsyncIterator[tuple[Path, list[bytes]]]:
    """A relay that passes commands on and closes instead of bringing back the answer to a SET."""
    commands: list[bytes] = []
    path = target.parent / "relay.sock"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(str(target))
        try:
            while data := await reader.read(65_536):
                commands.append(data)
                upstream_writer.write(data)
                answer = await upstream_reader.read(65_536)
                if b"t:nonce" in data:
                    return
                writer.write(answer)
        finally:
            upstream_writer.close()
            writer.close()

    server = await asyncio.start_unix_server(serve, path=str(path))
    try:
        yield path, commands
    finally:
        server.close()
        await server.wait_closed()


async def test_error_answer_of_the_store_is_no_claim() -> None:
    async with valkey() as server, store(server) as nonces:
        admin = server.client()
        await admin.config_set("maxmemory", "1")
        assert await _outcome(nonces, "full") == "down"
        await admin.config_set("maxmemory", "0")
        await _until_claimed(nonces)
        assert await _outcome(nonces, "full") == "claimed"
        await admin.aclose()


@pytest.mark.parametrize("under_way", [False, True], ids=["queued", "under way"])
async def test_closed_store_leaves_nobody_waiting(under_way: bool) -> None:
    async with valkey() as server, store(server) as nonces:
        server.hang()
        waiting = [asyncio.create_task(_outcome(nonces, f"n-{number}")) for number in range(10)]
        await asyncio.sleep(0.005 if under_way else 0)
        await nonces.close()
        async with asyncio.timeout(1):
            assert set(await asyncio.gather(*waiting)) == {"down"}


async def test_a_claim_marked_unanswered_is_still_one_and_its_repetition_says_so() -> None:
    async with valkey() as server, store(server) as one, store(server) as two:
        await one.claim("key", "n", ttl_ms=TTL)
        one.mark_unanswered("key", "n")
        one.mark_unanswered("key", "never-claimed")
        with pytest.raises(NonceSeen) as seen:
            await one.claim("key", "n", ttl_ms=TTL)
        assert seen.value.unanswered
        with pytest.raises(NonceSeen) as seen:
            await two.claim("key", "n", ttl_ms=TTL)
        assert seen.value.unanswered
        client = server.client()
        assert 0 < await client.pttl("t:nonce:key:n") <= TTL
        await client.aclose()
        await two.claim("key", "never-claimed", ttl_ms=TTL)
