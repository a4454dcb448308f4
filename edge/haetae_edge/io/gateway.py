"""Starts one gateway: configuration, sockets, supervisor."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from haetae_edge.config.gateway import GatewayConfig
from haetae_edge.config.loader import load_gateway
from haetae_edge.errors import ConfigError
from haetae_edge.io.sockets import Address, listen, listen_apart
from haetae_edge.io.supervisor import Supervisor, WorkerStart
from haetae_edge.io.tls import server_context
from haetae_edge.io.worker import run_worker

_log = logging.getLogger("haetae.gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How a gateway is started: where its files are, where it listens, how many workers.

    Worker `i` has its side port at `admin` plus `i` (any free one when the port is 0).
    """

    directory: Path
    listen: Address
    admin: Address
    workers: int


def run_gateway(start: Start, *, environment: Mapping[str, str], announce: Callable[[str], None]) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code.

    Raises ConfigError and ListenError before anything runs. `announce` gets one line when every worker serves.
    """
    config = load_gateway(start.directory, environment=environment)
    listeners = listen(start.listen, count=start.workers)
    admins = listen_apart(start.admin, count=start.workers)

    def worker_of(config: GatewayConfig) -> Callable[[WorkerStart], int]:
        # Made before the fork: unusable files stop a start, and leave a running generation as it is.
        tls = server_context(config.tls) if config.tls is not None else None

        def run(worker: WorkerStart) -> int:
            for index, sockets in enumerate(zip(listeners, admins, strict=True)):
                if index != worker.slot:
                    for sock in sockets:
                        sock.close()
            return run_worker(
                worker, config=config, listener=listeners[worker.slot], admin=admins[worker.slot], tls=tls
            )

        return run

    def reload() -> Callable[[WorkerStart], int] | None:
        try:
            return worker_of(load_gateway(start.directory, environment=environment))
        except ConfigError as error:
            _log.error("the new configuration cannot be used, the old one goes on:\n%s", error)
            return None

    supervisor = Supervisor(
        worker_of(config), count=start.workers, reload=reload, stop_seconds=config.limits.drain_timeout + 5
    )
    # Workers share what is loaded here; freezing keeps the collector from touching (and so copying) those pages.
    gc.collect()
    gc.freeze()
    address = Address(start.listen.host, listeners[0].getsockname()[1])
    admin_address = Address(start.admin.host, admins[0].getsockname()[1])
    return supervisor.run(
        partial(
            announce,
            f"gateway {config.name} serves on {address} with {start.workers} worker(s), "
            f"revision {config.revision[:12]}, admin on {admin_address}, pid {os.getpid()}",
        )
    )
