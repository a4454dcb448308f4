"""Policies of a newer release in the feed: counted, never in the way, and gone when they are."""

import orjson
from haetae_policy.digest import BUCKET_MS
from haetae_policy.facts import Facts
from haetae_policy.feed import FeedState
from haetae_policy.model import Subject
from haetae_policy.record import encode_record

from tests.policy.feed_writer import API, Writer, block, follow, snapshot
from tests.policy.policy_strategies import T0, pid


def test_record_of_a_newer_kind_is_counted_and_does_not_stop_the_feed() -> None:
    writer = Writer()
    writer.put(block(1))
    raw = orjson.dumps({**orjson.loads(encode_record(block(1, ver=2))), "act": "tarpit"})
    writer.put_raw(block(1, ver=2), raw)
    writer.put(block(2, subject=Subject(user="v")))
    writer.beat()
    table, follower = follow(writer.log)
    assert follower.state is FeedState.FOLLOWING
    assert follower.unreadable == 1
    assert table.check(Facts(user="v"), API, T0) is not None
    assert table.check(Facts(user="u"), API, T0) is not None, "the version it replaces stays in force"
    snapshot(follower, writer)
    assert (follower.state, follower.unreadable) == (FeedState.FOLLOWING, 1)
    assert table.check(Facts(user="u"), API, T0) is not None
    writer.put(block(1))
    writer.beat()
    for entry in writer.log[-2:]:
        follower.feed(entry)
    assert (follower.state, follower.unreadable) == (FeedState.FOLLOWING, 0)
    assert table.check(Facts(user="u"), API, T0) is not None


def test_old_version_of_an_unreadable_policy_ends_with_the_policy() -> None:
    for how in ("delete", "expire"):
        writer = Writer()
        writer.put(block(1, exp_ms=T0 + 90 * BUCKET_MS))
        raw = orjson.dumps({**orjson.loads(encode_record(block(1, ver=2))), "act": "tarpit"})
        writer.put_raw(block(1, ver=2), raw)
        table, follower = follow(writer.log)
        assert len(table) == 1
        if how == "delete":
            writer.delete(pid(1))
        writer.beat(T0 + 5 * BUCKET_MS if how == "expire" else None)
        for entry in writer.log[2:]:
            follower.feed(entry)
        assert (follower.state, follower.unreadable, len(table)) == (FeedState.FOLLOWING, 0, 0)


def test_unreadable_policy_leaves_with_its_deletion_or_its_expiry() -> None:
    for how in ("delete", "expire"):
        writer = Writer()
        raw = orjson.dumps({**orjson.loads(encode_record(block(1))), "new": 1})
        writer.put_raw(block(1), raw)
        if how == "delete":
            writer.delete(pid(1))
        writer.beat(T0 + 5 * BUCKET_MS if how == "expire" else None)
        _, follower = follow(writer.log)
        assert (follower.state, follower.unreadable) == (FeedState.FOLLOWING, 0)
