"""What the models of a worker's engines do, as Prometheus metrics.

Labels are shards, models, versions and reasons, so that their number is bounded. Nothing is changed by a look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from haetae_fds.engine import Engine
from haetae_fds.io.worker import ShardWorker
from haetae_fds.models.summary import Summarised

ROLES: Final = {"shadow": 0, "enforce": 1, "block": 2}
_MODEL: Final = ("shard", "model", "version")


def model_metrics(workers: Mapping[int, ShardWorker]) -> Iterator[Metric]:
    """Every number there is about models; families without samples where no worker has any."""
    role = GaugeMetricFamily(
        "haetae_fds_model_role", "What a model may do now: 0 only watch, 1 ask and slow down, 2 refuse.", labels=_MODEL
    )
    judged = CounterMetricFamily("haetae_fds_model_judged", "Events a model that is warm judged.", labels=_MODEL)
    beyond = CounterMetricFamily("haetae_fds_model_beyond", "Of these, beyond its boundary.", labels=_MODEL)
    budget = CounterMetricFamily(
        "haetae_fds_model_over_budget", "Findings kept in shadow: enough people were asked today.", labels=_MODEL
    )
    gate = CounterMetricFamily(
        "haetae_fds_model_learning", "Events that models learnt from, or not: learnt, slowly, flagged, strange.",
        labels=("shard", "what"),
    )  # fmt: skip
    drifts = CounterMetricFamily("haetae_fds_model_drifts", "Drift alarms told.", labels=("shard",))
    for number, worker in workers.items():
        engine = worker.engine
        scorer: object = engine.scorer if isinstance(engine, Engine) else None
        if not isinstance(engine, Engine) or not isinstance(scorer, Summarised):
            continue
        shard, seen = str(number), scorer.summary(engine.watermark)
        for one in seen.models:
            labels = (shard, one.model, str(one.version))
            role.add_metric(labels, 0 if one.drifted or not one.warm else ROLES[one.role])
            judged.add_metric(labels, one.judged)
            beyond.add_metric(labels, one.beyond)
            budget.add_metric(labels, one.over_budget)
        for what, count in seen.gate.items():
            gate.add_metric((shard, what), count)
        drifts.add_metric((shard,), seen.drifts)
    yield from (role, judged, beyond, budget, gate, drifts)
