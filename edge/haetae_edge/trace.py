"""Trace context: which call this request belongs to (openzipkin b3-propagation; W3C Trace Context level 1).

Read strictly from `b3`, else from the `X-B3-*` fields, else from `traceparent`; whatever is malformed starts
a new trace and is neither echoed nor logged. The debug flag (`b3: …-d`, `X-B3-Flags: 1`) is not accepted from
outside: it would let a caller switch on full sampling in every service. The gateway is a span of its own:
same trace, new span id, the caller's span as parent. Random numbers are arguments.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

_B3 = re.compile(rb"(?!0+-)([0-9a-f]{32}|[0-9a-f]{16})-(?!0{16})([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?")
_TRACE_ID = re.compile(rb"(?!0+\Z)(?:[0-9a-f]{32}|[0-9a-f]{16})")
_SPAN_ID = re.compile(rb"(?!0+\Z)[0-9a-f]{16}")
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]([0-9a-f])")
_TRACEPARENT_LENGTH: Final = 55
_LONGEST: Final = 512

_STATES: Final = {b"1": True, b"0": False, b"true": True, b"false": False}
_MASK: Final = (1 << 64) - 1

_FIELDS: Final = (
    b"b3",
    b"x-b3-traceid",
    b"x-b3-spanid",
    b"x-b3-parentspanid",
    b"x-b3-sampled",
    b"x-b3-flags",
    b"traceparent",
)


def _spellings(name: bytes) -> list[bytes]:
    parts = name.split(b"-")
    joins = itertools.product((b"-", b"_"), repeat=len(parts) - 1)
    return [parts[0] + b"".join(j + p for j, p in zip(join, parts[1:], strict=True)) for join in joins]


#: Every spelling of the fields this module writes, so that no inbound copy stays beside them.
TRACE_FIELDS: Final = frozenset(spelling for name in _FIELDS for spelling in _spellings(name))
#: Vendor data of W3C; it goes on only together with the `traceparent` it came with.
TRACE_STATE: Final = b"tracestate"


class TraceContext(NamedTuple):
    """Where this request stands in its trace; ids in lower-case hexadecimal.

    `trace_id` has 16 or 32 digits as received. `span_id` is the gateway's own span, `parent_id` the caller's,
    None at the start of a trace. `w3c` is true when it was read from `traceparent`, so that `tracestate`
    belongs to it.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    sampled: bool
    w3c: bool = False


#: The caller's trace id, span id and decision, and whether they came from `traceparent`.
_Parent = tuple[bytes, bytes, bool | None, bool]


def read_trace(index: Mapping[bytes, Sequence[bytes]], *, random: bytes, threshold: int) -> TraceContext:
    """The context for a request with these header fields (lower-case name to values).

    `random` is 24 random bytes: a trace id and a span id. Where the caller leaves the sampling decision open,
    a trace is sampled when the low 64 bits of its id are below `threshold`, so that every gateway decides
    alike.
    """
    parent: _Parent | bool | None = None
    if b"b3" in index:
        parent = _read_b3(index[b"b3"][0])
    elif b"x-b3-traceid" in index or b"x-b3-sampled" in index or b"x-b3-spanid" in index:
        parent = _read_b3_fields(index)
    elif b"traceparent" in index:
        parent = _read_traceparent(index[b"traceparent"])
    fresh = random.hex()
    span_id = fresh[32:]
    if not isinstance(parent, tuple):
        trace_id = fresh[:32]
        sampled = _decide(trace_id, threshold) if parent is None else parent
        return TraceContext(trace_id, span_id, None, sampled, False)
    raw_trace_id, raw_span_id, decided, w3c = parent
    trace_id = raw_trace_id.decode("ascii")
    sampled = _decide(trace_id, threshold) if decided is None else decided
    return TraceContext(trace_id, span_id, raw_span_id.decode("ascii"), sampled, w3c)


def _decide(trace_id: str, threshold: int) -> bool:
    return threshold > _MASK or int(trace_id[-16:], 16) < threshold


def _read_b3(value: bytes) -> _Parent | bool | None:
    """A parent, a bare decision, or None for anything else."""
    match = _B3.fullmatch(value)
    if match is None:
        return _STATES.get(value) if len(value) == 1 else None
    trace_id, span_id, state = match.groups()
    return trace_id, span_id, _STATES.get(state), False


def _read_b3_fields(index: Mapping[bytes, Sequence[bytes]]) -> _Parent | bool | None:
    sampled_value = index.get(b"x-b3-sampled")
    sampled = None
    if sampled_value is not None:
        sampled = _STATES.get(sampled_value[0])
        if sampled is None:
            return None
    trace_value, span_value = index.get(b"x-b3-traceid"), index.get(b"x-b3-spanid")
    if trace_value is None and span_value is None:
        return sampled
    if trace_value is None or span_value is None:
        return None
    trace_id, span_id = trace_value[0], span_value[0]
    if not _TRACE_ID.fullmatch(trace_id) or not _SPAN_ID.fullmatch(span_id):
        return None
    return trace_id, span_id, sampled, False


def _read_traceparent(values: Sequence[bytes]) -> _Parent | None:
    """Version 00 has exactly four parts; a later version may go on after a further "-" (section 3.2.4)."""
    value = values[0]
    length = len(value)
    if len(values) > 1 or length > _LONGEST:
        return None
    if length != _TRACEPARENT_LENGTH and (value.startswith(b"00") or value[_TRACEPARENT_LENGTH:][:1] != b"-"):
        return None
    match = _TRACEPARENT.match(value)
    if match is None:
        return None
    trace_id, span_id, flags = match.groups()
    return trace_id, span_id, flags in b"13579bdf", True


def b3_fields(context: TraceContext) -> list[tuple[bytes, bytes]]:
    """The `X-B3-*` fields for the upstream."""
    fields = [
        (b"x-b3-traceid", context.trace_id.encode("ascii")),
        (b"x-b3-spanid", context.span_id.encode("ascii")),
        (b"x-b3-sampled", b"1" if context.sampled else b"0"),
    ]
    if context.parent_id is not None:
        fields.append((b"x-b3-parentspanid", context.parent_id.encode("ascii")))
    return fields


def b3_single(context: TraceContext) -> tuple[bytes, bytes]:
    """The `b3` field for the upstream."""
    value = f"{context.trace_id}-{context.span_id}-{'1' if context.sampled else '0'}"
    if context.parent_id is not None:
        value = f"{value}-{context.parent_id}"
    return b"b3", value.encode("ascii")


def traceparent(context: TraceContext) -> tuple[bytes, bytes]:
    """The `traceparent` field for the upstream; a 64-bit trace id is padded on the left."""
    trace_id = context.trace_id if len(context.trace_id) == 32 else context.trace_id.zfill(32)
    flags = "01" if context.sampled else "00"
    return b"traceparent", f"00-{trace_id}-{context.span_id}-{flags}".encode("ascii")
