"""Novelty: half-space trees that know what harmless traffic looks like.

Twenty-five trees of height eight over windows of a thousand events (higher ones stall at the end of each window).
Limits are those of the features, so there is no scaler to be moved. Judging changes nothing; deterministic by seed.

Not here: what is harmless (`gate`), where the boundary lies (`conformal`).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log2
from typing import Final

from river.anomaly import HalfSpaceTrees

from haetae_fds.models.vector import NAMES

TREES: Final = 25
HEIGHT: Final = 8
WINDOW: Final = 1000


class Novelty:
    """How unlike the last thousand harmless events an event is."""

    def __init__(self, *, seed: int) -> None:
        self.trees = HalfSpaceTrees(
            n_trees=TREES, height=HEIGHT, window_size=WINDOW, limits=dict.fromkeys(NAMES, (0.0, 1.0)), seed=seed
        )
        self.learnt = 0

    def strangeness(self, x: Mapping[str, float]) -> float | None:
        """Judge scaled features: [0, 1], more is stranger; None before the first window is full."""
        if self.learnt < WINDOW:
            return None
        # Raw scores crowd below 1; what they lack to it spans as many octaves as the trees have levels.
        raw = float(self.trees.score_one(x))  # type: ignore[no-untyped-call]
        return min(1.0, max(0.0, -log2(max(1.0 - raw, 2.0 ** -(HEIGHT + 2))) / (HEIGHT + 2)))

    def learn(self, x: Mapping[str, float]) -> None:
        """Learn one harmless event."""
        self.trees.learn_one(x)  # type: ignore[no-untyped-call]
        self.learnt += 1
