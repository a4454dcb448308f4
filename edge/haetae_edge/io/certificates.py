"""Wires what a gateway knows of certificates into the services of a worker."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Final

from haetae_edge.certificates import CertificateReader
from haetae_edge.config.gateway import GatewayConfig
from haetae_edge.expiry import ExpiryWatch
from haetae_edge.io.tls import certificate_end
from haetae_edge.services import Services

_LOOK_SECONDS: Final = 3600.0
#: What our own certificate is called beside those of callers, which always have a `:` in their names.
SERVER: Final = "server"


def add_certificates(config: GatewayConfig, services: Services, stack: AsyncExitStack) -> None:
    """The reader of callers' certificates, and the watch over when they and ours end."""
    settings = config.client_certificates
    if config.tls is None and settings.source == "none":
        return
    watch = services.certificate_watch = ExpiryWatch()
    if settings.source != "none":
        services.certificates = CertificateReader(settings.source, peers=settings.trusted_peers, by=settings.by)
    if config.tls is not None:
        task = asyncio.create_task(_watch_own(watch, certificate_end(config.tls.certificate)))
        stack.callback(task.cancel)


async def _watch_own(watch: ExpiryWatch, end: int) -> None:
    """What was loaded at the start is what is served until the next reload."""
    while True:
        watch.note(SERVER, end, now=time.time())
        await asyncio.sleep(_LOOK_SECONDS)
