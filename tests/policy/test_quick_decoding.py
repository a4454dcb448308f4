"""Reading records quickly: whatever is read quickly means exactly what careful reading says, or is left to it."""

import contextlib
import re
from typing import Any

import orjson
import pytest
from haetae_policy.compact import compact_of, decode_compact, decode_compacts
from haetae_policy.digest import BUCKET_MS, ExpiryDigest
from haetae_policy.errors import FeedCorrupt, PolicyInvalid, RecordUnreadable
from haetae_policy.identifiers import format_policy_id, parse_policy_id
from haetae_policy.record import Record, decode_record, encode_record, read_record
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.policy_strategies import T0, policy_id, records

MEMBERS: dict[str, list[Any]] = {
    "v": [1, 1.0, True, 2, "1", None],
    "pid": [policy_id(3), policy_id(3).lower(), "pol_8" + "0" * 25, 5, None],
    "ver": [1, 1.0, True, 0, (1 << 31) + 1, "1", None],
    "exp": [T0, float(T0), -1, 1 << 48, None],
    "act": ["block", "throttle", "BLOCK", "x", 4, None],
    "mode": ["shadow", "enforce", "", None],
    "hard": [True, False, 1, None],
    "fds": [True, False, "yes", None],
    "why": ["", "r1", "w" * 64, "w" * 65, "\u00e9" * 64, 3, None],
    "rate": [[5, 10], [5, 10.0], [0, 1], [True, 10], [5], [5, 10, 15], [5, 86_401], {"limit": 5}, None],
    "sub": [{}, {"user": "u"}, {"user": ""}, {"user": None}, {"ip": None}, {"ip": "203.0.113.0/24"}, [], "u", None],
    "api": [{}, {"path": "/a/**"}, {"path": "a"}, {"path": None}, {"method": "get"}, {"method": "GET"}, [], None],
}
SUBJECT: dict[str, list[Any]] = {
    "user": ["u", "\U0001f415", "u" * 256, "u" * 257, "", 5, None],
    "device": ["d", "", None],
    "session": ["s", ["s"]],
    "ip": ["203.0.113.7", "203.0.113.7/24", "2001:db8::/32", "::ffff:1.2.3.4", "x", 7, None],
    "untrusted": [True, False, "true", None],
    "x": ["unknown"],
}


def judged(encoded: bytes) -> Record | None:
    with contextlib.suppress(FeedCorrupt, RecordUnreadable):
        return read_record(encoded)
    return None


def check(encoded: bytes) -> None:
    quick, careful = decode_compact(encoded), judged(encoded)
    assert quick is None or (careful is not None and quick == compact_of(careful))
    try:
        decoded = decode_record(encoded)
    except (FeedCorrupt, RecordUnreadable):
        decoded = None
    assert decoded == careful


@given(records())
def test_every_record_that_writers_write_is_read_quickly_and_means_the_same(record: Record) -> None:
    encoded = encode_record(record)
    assert decode_compact(encoded) == compact_of(record)
    assert decode_record(encoded) == record


@given(
    record=records(),
    members=st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in MEMBERS.items()}),
    subject=st.none() | st.fixed_dictionaries({}, optional={n: st.sampled_from(v) for n, v in SUBJECT.items()}),
    dropped=st.sets(st.sampled_from(tuple(MEMBERS)), max_size=2),
)
def test_altered_record_is_read_quickly_only_as_it_is_read_carefully(
    record: Record, members: dict[str, Any], subject: dict[str, Any] | None, dropped: set[str]
) -> None:
    document = {**orjson.loads(encode_record(record)), **members}
    if subject is not None:
        document["sub"] = subject
    check(orjson.dumps({name: value for name, value in document.items() if name not in dropped}))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_quickly_only_as_they_are_read_carefully(raw: bytes) -> None:
    check(raw)


@pytest.mark.parametrize(
    "subject",
    [b'{"user":null}', b'{"user":""}', b"null", b'{"user":"\\ud800"}', b'{"user":"\xff"}', b'{"user":"a","x":1}'],
)
def test_subject_that_is_not_plain_never_turns_into_everyone(subject: bytes) -> None:
    head = b'{"v":1,"pid":"%b","ver":1,"exp":%d,"act":"block","sub":' % (policy_id(1).encode(), T0)
    assert decode_compact(head + subject + b"}") is None
    assert judged(head + subject + b"}") is None


def test_member_that_comes_twice_counts_as_it_does_in_careful_reading() -> None:
    head = b'{"v":1,"pid":"%b","ver":1,"exp":%d,"act":"block"' % (policy_id(1).encode(), T0)
    for rest in (b',"sub":{"user":"a"},"sub":{"user":"b"}}', b',"sub":{"user":"a","user":"b"}}', b',"act":"allow"}'):
        check(head + rest)


def test_record_that_is_too_long_is_left_to_careful_reading() -> None:
    encoded = encode_record(decode_record(b'{"v":1,"pid":"%b","ver":1,"exp":9,"act":"block"}' % policy_id(1).encode()))
    assert decode_compact(encoded + b" " * 4096) is None


@given(
    policies=st.lists(st.tuples(st.integers(0, 9), st.integers(0, (1 << 48) - 1), st.booleans()), max_size=30),
    floor=st.integers(0, 9),
)
def test_many_policies_counted_at_once_are_counted_like_one_by_one(
    policies: list[tuple[int, int, bool]], floor: int
) -> None:
    one, many = ExpiryDigest(floor_ms=floor * BUCKET_MS), ExpiryDigest(floor_ms=floor * BUCKET_MS)
    for minute, digest, counted in policies:
        if counted:
            one.add(minute * BUCKET_MS + 7, digest)
    left_out = [position for position, (_, _, counted) in enumerate(policies) if not counted]
    expiries = [minute * BUCKET_MS + 7 for minute, _, _ in policies]
    many.add_many(expiries, [digest for _, digest, _ in policies], but=left_out)
    assert (one.count, one.total) == (many.count, many.total)
    one.advance(5 * BUCKET_MS)
    many.advance(5 * BUCKET_MS)
    assert (one.count, one.total) == (many.count, many.total)


@given(st.lists(records().map(encode_record) | st.binary(max_size=40), min_size=1, max_size=6))
def test_many_records_read_at_once_are_read_as_each_by_itself(encoded: list[bytes]) -> None:
    each = [decode_compact(one) for one in encoded]
    assert decode_compacts(encoded) == (None if None in each else each)


RECORD = encode_record(decode_record(b'{"v":1,"pid":"%b","ver":1,"exp":9,"act":"block"}' % policy_id(1).encode()))


@pytest.mark.parametrize(
    "encoded",
    [[RECORD, b""], [b"", RECORD], [RECORD + b"\n" + RECORD, b""], [b"\n", RECORD], [RECORD, b" "], [RECORD * 2]],
)
def test_records_do_not_change_places_where_one_is_empty_or_holds_several_lines(encoded: list[bytes]) -> None:
    assert decode_compacts(encoded) is None


@given(st.text(max_size=32) | st.from_regex(r"pol_[0-9A-Z]{26}", fullmatch=True))
def test_identifier_is_read_only_in_its_one_spelling(text: str) -> None:
    canonical = re.fullmatch(r"pol_[0-7][0-9A-HJKMNP-TV-Z]{25}", text, re.ASCII) is not None
    try:
        number = parse_policy_id(text)
    except PolicyInvalid:
        assert not canonical
    else:
        assert canonical
        assert format_policy_id(number) == text


@pytest.mark.parametrize(
    "letter", ["_", " ", "+", "-", "i", "I", "L", "O", "U", "a", "\u0661", "\ud800", "!", "\n", "\x00"]
)
def test_identifier_with_a_letter_that_numbers_are_written_with_elsewhere_is_refused(letter: str) -> None:
    for place in (4, 5, 17, 29):
        text = policy_id(1)[:place] + letter + policy_id(1)[place + 1 :]
        with pytest.raises(PolicyInvalid):
            parse_policy_id(text)


@given(st.lists(records().map(encode_record), min_size=2, max_size=5), st.data())
def test_lines_whose_records_do_not_each_stand_on_their_own_are_read_one_by_one(
    encoded: list[bytes], data: st.DataObject
) -> None:
    blank = data.draw(st.sampled_from([b"", b" ", b"\t\r"]))
    torn = data.draw(st.sampled_from(["two and none", "none and two", "spread", "moved"]))
    first, second, *rest = encoded
    half = first.index(b",") + 1
    made = {
        "two and none": [first + second, blank],
        "none and two": [blank, first + b" " + second],
        "spread": [first[:half], first[half:] + second],
        "moved": [first + second[:half], second[half:]],
    }[torn]
    assert decode_compacts([*made, *rest]) is None
    assert decode_compacts(encoded) is not None
