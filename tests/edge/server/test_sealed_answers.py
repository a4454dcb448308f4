"""Answers on the app channel leave the gateway encrypted, whoever made them and however they arrive."""

import asyncio
import json
from dataclasses import dataclass
from typing import ClassVar

import pytest
from haetae_crypto.body import open_body
from haetae_crypto.errors import CryptoError
from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.seal import ChannelSeal

from tests.simulator.client import Client
from tests.simulator.upstream import Peer, ok
from tests.simulator.world import world

KEY = bytes(range(32))
GET = b"GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenContentKey:
    """What the app channel does once it has the content key; `then` is raised after it."""

    phase: ClassVar[Phase] = Phase.OPEN_BODY
    shortcut: ClassVar[tuple[str, ...]] = ()

    then: Exception | None = None

    def build(self, context: BuildContext) -> Steps:
        """One step."""

        def step(exchange: Exchange) -> None:
            exchange.seal = ChannelSeal(KEY, context.services.random_bytes)
            if self.then is not None:
                raise self.then

        return Steps(request=((Phase.OPEN_BODY, step),))


async def test_whole_answer_is_sealed_with_a_length_of_its_own() -> None:
    async with world(filters=(OpenContentKey(),)) as edge:
        edge.upstream.on("/a", ok(b"plain", b"Content-Type: text/plain", b"Content-Digest: sha-256=:AA==:"))
        answer = await edge.client.ask(GET)
        assert b"plain" not in answer.body
        assert open_body(KEY, answer.body) == b"plain"
        assert answer.value(b"content-encoding") == b"aes128gcm"
        assert answer.value(b"content-type") == b"text/plain"
        assert answer.values(b"content-digest") == []
        assert len((await edge.client.ask(GET)).body) == len(answer.body)


async def test_coding_of_the_upstream_comes_first() -> None:
    async with world(filters=(OpenContentKey(),)) as edge:
        edge.upstream.on("/a", ok(b"zipped", b"Content-Encoding: gzip"))
        answer = await edge.client.ask(GET)
        assert answer.value(b"content-encoding") == b"gzip, aes128gcm"
        assert open_body(KEY, answer.body) == b"zipped"


async def test_stream_is_sealed_as_it_arrives() -> None:
    async with world(filters=(OpenContentKey(),)) as edge:
        go = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            await go.wait()
            await peer.send(b"6\r\nsecond\r\n0\r\n\r\n")

        edge.upstream.on("/a", script)
        await edge.client.send(GET)
        received = await _first_record(edge.client)
        go.set()
        while not received.endswith(b"\r\n0\r\n\r\n"):
            received += await edge.client.read_some()
        assert open_body(KEY, _unchunk(received.partition(b"\r\n\r\n")[2])) == b"firstsecond"


async def test_stream_that_breaks_off_never_opens_as_whole() -> None:
    async with world(filters=(OpenContentKey(),)) as edge:
        go = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            await go.wait()
            peer.close()

        edge.upstream.on("/a", script)
        await edge.client.send(GET)
        received = await _first_record(edge.client)
        go.set()
        received += await edge.client.rest()
        with pytest.raises(CryptoError):
            open_body(KEY, _unchunk(received.partition(b"\r\n\r\n")[2] + b"0\r\n\r\n"))


async def test_large_stream_opens_whole() -> None:
    body = bytes(range(256)) * 4096
    async with world(filters=(OpenContentKey(),)) as edge:
        edge.upstream.on("/a", ok(body))
        answer = await edge.client.ask(GET)
        assert open_body(KEY, answer.body) == body


ENDS = {
    "a refusal": (Refusal("input-invalid"), 400, "input-invalid"),
    "a fault": (KeyError("secret-detail"), 500, "internal"),
}


@pytest.mark.parametrize(("error", "status", "code"), ENDS.values(), ids=ENDS.keys())
async def test_error_after_the_content_key_was_opened_is_sealed(error: Exception, status: int, code: str) -> None:
    async with world(filters=(OpenContentKey(then=error),)) as edge:
        answer = await edge.client.ask(GET)
        assert answer.status == status
        assert code.encode() not in answer.body
        assert answer.value(b"content-type") == b"application/problem+json"
        assert json.loads(open_body(KEY, answer.body))["code"] == code


@pytest.mark.parametrize("status", [204, 304])
async def test_answer_without_a_body_stays_without_one(status: int) -> None:
    async with world(filters=(OpenContentKey(),)) as edge:
        edge.upstream.on("/a", b"HTTP/1.1 %d X\r\n\r\n" % status)
        answer = await edge.client.ask(GET)
        assert (answer.status, answer.values(b"content-encoding")) == (status, [])


async def test_head_says_nothing_of_the_length_of_what_would_be_sealed() -> None:
    async with world(filters=(OpenContentKey(),)) as edge:
        edge.upstream.on("/a", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        answer = await edge.client.ask(GET.replace(b"GET", b"HEAD"), method="HEAD")
        assert answer.values(b"content-length") == []


async def _first_record(client: Client) -> bytes:
    """Read until the header (21 bytes) and a record of "first" (5 bytes, delimiter, tag of 16) must be there."""
    received = b""
    while len(received.partition(b"\r\n\r\n")[2]) < 21 + 5 + 17:
        received += await client.read_some()
    return received


def _unchunk(framed: bytes) -> bytes:
    content = b""
    while framed:
        size, _, framed = framed.partition(b"\r\n")
        content += framed[: int(size, 16)]
        framed = framed[int(size, 16) + 2 :]
        if size == b"0":
            break
    return content
