"""Trace context from callers: read strictly, never echoed when malformed, one new span per gateway."""

from __future__ import annotations

import pytest
from haetae_edge.filters.trace import Trace
from haetae_edge.trace import TRACE_FIELDS, TraceContext, b3_fields, b3_single, read_trace, traceparent
from hypothesis import given
from hypothesis import strategies as st

from tests.edge.gateway_files import build, exchange, run

ID64 = b"e457b5a2e4d86bd1"
ID128 = b"80f198ee56343ba864fe8b2a57d3eff7"
RANDOM = bytes(range(1, 25))
NEW_TRACE, NEW_SPAN = RANDOM[:16].hex(), RANDOM[16:].hex()
ALWAYS = 1 << 64


def read(*fields: tuple[bytes, bytes], threshold: int = ALWAYS) -> TraceContext:
    index: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        index.setdefault(name, []).append(value)
    return read_trace(index, random=RANDOM, threshold=threshold)


def joined(trace_id: bytes, *, sampled: bool, w3c: bool = False) -> TraceContext:
    return TraceContext(trace_id.decode(), NEW_SPAN, ID64.decode(), sampled, w3c)


@pytest.mark.parametrize(
    ("fields", "context"),
    [
        (((b"b3", ID128 + b"-" + ID64),), joined(ID128, sampled=True)),
        (((b"b3", ID128 + b"-" + ID64 + b"-0"),), joined(ID128, sampled=False)),
        (((b"b3", ID64 + b"-" + ID64 + b"-1-05e3ac9a4f6e3b90"),), joined(ID64, sampled=True)),
        (((b"x-b3-traceid", ID128), (b"x-b3-spanid", ID64), (b"x-b3-sampled", b"0")), joined(ID128, sampled=False)),
        (((b"x-b3-traceid", ID64), (b"x-b3-spanid", ID64), (b"x-b3-sampled", b"true")), joined(ID64, sampled=True)),
        (((b"traceparent", b"00-" + ID128 + b"-" + ID64 + b"-01"),), joined(ID128, sampled=True, w3c=True)),
        (((b"traceparent", b"00-" + ID128 + b"-" + ID64 + b"-fe"),), joined(ID128, sampled=False, w3c=True)),
        (((b"traceparent", b"cc-" + ID128 + b"-" + ID64 + b"-01-more"),), joined(ID128, sampled=True, w3c=True)),
        # The single field wins over the others, B3 over W3C; of several values the first.
        (
            ((b"b3", ID64 + b"-" + ID64 + b"-0"), (b"x-b3-traceid", ID128), (b"x-b3-spanid", ID64)),
            joined(ID64, sampled=False),
        ),
        (
            ((b"traceparent", b"00-" + ID128 + b"-" + ID64 + b"-01"), (b"b3", ID64 + b"-" + ID64 + b"-1")),
            joined(ID64, sampled=True),
        ),
        (((b"b3", ID64 + b"-" + ID64 + b"-1"), (b"b3", ID128 + b"-" + ID64)), joined(ID64, sampled=True)),
    ],
)
def test_a_callers_trace_is_continued_with_a_span_of_our_own(
    fields: tuple[tuple[bytes, bytes], ...], context: TraceContext
) -> None:
    assert read(*fields) == context


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ((b"b3", b""),),
        ((b"b3", b"x"),),
        ((b"b3", ID128.upper() + b"-" + ID64),),
        ((b"b3", ID128 + b"-" + ID64 + b"-2"),),
        ((b"b3", ID128 + b"-" + ID64 + b"-1-"),),
        ((b"b3", ID128 + b"-" + ID64 + b"\n"),),
        ((b"b3", b"0" * 32 + b"-" + ID64),),
        ((b"b3", ID64 + b"-" + b"0" * 16),),
        ((b"b3", ID128[:20] + b"-" + ID64),),
        ((b"b3", b"junk"), (b"traceparent", b"00-" + ID128 + b"-" + ID64 + b"-01")),
        ((b"x-b3-traceid", ID128),),
        ((b"x-b3-spanid", ID64),),
        ((b"x-b3-traceid", ID128), (b"x-b3-spanid", ID64), (b"x-b3-sampled", b"maybe")),
        ((b"x-b3-traceid", b"0" * 16), (b"x-b3-spanid", ID64)),
        ((b"traceparent", b"ff-" + ID128 + b"-" + ID64 + b"-01"),),
        ((b"traceparent", b"00-" + ID128 + b"-" + ID64 + b"-01-more"),),
        ((b"traceparent", b"00-" + ID128 + b"-" + ID64),),
        ((b"traceparent", b"00-" + b"0" * 32 + b"-" + ID64 + b"-01"),),
        ((b"traceparent", b"00-" + ID128 + b"-" + b"0" * 16 + b"-01"),),
        ((b"traceparent", b"cc-" + ID128 + b"-" + ID64 + b"-01-" + b"x" * 600),),
        (
            (b"traceparent", b"00-" + ID128 + b"-" + ID64 + b"-01"),
            (b"traceparent", b"00-" + ID128 + b"-" + ID64 + b"-01"),
        ),
    ],
)
def test_whatever_is_malformed_starts_a_new_trace(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    assert read(*fields) == TraceContext(NEW_TRACE, NEW_SPAN, None, True)


def test_the_debug_flag_is_not_accepted_from_outside() -> None:
    assert read((b"b3", ID128 + b"-" + ID64 + b"-d"), threshold=0) == joined(ID128, sampled=False)
    multi = ((b"x-b3-traceid", ID128), (b"x-b3-spanid", ID64), (b"x-b3-flags", b"1"))
    assert read(*multi, threshold=0) == joined(ID128, sampled=False)
    made = run(Trace(sample=0.0), exchange(fields=multi))
    assert not [name for name, _ in made.fields if name == b"x-b3-flags"]


@pytest.mark.parametrize(
    ("fields", "sampled"),
    [
        (((b"b3", b"0"),), False),
        (((b"b3", b"1"),), True),
        (((b"x-b3-sampled", b"0"),), False),
        (((b"b3", b"d"),), None),
    ],
)
def test_a_bare_decision_starts_a_trace_that_keeps_it(
    fields: tuple[tuple[bytes, bytes], ...], sampled: bool | None
) -> None:
    for threshold in (0, ALWAYS):
        expected = sampled if sampled is not None else threshold == ALWAYS
        assert read(*fields, threshold=threshold) == TraceContext(NEW_TRACE, NEW_SPAN, None, expected)


def test_every_gateway_decides_alike_for_one_trace() -> None:
    low = int(ID64, 16)
    assert read((b"b3", ID64 + b"-" + ID64), threshold=low + 1).sampled
    assert not read((b"b3", ID64 + b"-" + ID64), threshold=low).sampled


def test_what_goes_out_reads_back_as_a_child() -> None:
    context = read((b"b3", ID64 + b"-" + ID64 + b"-1"))
    for fields in (b3_fields(context), [b3_single(context)], [traceparent(context)]):
        child = read(*fields)
        assert child.parent_id == context.span_id
        assert child.trace_id.lstrip("0") == ID64.decode()
        assert child.sampled


def test_inbound_copies_never_stay_beside_ours() -> None:
    spellings = tuple((name, b"evil") for name in sorted(TRACE_FIELDS))
    made = run(Trace(propagate=("b3", "b3-multi", "w3c")), exchange(fields=(*spellings, (b"tracestate", b"v=1"))))
    assert b"evil" not in [value for _, value in made.fields]
    assert [name for name, _ in made.fields] == [
        b"x-b3-traceid",
        b"x-b3-spanid",
        b"x-b3-sampled",
        b"traceparent",
        b"b3",
    ]


def test_tracestate_goes_on_only_with_its_traceparent() -> None:
    good = (b"traceparent", b"00-" + ID128 + b"-" + ID64 + b"-01")
    state = (b"tracestate", b"vendor=1")
    assert state in run(Trace(), exchange(fields=(good, state))).fields
    for fields in ((state,), ((b"traceparent", b"junk"), state), (good, state, (b"b3", ID64 + b"-" + ID64))):
        assert state not in run(Trace(), exchange(fields=fields)).fields
    assert state not in run(Trace(propagate=("b3",)), exchange(fields=(good, state))).fields


def test_each_request_gets_ids_of_its_own() -> None:
    ((_, step),) = build(Trace()).request
    seen = set()
    for _ in range(200):
        made = exchange()
        step(made)
        assert made.trace is not None
        seen |= {made.trace.trace_id, made.trace.span_id}
    assert len(seen) == 400


def test_a_share_outside_zero_and_one_is_refused() -> None:
    with pytest.raises(ValueError, match="share"):
        Trace(sample=1.5)
    with pytest.raises(ValueError, match="each once"):
        Trace(propagate=("w3c", "w3c"))


values = st.one_of(st.binary(max_size=60), st.text(alphabet="0123456789abcdef-", max_size=70).map(str.encode))


@given(st.dictionaries(st.sampled_from(sorted(TRACE_FIELDS)), st.lists(values, min_size=1, max_size=2)))
def test_any_field_values_give_a_well_formed_context(index: dict[bytes, list[bytes]]) -> None:
    context = read_trace(index, random=RANDOM, threshold=ALWAYS)
    assert len(context.trace_id) in (16, 32)
    assert int(context.trace_id, 16) > 0
    assert len(context.span_id) == 16
    assert context.parent_id is None or int(context.parent_id, 16) > 0
