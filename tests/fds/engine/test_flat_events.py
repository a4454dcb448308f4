"""Events as flat JSON objects: what is read, what is read as what it was, and what is refused with its field."""

import json
from typing import Any

import pytest
from haetae_fds import Event, EventInvalid, read_flat
from haetae_fds.address import keys_of
from haetae_fds.flat import MAX_LINE, event_of, flat
from hypothesis import given
from hypothesis import strategies as st

LEAST = {"id": "e1", "ts": 1_700_000_000_000}
FIELDS = sorted(Event.__dataclass_fields__)


@pytest.mark.parametrize(
    ("name", "written", "read"),
    [
        ("ts", 1_700_000_000_000.75, 1_700_000_000_000),
        ("status", 200.0, 200),
        ("dev_age", 86_399.5, 86_399),
        ("asn", "AS64500", 64_500),
        ("asn", "64500", 64_500),
        ("user", 1029, "1029"),
        ("user", 2**64 - 1, "18446744073709551615"),
        ("obj", 77, "77"),
        ("ver", 4.1, "4.1"),
        ("dev_v", 1, True),
        ("user_v", 0, False),
        ("ipc", "tor", "vpn/tor"),
        ("lat", 3, 3.0),
    ],
)
def test_what_tables_make_of_a_value_is_read_as_what_it_was(name: str, written: object, read: object) -> None:
    value = getattr(event_of({**LEAST, name: written}), name)
    assert value == read
    assert isinstance(value, type(read))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("id", None),
        ("id", ""),
        ("id", True),
        ("ts", "1700000000000"),
        ("ts", -1),
        ("ts", True),
        ("status", "200"),
        ("status", 200.5),
        ("obj_n", 2**53),
        ("obj", 2**70),
        ("user", ["u"]),
        ("user", "x" * 513),
        ("dev_v", "true"),
        ("dev_v", 2),
        ("auth", "wrong password"),
        ("asn", "AS1; drop"),
        ("asn", "AS٣"),
        ("ipc", "home"),
        ("lat", "fast"),
        ("ts", 10**14 + 1),
        ("ts", ""),
        ("ip", "999.1.1.1"),
        ("ip", "localhost"),
        ("ip", "203.0.113.9:443"),
        ("ip", " 203.0.113.9"),
        ("ip", "203.0.113.0/24"),
        ("ip", "[2001:db8::1]"),
        ("ip", "0203.0.113.9"),
    ],
)
def test_value_that_does_not_fit_is_refused_with_its_field(name: str, written: object) -> None:
    with pytest.raises(EventInvalid) as caught:
        event_of({**LEAST, name: written})
    assert caught.value.field == name


def test_missing_null_and_unknown_fields_are_null() -> None:
    read = read_flat(
        json.dumps({**LEAST, **dict.fromkeys(set(FIELDS) - set(LEAST)), "v": 1, "weather": {"rain": True}})
    )
    assert read == event_of(LEAST)


def test_empty_text_is_null_for_that_is_how_tables_write_it() -> None:
    texts = dict.fromkeys(set(FIELDS) - set(LEAST), "")
    assert event_of({**LEAST, **texts}) == event_of(LEAST)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:DB8:0:1::7", "2001:db8:0:1::/64"),
        ("fe80::7%eth0", "fe80::/64"),
    ],
)
def test_address_is_known_by_one_name_however_it_is_written(written: str, key: str) -> None:
    assert keys_of(event_of({**LEAST, "ip": written}).ip or "")[0] == key


@pytest.mark.parametrize("line", ["", "[]", "7", "null", "{", '{"id":"e","ts":NaN}', b"\xff\xfe", '{"id":"\\ud800"}'])
def test_line_that_is_no_object_is_refused_as_a_whole(line: str | bytes) -> None:
    with pytest.raises(EventInvalid) as caught:
        read_flat(line)
    assert caught.value.field == "event"


def test_line_is_bounded_before_it_is_parsed() -> None:
    line = json.dumps({**LEAST, "weather": "x" * MAX_LINE})
    with pytest.raises(EventInvalid, match="event"):
        read_flat(line)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(), values, max_size=12))
def test_whatever_object_comes_it_is_an_event_or_refused_with_a_field(value: dict[str, Any]) -> None:
    try:
        event = event_of({**LEAST, **value})
    except EventInvalid as error:
        refused: str | None = error.field
    else:
        refused = None
        assert event_of(flat(event)) == event
    assert refused is None or refused in FIELDS
