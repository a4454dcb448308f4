"""A trained model as numbers: boosted trees, a calibration curve and thresholds, read strictly and scored in place.

Training uses scikit-learn; what it makes is written as JSON and walked here. So a model file holds no code, a worker
needs neither scikit-learn nor batches (one row costs some microseconds, less than a call into numpy), and scores do
not depend on library versions.

Rules kept: a file is bounded in bytes, trees and nodes; children stand after their parents, so that a walk ends; every
number is finite. A score lies in [0, 1], 0.5 at the threshold, monotone in the probability. Not here: files, training.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, isfinite
from typing import Any, Final

import orjson

from haetae_fds.errors import ModelInvalid
from haetae_fds.models.vector import INDEX, NAMES, VECTOR

FORMAT: Final = 1
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_TREES: Final = 300
MAX_NODES: Final = 255
MAX_KNOTS: Final = 1000
MAX_NAME: Final = 64

#: A branch is (feature, threshold, left, right), to the left where the value is at most the threshold; a leaf is
#: (-1, value, 0, 0).
Node = tuple[int, float, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """One version. `knots` map the trees' sum to a probability, both rising; `medians` are harmless traffic's.

    `challenge` and `block` are probabilities from which on it asks for more proof, or would refuse; None: never.
    """

    name: str
    version: int
    base: float
    trees: tuple[tuple[Node, ...], ...]
    knots: tuple[tuple[float, float], ...]
    medians: tuple[float, ...]
    challenge: float
    block: float | None = None

    def margin(self, row: Sequence[float]) -> float:
        """Return the trees' sum for a row of features."""
        total = self.base
        for nodes in self.trees:
            feature, value, left, right = nodes[0]
            while feature >= 0:
                feature, value, left, right = nodes[left if row[feature] <= value else right]
            total += value
        return total

    def probability(self, row: Sequence[float]) -> float:
        """Return the calibrated probability of fraud."""
        return interpolate(self.knots, self.margin(row))

    def score(self, probability: float) -> float:
        """Map a probability to a score: 0.5 at the challenge threshold."""
        at = self.challenge
        if probability < at:
            return 0.5 * probability / at
        return 1.0 if at >= 1 else 0.5 + 0.5 * (probability - at) / (1 - at)

    def contributions(self, row: Sequence[float]) -> list[tuple[str, float]]:
        """Return how much of the sum each feature brings, by putting it back to the median; largest first."""
        whole, changed = self.margin(row), list(row)
        found = []
        for name, index in INDEX.items():
            if row[index] == self.medians[index]:
                continue
            changed[index] = self.medians[index]
            found.append((name, whole - self.margin(changed)))
            changed[index] = row[index]
        return sorted((one for one in found if one[1] > 0), key=lambda one: (-one[1], one[0]))


def interpolate(knots: Sequence[tuple[float, float]], x: float) -> float:
    """Return the value of a rising broken line; flat beyond its ends."""
    at = bisect_right(knots, (x, 2.0))
    if at == 0:
        return knots[0][1]
    if at == len(knots):
        return knots[-1][1]
    (x0, y0), (x1, y1) = knots[at - 1], knots[at]
    return min(y1, y0 + (y1 - y0) * (x - x0) / (x1 - x0))  # rounding must not lead above the next knot


def sigmoid_knots(*, steps: int = 33, span: float = 8.0) -> tuple[tuple[float, float], ...]:
    """Return the curve of an uncalibrated model."""
    xs = [-span + 2 * span * step / (steps - 1) for step in range(steps)]
    return tuple((x, 1 / (1 + exp(-x))) for x in xs)


def write_model(model: TrainedModel) -> bytes:
    """Return the file's bytes."""
    return orjson.dumps(
        {
            "format": FORMAT,
            "name": model.name,
            "version": model.version,
            "vector": VECTOR,
            "features": NAMES,
            "base": model.base,
            "trees": model.trees,
            "knots": model.knots,
            "medians": model.medians,
            "challenge": model.challenge,
            "block": model.block,
        }
    )


def read_model(data: bytes) -> TrainedModel:
    """Read a model file. Raises ModelInvalid: not one, beyond bounds, or made for other features."""
    if len(data) > MAX_BYTES:
        raise ModelInvalid("larger than a model may be")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ModelInvalid("not JSON") from error
    if not isinstance(value, dict) or value.keys() != _KEYS or value["format"] != FORMAT:
        raise ModelInvalid("not a model of this format")
    if value["vector"] != VECTOR or value["features"] != list(NAMES):
        raise ModelInvalid("made for other features; train it again")
    name, version = value["name"], value["version"]
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isidentifier():
        raise ModelInvalid("name")
    if type(version) is not int or version < 1:
        raise ModelInvalid("version")
    block = value["block"]
    return TrainedModel(
        name=name,
        version=version,
        base=_number(value["base"], "base"),
        trees=tuple(_tree(tree) for tree in _list(value["trees"], "trees", MAX_TREES)),
        knots=_knots(value["knots"]),
        medians=_medians(value["medians"]),
        challenge=_threshold(value["challenge"], "challenge"),
        block=None if block is None else _threshold(block, "block"),
    )


_KEYS: Final = {
    "format", "name", "version", "vector", "features", "base", "trees", "knots", "medians", "challenge", "block",
}  # fmt: skip


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ModelInvalid(what)
    return float(value)


def _list(value: Any, what: str, most: int, least: int = 1) -> list[Any]:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise ModelInvalid(what)
    return value


def _tree(value: Any) -> tuple[Node, ...]:
    nodes = _list(value, "tree", MAX_NODES)
    read: list[Node] = []
    for index, node in enumerate(nodes):
        feature, number, left, right = _list(node, "node", 4, 4)
        if any(type(part) is not int for part in (feature, left, right)) or not -1 <= feature < len(NAMES):
            raise ModelInvalid("node")
        if feature >= 0 and not (index < left < len(nodes) and index < right < len(nodes)):
            raise ModelInvalid("a branch leads back")
        read.append((feature, _number(number, "node"), left, right))
    return tuple(read)


def _knots(value: Any) -> tuple[tuple[float, float], ...]:
    read = []
    for knot in _list(value, "knots", MAX_KNOTS, 2):
        x, y = _list(knot, "knots", 2, 2)
        read.append((_number(x, "knots"), _threshold(y, "knots", zero=True)))
    for (x0, y0), (x1, y1) in pairwise(read):
        if not (x0 < x1 and y0 <= y1):
            raise ModelInvalid("knots do not rise")
    return tuple(read)


def _medians(value: Any) -> tuple[float, ...]:
    return tuple(_number(one, "medians") for one in _list(value, "medians", len(NAMES), len(NAMES)))


def _threshold(value: Any, what: str, *, zero: bool = False) -> float:
    number = _number(value, what)
    if not (0 <= number <= 1 if zero else 0 < number <= 1):
        raise ModelInvalid(what)
    return number
