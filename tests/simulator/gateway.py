"""The gateway as it runs, on a free port of this process: server, pipeline, route table and forwarder.

Only the composition root is ours: routes come from the test instead of a file, what the observer sees is kept, and
the reference of refusals counts up. Everything that touches a byte of a request is the real part.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import NamedTuple

from haetae_edge.address import AddressReader
from haetae_edge.deadlines import Deadlines
from haetae_edge.exchange import Exchange, Response
from haetae_edge.filter import BuildContext, Filter
from haetae_edge.io.forward import Forwarder
from haetae_edge.io.server import ClientConnection, GatewayServer
from haetae_edge.io.upstream import Origin, Upstream, UpstreamSettings
from haetae_edge.limits import Limits
from haetae_edge.pipeline import Pipeline
from haetae_edge.predicate import Predicate
from haetae_edge.predicates.path import Path
from haetae_edge.route import Route, RouteDefinition, compiled
from haetae_edge.services import Services
from haetae_edge.table import RouteTable
from haetae_edge.well_known import WellKnown

from tests.simulator.client import Client, connect

VIA = b"haetae-test"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteUnderTest:
    """One route: what it matches, where it leads (a port of this machine), what runs on the way."""

    port: int
    id: str = "everything"
    predicates: tuple[Predicate, ...] = (Path(patterns=("/**",)),)
    filters: tuple[Filter, ...] = ()
    order: int = 0
    auth_events: bool = False


class Finished(NamedTuple):
    """What the observer is told of one answered request."""

    exchange: Exchange | None
    response: Response
    seconds: float
    sent: int


class Finishes:
    """The observer: keeps what it is told, and lets a test wait for it."""

    def __init__(self) -> None:
        self.all: list[Finished] = []
        self._changed = asyncio.Event()

    def __call__(
        self, exchange: Exchange | None, _: ClientConnection, response: Response, seconds: float, sent: int
    ) -> None:
        """One request is through."""
        self.all.append(Finished(exchange, response, seconds, sent))
        self._changed.set()

    async def until(self, count: int) -> list[Finished]:
        """Wait until so many requests are through."""
        async with asyncio.timeout(10):
            while len(self.all) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.all


@dataclass(slots=True)
class GatewayUnderTest:
    """A running gateway. `finished` is what its log and metrics would be made of."""

    server: GatewayServer
    port: int
    upstreams: tuple[Upstream, ...]
    finished: Finishes

    @asynccontextmanager
    async def client(self, *, receive_buffer: int | None = None) -> AsyncIterator[Client]:
        """A new connection to it."""
        async with connect(self.port, receive_buffer=receive_buffer) as client:
            yield client

    async def until_connections(self, count: int) -> None:
        """Wait until no more than so many clients are connected."""
        async with asyncio.timeout(10):
            while len(self.server.client_connections()) > count:  # noqa: ASYNC110 - a server tells nobody of a loss
                await asyncio.sleep(0.01)

    @property
    def codes(self) -> list[str | None]:
        """The problem code of each finished request, None for an answer of the upstream."""
        return [item.response.problem.code if item.response.problem else None for item in self.finished.all]


@asynccontextmanager
async def gateway(
    *routes: RouteUnderTest,
    limits: Limits | None = None,
    trusted: Sequence[str] = (),
    services: Services | None = None,
    pool: UpstreamSettings | None = None,
    scheme: str = "http",
    deadlines: Deadlines | None = None,
) -> AsyncIterator[GatewayUnderTest]:
    """Start a gateway with these routes; `trusted` are networks of proxies in front of it.

    At the end it is stopped, and nothing may be left: no connection on either side, no task.
    """
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    services = services or Services(clock=time.time, random_bytes=_counted_bytes)
    upstreams = {
        route.port: Upstream(Origin("http", "127.0.0.1", route.port), settings=pool or UpstreamSettings())
        for route in routes
    }
    pipeline = Pipeline(
        table=RouteTable([_bind(index, route, upstreams[route.port], services) for index, route in enumerate(routes)]),
        well_known=WellKnown(),
        via=VIA,
        reference=_Counter(),
        clock=services.clock,
    )
    finished = Finishes()
    server = GatewayServer(
        pipeline,
        addresses=AddressReader([ip_network(network) for network in trusted]),
        limits=limits or Limits(),
        deadlines=deadlines or Deadlines(),
        observer=finished,
        loop=loop,
        scheme=scheme,
    )
    listener = await loop.create_server(server, "127.0.0.1", 0)
    running = GatewayUnderTest(server, listener.sockets[0].getsockname()[1], tuple(upstreams.values()), finished)
    try:
        yield running
    finally:
        listener.close()
        await server.stop()
        for upstream in upstreams.values():
            await upstream.close()
    assert server.client_connections() == []
    assert [upstream.open_connections for upstream in running.upstreams] == [0] * len(upstreams)
    left = {task for task in asyncio.all_tasks() - before if "haetae_edge" in str(task.get_coro())}
    assert not left, left


def _bind(index: int, route: RouteUnderTest, upstream: Upstream, services: Services) -> Route:
    context = BuildContext(
        gateway="test", route_id=route.id, upstream="127.0.0.1", services=services, auth_events=route.auth_events
    )
    built = [item.build(context) for item in route.filters]
    host = b"127.0.0.1:%d" % route.port
    definition = RouteDefinition(
        id=route.id,
        uri=f"http://127.0.0.1:{route.port}",
        order=route.order,
        predicates=route.predicates,
        filters=route.filters,
        metadata={},
        file="test.yaml",
        line=1,
    )
    forwarder = Forwarder(upstream, host=host, via=VIA, auth_events=route.auth_events)
    return compiled(definition, index=index, built=built, send=forwarder.send)


class _Counter:
    """Support references `ref-1`, `ref-2`, …"""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self, exchange: Exchange | None) -> str:
        self._last += 1
        return f"ref-{self._last}"


def _counted_bytes(count: int) -> bytes:
    return bytes(range(count))
