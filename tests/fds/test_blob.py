"""Blobs: what was packed is read back; what is broken is refused or counted, and costs nobody else anything."""

import orjson
import pytest
from haetae_fds.blob import MAX_BLOB_EVENTS, decode_blob, encode_blob, stream_key
from haetae_fds.event import Event, EventInvalid, encode_event
from hypothesis import given
from hypothesis import strategies as st

EVENTS = [Event(id=f"01J{n}", ts=1_800_000_000_000 + n, gw="app", ip="203.0.113.7") for n in range(3)]


def test_events_and_losses_come_back_as_they_were_packed() -> None:
    blob = decode_blob(
        encode_blob([encode_event(event) for event in EVENTS], source="app/host/1", lost_anonymous=4, lost_other=1)
    )
    assert blob.events == tuple(EVENTS)
    assert (blob.source, blob.lost_anonymous, blob.lost_other) == ("app/host/1", 4, 1)
    assert not blob.refused


def test_one_bad_event_is_counted_by_its_field_and_its_neighbours_are_kept() -> None:
    bad = encode_event(EVENTS[1])
    bad[2] = "not a number"
    blob = decode_blob(encode_blob([encode_event(EVENTS[0]), bad, encode_event(EVENTS[2])], source="w"))
    assert blob.events == (EVENTS[0], EVENTS[2])
    assert blob.refused == {"ts": 1}


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        [1],
        [2, "w", 0, 0, []],
        [True, "w", 0, 0, []],
        [1, 5, 0, 0, []],
        [1, "w" * 200, 0, 0, []],
        [1, "w", -1, 0, []],
        [1, "w", 0, 1.5, []],
        [1, "w", 0, 0, {}],
        [1, "w", 0, 0, [[]] * (MAX_BLOB_EVENTS + 1)],
    ],
)
def test_what_is_no_blob_is_refused(value: object) -> None:
    with pytest.raises(EventInvalid):
        decode_blob(orjson.dumps(value))


def test_too_many_events_are_not_packed() -> None:
    with pytest.raises(ValueError, match="at most"):
        encode_blob([[]] * (MAX_BLOB_EVENTS + 1), source="w")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_blob_or_refused(data: bytes) -> None:
    try:
        decode_blob(data)
    except EventInvalid as error:
        assert error.field == "blob"  # noqa: PT017 - both outcomes are good


def test_streams_of_shards_are_apart() -> None:
    assert stream_key("haetae:", 3) == "haetae:events:{3}"
