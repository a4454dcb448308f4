"""Counters of one worker, kept as plain numbers and rendered only when Prometheus asks.

The request path increments list elements; `prometheus_client` formats them at scrape time through a collector. Labels
are route ids, methods of refusal and status codes: never a user, an address or a path, so their number is bounded by
the configuration.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

#: Upper bounds of the latency histogram, seconds.
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

#: Requests that matched no route.
NO_ROUTE: Final = "-"


class RouteCounters:
    """What one route has done."""

    __slots__ = ("buckets", "bytes_out", "refusals", "seconds", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.refusals: dict[str, int] = {}
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0
        self.bytes_out = 0

    def observe(self, status: int, seconds: float, sent: int, refusal: str | None) -> None:
        """Count one finished request; `seconds` from the parsed head to the last byte written."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds
        self.bytes_out += sent
        if refusal is not None:
            self.refusals[refusal] = self.refusals.get(refusal, 0) + 1


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number read at scrape time."""

    name: str
    help: str
    read: Callable[[], float]
    counter: bool = False


@dataclass(frozen=True, slots=True)
class LabelledGauge:
    """Several numbers of one kind, read at scrape time; `read` gives a value for each of a bounded set of names."""

    name: str
    help: str
    label: str
    read: Callable[[], Mapping[str, float]]


class EdgeMetrics(Collector):
    """The collector of one worker; `gateway` becomes a label of every sample."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._routes: dict[str, RouteCounters] = {}
        self._gauges: list[Gauge] = []
        self._labelled: list[LabelledGauge] = []

    def route(self, route_id: str) -> RouteCounters:
        """The counters of a route; made at first use."""
        found = self._routes.get(route_id)
        if found is None:
            found = self._routes[route_id] = RouteCounters()
        return found

    def watch(self, *gauges: Gauge) -> None:
        """Add numbers that other parts keep."""
        self._gauges.extend(gauges)

    def watch_each(self, gauge: LabelledGauge) -> None:
        """Add numbers that another part keeps by name."""
        self._labelled.append(gauge)

    def collect(self) -> Iterator[Metric]:
        """Samples in Prometheus' model."""
        labels = ["gateway", "route"]
        requests = CounterMetricFamily("haetae_requests", "Finished requests.", labels=[*labels, "status"])
        refusals = CounterMetricFamily("haetae_refusals", "Requests refused by the gateway.", labels=[*labels, "code"])
        sent = CounterMetricFamily("haetae_response_bytes", "Body bytes sent to clients.", labels=labels)
        latency = HistogramMetricFamily("haetae_request_seconds", "From parsed head to last byte.", labels=labels)
        for route_id, counters in list(self._routes.items()):
            at = [self._gateway, route_id]
            for status, count in counters.statuses.items():
                requests.add_metric([*at, str(status)], count)
            for code, count in counters.refusals.items():
                refusals.add_metric([*at, code], count)
            sent.add_metric(at, counters.bytes_out)
            latency.add_metric(at, _cumulative(counters.buckets), counters.seconds)
        yield from (requests, refusals, sent, latency)
        for gauge in self._gauges:
            family = CounterMetricFamily if gauge.counter else GaugeMetricFamily
            metric = family(gauge.name, gauge.help, labels=["gateway"])
            metric.add_metric([self._gateway], gauge.read())
            yield metric
        for several in self._labelled:
            metric = GaugeMetricFamily(several.name, several.help, labels=["gateway", several.label])
            for name, value in several.read().items():
                metric.add_metric([self._gateway, name], value)
            yield metric


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    total = 0
    rows = []
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), buckets, strict=True):
        total += count
        rows.append((bound, float(total)))
    return rows
