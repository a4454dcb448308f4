"""Behaviour events travel as arrays: what is encoded is read back, and nothing else is."""

import json
from dataclasses import fields, replace

import pytest
from haetae_fds import (
    SCHEMA_VERSION,
    AuthOutcome,
    Event,
    EventInvalid,
    NonceOutcome,
    PolicyOutcome,
    SignatureOutcome,
    decode_event,
    encode_event,
)
from hypothesis import given
from hypothesis import strategies as st

EVENT = Event(
    id="01JD3Q7Z8M0000000000000000",
    ts=1_763_800_000_123,
    gw="app",
    route="transfer",
    api="POST /api/v1/transfers/{id}",
    status=403,
    lat=1.25,
    ip="203.0.113.9",
    dev="dev_1",
    dev_v=True,
    user="u-1029",
    user_v=True,
    auth=AuthOutcome.NO_USER,
    sig=SignatureOutcome.OK,
    nonce=NonceOutcome.REPLAY,
    pol=PolicyOutcome.BLOCK,
    pid="pol_01JD3Q7Z8M0000000000000000",
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def test_an_event_survives_the_journey_through_json() -> None:
    assert decode_event(json.loads(json.dumps(encode_event(EVENT)))) == EVENT


def test_the_schema_version_comes_first() -> None:
    assert encode_event(EVENT)[0] == SCHEMA_VERSION


def test_a_shorter_array_of_an_older_writer_leaves_later_fields_unknown() -> None:
    assert decode_event([SCHEMA_VERSION, "id", 5, "app"]) == Event(id="id", ts=5, gw="app")


def test_fields_of_a_newer_writer_are_passed_over() -> None:
    assert decode_event([*encode_event(EVENT), "future", 1]) == EVENT


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({}, "event"),
        ([], "event"),
        ([2, "id", 5, "app"], "event"),
        ([True, "id", 5, "app"], "event"),
        ([SCHEMA_VERSION, "id", 5], "gw"),
        ([SCHEMA_VERSION, None, 5, "app"], "id"),
        ([SCHEMA_VERSION, "id", "5", "app"], "ts"),
        ([SCHEMA_VERSION, "id", True, "app"], "ts"),
        ([SCHEMA_VERSION, "id", 2**53, "app"], "ts"),
        ([SCHEMA_VERSION, "id", -1, "app"], "ts"),
        ([SCHEMA_VERSION, "id", 10**14 + 1, "app"], "ts"),
        (encode_event(replace(EVENT, ip="999.1.1.1")), "ip"),
        (encode_event(replace(EVENT, ip="")), "ip"),
        ([SCHEMA_VERSION, "x" * 513, 5, "app"], "id"),
        ([SCHEMA_VERSION, "id", 5, "app"] + [None] * 200, "event"),
    ],
)
def test_what_is_no_event_is_refused_with_the_field_that_does_not_fit(value: object, field: str) -> None:
    with pytest.raises(EventInvalid) as refused:
        decode_event(value)
    assert refused.value.field == field


def test_a_word_outside_the_vocabulary_is_refused() -> None:
    encoded = encode_event(EVENT)
    encoded[1 + [field.name for field in fields(Event)].index("sig")] = "fine"
    with pytest.raises(EventInvalid, match="sig"):
        decode_event(encoded)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), True, "1"])
def test_a_latency_that_is_no_finite_number_is_refused(number: object) -> None:
    encoded = encode_event(EVENT)
    encoded[1 + [field.name for field in fields(Event)].index("lat")] = number
    with pytest.raises(EventInvalid, match="lat"):
        decode_event(encoded)


def test_event_without_a_name_is_refused_for_its_doubles_could_not_be_told() -> None:
    with pytest.raises(EventInvalid, match="id"):
        decode_event(encode_event(replace(EVENT, id="")))


@given(json_values)
def test_any_json_value_is_an_event_or_a_declared_error(value: object) -> None:
    try:
        event = decode_event(value)
    except EventInvalid:
        return
    assert decode_event(encode_event(event)) == event


@given(st.lists(json_values, max_size=60))
def test_any_array_that_claims_the_version_is_an_event_or_a_declared_error(values: list[object]) -> None:
    try:
        event = decode_event([SCHEMA_VERSION, *values])
    except EventInvalid:
        return
    assert decode_event(encode_event(event)) == event


def test_every_field_has_a_place_that_never_moves() -> None:
    changed = replace(EVENT, pid=None)
    assert len(encode_event(changed)) == len(encode_event(EVENT)) == 1 + len(fields(Event))
