"""The side port of one worker: health, readiness, metrics. Read-only; the data plane has no write API.

`/healthz`: the process runs. `/readyz`: it may be sent requests (not while draining, not before the first policy
snapshot). `/metrics`: Prometheus. `/revision`: which configuration serves, and since when.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from haetae_edge.metrics import EdgeMetrics


def admin_application(
    *, metrics: EdgeMetrics, gateway: str, revision: str, not_ready: Callable[[], str | None]
) -> web.Application:
    """The application; `not_ready` gives the reason why this worker should not be sent requests, or None."""
    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    since = time.time()

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        reason = not_ready()
        if reason is None:
            return web.json_response({"status": "ready"})
        return web.json_response({"status": "not ready", "reason": reason}, status=503)

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def serving(_: web.Request) -> web.Response:
        return web.json_response({"gateway": gateway, "revision": revision, "since": since})

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", scrape)
    application.router.add_get("/revision", serving)
    return application
