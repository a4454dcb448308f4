"""Origins, settings, and finding an address that answers."""

import asyncio
import dataclasses
import socket
from collections.abc import Callable
from typing import Any

import pytest
from haetae_edge.io.upstream import ConnectFailed, Origin, Upstream, UpstreamSettings

from tests.edge.upstream.scripted_upstream import Peer, fetch, scripted


@pytest.mark.parametrize(
    ("uri", "origin"),
    [
        ("http://users.internal", Origin("http", "users.internal", 80)),
        ("https://Users.Internal/", Origin("https", "users.internal", 443)),
        ("http://127.0.0.1:8080", Origin("http", "127.0.0.1", 8080)),
        ("https://[::1]:8443", Origin("https", "::1", 8443)),
    ],
)
def test_origin_is_read_from_its_uri(uri: str, origin: Origin) -> None:
    assert Origin.parse(uri) == origin


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "users.internal",
        "ftp://a",
        "HTTP://a",
        "http://",
        "http://a:0",
        "http://a:65536",
        "http://a:",
        "http://a:80x",
        "http://user@a",
        "http://a/path",
        "http://a?x",
        "http://a#x",
        "http://a b",
        "http://a\n",
        "http://[::1",
        "http://::1",
        "http://é",
    ],
)
def test_anything_but_an_origin_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="upstream"):
        Origin.parse(uri)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(UpstreamSettings)])
def test_a_limit_is_a_finite_number_that_is_not_negative(field: str) -> None:
    for value in (-1, float("inf"), float("nan")):
        change: dict[str, Any] = {field: value}
        with pytest.raises(ValueError, match=field):
            UpstreamSettings(**change)


def resolving(*addresses: tuple[str, int]) -> tuple[Callable[..., Any], list[str]]:
    """A resolver that knows these addresses, and the names it was asked for."""
    asked: list[str] = []

    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        if host != "service":
            return [*await real(host, port, **options)]
        asked.append(host)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, number))
            for address, number in addresses
        ]

    return getaddrinfo, asked


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def serve(peer: Peer) -> None:
    await peer.serve()


async def test_next_address_is_tried_when_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(serve) as (_, fake):
        dead = closed_port()
        resolver, asked = resolving(("::1", dead), ("127.0.0.1", dead), ("127.0.0.1", fake.origin.port))
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolver)
        upstream = Upstream(Origin("http", "service", 80), settings=UpstreamSettings(max_requests=1))
        for _attempt in range(3):
            assert await fetch(upstream) == (200, b"ok")
        assert asked == ["service"]
        await upstream.close()


async def test_next_address_is_tried_when_one_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(serve) as (_, fake):
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            resolver, _asked = resolving(full.getsockname(), ("127.0.0.1", fake.origin.port))
            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolver)
            settings = UpstreamSettings(max_requests=1, attempt_delay=0.02)
            upstream = Upstream(Origin("http", "service", 80), settings=settings)
            for _attempt in range(2):
                assert await fetch(upstream) == (200, b"ok")
            await upstream.close()
            for filler in fillers:
                filler.close()


async def test_connections_are_spread_over_the_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(serve) as (_, one), scripted(serve) as (_, two):
        resolver, _asked = resolving(("127.0.0.1", one.origin.port), ("127.0.0.1", two.origin.port))
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolver)
        upstream = Upstream(Origin("http", "service", 80), settings=UpstreamSettings(max_requests=1))
        for _attempt in range(6):
            await fetch(upstream)
        assert (one.connections, two.connections) == (3, 3)
        await upstream.close()


async def test_name_is_looked_up_again_after_its_time_and_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, asked = resolving(("127.0.0.1", closed_port()))
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolver)
    upstream = Upstream(Origin("http", "service", 80), settings=UpstreamSettings())
    for _attempt in range(3):
        with pytest.raises(ConnectFailed):
            await fetch(upstream)
    assert len(asked) == 3
    await upstream.close()
    async with scripted(serve) as (_, fake):
        resolver, asked = resolving(("127.0.0.1", fake.origin.port))
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolver)
        upstream = Upstream(Origin("http", "service", 80), settings=UpstreamSettings(max_requests=1, dns_ttl=0))
        for _attempt in range(3):
            await fetch(upstream)
        assert len(asked) == 3
        await upstream.close()


async def test_name_without_an_address_is_a_failed_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, _asked = resolving()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolver)
    upstream = Upstream(Origin("http", "service", 80), settings=UpstreamSettings())
    with pytest.raises(ConnectFailed) as failed:
        await fetch(upstream)
    assert failed.value.retry_safe
    assert upstream.open_connections == 0
    await upstream.close()
