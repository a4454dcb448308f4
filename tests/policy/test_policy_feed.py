"""The follower's state machine against a model writer: whatever is dropped, doubled or shuffled, it ends up right."""

import dataclasses

import pytest
from haetae_policy.changes import Delete, Put
from haetae_policy.digest import BUCKET_MS, MODULUS, ExpiryDigest
from haetae_policy.entries import BeatEntry, PutEntry
from haetae_policy.errors import FeedCorrupt
from haetae_policy.facts import Facts
from haetae_policy.feed import FeedFollower, FeedState
from haetae_policy.model import Subject
from haetae_policy.table import PolicyTable
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.policy.feed_writer import API, EPOCH, Step, Writer, agrees, block, finish, follow, perform, snapshot, steps
from tests.policy.policy_strategies import T0, pid


@settings(max_examples=300)
@given(history=st.lists(steps, max_size=40), data=st.data())
def test_follower_agrees_after_loss_doubling_and_reordering_once_it_got_the_snapshots_it_asked_for(
    history: list[Step], data: st.DataObject
) -> None:
    writer, table = Writer(), PolicyTable()
    follower = FeedFollower(table)
    sent = 0
    for step in history:
        perform(writer, step)
        fresh = writer.log[sent:]
        sent = len(writer.log)
        match data.draw(st.sampled_from(("all", "all", "none", "twice", "again", "reversed"))):
            case "none":
                fresh = []
            case "twice":
                fresh = fresh * 2
            case "again":
                fresh = writer.log[-6:]
            case "reversed":
                fresh = writer.log[-3:][::-1]
        for entry in fresh:
            follower.feed(entry)
        if follower.wants_snapshot and data.draw(st.booleans()):
            snapshot(follower, writer)
            assert follower.state is FeedState.FOLLOWING
    writer.beat()
    for entry in writer.log[-1:]:
        follower.feed(entry)
    if follower.wants_snapshot:
        snapshot(follower, writer)
    assert follower.state is FeedState.FOLLOWING
    assert agrees(table, writer)


@settings(max_examples=200)
@given(before=st.lists(steps, max_size=15), during=st.lists(steps, max_size=15), data=st.data())
def test_snapshot_scanned_while_the_log_goes_on_ends_in_agreement(
    before: list[Step], during: list[Step], data: st.DataObject
) -> None:
    """A scan returns everything that was there throughout; what came or went meanwhile it may show, twice, or not."""
    writer, table = Writer(), PolicyTable()
    for step in before:
        perform(writer, step)
    follower = FeedFollower(table)
    start = writer.head()
    mark = len(writer.log)
    follower.begin(start)
    stable = {number: raw for number, (_, raw) in writer.live.items()}
    versions = [stable]
    for step in during:
        perform(writer, step)
        versions.append({number: raw for number, (_, raw) in writer.live.items()})
    for number in sorted(set().union(*versions)):
        seen = [version[number] for version in versions if number in version]
        throughout = len(seen) == len(versions)
        for _ in range(data.draw(st.integers(1 if throughout else 0, 2))):
            follower.load([data.draw(st.sampled_from(seen))])
    follower.settle(writer.head())
    for entry in writer.log[mark:]:
        follower.feed(entry)
        finish(follower)
    writer.beat()
    follower.feed(writer.log[-1])
    finish(follower)
    assert follower.state is FeedState.FOLLOWING, follower.reason
    assert agrees(table, writer)


def test_block_after_a_gap_is_enforced_at_once_and_a_snapshot_is_wanted() -> None:
    writer = Writer()
    writer.put(block(1))
    writer.put(block(2, subject=Subject(user="v")))
    table, follower = follow(writer.log[1:])
    assert follower.wants_snapshot
    assert "expected entry 1" in follower.reason
    assert table.check(Facts(user="v"), API, T0) is not None


def test_numbers_that_go_back_mean_a_restored_store_and_a_snapshot() -> None:
    writer, restored = Writer(), Writer()
    for number in (1, 2, 3):
        writer.put(block(number, subject=Subject(user=f"u{number}")))
    table, follower = follow(writer.log)
    restored.put(block(1, subject=Subject(user="u1")))
    restored.put(block(9, subject=Subject(user="u9")))
    late = dataclasses.replace(restored.log[1], entry_id=(T0 + 5000, 0))
    follower.feed(late)
    assert follower.wants_snapshot
    snapshot(follower, restored)
    assert follower.state is FeedState.FOLLOWING
    assert follower.kept == 2
    assert all(table.check(Facts(user=user), API, T0) is not None for user in ("u1", "u2", "u3", "u9"))


@pytest.mark.parametrize("first", ["change", "heartbeat"])
def test_log_that_went_back_lifts_nothing_although_it_has_caught_up_by_the_time_of_the_snapshot(first: str) -> None:
    writer, restored = Writer(), Writer()
    for number in (1, 2, 3):
        writer.put(block(number, subject=Subject(user=f"u{number}")))
    table, follower = follow(writer.log)
    restored.put(block(1, subject=Subject(user="u1")))
    restored.tick = writer.tick
    restored.beat() if first == "heartbeat" else restored.put(block(7, subject=Subject(user="u7")))
    follower.feed(restored.log[-1])
    assert follower.wants_snapshot
    for number in (8, 9):
        restored.put(block(number, subject=Subject(user=f"u{number}")))
    assert restored.seq >= writer.seq
    snapshot(follower, restored)
    assert (follower.state, follower.kept) == (FeedState.FOLLOWING, 2)
    assert all(table.check(Facts(user=user), API, T0) is not None for user in ("u1", "u2", "u3", "u8", "u9"))


def test_another_epoch_and_a_wrong_digest_each_want_a_snapshot() -> None:
    writer = Writer()
    writer.put(block())
    writer.beat()
    other = dataclasses.replace(writer.log[1], epoch="11" * 8)
    assert follow(writer.log[:1], [other])[1].reason == "another epoch"
    beat = writer.log[1]
    assert isinstance(beat, BeatEntry)
    for wrong in (
        dataclasses.replace(beat, digest=beat.digest ^ 1),
        dataclasses.replace(beat, count=2),
        dataclasses.replace(beat, seq=2),
    ):
        assert follow(writer.log[:1], [wrong])[1].wants_snapshot
    assert follow(writer.log)[1].state is FeedState.FOLLOWING


def test_snapshot_in_an_older_version_replaces_what_another_log_left_behind() -> None:
    table, follower = follow()
    table.apply(Put(block(1, ver=9, subject=Subject(user="old")), seq=1))
    writer = Writer("22" * 8)
    writer.put(block(1, subject=Subject(user="new")))
    snapshot(follower, writer)
    assert follower.state is FeedState.FOLLOWING
    assert table.check(Facts(user="old"), API, T0) is None
    assert table.check(Facts(user="new"), API, T0) is not None


def test_log_that_lost_policies_keeps_them_until_they_expire_or_it_deletes_or_makes_them_itself() -> None:
    writer, other = Writer(), Writer("22" * 8)
    for number in (1, 2, 3):
        writer.put(block(number, subject=Subject(user=f"u{number}"), exp_ms=T0 + 90_000 + number * BUCKET_MS))
    table, follower = follow(writer.log)
    other.tick = writer.tick
    other.beat()
    follower.feed(other.log[-1])
    assert follower.wants_snapshot
    snapshot(follower, other)
    assert (follower.state, follower.kept, len(table)) == (FeedState.FOLLOWING, 3, 3)
    other.put(block(3, subject=Subject(user="u3"), exp_ms=T0 + 20 * BUCKET_MS))
    other.put(block(2, subject=Subject(user="u2")))
    other.delete(pid(2))
    other.beat()
    for entry in other.log[-4:]:
        follower.feed(entry)
    assert (follower.state, follower.kept, len(table)) == (FeedState.FOLLOWING, 1, 2)
    other.beat(T0 + 10 * BUCKET_MS)
    follower.feed(other.log[-1])
    assert (follower.state, follower.kept) == (FeedState.FOLLOWING, 0)
    table.sweep(before_ms=follower.floor_ms)
    assert agrees(table, other)


def test_policies_lost_half_way_through_a_snapshot_stay() -> None:
    writer = Writer()
    writer.put(block())
    table, follower = follow(writer.log)
    follower.begin(writer.head())  # the scan finds nothing: the store was emptied in the middle
    follower.lose("gone")
    assert follower.wants_snapshot
    for attempt in range(2):
        other = Writer(f"{attempt + 2:02}" * 8)
        follower.begin(other.head())
    other = Writer("33" * 8)
    snapshot(follower, other)
    assert (follower.state, follower.kept) == (FeedState.FOLLOWING, 1)
    assert table.check(Facts(user="u"), API, T0) is not None
    snapshot(follower, other)
    assert table.check(Facts(user="u"), API, T0) is not None, "a repair within the new log changes nothing"


def test_snapshot_that_disagrees_with_its_head_drops_nothing() -> None:
    writer = Writer()
    writer.put(block())
    table, follower = follow(writer.log)
    follower.begin(writer.head())
    follower.settle(writer.head())
    assert follower.wants_snapshot
    assert not follower.unfinished
    assert table.check(Facts(user="u"), API, T0) is not None


def test_reset_drops_what_was_kept_but_one_from_before_a_restored_backup_does_not() -> None:
    writer = Writer()
    writer.put(block())
    for reset_id, kept in (((T0, 1), 1), ((T0 + 9, 0), 0)):
        table, follower = follow(writer.log)
        other = Writer("22" * 8)
        head = dataclasses.replace(other.head((T0 + 9, 0)), reset_id=reset_id)
        follower.begin(head)
        follower.settle(head)
        finish(follower)
        assert (follower.state, follower.kept, len(table)) == (FeedState.FOLLOWING, kept, kept)


@settings(max_examples=300)
@given(history=st.lists(st.one_of(steps, st.just("lost"), st.just("rolled back")), max_size=40), data=st.data())
def test_no_policy_leaves_the_table_by_any_loss_of_the_store_only_by_deletion(
    history: list[Step], data: st.DataObject
) -> None:
    writer, table = Writer(), PolicyTable()
    follower = FeedFollower(table)
    snapshot(follower, writer)
    backup, logs, expected = dict(writer.live), 0, dict[int, int]()
    for step in history:
        sent = len(writer.log)
        if step == "lost":
            logs += 1
            tick, floor, writer = writer.tick, writer.floor, Writer(f"{logs:016x}")
            writer.tick, writer.floor, backup = tick, floor, {}
            if data.draw(st.booleans()):
                follower.lose("gone")
        elif step == "rolled back":
            # Numbers that do not grow: without a change in between, nothing tells a backup from the log itself.
            writer.live = {number: held for number, held in backup.items() if number not in writer.ended}
            logs += 1
            writer.epoch, writer.seq = f"{logs:016x}", max(0, writer.seq - 1)
        else:
            perform(writer, step)
            if isinstance(step, int) and len(writer.log) > sent:
                expected.pop(step, None)
            backup = dict(writer.live) if data.draw(st.booleans()) else backup
        for entry in writer.log[sent:]:
            follower.feed(entry)
            finish(follower)
        if isinstance(step, str) and step != "beat":
            writer.beat()
            follower.feed(writer.log[-1])
        if follower.wants_snapshot:
            snapshot(follower, writer)
        assert follower.state is FeedState.FOLLOWING, follower.reason
        expected |= {number: record.exp_ms for number, (record, _) in writer.live.items()}
        in_force = {number for number, exp_ms in expected.items() if exp_ms >= writer.floor}
        assert all(table.held(number) is not None for number in in_force)
        assert follower.kept == len(in_force - writer.live.keys())


def test_policies_stay_in_force_while_a_snapshot_replaces_them() -> None:
    writer = Writer()
    writer.put(block())
    table, follower = follow(writer.log)
    follower.begin(writer.head())
    assert table.check(Facts(user="u"), API, T0) is not None
    follower.load([writer.live[pid(1)][1]])
    assert table.check(Facts(user="u"), API, T0) is not None


def test_record_without_an_envelope_breaks_the_feed_and_keeps_the_table() -> None:
    writer = Writer()
    writer.put(block())
    table, follower = follow(writer.log)
    with pytest.raises(FeedCorrupt):
        follower.feed(PutEntry((T0, 99), EPOCH, 2, T0, b"{}"))
    assert follower.wants_snapshot
    assert table.check(Facts(user="u"), API, T0) is not None


def test_local_sweep_does_not_disturb_the_digest() -> None:
    writer = Writer()
    writer.put(block(1))
    writer.put(block(2, subject=Subject(user="v"), exp_ms=T0 + 10 * BUCKET_MS))
    table, follower = follow(writer.log)
    table.sweep(before_ms=T0 + 100_000)
    assert len(table) == 1
    writer.beat(T0 + 3 * BUCKET_MS)
    follower.feed(writer.log[-1])
    assert follower.state is FeedState.FOLLOWING


def test_entries_before_a_snapshot_and_records_outside_one_are_not_taken() -> None:
    writer = Writer()
    writer.put(block())
    table = PolicyTable()
    follower = FeedFollower(table)
    assert follower.feed(writer.log[0]) is None
    with pytest.raises(FeedCorrupt):
        follower.load([writer.live[pid(1)][1]])
    assert len(table) == 0


@given(
    policies=st.lists(st.tuples(st.integers(0, 600_000), st.integers(0, MODULUS - 1)), max_size=20),
    floors=st.lists(st.integers(0, 12), max_size=4),
    order=st.randoms(use_true_random=False),
)
def test_digest_needs_no_order_and_ignores_what_is_before_the_floor(
    policies: list[tuple[int, int]], floors: list[int], order: object
) -> None:
    one, two = ExpiryDigest(floor_ms=0), ExpiryDigest(floor_ms=0)
    for exp_ms, digest in policies:
        one.add(exp_ms, digest)
    for floor in sorted(floors):
        one.advance(floor * BUCKET_MS)
    highest = max(floors, default=0) * BUCKET_MS
    two.advance(highest)
    for exp_ms, digest in reversed(policies):
        two.add(exp_ms, digest)
    assert (one.count, one.total) == (two.count, two.total)
    for exp_ms, digest in policies:
        one.remove(exp_ms, digest)
    assert (one.count, one.total) == (0, 0)


def test_deleting_twice_announces_once() -> None:
    writer = Writer()
    writer.put(block())
    writer.delete(pid(1))
    _, follower = follow(writer.log[:1])
    assert follower.feed(writer.log[1]) == Delete(pid(1), ver=1, seq=2)
    assert follower.feed(writer.log[1]) is None
