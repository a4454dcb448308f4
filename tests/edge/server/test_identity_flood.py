"""A flood of invented key ids: known devices go on, and the identity service is not flooded through the gateway."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from haetae_edge.io.identity import HttpIdentityService
from haetae_edge.services import DependencyUnavailable, DeviceRecord, UnknownDevice

KEY = {"kty": "OKP", "crv": "Ed25519", "x": "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik"}


class SlowService:
    """Knows the devices `dev_*`; answers for others only when let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.known = True
        self.go = asyncio.Event()
        self._changed = asyncio.Event()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """One look-up."""
        keyid = request.rel_url.parts[-1]
        self.asked.append(keyid)
        self._changed.set()
        if not keyid.startswith("dev_"):
            await self.go.wait()
        if not keyid.startswith("dev_") or not self.known:
            return web.Response(status=404)
        device = {"id": "d-" + keyid}
        return web.json_response(
            {
                "keyid": keyid,
                "alg": "ed25519",
                "public_key": KEY,
                "user_id": "u-1",
                "device": device,
                "status": "active",
            }
        )

    async def until_asked(self, count: int) -> None:
        """Wait until so many look-ups have arrived."""
        async with asyncio.timeout(10):
            while len(self.asked) < count:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def slow_identity() -> AsyncIterator[tuple[SlowService, HttpIdentityService]]:
    """The service on a free port and the gateway's client for it."""
    service = SlowService()
    runner = web.ServerRunner(web.Server(service), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:
        try:
            yield service, HttpIdentityService(session, base, token=None, timeout=30, context_seconds=60)
        finally:
            service.go.set()
            await runner.cleanup()


async def _refusal(look_up: Awaitable[DeviceRecord]) -> type[Exception]:
    with pytest.raises((DependencyUnavailable, UnknownDevice)) as caught:
        await look_up
    return caught.type


async def test_flood_of_unknown_keys_is_held_back_and_known_devices_are_served_and_refreshed() -> None:
    async with slow_identity() as (service, client):
        known = await client.device("dev_1")
        flood = [asyncio.create_task(_refusal(client.device(f"invented_{number}"))) for number in range(1500)]
        # As many as may wait do; the rest is refused at once.
        async with asyncio.timeout(30):
            while sum(task.done() for task in flood) < 1500 - 1024:  # noqa: ASYNC110 - nobody tells of the last
                await asyncio.sleep(0.01)
        done, waiting = await asyncio.wait(flood, timeout=0.1)
        assert len(waiting) == 1024
        assert {task.result() for task in done} == {DependencyUnavailable}
        await service.until_asked(1 + 32)
        assert await _refusal(client.device("dev_2")) is DependencyUnavailable
        assert client.cached_device("dev_1") is known
        client.forget(device="d-dev_1")
        assert (await client.device("dev_1")) is not known
        assert service.asked.count("dev_1") == 2
        assert len(service.asked) == 1 + 32 + 1
        service.go.set()
        assert {await task for task in waiting} == {UnknownDevice}
        assert (await client.device("dev_2")).user_id == "u-1"


async def test_devices_that_all_come_at_once_after_a_start_are_all_served() -> None:
    async with slow_identity() as (_, client):
        records = await asyncio.gather(*(client.device(f"dev_{number}") for number in range(500)))
        assert len({record.key.keyid for record in records}) == 500


async def test_flood_that_gives_up_still_counts_until_the_service_has_answered() -> None:
    async with slow_identity() as (service, client):
        flood = [asyncio.create_task(client.device(f"invented_{number}")) for number in range(1024)]
        await service.until_asked(32)
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
        client.forget(device="d-other")
        assert await _refusal(client.device("invented_1024")) is DependencyUnavailable
        assert len(service.asked) == 32


async def test_twenty_thousand_unknown_keys_evict_no_known_device_and_take_bounded_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with slow_identity() as (service, client):
        known = await client.device("dev_1")

        async def not_found(method: str, path: str, body: object) -> tuple[int, dict[str, object]]:
            return 404, {}

        monkeypatch.setattr(client, "_call", not_found)
        for number in range(20_000):
            assert await _refusal(client.device(f"invented_{number}")) is UnknownDevice
        assert client.cached_device("dev_1") is known
        assert len(client._unknown) <= 10_000
        assert len(client._devices) == 1
        with pytest.raises(UnknownDevice):
            client.cached_device("invented_19999")
        assert service.asked == ["dev_1"]


async def test_device_that_becomes_unknown_is_refused_and_one_that_becomes_known_is_served() -> None:
    async with slow_identity() as (service, client):
        await client.device("dev_1")
        service.known = False
        client.forget(device="d-dev_1")
        with pytest.raises(UnknownDevice):
            await client.device("dev_1")
        with pytest.raises(UnknownDevice):
            client.cached_device("dev_1")
        service.known = True
        client._unknown.clear()
        assert (await client.device("dev_1")).user_id == "u-1"
        assert client.cached_device("dev_1") is not None


async def test_full_cache_drops_what_was_not_refreshed_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("haetae_edge.io.identity._remember.__kwdefaults__", {"most": 10})
    async with slow_identity() as (_, client):
        for number in range(10):
            await client.device(f"dev_{number}")
        client.forget(device="d-dev_0")
        await client.device("dev_0")
        await client.device("dev_new")
        assert client.cached_device("dev_0") is not None
        assert client.cached_device("dev_1") is None
        assert client.cached_device("dev_2") is not None
