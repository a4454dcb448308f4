"""The demo mobile app against a small gateway of the test: what it pins, corrects, repeats and refuses."""

import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from haetae_crypto.app_channel import DeviceKey, parse_app_signature, verify_app_signature
from haetae_crypto.body import CODING, open_body, seal_body
from haetae_crypto.content_key import ContentKeyOpener
from haetae_crypto.discovery import APP_KEYS_PATH, build_app_keys
from haetae_crypto.errors import ContentKeyInvalid
from haetae_crypto.gateway_keys import CLASSIC, GatewayRing, new_gateway_ring
from haetae_crypto.jwk import ed25519_private_from_seed
from haetae_crypto.signing_keys import SigningKey
from haetae_demo.errors import AnswerInvalid, RequestInvalid, Unreachable
from haetae_demo.io.enrolment import EnrolledDevice
from haetae_demo.io.mobile import MobileApp, one_shot_session
from haetae_demo.io.serving import serve

ROOT = SigningKey.from_seed(bytes([1]) * 32)
DEVICE = EnrolledDevice(keyid="dev_1", device_id="d-1", user_id="u-1", key=ed25519_private_from_seed(bytes([2]) * 32))


@dataclass(slots=True)
class _View:
    """A request as the signature sees it."""

    method: str
    authority: str
    path: str
    query: str | None
    has_body: bool
    fields: dict[str, list[str]] = field(default_factory=dict)

    def field_lines(self, name: str, /) -> list[str]:
        return self.fields.get(name, [])


class SmallGateway:
    """Verifies the signature, opens the body, answers sealed; keeps what it saw."""

    def __init__(self) -> None:
        self.use(self.ring("k1"))
        self.seen: list[dict[str, Any]] = []
        self.sealed = True

    @staticmethod
    def ring(kid: str) -> GatewayRing:
        return new_gateway_ring(os.urandom(32), kid=kid, now=int(time.time()) - 7200, kem=CLASSIC)

    def use(self, ring: GatewayRing) -> None:
        self.published = ring
        self.opener = ContentKeyOpener(ring)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get(APP_KEYS_PATH, self.keys)
        app.router.add_route("*", "/{tail:.*}", self.serve)
        return app

    async def keys(self, _: web.Request) -> web.Response:
        return web.Response(body=build_app_keys(self.published, root_key=ROOT, now=time.time()))

    async def serve(self, request: web.Request) -> web.Response:
        body = await request.read()
        path, mark, query = request.raw_path.partition("?")
        fields: dict[str, list[str]] = {}
        for name, value in request.headers.items():
            fields.setdefault(name.lower(), []).append(value)
        view = _View(request.method, request.host, path, query if mark else None, bool(body), fields)
        unverified = parse_app_signature(view)
        verify_app_signature(unverified, device_key())
        if unverified.created < time.time() - 60:
            headers = {"Date": formatdate(time.time(), usegmt=True)}
            return problem("clock-skew", headers)
        try:
            key = self.opener.open(request.headers["Haetae-Key"], keyid="dev_1", now=time.time())
        except ContentKeyInvalid:
            return problem("content-key-invalid", {})
        plain = open_body(key.request_key, body) if body else b""
        self.seen.append({"target": request.raw_path, "headers": request.headers, "body": plain})
        if not self.sealed:
            return web.Response(body=b"plain")
        answer = seal_body(key.response_key(nonce=unverified.nonce), b"hello " + plain, salt=os.urandom(16))
        return web.Response(body=answer, headers={"Content-Encoding": CODING})


def device_key() -> DeviceKey:
    return DeviceKey.from_jwk("dev_1", "ed25519", dict(DEVICE.key.public.members))


def problem(code: str, headers: dict[str, str]) -> web.Response:
    return web.json_response(
        {"code": code, "status": 400}, status=400, headers=headers, content_type="application/problem+json"
    )


@pytest.fixture
def gateway() -> SmallGateway:
    return SmallGateway()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with one_shot_session() as session:
        yield session


def app_at(url: str, session: aiohttp.ClientSession, *, late: float = 0, root: SigningKey = ROOT) -> MobileApp:
    return MobileApp(
        session,
        gateway_url=url,
        device=DEVICE,
        root_key=root.public,
        clock=lambda: time.time() - late,
        random_bytes=os.urandom,
    )


async def test_call_goes_out_encrypted_and_its_answer_is_opened(
    gateway: SmallGateway, session: aiohttp.ClientSession
) -> None:
    async with serve(gateway.application()) as url:
        app = app_at(url, session)
        assert await app.learn_keys() == "k1"
        app.token = "t"
        answer = await app.call("POST", "/a%2Fb/..?q=%61&", body=b"secret")
    (seen,) = gateway.seen
    assert (seen["target"], seen["body"]) == ("/a%2Fb/..?q=%61&", b"secret")
    assert seen["headers"]["Authorization"] == "Bearer t"
    assert "User-Agent" not in seen["headers"]
    assert (answer.status, answer.body, answer.encrypted) == (200, b"hello secret", True)
    assert b"hello" not in answer.wire


async def test_key_list_of_another_root_key_is_refused(gateway: SmallGateway, session: aiohttp.ClientSession) -> None:
    stranger = SigningKey.from_seed(bytes([9]) * 32)
    async with serve(gateway.application()) as url:
        with pytest.raises(AnswerInvalid, match="not to be trusted"):
            await app_at(url, session, root=stranger).learn_keys()


async def test_late_clock_is_corrected_once_by_the_date_of_the_refusal(
    gateway: SmallGateway, session: aiohttp.ClientSession
) -> None:
    async with serve(gateway.application()) as url:
        app = app_at(url, session, late=600)
        await app.learn_keys()
        answer = await app.call("GET", "/")
        assert answer.status == 200
        assert app.channel.clock_offset == pytest.approx(600, abs=5)
        assert (await app.call("GET", "/")).status == 200
    assert len(gateway.seen) == 2


async def test_replaced_gateway_key_is_fetched_and_the_call_repeated(
    gateway: SmallGateway, session: aiohttp.ClientSession
) -> None:
    async with serve(gateway.application()) as url:
        app = app_at(url, session)
        await app.learn_keys()
        gateway.use(gateway.ring("k2"))
        answer = await app.call("POST", "/", body=b"again")
    assert (answer.status, answer.body) == (200, b"hello again")


async def test_plain_answer_where_a_sealed_one_was_asked_for_is_refused(
    gateway: SmallGateway, session: aiohttp.ClientSession
) -> None:
    gateway.sealed = False
    async with serve(gateway.application()) as url:
        app = app_at(url, session)
        await app.learn_keys()
        with pytest.raises(AnswerInvalid, match="does not open"):
            await app.call("GET", "/")


async def test_each_call_has_its_own_nonce_and_connection(
    gateway: SmallGateway, session: aiohttp.ClientSession
) -> None:
    async with serve(gateway.application()) as url:
        app = app_at(url, session)
        await app.learn_keys()
        nonces = {app.prepare("GET", "/").nonce for _ in range(50)}
        assert len(nonces) == 50
        await app.call("GET", "/")
        assert session.connector is not None
        assert not session.connector._conns  # nothing pooled that could be reused


async def test_gateway_that_is_not_there_and_url_that_cannot_be_signed_are_declared_errors(
    session: aiohttp.ClientSession,
) -> None:
    app = app_at("http://127.0.0.1:1", session)
    with pytest.raises(Unreachable):
        await app.learn_keys()
    with pytest.raises(RequestInvalid):
        app.prepare("GET", "/with space")
