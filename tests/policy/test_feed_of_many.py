"""Entries of the log that hold many policies: they say and do what as many entries of one would."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import pytest
from haetae_policy.changes import ArrivedTogether
from haetae_policy.digest import BUCKET_MS, MODULUS
from haetae_policy.entries import MAX_TOGETHER, DeleteEntry, Entry, Head, ManyEntry, PutEntry, decode_entry
from haetae_policy.errors import FeedCorrupt
from haetae_policy.facts import ApiFacts, Facts
from haetae_policy.feed import FeedFollower, FeedState
from haetae_policy.model import Action, Api, Subject
from haetae_policy.network import address_key
from haetae_policy.record import Record, encode_record, record_digest
from haetae_policy.table import PolicyTable
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.policy_strategies import T0, pid, records

EPOCH = "00" * 8
FLOOR = T0 - T0 % BUCKET_MS
NEWER = b'{"v":2,"pid":"pol_%b","ver":1,"exp":%d,"act":"teleport"}'


def fields(encoded: Sequence[bytes], **other: bytes) -> dict[bytes, bytes]:
    made = {"e": EPOCH.encode(), "s": b"1", "o": b"m", "t": b"5", "n": b"%d" % len(encoded), "r": b"\n".join(encoded)}
    return {name.encode(): value for name, value in (made | other).items()}


def block(number: int, *, ver: int = 1, exp_ms: int = T0 + 90_000) -> bytes:
    subject = Subject(user=f"u{number}")
    return encode_record(
        Record(pid=pid(number), ver=ver, exp_ms=exp_ms, action=Action.BLOCK, subject=subject, api=Api())
    )


def follower(table: PolicyTable) -> FeedFollower:
    following = FeedFollower(table)
    head = Head(EPOCH, 0, (T0, 0), FLOOR, 0, 0)
    following.begin(head)
    following.settle(head)
    assert following.state is FeedState.FOLLOWING
    return following


def held(table: PolicyTable, numbers: Iterator[int] | range) -> list[tuple[int, int] | None]:
    found = [table.held(number) for number in numbers]
    return [None if one is None else (one.ver, one.digest) for one in found]


@given(st.lists(records().map(encode_record), min_size=1, max_size=MAX_TOGETHER))
def test_entry_of_many_survives_its_encoding(encoded: list[bytes]) -> None:
    entry = decode_entry(b"7-1", fields(encoded))
    assert isinstance(entry, ManyEntry)
    assert entry.records == tuple(encoded)
    assert (entry.seq, entry.entry_id, entry.at_ms) == (1, (7, 1), 5)


@given(
    changed=st.dictionaries(
        st.sampled_from((b"e", b"s", b"o", b"t", b"r", b"n")),
        st.sampled_from((b"m", b"0", b"1", b"2", b"129", b"\n", b"\n\n", b"{}")) | st.binary(max_size=20),
        max_size=3,
    ),
    missing=st.sampled_from((b"e", b"s", b"o", b"t", b"r", b"n", b"")),
)
def test_altered_or_truncated_entry_of_many_is_read_or_refused(changed: dict[bytes, bytes], missing: bytes) -> None:
    raw = fields([block(1), block(2)]) | changed
    raw.pop(missing, None)
    table = PolicyTable()
    following = follower(table)
    with contextlib.suppress(FeedCorrupt):
        entry = decode_entry(b"9999999999999-1", raw)
        following.feed(entry)
        assert following.state is FeedState.BROKEN or following.seq <= MAX_TOGETHER
    assert len(table) <= 2


@pytest.mark.parametrize(
    "raw",
    [
        fields([block(1), block(2)], n=b"1"),
        fields([block(1), block(2)], n=b"3"),
        fields([], n=b"0"),
        fields([b""], n=b"0"),
        fields([b"x"] * (MAX_TOGETHER + 1)),
        fields([b"x" * 5000] * MAX_TOGETHER),
    ],
    ids=["says fewer", "says more", "none", "none but text", "too many", "too long"],
)
def test_entry_of_many_that_does_not_hold_what_it_says_is_refused(raw: dict[bytes, bytes]) -> None:
    with pytest.raises(FeedCorrupt):
        decode_entry(b"7-1", raw)


steps = st.lists(st.lists(records(), min_size=1, max_size=9) | st.integers(1, 12).map(pid), min_size=1, max_size=8)


def entries_of(steps: Sequence[list[Record] | int], *, together: bool) -> list[Entry]:
    """The same history as entries of many, or of one each. Identifiers are used once, as by the store."""
    made: list[Entry] = []
    seq, used = 0, set[int]()
    for number, step in enumerate(steps):
        if isinstance(step, int):
            seq += 1
            made.append(DeleteEntry((T0, 100 * number), EPOCH, seq, T0, step, 1))
            continue
        new = {record.pid: dataclasses.replace(record, ver=1) for record in step if record.pid not in used}
        used |= new.keys()
        encoded = tuple(encode_record(record) for record in new.values())
        if together and encoded:
            made.append(ManyEntry((T0, 100 * number), EPOCH, seq + 1, T0, encoded))
        elif not together:
            made += [
                PutEntry((T0, 100 * number + place), EPOCH, seq + 1 + place, T0, one)
                for place, one in enumerate(encoded)
            ]
        seq += len(encoded)
    return [dataclasses.replace(entry, entry_id=(T0, 1 + entry.entry_id[1])) for entry in made]


@given(steps)
def test_entries_of_many_leave_a_table_as_entries_of_one_do(steps: list[list[Record] | int]) -> None:
    tables = []
    for together in (True, False):
        table = PolicyTable()
        following = follower(table)
        for entry in entries_of(steps, together=together):
            following.feed(entry)
        tables.append((table, following))
    (one, first), (other, second) = tables
    assert held(one, map(pid, range(1, 13))) == held(other, map(pid, range(1, 13)))
    assert (first.state, first.seq, len(one)) == (second.state, second.seq, len(other))
    for facts in (
        Facts(user="a"),
        Facts(device="a"),
        Facts(user="b", device="c", ip=address_key("203.0.113.7")),
        Facts(),
    ):
        for route in ("a", "b"):
            api = ApiFacts("app", route, "GET", "/")
            seen: list[tuple[object, list[object]]] = []
            for table in (one, other):
                observed: list[object] = []
                verdict = table.check(facts, api, T0, observed=observed)  # type: ignore[arg-type]
                seen.append((verdict, sorted(map(str, observed))))  # type: ignore[arg-type]
            assert seen[0] == seen[1]


def test_digest_agrees_after_entries_of_many_in_which_some_are_unknown_or_came_before() -> None:
    table = PolicyTable()
    following = follower(table)
    unknown = NEWER % (b"0" * 25 + b"Z", T0 + 90_000)
    first = [block(1), block(2), unknown, block(3, exp_ms=T0 + 300_000)]
    following.feed(ManyEntry((T0, 1), EPOCH, 1, T0, tuple(first)))
    assert (len(table), following.unreadable) == (3, 1)
    news = following.feed(ManyEntry((T0, 2), EPOCH, 5, T0, (block(1, ver=2), block(4))))
    assert isinstance(news, ArrivedTogether)
    assert set(news.encoded) == {block(1, ver=2), block(4)}
    assert {subject.user for subject in news.subjects()} == {"u1", "u4"}
    assert news.seq == 6
    raws = [block(1, ver=2), block(2), unknown, block(3, exp_ms=T0 + 300_000), block(4)]
    head = Head(EPOCH, 6, (T0, 2), FLOOR, len(raws), sum(map(record_digest, raws)) % MODULUS)
    following.begin(head)
    following.load(raws)
    following.settle(head)
    assert following.state is FeedState.FOLLOWING, following.reason


def test_policies_of_one_entry_have_the_numbers_of_their_places() -> None:
    table = PolicyTable()
    following = follower(table)
    following.feed(ManyEntry((T0, 1), EPOCH, 1, T0, (block(1), block(2), block(3))))
    verdicts = [table.check(Facts(user=f"u{number}"), ApiFacts("a", "r", "GET", "/"), T0) for number in (1, 2, 3)]
    assert [verdict.seq for verdict in verdicts if verdict is not None] == [1, 2, 3]


def test_entry_of_many_seen_twice_changes_nothing() -> None:
    table = PolicyTable()
    following = follower(table)
    entry = ManyEntry((T0, 1), EPOCH, 1, T0, (block(1), block(2)))
    assert following.feed(entry) is not None
    assert following.feed(entry) is None
    assert (following.state, following.seq, len(table)) == (FeedState.FOLLOWING, 2, 2)


@pytest.mark.parametrize("start", [1, 2, 4], ids=["repeated", "overlapping", "skipping"])
def test_entry_of_many_with_numbers_that_do_not_follow_asks_for_a_snapshot_and_is_enforced(start: int) -> None:
    table = PolicyTable()
    following = follower(table)
    following.feed(ManyEntry((T0, 1), EPOCH, 1, T0, (block(1), block(2))))
    following.feed(ManyEntry((T0, 2), EPOCH, start, T0, (block(3), block(4))))
    assert following.wants_snapshot
    assert len(table) == 4


def test_entry_that_cannot_be_read_asks_for_a_snapshot_and_lifts_nothing() -> None:
    table = PolicyTable()
    following = follower(table)
    following.feed(ManyEntry((T0, 1), EPOCH, 1, T0, (block(1),)))
    following.reject("not readable")
    assert following.wants_snapshot
    assert len(table) == 1


def test_record_without_an_envelope_among_many_asks_for_a_snapshot_and_the_others_are_enforced() -> None:
    table = PolicyTable()
    following = follower(table)
    with pytest.raises(FeedCorrupt):
        following.feed(ManyEntry((T0, 1), EPOCH, 1, T0, (block(1), b"{}", block(2))))
    assert following.wants_snapshot
    assert table.held(pid(1)) is not None


def test_slots_that_were_freed_are_used_again_by_many() -> None:
    table = PolicyTable()
    following = follower(table)
    following.feed(ManyEntry((T0, 1), EPOCH, 1, T0, tuple(map(block, range(1, 11)))))
    for number in range(1, 11):
        following.feed(DeleteEntry((T0, 1 + number), EPOCH, 10 + number, T0, pid(number), 1))
    assert len(table) == 0
    following.feed(ManyEntry((T0, 20), EPOCH, 21, T0, tuple(map(block, range(11, 31)))))
    assert len(table) == 20
    for number in range(11, 31):
        verdict = table.check(Facts(user=f"u{number}"), ApiFacts("a", "r", "GET", "/"), T0)
        assert verdict is not None
        assert verdict.pid == pid(number)
    assert table.check(Facts(user="u1"), ApiFacts("a", "r", "GET", "/"), T0) is None
