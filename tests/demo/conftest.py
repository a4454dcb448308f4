"""The demo services on real sockets."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from haetae_demo.directory import Directory
from haetae_demo.io.identity import IdentityService
from haetae_demo.io.issuer import IdentityClient, IssuerService
from haetae_demo.io.serving import bind, serve, url_of
from haetae_demo.issuer_keys import IssuerKeys
from haetae_demo.tokens import TokenTerms
from haetae_demo.world import packaged_world

SERVICE_TOKEN = "service-token-of-the-tests"
AUDIENCE = "haetae-demo-api"


class SteppedClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoWorld:
    """Addresses, the shared clock and a client session."""

    identity: str
    issuer: str
    clock: SteppedClock
    session: aiohttp.ClientSession

    @property
    def service(self) -> dict[str, str]:
        """Headers of a gateway."""
        return {"Authorization": f"Bearer {SERVICE_TOKEN}"}


@pytest.fixture
async def demo_world() -> AsyncIterator[DemoWorld]:
    clock = SteppedClock(1_763_800_000.0)
    identity_app = IdentityService(Directory(packaged_world()), service_token=SERVICE_TOKEN, clock=clock).application()
    listener = bind()
    terms = TokenTerms(issuer=url_of(listener), audience=AUDIENCE)
    async with aiohttp.ClientSession() as session, serve(identity_app) as identity:
        issuer = IssuerService(
            keys=IssuerKeys(now=clock(), token_lifetime=terms.lifetime),
            terms=terms,
            identity=IdentityClient(session, url=identity, service_token=SERVICE_TOKEN),
            service_token=SERVICE_TOKEN,
            clock=clock,
        )
        async with serve(issuer.application(), listener=listener) as url:
            yield DemoWorld(identity=identity, issuer=url, clock=clock, session=session)
