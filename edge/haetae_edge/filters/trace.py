"""`Trace`: takes part in the caller's trace, or starts one (see `trace.py`). On by default in every
profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from haetae_edge.config.values import ArgumentError
from haetae_edge.exchange import Exchange
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.trace import TRACE_FIELDS, TRACE_STATE, b3_fields, b3_single, read_trace, traceparent

_ALL_FIELDS = TRACE_FIELDS | {TRACE_STATE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """`propagate`: what the upstream is sent. `sample`: share of new traces that are sampled, 0 to 1."""

    phase: ClassVar[Phase] = Phase.TRANSPORT
    shortcut: ClassVar[tuple[str, ...]] = ("propagate",)

    propagate: tuple[Literal["b3", "b3-multi", "w3c"], ...] = ("b3-multi", "w3c")
    sample: float = 1.0

    def __post_init__(self) -> None:
        if not self.propagate or len(set(self.propagate)) != len(self.propagate):
            raise ArgumentError("propagate", "list one or more of `b3`, `b3-multi`, `w3c`, each once")
        if not 0 <= self.sample <= 1:
            raise ArgumentError("sample", "is a share between 0 and 1, such as `0.1`")

    def build(self, context: BuildContext) -> Steps:
        """One step: read, replace every inbound copy, remember."""
        random_bytes = context.services.random_bytes
        threshold = int(self.sample * (1 << 64))
        single, multi, w3c = ("b3" in self.propagate, "b3-multi" in self.propagate, "w3c" in self.propagate)

        def step(exchange: Exchange) -> None:
            random = int.from_bytes(random_bytes(24), "big")
            trace = read_trace(
                exchange.request.values,
                high=random >> 128,
                low=(random >> 64) & 0xFFFFFFFFFFFFFFFF,
                span=random & 0xFFFFFFFFFFFFFFFF,
                threshold=threshold,
            )
            dropped = TRACE_FIELDS if trace.w3c and w3c else _ALL_FIELDS
            fields = [pair for pair in exchange.fields if pair[0] not in dropped]
            if multi:
                fields += b3_fields(trace)
            if w3c:
                fields.append(traceparent(trace))
            if single:
                fields.append(b3_single(trace))
            exchange.fields = fields
            exchange.trace = trace

        return Steps(request=((Phase.TRANSPORT, step),))
