"""`Trace`: takes part in the caller's trace, or starts one (see `trace.py`). On by default in every
profile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from haetae_edge.config.values import ArgumentError
from haetae_edge.exchange import Exchange
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.trace import TRACE_FIELDS, TRACE_STATE, b3_fields, b3_single, read_trace, traceparent

_ID_BYTES: Final = 24
_ZERO: Final = bytes(16)
_IDS_PER_DRAW: Final = 64
_ALL_FIELDS: Final = TRACE_FIELDS | {TRACE_STATE}


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
        randoms = _identifiers(context.services.random_bytes)
        threshold = int(self.sample * (1 << 64))
        single, multi, w3c = ("b3" in self.propagate, "b3-multi" in self.propagate, "w3c" in self.propagate)

        def step(exchange: Exchange) -> None:
            trace = read_trace(exchange.request.values, random=next(randoms), threshold=threshold)
            fields = exchange.fields
            if not _ALL_FIELDS.isdisjoint(exchange.request.values):
                dropped = TRACE_FIELDS if trace.w3c and w3c else _ALL_FIELDS
                fields = [pair for pair in fields if pair[0] not in dropped]
            if multi:
                fields += b3_fields(trace)
            if w3c:
                fields.append(traceparent(trace))
            if single:
                fields.append(b3_single(trace))
            exchange.fields = fields
            exchange.trace = trace

        return Steps(request=((Phase.TRANSPORT, step),))


def _identifiers(random_bytes: Callable[[int], bytes]) -> Iterator[bytes]:
    """24 random bytes at a time, neither id all zero. Drawn in blocks: a system call per request would be
    half the cost.

    Ids of traces are names, not secrets.
    """
    while True:
        block = random_bytes(_IDS_PER_DRAW * _ID_BYTES)
        for at in range(0, len(block), _ID_BYTES):
            drawn = block[at : at + _ID_BYTES]
            if drawn[:16] != _ZERO and drawn[16:] != _ZERO[:8]:
                yield drawn
