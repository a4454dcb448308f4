"""The same callers through real Envoy and through TLS of our own: never another identity than the certificate's."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.edge.certificates.authority import DAY, NOW, Authority, client_context, dns, email, uri
from tests.edge.certificates.front import Entrance, direct, envoy
from tests.simulator.client import Client
from tests.simulator.upstream import Peer

XFCC = b"x-forwarded-client-cert"
ADMIN = "spiffe://td/admin"
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("tls-entrances")]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["envoy", "envoy-json", "direct"])
async def entrance(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Entrance]:
    folder = tmp_path_factory.mktemp("tls")
    if request.param == "direct":
        async with direct(folder) as found:
            yield found
    else:
        async with envoy(folder, json_format=request.param == "envoy-json") as found:
            yield found


async def test_caller_is_who_the_certificate_says(entrance: Entrance) -> None:
    for leaf, expected in [
        (entrance.authority.issue(uri("spiffe://td/ns/app")), "spiffe://td/ns/app"),
        (entrance.authority.issue(dns("API.partner.example")), "api.partner.example"),
        (entrance.authority.issue(dns("other.test"), uri("spiffe://td/ns/x")), "spiffe://td/ns/x"),
        (entrance.authority.issue(uri("spiffe://td/ns/x"), uri(ADMIN)), ADMIN),
    ]:
        assert await entrance.identity(leaf) == expected


async def test_hostile_names_give_no_identity(entrance: Entrance) -> None:
    for leaf in [
        entrance.authority.issue(dns(f"low.test;URI={ADMIN}")),
        entrance.authority.issue(dns(f"low.test,URI={ADMIN}")),
        entrance.authority.issue(dns(f'low.test",URI="{ADMIN}')),
        entrance.authority.issue(uri(f"spiffe://other/x,By=a;Hash={'0' * 64};URI={ADMIN}")),
        entrance.authority.issue(uri("spiffe://td/admin%00")),
        entrance.authority.issue(uri("spiffe://td/ns/a/b"), email("a@td.test")),
        entrance.authority.issue(common_name=ADMIN),
        entrance.authority.issue(common_name="api.partner.example"),
        entrance.authority.issue(common_name=f'a",URI={ADMIN}'),
    ]:
        assert await entrance.identity(leaf) is None


async def test_header_of_the_client_is_never_believed_nor_passed_on(entrance: Entrance) -> None:
    admin = entrance.authority.issue(uri(ADMIN))
    app = entrance.authority.issue(uri("spiffe://td/ns/app"))
    for spoof in (admin.xfcc(), b'Cert="', b"URI=" + ADMIN.encode(), admin.xfcc() + b",", b"[{}]"):
        seen = await entrance.identity(app, fields=[XFCC + b": " + spoof])
        assert seen in ("spiffe://td/ns/app", None)
        nobody = entrance.authority.issue(dns("nobody.test"))
        assert await entrance.identity(nobody, fields=[XFCC + b": " + spoof]) is None
    assert await entrance.identity(app) == "spiffe://td/ns/app"
    assert all(not request.values(XFCC) for request in entrance.arrived.requests)


async def test_six_hundred_names_are_read(entrance: Entrance) -> None:
    many = entrance.authority.issue(*(dns(f"name-{at}.test") for at in range(600)), uri(ADMIN))
    assert await entrance.identity(many) == ADMIN


async def test_header_line_beyond_the_limit_is_refused_cleanly(tmp_path: Path) -> None:
    async with envoy(tmp_path) as found:
        more = found.authority.issue(*(dns(f"name-{at}.partner.example") for at in range(1000)), uri(ADMIN))
        answer = await found.ask(more)
        assert answer is not None
        assert (answer.status, answer.problem()) == (431, "headers-too-large")


async def test_certificates_that_are_not_good_never_reach_a_service(entrance: Entrance) -> None:
    before = len(entrance.arrived.requests)
    for leaf in [
        None,
        Authority().issue(uri(ADMIN)),
        Authority("test CA").issue(uri(ADMIN)),
        entrance.authority.issue(uri(ADMIN), start=NOW - 3 * DAY, end=NOW - DAY),
        entrance.authority.issue(uri(ADMIN), start=NOW + DAY),
        entrance.authority.issue(uri(ADMIN), usages=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    ]:
        assert await entrance.identity(leaf) is None
    assert len(entrance.arrived.requests) == before


async def test_known_caller_may_not_call_what_its_entry_does_not_list(entrance: Entrance) -> None:
    partner = entrance.authority.issue(dns("api.partner.example"))
    answer = await entrance.ask(partner, method="DELETE")
    assert answer is not None
    assert (answer.status, answer.problem()) == (403, "caller-not-permitted")


async def test_websocket_of_a_caller_passes_both_ways_and_nobodys_does(entrance: Entrance) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        )
        while (said := await peer.read_some()) == b"ping":
            await peer.send(b"pong")
        if said:
            peer.close()

    entrance.arrived.on("/ws", script)
    upgrade = (
        b"GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    for name, status in ((ADMIN, 101), ("spiffe://td/nobody", 403)):
        context = client_context(entrance.trusted, entrance.authority.issue(uri(name)), entrance.folder)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", entrance.port, ssl=context, server_hostname="localhost"
        )
        client = Client(reader, writer)
        await client.send(upgrade)
        assert (await client.answer()).status == status
        if status == 101:
            await client.send(b"ping")
            assert await client.read_exactly(4) == b"pong"
        writer.transport.abort()


async def test_without_a_certificate_there_is_no_identity_even_where_tls_lets_it_through(tmp_path: Path) -> None:
    for make, name in ((direct, "direct"), (envoy, "envoy")):
        folder = tmp_path / name
        folder.mkdir()
        async with make(folder, required=False) as found:
            answer = await found.ask(None, fields=[XFCC + b": " + found.authority.issue(uri(ADMIN)).xfcc()])
            assert answer is not None
            assert (answer.status, answer.problem()) == (403, "certificate-required")


async def test_tls_1_2_is_spoken(tmp_path: Path) -> None:
    async with direct(tmp_path) as found:
        context = ssl.create_default_context(cadata=found.trusted.decode())
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*found.authority.issue(uri(ADMIN)).save(tmp_path, "c"))
        _, writer = await asyncio.open_connection("127.0.0.1", found.port, ssl=context, server_hostname="localhost")
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
        writer.transport.abort()
