"""The app channel at the gateway: what was signed is what passes, once; everything else reaches nobody."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from haetae_crypto.app_channel import DeviceKey
from haetae_crypto.client import AppClient, PreparedRequest
from haetae_crypto.content_key import ContentKeyOpener
from haetae_crypto.gateway_keys import GatewayRing, new_gateway_ring, next_gateway_entry
from haetae_crypto.jwk import PrivateJwk, ed25519_private_from_seed
from haetae_crypto.keyring import KeyRing, KeyState
from haetae_edge.filters.app_channel import AppChannel
from haetae_edge.services import (
    DependencyUnavailable,
    DeviceRecord,
    NonceSeen,
    Services,
    StoreUnavailable,
    UnknownDevice,
)

from tests.simulator.client import Answer
from tests.simulator.upstream import ok
from tests.simulator.world import NEXT, World, world

NOW = 1_800_000_000.0
URL = "http://api.test/transfers?to=joon&amount=1"
DEVICES: dict[str, PrivateJwk] = {
    name: ed25519_private_from_seed(bytes([number]) * 32) for number, name in enumerate(("dev_1", "dev_2"), 1)
}
RING = new_gateway_ring(bytes(32), kid="gw-1", now=int(NOW) - 1000)


class Nonces:
    """A replay store in memory; `down` makes it unreachable."""

    def __init__(self) -> None:
        self.claimed: set[tuple[str, str]] = set()
        self.unanswered: set[tuple[str, str]] = set()
        self.down = False

    async def claim(self, keyid: str, nonce: str, *, ttl_ms: int) -> None:
        assert 0 < ttl_ms <= 60_000
        if self.down:
            raise StoreUnavailable
        if (keyid, nonce) in self.claimed:
            raise NonceSeen(unanswered=(keyid, nonce) in self.unanswered)
        self.claimed.add((keyid, nonce))

    def mark_unanswered(self, keyid: str, nonce: str) -> None:
        self.unanswered.add((keyid, nonce))


class Identity:
    """Knows the two devices, from memory; `down` makes it unreachable."""

    down = False

    def cached_device(self, keyid: str) -> DeviceRecord | None:
        return None

    async def device(self, keyid: str) -> DeviceRecord:
        if self.down:
            raise DependencyUnavailable
        if keyid not in DEVICES:
            raise UnknownDevice
        key = DeviceKey.from_jwk(keyid, "ed25519", DEVICES[keyid].public.members)
        return DeviceRecord(key=key, user_id="u-1", device={"id": f"d-{keyid}"})

    def cached_context(
        self, *, sub: str, keyid: str | None, device: str | None, route: str
    ) -> Mapping[str, Any] | None:
        return None

    async def context(self, *, sub: str, keyid: str | None, device: str | None, route: str) -> Mapping[str, Any]:
        raise DependencyUnavailable

    def forget(self, *, user: str | None = None, device: str | None = None) -> None:
        raise AssertionError("nobody is forgotten here")


@dataclass(slots=True)
class Channel:
    """The gateway's side as the tests may change it."""

    nonces: Nonces
    identity: Identity
    services: Services


def channel(*, now: float = NOW, ring: GatewayRing = RING) -> Channel:
    nonces, identity = Nonces(), Identity()
    services = Services(
        clock=lambda: now,
        random_bytes=os.urandom,
        nonces=nonces,
        identity=identity,
        content_keys=ContentKeyOpener(ring),
    )
    return Channel(nonces, identity, services)


def app(keyid: str = "dev_1", *, sealed: bool = True) -> AppClient:
    key = RING.active(now=NOW).key.public if sealed else None
    return AppClient(keyid=keyid, device_key=DEVICES[keyid], gateway_key=key, random_bytes=os.urandom)


def signed(
    client: AppClient | None = None, *, body: bytes | None = b'{"amount":1}', at: float = NOW
) -> PreparedRequest:
    method = "GET" if body is None else "POST"
    headers = () if body is None else (("Content-Type", "application/json"),)
    return (client or app()).prepare(method, URL, now=at, headers=headers, body=body)


def raw(request: PreparedRequest, *, headers: Mapping[str, str | None] | None = None, **changes: Any) -> bytes:
    """The request's bytes; `headers` replaces fields by name, None takes one away."""
    request = replace(request, **changes)
    fields: dict[str, str | None] = {"host": request.authority, **dict(request.headers)}
    if request.body is not None:
        fields["content-length"] = str(len(request.body))
    fields |= headers or {}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
    return f"{request.method} {request.target} HTTP/1.1\r\n{lines}\r\n".encode() + (request.body or b"")


async def ask(edge: World, data: bytes) -> Answer:
    """On a connection of its own: some refusals end it."""
    async with edge.gateway.client() as client:
        return await client.ask(data)


def opened(request: PreparedRequest, answer: Answer) -> bytes:
    fields = [(name.decode(), value.decode()) for name, value in answer.fields]
    return request.opener.open(answer.status, fields, answer.body).body


async def test_signed_and_sealed_request_reaches_the_upstream_in_plain_and_its_answer_is_sealed() -> None:
    gate = channel()
    async with world(filters=(AppChannel(),), services=gate.services) as edge:
        edge.upstream.on("/transfers?to=joon&amount=1", ok(b"done", b"Content-Type: text/plain"))
        request = signed()
        answer = await ask(edge, raw(request))
        assert answer.status == 200
        assert answer.value(b"content-encoding") == b"aes128gcm"
        assert b"done" not in answer.body
        assert opened(request, answer) == b"done"
        arrived = edge.upstream.only
        assert arrived.content == b'{"amount":1}'
        for name in (b"signature", b"signature-input", b"haetae-key", b"content-digest", b"content-encoding"):
            assert arrived.values(name) == []
        assert arrived.values(b"accept-encoding") == [b"identity"]
        assert arrived.values(b"content-type") == [b"application/json"]


async def test_the_same_request_passes_once() -> None:
    gate = channel()
    async with world(filters=(AppChannel(),), services=gate.services) as edge:
        edge.upstream.on("/transfers?to=joon&amount=1", ok(b"done"))
        data = raw(signed())
        assert (await ask(edge, data)).status == 200
        again = await ask(edge, data)
        assert (again.status, again.problem()) == (401, "replayed")
        assert len(again.values(b"www-authenticate")) == 1
        assert len(edge.upstream.requests) == 1


ALTERED: dict[str, dict[str, Any]] = {
    "method": {"method": "PUT"},
    "path": {"target": "/transfer?to=joon&amount=1"},
    "query": {"target": "/transfers?to=joon&amount=9"},
    "query taken away": {"target": "/transfers"},
    "body": {"body": b"x" * 80},
    "host": {"headers": {"host": "other.test"}},
    "content type": {"headers": {"content-type": "text/plain"}},
    "token added": {"headers": {"authorization": "Bearer abc"}},
    "content key taken away": {"headers": {"haetae-key": None}},
    "coding taken away": {"headers": {"content-encoding": None}},
    "digest taken away": {"headers": {"content-digest": None}},
    "body taken away": {"body": None},
    "body emptied": {"body": b""},
    "signature taken away": {"headers": {"signature": None}},
    "another key id": {"headers": {"signature-input": "dev_2"}},
}


@pytest.mark.parametrize("change", ALTERED.values(), ids=ALTERED.keys())
async def test_altered_request_is_refused_reaches_nobody_and_uses_up_no_nonce(change: dict[str, Any]) -> None:
    gate = channel()
    async with world(filters=(AppChannel(),), services=gate.services) as edge:
        edge.upstream.on("/transfers?to=joon&amount=1", ok(b"done"))
        request = signed()
        altered = dict(change)
        if altered.get("headers") == {"signature-input": "dev_2"}:
            given = dict(request.headers)["signature-input"].replace("dev_1", "dev_2")
            altered = {"headers": {"signature-input": given}}
        answer = await ask(edge, raw(request, **altered))
        assert (answer.status, answer.problem()) == (401, "signature-invalid")
        assert len(answer.values(b"www-authenticate")) == 1
        assert edge.upstream.requests == []
        assert gate.nonces.claimed == set()
        assert (await ask(edge, raw(request))).status == 200


@pytest.mark.parametrize(
    ("age", "passes"), [(-6, False), (-5, True), (0, True), (25, True), (36, False), (3600, False)]
)
async def test_window_is_exact_to_the_second_and_refusals_carry_the_time(age: int, passes: bool) -> None:
    gate = channel()
    async with world(filters=(AppChannel(),), services=gate.services) as edge:
        edge.upstream.on("/transfers?to=joon&amount=1", ok(b"done"))
        answer = await ask(edge, raw(signed(app(sealed=True), body=None, at=NOW - age)))
        if passes:
            assert answer.status == 200
        else:
            assert (answer.status, answer.problem()) == (400, "clock-skew")
            assert b"#date" in answer.body
            assert len(answer.values(b"date")) == 1
            assert edge.upstream.requests == []


async def test_store_that_is_down_means_503_and_only_reads_pass_where_the_route_says_so() -> None:
    gate = channel()
    gate.nonces.down = True
    async with world(filters=(AppChannel(),), services=gate.services) as edge:
        answer = await ask(edge, raw(signed()))
        assert (answer.status, answer.problem()) == (503, "replay-store-unavailable")
        assert answer.value(b"retry-after") == b"1"
        assert edge.upstream.requests == []
    async with world(filters=(AppChannel(on_replay_store_down="allow"),), services=gate.services) as edge:
        edge.upstream.on("/transfers?to=joon&amount=1", ok(b"done"))
        assert (await ask(edge, raw(signed(body=None)))).status == 200
        assert (await ask(edge, raw(signed()))).status == 503
        assert len(edge.upstream.requests) == 1


async def test_unknown_device_and_an_identity_service_that_is_down() -> None:
    gate = channel()
    async with world(filters=(AppChannel(),), services=gate.services) as edge:
        request = signed()
        stranger = dict(request.headers)["signature-input"].replace("dev_1", "dev_9")
        answer = await ask(edge, raw(request, headers={"signature-input": stranger}))
        assert (answer.status, answer.problem()) == (401, "signature-invalid")
        gate.identity.down = True
        answer = await ask(edge, raw(request))
        assert (answer.status, answer.problem()) == (503, "identity-unavailable")
        assert gate.nonces.claimed == set()


async def test_content_key_sealed_for_one_device_does_not_open_for_another_that_signs_it() -> None:
    gate = channel()
    async with world(filters=(AppChannel(),), services=gate.services) as edge:
        stolen = dict(signed().headers)["haetae-key"]
        thief = app("dev_2")
        signed(thief, body=None)
        thief._session = replace(thief._session, header=stolen)  # type: ignore[type-var] # what a thief would do
        answer = await ask(edge, raw(signed(thief, body=None)))
        assert (answer.status, answer.problem()) == (400, "content-key-invalid")
        assert edge.upstream.requests == []


@pytest.mark.parametrize(("later", "status"), [(1, 200), (3600, 200), (30 * 86_400, 400)])
async def test_gateway_key_that_was_rotated_out_opens_until_its_end(later: int, status: int) -> None:
    (old,) = RING.entries
    new = next_gateway_entry(bytes([9]) * 32, kid="gw-2", now=int(NOW), lead=0, life=90 * 86_400)
    rotated = KeyRing((replace(old, state=KeyState.VERIFY_ONLY), replace(new, state=KeyState.ACTIVE)))
    gate = channel(now=NOW + later, ring=rotated)
    async with world(filters=(AppChannel(),), services=gate.services) as edge:
        edge.upstream.on("/transfers?to=joon&amount=1", ok(b"done"))
        answer = await ask(edge, raw(signed(body=None, at=NOW + later)))
        assert answer.status == status
        if status == 400:
            assert answer.problem() == "content-key-invalid"


async def test_plain_body_passes_only_where_the_route_says_so() -> None:
    gate = channel()
    plain = app(sealed=False)
    async with world(filters=(AppChannel(),), services=gate.services) as edge:
        answer = await ask(edge, raw(signed(plain)))
        assert (answer.status, answer.problem()) == (400, "content-key-invalid")
        assert edge.upstream.requests == []
    async with world(filters=(AppChannel(plain_body=True),), services=gate.services) as edge:
        edge.upstream.on("/transfers?to=joon&amount=1", ok(b"done"))
        answer = await ask(edge, raw(signed(plain)))
        assert (answer.status, answer.body) == (200, b"done")
        assert edge.upstream.only.content == b'{"amount":1}'


async def test_failure_of_the_upstream_is_sealed_like_any_answer() -> None:
    gate = channel()
    async with world(filters=(AppChannel(),), services=gate.services) as edge:
        edge.upstream.on("/transfers?to=joon&amount=1", b"not http at all\r\n\r\n")
        request = signed()
        answer = await ask(edge, raw(request))
        assert answer.status == 502
        assert answer.value(b"content-encoding") == b"aes128gcm"
        assert b'"code":"upstream-invalid"' in opened(request, answer)


async def test_body_that_does_not_open_is_refused_after_its_signature_held() -> None:
    gate = channel()
    async with world(filters=(AppChannel(),), services=gate.services) as edge:
        client = app()
        signed(client)
        client._session = replace(client._session, request_key=bytes(32))  # type: ignore[type-var] # a broken app
        request = signed(client)
        answer = await ask(edge, raw(request))
        assert answer.status == 400
        assert b'"code":"body-undecryptable"' in opened(request, answer)
        assert edge.upstream.requests == []


async def test_unsigned_request_is_told_what_to_sign_and_the_connection_goes_on() -> None:
    gate = channel()
    async with world(filters=(AppChannel(),), services=gate.services) as edge:
        await edge.client.send(NEXT)
        answer = await edge.refused("signature-invalid", 401, closes=False)
        assert b'tag="haetae-app"' in answer.value(b"accept-signature")
        await edge.client.send(NEXT)
        await edge.refused("signature-invalid", 401, closes=False)


@pytest.mark.parametrize(
    ("answer", "kind"), [(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", "retry"), (ok(b""), "replay")]
)
async def test_repeating_what_got_no_answer_is_refused_but_told_from_an_attack(answer: bytes, kind: str) -> None:
    gate = channel()
    async with world(filters=(AppChannel(),), services=gate.services) as edge:
        edge.upstream.on("/transfers?to=joon&amount=1", answer)
        data = raw(signed())
        await ask(edge, data)
        again = await ask(edge, data)
        assert (again.status, again.problem()) == (401, "replayed")
        finished = await edge.gateway.finished.until(2)
        assert finished[1].exchange is not None
        assert finished[1].exchange.facts.nonce == kind
