"""What a worker process shows: Prometheus metrics, health and readiness on a side port.

Labels are shards, detectors, actions, modes and fields: never an address, a user or a policy, so that their number is
bounded. Numbers are read when Prometheus asks. Nothing can be changed here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from haetae_fds.engine import Engine
from haetae_fds.io.model_metrics import model_metrics
from haetae_fds.io.run import FdsProcess
from haetae_fds.io.watch import Watch
from haetae_fds.io.worker import Counts, ShardWorker

CIRCUITS: Final = {"closed": 0, "half-open": 1, "open": 2}
_DECIDED: Final = ("detector", "action", "mode", "op")


class FdsMetrics(Collector):
    """Reads the workers of a process."""

    def __init__(self, process: FdsProcess, watch: Watch | None, *, clock_ms: Callable[[], int]) -> None:
        self._process = process
        self._watch = watch
        self._clock_ms = clock_ms

    def collect(self) -> Iterator[Metric]:
        """Every number there is."""
        workers = self._process.workers
        yield from self._shards()
        for name, help_, read in _COUNTERS:
            family = CounterMetricFamily(name, help_, labels=("shard",))
            for shard, counts in self._process.totals().items():
                family.add_metric((str(shard),), read(counts))
            yield family
        yield from self._reasons()
        yield from self._engines(workers)
        yield from model_metrics(workers)
        if self._watch is not None:
            yield CounterMetricFamily("haetae_fds_alerts", "Spike alerts told.", value=self._watch.told)

    def _shards(self) -> Iterator[Metric]:
        lease = GaugeMetricFamily("haetae_fds_lease", "Whether this process works on the shard.", labels=("shard",))
        lag = GaugeMetricFamily(
            "haetae_fds_lag_seconds",
            "How long ago the newest event was answered that the shard's worker has seen; grows while nobody calls.",
            labels=("shard",),
        )
        behind = GaugeMetricFamily(
            "haetae_fds_behind_seconds",
            "Age of the last blob when it was read: how far the worker is behind.",
            labels=("shard",),
        )
        now = self._clock_ms()
        for shard in range(self._process.shards):
            worker = self._process.workers.get(shard)
            lease.add_metric((str(shard),), 0 if worker is None else 1)
            if worker is not None and worker.counts.newest_ms:
                lag.add_metric((str(shard),), max(0, now - worker.counts.newest_ms) / 1000)
                behind.add_metric((str(shard),), worker.counts.behind_ms / 1000)
        yield lease
        yield lag
        yield behind

    def _reasons(self) -> Iterator[Metric]:
        refused = CounterMetricFamily("haetae_fds_refused", "Events that could not be read.", labels=("field",))
        decided = CounterMetricFamily("haetae_fds_decisions", "Decisions.", labels=_DECIDED)
        all_refused: Counter[str] = Counter()
        all_decided: Counter[tuple[str, str, str, str]] = Counter()
        for counts in self._process.totals().values():
            all_refused.update(counts.refused)
            all_decided.update(counts.decided)
        for field, number in sorted(all_refused.items()):
            refused.add_metric((field,), number)
        for labels, number in sorted(all_decided.items()):
            decided.add_metric(labels, number)
        yield refused
        yield decided

    def _engines(self, workers: dict[int, ShardWorker]) -> Iterator[Metric]:
        became = CounterMetricFamily(
            "haetae_fds_became", "What became of events: used, refused, duplicate, late, skewed.",
            labels=("shard", "what"),
        )  # fmt: skip
        circuits = GaugeMetricFamily(
            "haetae_fds_circuit", "A detector's right to act: 0 all of it, 1 a tenth, 2 none.",
            labels=("shard", "detector"),
        )  # fmt: skip
        warm = GaugeMetricFamily(
            "haetae_fds_warm", "Of the requests it compares, the share a detector knows enough of to call it normal.",
            labels=("shard", "detector"),
        )  # fmt: skip
        for shard, worker in workers.items():
            engine = worker.engine
            if not isinstance(engine, Engine):
                continue
            for detector, share in engine.warm().items():
                warm.add_metric((str(shard), detector), share)
            for what, number in engine.counted.items():
                became.add_metric((str(shard), what), number)
            for detector, state in engine.circuits().items():
                circuits.add_metric((str(shard), detector), CIRCUITS[state])
        yield became
        yield circuits
        yield warm


@asynccontextmanager
async def side_port(process: FdsProcess, metrics: FdsMetrics, *, host: str, port: int) -> AsyncIterator[int]:
    """Serve `/healthz`, `/readyz` (503 until every free shard was tried for) and `/metrics`; yields the port.

    Raises OSError for an address that cannot be listened on.
    """
    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        if process.ready:
            return web.json_response({"status": "ready", "shards": sorted(process.workers)})
        return web.json_response({"status": "not ready", "reason": "the store does not answer"}, status=503)

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", scrape)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


_COUNTERS: Final[tuple[tuple[str, str, Callable[[Counts], int]], ...]] = (
    ("haetae_fds_blobs", "Blobs read.", lambda counts: counts.blobs),
    ("haetae_fds_events", "Events read.", lambda counts: counts.events),
    ("haetae_fds_lost_anonymous", "Events gateways had no room for: anonymous reads.", lambda c: c.lost_anonymous),
    ("haetae_fds_lost", "Events gateways had no room for: all others.", lambda counts: counts.lost_other),
    ("haetae_fds_gaps", "Times events were cut from the stream before they were read.", lambda counts: counts.gaps),
    ("haetae_fds_checkpoints", "Checkpoints written.", lambda counts: counts.checkpoints),
    ("haetae_fds_policies", "Policies made, extended or taken back.", lambda counts: counts.made),
    ("haetae_fds_policies_refused", "Policies that rules of the installation refused.", lambda c: c.not_made),
)
