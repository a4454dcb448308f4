"""What stands in the feed's records, entries and head: any bytes are read or refused, nothing else happens."""

import contextlib

import orjson
import pytest
from haetae_policy.entries import decode_entry, decode_head
from haetae_policy.errors import FeedCorrupt, RecordUnreadable
from haetae_policy.facts import ApiFacts
from haetae_policy.model import Action, Api, Subject
from haetae_policy.record import Record, decode_record, encode_record
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.policy_strategies import T0, pid, policy_id, records

EPOCH = "00" * 8
API = ApiFacts("app", "r", "GET", "/")


RECORD = Record(pid=pid(1), ver=1, exp_ms=T0 + 90_000, action=Action.BLOCK, subject=Subject(user="u"), api=Api())


@given(st.binary(max_size=300))
def test_decoding_any_bytes_as_a_record_gives_a_record_or_a_declared_error(raw: bytes) -> None:
    with contextlib.suppress(FeedCorrupt, RecordUnreadable):
        decode_record(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    changes=st.dictionaries(
        st.sampled_from(("v", "pid", "ver", "exp", "act", "sub", "api", "mode", "hard", "rate", "why", "fds", "x")),
        json_values
        | st.dictionaries(st.sampled_from(("user", "ip", "untrusted", "path", "method")), json_values, max_size=3),
        max_size=4,
    )
)
def test_decoding_any_altered_record_gives_a_record_or_a_declared_error(changes: dict[str, object]) -> None:
    document = {**orjson.loads(encode_record(RECORD)), **changes}
    try:
        raw = orjson.dumps(document)
    except TypeError:
        return
    with contextlib.suppress(FeedCorrupt, RecordUnreadable):
        decode_record(raw)


@given(records())
def test_record_survives_its_encoding(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


@given(
    entry_id=st.one_of(st.just(b"5-1"), st.binary(max_size=10)),
    fields=st.dictionaries(
        st.sampled_from((b"e", b"s", b"o", b"t", b"r", b"p", b"v", b"f", b"c", b"g")),
        st.one_of(st.sampled_from((b"0" * 16, b"1", b"p", b"d", b"b", policy_id(1).encode())), st.binary(max_size=20)),
    ),
)
def test_decoding_any_log_entry_gives_an_entry_or_a_declared_error(entry_id: bytes, fields: dict[bytes, bytes]) -> None:
    with contextlib.suppress(FeedCorrupt):
        decode_entry(entry_id, fields)


@pytest.mark.parametrize("missing", [b"epoch", b"seq", b"floor", b"count", b"digest"])
def test_head_without_a_field_is_refused(missing: bytes) -> None:
    fields = {b"epoch": b"00" * 8, b"seq": b"1", b"id": b"1-1", b"floor": b"0", b"count": b"1", b"digest": b"5"}
    assert decode_head(fields).entry_id == (1, 1)
    del fields[missing]
    with pytest.raises(FeedCorrupt):
        decode_head(fields)
