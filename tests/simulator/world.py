"""One gateway in front of one recording upstream: the world that most tests at the socket live in."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from haetae_edge.deadlines import Deadlines
from haetae_edge.filter import Filter
from haetae_edge.io.upstream import UpstreamSettings
from haetae_edge.limits import Limits
from haetae_edge.services import Services

from tests.simulator.client import Answer, Client
from tests.simulator.gateway import GatewayUnderTest, RouteUnderTest, gateway
from tests.simulator.upstream import RecordingUpstream, recording_upstream

#: A request that must be answered by its own answer after whatever came before it.
NEXT = b"GET /next HTTP/1.1\r\nHost: api.test\r\n\r\n"


@dataclass(slots=True)
class World:
    """The gateway, the upstream behind it and one client connection, opened before the test begins."""

    gateway: GatewayUnderTest
    upstream: RecordingUpstream
    client: Client

    async def next_is_answered(self) -> None:
        """The connection still works: the next request gets its own answer, and nothing came in between."""
        answer = await self.client.ask(NEXT)
        assert (answer.status, answer.body) == (200, b"answer to GET /next")

    async def refused(self, code: str, status: int, *, closes: bool) -> Answer:
        """The answer is this refusal as a problem document, and the connection ends or goes on as it says."""
        answer = await self.client.answer()
        assert (answer.problem(), answer.status) == (code, status)
        assert answer.says_close == closes
        if closes:
            await self.client.closed()
        return answer


@asynccontextmanager
async def world(
    *,
    filters: tuple[Filter, ...] = (),
    limits: Limits | None = None,
    trusted: Sequence[str] = (),
    services: Services | None = None,
    pool: UpstreamSettings | None = None,
    scheme: str = "http",
    deadlines: Deadlines | None = None,
    auth_events: bool = False,
) -> AsyncIterator[World]:
    """Start the world with one route that takes every path."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(recording_upstream())
        route = RouteUnderTest(port=upstream.port, filters=filters, auth_events=auth_events)
        running = await stack.enter_async_context(
            gateway(
                route,
                limits=limits,
                trusted=trusted,
                services=services,
                pool=pool,
                scheme=scheme,
                deadlines=deadlines,
            )
        )
        client = await stack.enter_async_context(running.client())
        yield World(running, upstream, client)
