"""A provider, a store and two workers, all on real sockets, with time in the tests' hands."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from haetae_oidc import Finished, ProviderSettings, SessionSettings
from haetae_oidc.io.staff_sign_in import StaffSignIn

from tests.oidc.forge import NOW
from tests.simulator.hostile_provider import CLIENT_ID, CLIENT_SECRET, HostileProvider, hostile_provider
from tests.simulator.valkey import Valkey, valkey

BACK = "https://grafana.bank.example/.haetae/callback"


@dataclass
class World:
    """All of it. `now` is everybody's time."""

    provider: HostileProvider
    store: Valkey
    stack: AsyncExitStack
    now: float = NOW

    async def worker(self, *, provider: dict[str, Any] | None = None, **session: Any) -> StaffSignIn:
        """One more worker on the same store and provider."""
        settings = ProviderSettings(
            **{
                "issuer": self.provider.issuer,
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
                "algorithms": frozenset({"ES256"}),
                "loopback_http": True,
                **(provider or {}),
            }
        )
        sessions = SessionSettings(**{"deadline": 5.0, "recheck": 0.0, **session})
        return await self.stack.enter_async_context(
            StaffSignIn(provider=settings, session=sessions, redis_url=f"unix://{self.store.socket}")
        )

    async def sign_in(
        self,
        worker: StaffSignIn,
        *,
        previous: str | None = None,
        change: Callable[[dict[str, list[str]]], None] | None = None,
        acr: tuple[str, ...] = (),
        max_age: int | None = None,
        **login: str,
    ) -> Finished:
        """A whole login; `change` alters what the browser brings back."""
        begun = await worker.begin(
            redirect_uri=BACK, return_to="/d/1?x=2", browser=None, acr=acr, max_age=max_age, now=self.now
        )
        params = self.provider.authorize(begun.location, **login)
        if change is not None:
            change(params)
        return await worker.finish(
            params=params, redirect_uri=BACK, browser=begun.browser, previous_ticket=previous, now=self.now
        )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(hostile_provider())
        store = await stack.enter_async_context(valkey())
        made = World(provider=provider, store=store, stack=stack)
        provider.clock = lambda: made.now
        yield made


@pytest.fixture
async def worker(world: World) -> StaffSignIn:
    return await world.worker()
