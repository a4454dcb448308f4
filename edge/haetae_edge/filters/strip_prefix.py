"""`StripPrefix=2`: the first segments of the path stay at the gateway; `/a/b/c` becomes `/c`.

Works on the raw path, so that encoded characters reach the upstream as they came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haetae_edge.config.values import ArgumentError
from haetae_edge.exchange import Exchange
from haetae_edge.filter import BuildContext, Phase, Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class StripPrefix:
    """`parts`: how many segments, 1 to 32. A shorter path becomes `/`."""

    phase: ClassVar[Phase] = Phase.INJECT
    shortcut: ClassVar[tuple[str, ...]] = ("parts",)

    parts: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.parts <= 32:
            raise ArgumentError("parts", "is a number of segments from 1 to 32")

    def build(self, context: BuildContext) -> Steps:
        """One step."""
        parts = self.parts

        def step(exchange: Exchange) -> None:
            pieces = exchange.path.split("/", parts + 1)
            exchange.path = "/" + pieces[parts + 1] if len(pieces) > parts + 1 else "/"

        return Steps(request=((Phase.INJECT, step),))
