"""The client of the identity service against a real HTTP server that is honest, slow, lying, or gone."""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from haetae_edge.io.identity import HttpIdentityService
from haetae_edge.services import DependencyUnavailable, UnknownDevice

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def _jwk() -> dict[str, str]:
    raw = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    return {"kty": "OKP", "crv": "Ed25519", "x": urlsafe_b64encode(raw).rstrip(b"=").decode()}


def record(**changes: Any) -> dict[str, Any]:
    """A device record as the service should send it."""
    device = {"id": "d-1", "platform": "ios", "app_version": "1", "attestation": "basic"}
    plain = {"keyid": "dev_1", "alg": "ed25519", "public_key": _jwk(), "user_id": "u-1", "device": device}
    return {**plain, "status": "active", **changes}


@dataclass(slots=True)
class Service:
    """What the server does, and how often it was asked."""

    client: HttpIdentityService
    answer: Any = field(default_factory=record)
    hold: asyncio.Event | None = None
    handler: Handler | None = None
    asked: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    async def until_asked(self, count: int) -> None:
        """Wait until so many requests have arrived."""
        async with asyncio.timeout(5):
            while len(self.asked) < count:  # noqa: ASYNC110 - the server is in this loop and has no event
                await asyncio.sleep(0.002)


@asynccontextmanager
async def identity(*, timeout: float = 1.0, context_seconds: float = 60.0) -> AsyncIterator[Service]:
    """A server on a free port and the gateway's client for it."""
    service: Service

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        service.asked.append(f"{request.method} {request.rel_url.raw_path}")
        service.bodies.append(await request.json() if request.can_read_body else None)
        assert request.headers["authorization"] == "Bearer service-token"
        if service.handler is not None:
            return await service.handler(request)
        answer = service.answer
        if service.hold is not None:
            await service.hold.wait()
        return web.Response(status=404) if answer is None else web.json_response(answer)

    server = web.Server(serve)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        client = HttpIdentityService(
            session,
            f"http://127.0.0.1:{port}",
            token="service-token",
            timeout=timeout,
            context_seconds=context_seconds,
        )
        service = Service(client)
        try:
            yield service
        finally:
            await runner.cleanup()


async def test_hundred_callers_at_once_are_one_question_and_the_answer_is_remembered() -> None:
    async with identity() as service:
        records = await asyncio.gather(*(service.client.device("dev_1") for _ in range(100)))
        assert {item.user_id for item in records} == {"u-1"}
        assert (await service.client.device("dev_1")) is records[0]
        assert service.client.cached_device("dev_1") is records[0]
        assert service.asked == ["GET /v1/devices/dev_1"]


async def test_unknown_device_is_remembered_as_such() -> None:
    async with identity() as service:
        service.answer = None
        for _ in range(3):
            with pytest.raises(UnknownDevice):
                await service.client.device("dev_1")
        with pytest.raises(UnknownDevice):
            service.client.cached_device("dev_1")
        assert len(service.asked) == 1


@pytest.mark.parametrize("status", ["disabled", "ACTIVE", None, True, ""])
async def test_device_that_is_not_active_is_unknown(status: object) -> None:
    async with identity() as service:
        service.answer = record(status=status)
        with pytest.raises(UnknownDevice):
            await service.client.device("dev_1")


async def test_caller_that_gives_up_does_not_take_the_answer_from_the_others() -> None:
    async with identity() as service:
        service.hold = asyncio.Event()
        first = asyncio.create_task(service.client.device("dev_1"))
        second = asyncio.create_task(service.client.device("dev_1"))
        await service.until_asked(1)
        first.cancel()
        service.hold.set()
        assert (await second).user_id == "u-1"
        assert len(service.asked) == 1


@pytest.mark.parametrize(
    "forget", [{"device": "d-1"}, {"user": "u-1"}, {"user": "u-other"}], ids=["device", "user", "somebody else"]
)
async def test_answer_that_was_asked_for_before_a_forget_is_not_remembered_after_it(forget: dict[str, str]) -> None:
    async with identity() as service:
        hold = service.hold = asyncio.Event()
        early = asyncio.create_task(service.client.device("dev_1"))
        await service.until_asked(1)
        service.client.forget(**forget)
        service.answer = record(user_id="u-2")
        service.hold = None
        late = await service.client.device("dev_1")
        hold.set()
        assert (await early).user_id == "u-1"
        assert late.user_id == "u-2"
        assert (await service.client.device("dev_1")).user_id == "u-2"
        assert len(service.asked) == 2


async def test_forget_drops_the_device_its_user_and_their_contexts_and_nothing_else() -> None:
    async with identity() as service:
        await service.client.device("dev_1")
        service.answer = {"user": {}, "risk": {"score": 0.1, "level": "low"}}
        for sub, keyid in (("u-1", "dev_1"), ("u-1", None), ("u-2", "dev_2")):
            await service.client.context(sub=sub, keyid=keyid, device=keyid, route="r")
        service.client.forget(user="u-1")
        assert service.client.cached_device("dev_1") is None
        before = len(service.asked)
        await service.client.context(sub="u-2", keyid="dev_2", device="dev_2", route="r")
        assert len(service.asked) == before
        await service.client.context(sub="u-1", keyid=None, device=None, route="r")
        assert len(service.asked) == before + 1
        service.client.forget(device="dev_2")
        await service.client.context(sub="u-2", keyid="dev_2", device="dev_2", route="r")
        assert len(service.asked) == before + 2


async def test_context_is_asked_once_per_caller_and_route() -> None:
    async with identity() as service:
        service.answer = {"user": {"tier": "gold"}}
        answers = await asyncio.gather(
            *(service.client.context(sub="u-1", keyid="dev_1", device="dev_1", route="pay") for _ in range(10))
        )
        assert answers[0] == {"user": {"tier": "gold"}}
        await service.client.context(sub="u-1", keyid="dev_1", device="dev_1", route="see")
        assert service.asked == ["POST /v1/context"] * 2
        assert service.bodies[0] == {"sub": "u-1", "keyid": "dev_1", "route": "pay"}


async def test_context_that_may_not_be_kept_is_asked_again() -> None:
    async with identity(context_seconds=-1) as service:
        service.answer = {}
        await service.client.context(sub="u-1", keyid=None, device=None, route="r")
        await service.client.context(sub="u-1", keyid=None, device=None, route="r")
        assert len(service.asked) == 2


@pytest.mark.parametrize("keyid", ["a/../../admin", "a b", "a%2f", "a?x=1", "a#b", "é"])
async def test_key_id_cannot_change_the_address_that_is_asked(keyid: str) -> None:
    async with identity() as service:
        service.answer = None
        with pytest.raises(UnknownDevice):
            await service.client.device(keyid)
        path = service.asked[0].removeprefix("GET ")
        assert path.startswith("/v1/devices/")
        assert path.count("/") == 3
        assert "?" not in path


LIES = {
    "another key id": record(keyid="dev_2"),
    "no device": record(device=None),
    "device without id": record(device={}),
    "user that is a number": record(user_id=7),
    "unknown algorithm": record(alg="hs256"),
    "algorithm of another key type": record(alg="ecdsa-p256-sha256"),
    "private key": record(public_key={**_jwk(), "d": "AAAA"}),
    "no key": record(public_key=None),
    "broken key": record(public_key={**_jwk(), "x": "AAAA"}),
    "a list": [record()],
    "a string": "active",
}


@pytest.mark.parametrize("answer", LIES.values(), ids=LIES.keys())
async def test_lying_service_is_as_good_as_none_and_is_asked_again(answer: object) -> None:
    async with identity() as service:
        service.answer = answer
        for _ in range(2):
            with pytest.raises((DependencyUnavailable, UnknownDevice)):
                await service.client.device("dev_1")
        assert service.client.cached_device("dev_1") is None
        service.answer = record()
        assert (await service.client.device("dev_1")).user_id == "u-1"


async def _huge(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"[" * 65_536)


async def _redirect(request: web.BaseRequest) -> web.StreamResponse:
    raise web.HTTPFound("/elsewhere")


async def _slow(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.02)


async def _broken(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=b'{"keyid":', content_type="application/json")


async def _cut(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-length": "1000"})
    await response.prepare(request)
    await response.write(b'{"keyid"')
    assert request.transport is not None
    request.transport.abort()
    return response


def _status(status: int) -> Handler:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(record(), status=status)

    return answer


BROKEN: dict[str, Handler] = {
    "huge": _huge,
    "redirect": _redirect,
    "slow": _slow,
    "broken JSON": _broken,
    "cut off": _cut,
    "500": _status(500),
    "401": _status(401),
    "204": _status(204),
    "201": _status(201),
}


@pytest.mark.parametrize("handler", BROKEN.values(), ids=BROKEN.keys())
async def test_unusable_answer_is_an_outage_within_the_deadline_and_is_not_remembered(handler: Handler) -> None:
    loop = asyncio.get_running_loop()
    async with identity(timeout=0.3) as service:
        service.handler = handler
        started = loop.time()
        with pytest.raises(DependencyUnavailable):
            await service.client.device("dev_1")
        with pytest.raises(DependencyUnavailable):
            await service.client.context(sub="u-1", keyid=None, device=None, route="r")
        assert loop.time() - started < 2
        assert "GET /elsewhere" not in service.asked
        service.handler = None
        assert (await service.client.device("dev_1")).user_id == "u-1"


async def test_service_that_is_not_there_is_an_outage_and_what_is_fresh_serves_on() -> None:
    async with identity() as service:
        await service.client.device("dev_1")
    assert (await service.client.device("dev_1")).user_id == "u-1"
    with pytest.raises((DependencyUnavailable, RuntimeError)):
        await service.client.device("dev_2")
