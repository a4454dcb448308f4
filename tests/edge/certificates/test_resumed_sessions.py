"""Clients that resume a TLS session: the caller is known as on the first connection, or there is nothing to resume."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.edge.certificates.authority import Leaf, client_context, uri
from tests.edge.certificates.front import Entrance, direct, envoy

ADMIN = "spiffe://td/admin"
REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("tls-entrances")]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["envoy", "direct", "direct-optional"])
async def entrance(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Entrance]:
    folder = tmp_path_factory.mktemp("resumed")
    kind = request.param
    async with envoy(folder) if kind == "envoy" else direct(folder, required=kind == "direct") as found:
        yield found


def connect(
    entrance: Entrance, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[int, bool, ssl.SSLSession | None]:
    """One request: the status, whether the session was resumed, and what the next connection may resume."""
    with (
        socket.create_connection(("127.0.0.1", entrance.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as stream,
    ):
        stream.sendall(REQUEST)
        answer = b""
        while piece := stream.recv(65_536):
            answer += piece
        return int(answer.split(b" ", 2)[1]), bool(stream.session_reused), stream.session


async def twice(
    entrance: Entrance, leaf: Leaf | None, folder: Path, version: ssl.TLSVersion
) -> list[tuple[int, bool, str | None]]:
    """Two connections, the second with the session of the first: status, resumed, whom the gateway saw."""
    context = client_context(entrance.trusted, leaf, folder)
    context.minimum_version = context.maximum_version = version
    found, session = [], None
    for _ in range(2):
        before = len(entrance.gateway.finished.all)
        status, resumed, session = await asyncio.to_thread(connect, entrance, context, session)
        exchange = (await entrance.gateway.finished.until(before + 1))[-1].exchange
        assert exchange is not None
        found.append((status, resumed, exchange.caller.service))
    return found


async def test_resumed_session_is_the_same_caller_and_tls_1_3_is_never_resumed(
    entrance: Entrance, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    leaf = entrance.authority.issue(uri(ADMIN))
    assert await twice(entrance, leaf, tmp_path, ssl.TLSVersion.TLSv1_3) == [(200, False, ADMIN)] * 2
    first, second = await twice(entrance, leaf, tmp_path, ssl.TLSVersion.TLSv1_2)
    assert first == (200, False, ADMIN)
    assert second in ((200, True, ADMIN), (200, False, ADMIN))
    if "envoy" in request.node.callspec.id:
        assert second[1] is False


async def test_session_that_began_without_a_certificate_stays_nobodys_when_one_is_there_later(tmp_path: Path) -> None:
    async with direct(tmp_path, required=False) as entrance:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            assert {(status, name) for status, _, name in await twice(entrance, None, tmp_path, version)} == {
                (403, None)
            }
