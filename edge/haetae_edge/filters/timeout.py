"""`Timeout`: how long each part of the call to the upstream may take on this route.

Spring's metadata `connect-timeout` and `response-timeout` (milliseconds) become one of these as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from haetae_edge.config.values import ArgumentError, Duration
from haetae_edge.deadlines import Deadlines
from haetae_edge.exchange import Exchange
from haetae_edge.filter import BuildContext, Phase, Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """`connect`, `response` (also written `firstByte`), `idle`, `total`: see `Deadlines`; what is left out
    stays."""

    phase: ClassVar[Phase] = Phase.RESILIENCE
    shortcut: ClassVar[tuple[str, ...]] = ("response",)

    connect: Duration | None = None
    response: Duration | None = None
    first_byte: Duration | None = None
    idle: Duration | None = None
    total: Duration | None = None

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in ("connect", "response", "first_byte", "idle", "total")}
        if all(value is None for value in given.values()):
            raise ValueError("write at least one of connect, response, idle, total, such as `total: 10s`")
        for name, value in given.items():
            if value == 0:
                raise ArgumentError(name, "must be more than zero; there is no call without a deadline")
        if self.response is not None and self.first_byte is not None:
            raise ArgumentError("first_byte", "is the same as `response`: keep one")
        longest = max(
            (value for name, value in given.items() if value and name in ("connect", "response", "first_byte")),
            default=0.0,
        )
        if self.total is not None and self.total < longest:
            raise ArgumentError("total", "is less than one of its parts")

    def build(self, context: BuildContext) -> Steps:
        """One step; the merged deadlines are made once."""
        first_byte = self.response if self.response is not None else self.first_byte
        changes = {"connect": self.connect, "first_byte": first_byte, "idle": self.idle, "total": self.total}
        given = {name: value for name, value in changes.items() if value is not None}
        merged: dict[Deadlines, Deadlines] = {}

        def step(exchange: Exchange) -> None:
            before = exchange.deadlines
            after = merged.get(before)
            if after is None:
                after = merged[before] = replace(before, **given)
            exchange.deadlines = after

        return Steps(request=((Phase.RESILIENCE, step),))
