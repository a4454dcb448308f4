"""One worker process: an event loop, the gateway on its sockets, the side port, and a clean end.

SIGTERM, or the end of the supervisor, stops accepting and drains: what is being served is finished, every connection
is told to close with its next answer. The listening sockets stay open in the supervisor, so nothing that waits in
them is lost to a reload.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import uvloop
from aiohttp import web

from haetae_edge.access_log import log_line
from haetae_edge.config.gateway import AccessLogSettings, GatewayConfig
from haetae_edge.exchange import Exchange, Response
from haetae_edge.io.access_log import AccessLog
from haetae_edge.io.admin import admin_application
from haetae_edge.io.compose import Composition, compose
from haetae_edge.io.events import Events
from haetae_edge.io.server import ClientConnection, GatewayServer
from haetae_edge.io.supervisor import WorkerStart
from haetae_edge.metrics import NO_ROUTE, EdgeMetrics, Gauge, LabelledGauge
from haetae_edge.pipeline import Pipeline

_log = logging.getLogger("haetae.worker")
_LAG_SECONDS = 0.5
_SNAPSHOT_SECONDS = 5.0
_RELOAD_SECONDS = 10.0
_LOADING_SECONDS = 25.0  # the supervisor gives a new generation 30 s
_FIRST_LOADING_SECONDS = 120.0
_GC_YOUNG = 50_000


def run_worker(
    start: WorkerStart,
    *,
    config: GatewayConfig,
    listener: socket.socket,
    admin: socket.socket,
    tls: ssl.SSLContext | None = None,
) -> int:
    """Serve until told to stop; returns the exit code. Called in the forked child. `tls` is for the listener."""
    uvloop.run(_Worker(start, config, listener, admin, tls).serve())
    return 0


class _Worker:
    def __init__(
        self,
        start: WorkerStart,
        config: GatewayConfig,
        listener: socket.socket,
        admin: socket.socket,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._start = start
        self._config = config
        self._listener = listener
        self._admin = admin
        self._tls = tls
        self._metrics = EdgeMetrics(config.name)
        self._lag = 0.0

    async def serve(self) -> None:
        """The life of the process."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, stopped.set)
        loop.add_reader(self._start.lifeline, stopped.set)
        name = f"{self._config.name}/{socket.gethostname()}/{os.getpid()}"
        async with compose(self._config, worker=name) as parts:
            if parts.policies is not None:
                parts.policies.on_failure(stopped.set)  # the supervisor starts another one
            # A million policies come without a single cycle: looking for some all the while would take as long again.
            gc.set_threshold(_GC_YOUNG, 20, 50)
            await self._first_snapshot(parts)
            access_log = _open_log(self._config.access_log, loop)
            server = self._server(parts, access_log, loop)
            listening = await loop.create_server(server, sock=self._listener, **self._tls_options())
            admin = await self._serve_admin(parts)
            lag = loop.create_task(self._measure_lag())
            # What is loaded by now lives as long as the process: keep the collector from walking it again and again.
            gc.freeze()
            os.write(self._start.ready, b"1")
            await stopped.wait()
            # The side port goes first: after a reload the successor answers there, and "not reachable" is "not ready".
            await admin.cleanup()
            listening.close()
            await server.drain()
            lag.cancel()
            if access_log is not None:
                access_log.close()

    def _tls_options(self) -> dict[str, Any]:
        if self._tls is None:
            return {}
        return {"ssl": self._tls, "ssl_handshake_timeout": self._config.limits.header_timeout}

    async def _first_snapshot(self, parts: Composition) -> None:
        """Do not serve before the policies are known, within reason.

        A worker that replaces one which knows them must know them too: without, it fails and the old generation stays.
        A worker that replaces nobody serves after a moment all the same, because routes that need no store go on
        working without one; it is not ready, and signed calls find no nonce store either. While policies are coming in
        both wait longer: a million of them take many workers on few cores more than a moment.
        """
        if parts.policies is None:
            return
        quiet_s = _RELOAD_SECONDS if self._start.replaces else _SNAPSHOT_SECONDS
        most_s = _LOADING_SECONDS if self._start.replaces else _FIRST_LOADING_SECONDS
        if await parts.policies.first_snapshot(quiet_s=quiet_s, most_s=most_s):
            return
        if self._start.replaces:
            raise RuntimeError("no policy snapshot: the workers that know the policies go on")
        _log.error("no whole policy snapshot could be loaded: serving without block policies")

    def _server(
        self, parts: Composition, access_log: AccessLog | None, loop: asyncio.AbstractEventLoop
    ) -> GatewayServer:
        pipeline = Pipeline(
            table=parts.table,
            via=parts.via,
            reference=parts.references.make,
            clock=time.time,
            well_known=parts.well_known,
        )
        server = GatewayServer(
            pipeline,
            addresses=parts.addresses,
            limits=self._config.limits.limits(),
            deadlines=self._config.upstream.deadlines(),
            observer=self._observer(access_log, parts.events),
            loop=loop,
            scheme="http" if self._tls is None else "https",
        )
        self._metrics.watch(
            Gauge("haetae_connections", "Open client connections.", lambda: len(server.client_connections())),
            Gauge("haetae_live_streams", "Open upgraded connections and watched streams.", lambda: len(server.live)),
            Gauge("haetae_loop_lag_seconds", "How late the event loop last was.", lambda: self._lag),
        )
        vanished = "Connections reset before they were accepted."
        self._metrics.watch(Gauge("haetae_connections_vanished", vanished, lambda: server.vanished, counter=True))
        if access_log is not None:
            self._metrics.watch(
                Gauge("haetae_log_lines_dropped", "Access-log lines lost.", lambda: access_log.dropped, counter=True)
            )
        if parts.nonces is not None:
            nonces = parts.nonces
            self._metrics.watch(
                Gauge("haetae_nonce_store_failures", "Failed nonce batches.", lambda: nonces.failures, counter=True)
            )
        watch = parts.services.certificate_watch
        if watch is not None:
            days = "Days until the certificate seen last of a configured caller, or our own (`server`), ends."
            self._metrics.watch_each(
                LabelledGauge("haetae_certificate_days_left", days, "name", lambda: watch.days_left(time.time()))
            )
        if parts.session_watch is not None:
            parts.session_watch.attach(server.live)
        if parts.policies is not None:
            parts.policies.on_change(server.live.check_soon)
            self._metrics.watch(*parts.policies.gauges())
        if parts.events is not None:
            self._metrics.watch(*parts.events.sender.gauges())
        return server

    def _observer(
        self, access_log: AccessLog | None, events: Events | None
    ) -> Callable[[Exchange | None, ClientConnection, Response, float, int], None]:
        gateway, revision = self._config.name, self._config.revision[:12]
        route_of = self._metrics.route

        def observe(
            exchange: Exchange | None, connection: ClientConnection, response: Response, seconds: float, sent: int
        ) -> None:
            route = exchange.route if exchange is not None else None
            problem = response.problem
            route_of(route.id if route is not None else NO_ROUTE).observe(
                response.status, seconds, sent, problem.code if problem is not None else None
            )
            if events is not None and exchange is not None:
                events.observe(exchange, response, seconds=seconds, sent=sent)
            if access_log is not None:
                access_log.append(
                    partial(
                        log_line,
                        gateway=gateway,
                        revision=revision,
                        exchange=exchange,
                        peer=connection.peer,
                        response=response,
                        seconds=seconds,
                        sent=sent,
                        finished=time.time(),
                    ),
                    important=problem is not None,
                )

        return observe

    async def _serve_admin(self, parts: Composition) -> web.AppRunner:
        application = admin_application(
            metrics=self._metrics,
            gateway=self._config.name,
            revision=self._config.revision,
            not_ready=parts.not_ready,
        )
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.SockSite(runner, self._admin).start()
        return runner

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(_LAG_SECONDS)
            self._lag = max(0.0, loop.time() - before - _LAG_SECONDS)


def _open_log(settings: AccessLogSettings, loop: asyncio.AbstractEventLoop) -> AccessLog | None:
    if settings.target == "off":
        return None
    if settings.path is None:
        return AccessLog(1, loop=loop)
    descriptor = os.open(settings.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    return AccessLog(descriptor, loop=loop)
