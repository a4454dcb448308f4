"""The application: routes, problems, limits on requests, and what runs beside the requests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI, Request
from haetae_policy.errors import StoreUnavailable
from starlette.responses import Response

from haetae_policy_api.errors import Unavailable
from haetae_policy_api.io.answers import documented, install_problems, json
from haetae_policy_api.io.bodies import BodyLimit
from haetae_policy_api.io.feed import Feed
from haetae_policy_api.io.identify import Identify
from haetae_policy_api.io.routes_detection import router as detection
from haetae_policy_api.io.routes_policies import OBJECT, context_of
from haetae_policy_api.io.routes_policies import router as policies
from haetae_policy_api.io.routes_seeing import router as seeing
from haetae_policy_api.service.context import Context

TITLE = "Haetae policy API"


def make_app(
    context: Context,
    *,
    identify: Identify,
    feed: Feed,
    beside: Callable[[], AbstractAsyncContextManager[None]] | None = None,
) -> FastAPI:
    """Return the application. `beside` is entered when it starts and left when it stops."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if beside is None:
            yield
            return
        async with beside():
            yield

    app = FastAPI(
        title=TITLE,
        version="1",
        summary="Block policies: make, explain, change, follow.",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.context = context
    app.state.identify = identify
    app.state.feed = feed
    install_problems(app)
    app.include_router(policies)
    app.include_router(seeing)
    app.include_router(detection)
    app.add_api_route("/healthz", _healthy, include_in_schema=False)
    app.add_api_route(
        "/readyz", _ready, operation_id="ready", response_class=Response, responses={**OBJECT, **documented()}
    )
    app.add_middleware(BodyLimit, most=context.settings.body_bytes)
    return app


async def _healthy() -> Response:
    return json({"alive": True})


async def _ready(request: Request) -> Response:
    """Whether the store answers."""
    try:
        async with asyncio.timeout(1):
            await context_of(request).store.head()
    except (StoreUnavailable, TimeoutError) as error:
        raise Unavailable("the store does not answer", headers={"Retry-After": "1"}) from error
    return json({"ready": True})
