"""Train the offline model: gradient boosting, calibrated on what followed, measured on what followed that.

Needs the extra `training`. Features that speak of faults and failures may only raise the score. What scikit-learn
makes is copied into plain numbers (`trees`) and the copy is compared with it row by row before anything is returned.

Rules kept: one thread and a seed, so that the same rows give the same model. Not here: files, events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from threadpoolctl import threadpool_limits

from haetae_fds.errors import TrainingFailed
from haetae_fds.models.measures import At, Costs, at, thresholds
from haetae_fds.models.roles import OFFLINE
from haetae_fds.models.rows import Collected, Row
from haetae_fds.models.split import Parts, part_of, split
from haetae_fds.models.trees import Node, TrainedModel, sigmoid_knots
from haetae_fds.models.vector import FEATURES

ROUNDS: Final = 60
LEAVES: Final = 15
_SMALLEST: Final = 20
_SAME: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model and how it did. Measures are those of the test part."""

    model: TrainedModel
    parts: Parts
    auc: float
    average_precision: float
    brier: float
    challenge: At
    block: At | None
    telling: tuple[tuple[str, float], ...]


def train(collected: Collected, *, version: int, seed: int = 1, costs: Costs | None = None) -> Trained:
    """Train one version. Raises TrainingFailed: the rows do not suffice, or the copy differs."""
    parts = split(collected.rows)
    with threadpool_limits(limits=1):
        boosted = _boost(parts.train, seed)
        model = _copy(boosted, parts.train, version)
        margins = [model.margin(row.values) for row in parts.calibrate]
        model = replace(model, knots=_calibration(margins, parts.calibrate))
    days = [0, 0, 0]
    for person, day in collected.days:
        days[part_of(person)] += _within(day, parts, part_of(person))
    challenge, block = thresholds(
        parts.calibrate,
        [model.probability(row.values) for row in parts.calibrate],
        days=days[1],
        costs=costs or Costs(),
    )
    model = replace(model, challenge=challenge, block=block)
    return _measured(model, parts, days[2])


def _measured(model: TrainedModel, parts: Parts, days: int) -> Trained:
    truth = [row.campaign is not None for row in parts.test]
    found = [model.probability(row.values) for row in parts.test]
    margins = [model.margin(row.values) for row in parts.test]
    return Trained(
        model=model,
        parts=parts,
        auc=float(roc_auc_score(truth, margins)),
        average_precision=float(average_precision_score(truth, margins)),
        brier=float(brier_score_loss(truth, found)),
        challenge=at(model.challenge, parts.test, found, days=days),
        block=None if model.block is None else at(model.block, parts.test, found, days=days),
        telling=_telling(model, parts.test),
    )


def _within(day: int, parts: Parts, part: int) -> bool:
    """Whether a day lies in the time of a part; the days of its borders belong to both."""
    first, last = parts.calibrate_ms // 86_400_000, parts.test_ms // 86_400_000
    return (day <= first, first <= day <= last, day >= last)[part]


def _matrix(rows: Sequence[Row]) -> Any:
    return np.array([row.values for row in rows], dtype=np.float64)


def _boost(rows: Sequence[Row], seed: int) -> HistGradientBoostingClassifier:
    fraud = np.array([row.campaign is not None for row in rows])
    boosted = HistGradientBoostingClassifier(
        learning_rate=0.12,
        max_iter=ROUNDS,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=min(_SMALLEST, max(2, int(fraud.sum()) // 4)),
        l2_regularization=1.0,
        monotonic_cst=[int(feature.rises) for feature in FEATURES],
        early_stopping=False,
        random_state=seed,
    )
    return boosted.fit(_matrix(rows), fraud)


def _copy(boosted: HistGradientBoostingClassifier, rows: Sequence[Row], version: int) -> TrainedModel:
    matrix = _matrix(rows)
    model = TrainedModel(
        name=OFFLINE,
        version=version,
        base=float(boosted._baseline_prediction.ravel()[0]),
        trees=tuple(_tree(grown[0].nodes) for grown in boosted._predictors),
        knots=sigmoid_knots(),
        medians=tuple(float(value) for value in np.median(matrix[[row.campaign is None for row in rows]], axis=0)),
        challenge=1.0,
    )
    theirs = boosted.decision_function(matrix[:2000])
    ours = np.array([model.margin(row.values) for row in rows[:2000]])
    if not np.allclose(ours, theirs, atol=_SAME, rtol=0):
        raise TrainingFailed("the copy of the trees does not agree with the original")
    return model


def _tree(nodes: Any) -> tuple[Node, ...]:
    return tuple(
        (-1, float(node["value"]), 0, 0)
        if node["is_leaf"]
        else (int(node["feature_idx"]), float(node["num_threshold"]), int(node["left"]), int(node["right"]))
        for node in nodes
    )


def _calibration(margins: Sequence[float], rows: Sequence[Row]) -> tuple[tuple[float, float], ...]:
    """Fit a rising curve; even the surest answer is no surer than the number of rows allows."""
    fraud = np.array([row.campaign is not None for row in rows], dtype=np.float64)
    surest = 1 / (len(rows) + 2)
    curve = IsotonicRegression(y_min=surest, y_max=1 - surest, increasing=True, out_of_bounds="clip")
    curve.fit(np.array(margins), fraud)
    knots: list[tuple[float, float]] = []
    for x, y in zip(curve.X_thresholds_, curve.y_thresholds_, strict=True):
        if not knots or float(x) > knots[-1][0]:
            knots.append((float(x), float(y)))
    if len(knots) < 2:
        knots.append((knots[0][0] + 1.0, knots[0][1]))
    return tuple(knots[:: -(-len(knots) // 500)]) if len(knots) > 500 else tuple(knots)


def _telling(model: TrainedModel, rows: Sequence[Row], most: int = 200) -> tuple[tuple[str, float], ...]:
    """Return the features that raise the scores of attacks most, on average."""
    sums: dict[str, float] = {}
    chosen = [row for row in rows if row.campaign is not None]
    chosen = chosen[:: max(1, len(chosen) // most)][:most]
    for row in chosen:
        for name, value in model.contributions(row.values):
            sums[name] = sums.get(name, 0.0) + value / len(chosen)
    return tuple(sorted(sums.items(), key=lambda one: (-one[1], one[0]))[:12])
