"""The ledger on a real server: changes and their audit entries happen together, and the trail shows tampering."""

import random
from typing import Any

import pytest
from haetae_policy.audit import EMPTY, AuditEntry, AuditHead, AuditNote, chain, parse_anchor, verify_chain
from haetae_policy.errors import AuditBroken
from haetae_policy.io.keys import Keys
from haetae_policy.io.ledger import EndPolicy, Ledger, Once, PutPolicy, Side, SideWrite
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.model import Policy
from haetae_policy.parse import parse_policy
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from tests.policy.policy_strategies import document

NOW = 1_777_629_600_000
EPOCH = b"12345678"
SETTINGS = StoreSettings(prefix="t:", per_subject=3)
NOTE = AuditNote(actor="ada", action="create", target="x")


def policy(number: int = 1, **changes: Any) -> Policy:
    return parse_policy(document(number, **changes))


async def trail(ledger: Ledger) -> list[AuditEntry]:
    head = await ledger.audit_head()
    return [entry async for entry in ledger.audit_entries(up_to=head.seq)]


async def test_policy_log_audit_and_answer_are_written_together(client: Redis) -> None:
    ledger, store = Ledger(client, SETTINGS), PolicyStore(client, SETTINGS)
    made = policy()
    once = Once(digest="k", answer=b"first", life_s=60)
    done = await ledger.commit(
        [PutPolicy(policy=made, expected=0), NOTE], now_ms=NOW, epoch_randomness=EPOCH, once=once
    )
    assert done.seqs == (1, 0)
    assert await store.get(made.id) == made
    assert (await ledger.audit_head()).seq == 1
    again = await ledger.commit([NOTE], now_ms=NOW, epoch_randomness=EPOCH, once=once)
    assert again.answer == b"first"
    assert (await ledger.audit_head()).seq == 1


async def test_one_refused_operation_leaves_nothing_of_the_others(client: Redis) -> None:
    ledger, store = Ledger(client, SETTINGS), PolicyStore(client, SETTINGS)
    await ledger.commit([PutPolicy(policy=policy(1), expected=0), NOTE], now_ms=NOW, epoch_randomness=EPOCH)
    before = await client.dump(Keys("t:").head)
    refused = await ledger.commit(
        [
            PutPolicy(policy=policy(2), expected=0),
            PutPolicy(policy=policy(1, reason="another"), expected=0),
            SideWrite(side=Side.PENDING, name="p", value=b"x"),
            NOTE,
        ],
        now_ms=NOW,
        epoch_randomness=EPOCH,
    )
    assert refused.refused == ("ok", "conflict 1", "ok", "ok")
    assert (await store.list()).policies == (policy(1),)
    assert await client.dump(Keys("t:").head) == before
    assert await ledger.side(Side.PENDING, "p") is None
    assert (await ledger.audit_head()).seq == 1


async def test_subject_may_not_be_filled_beyond_its_limit_within_one_commit(client: Redis) -> None:
    ledger = Ledger(client, SETTINGS)
    puts = [PutPolicy(policy=policy(n, subject={"user": "u"}), expected=0) for n in range(1, 6)]
    outcome = await ledger.commit(puts, now_ms=NOW, epoch_randomness=EPOCH)
    assert outcome.refused == ("ok", "ok", "ok", "full", "full")


async def test_two_writers_share_one_unbroken_trail(client: Redis) -> None:
    one, two = Ledger(client, SETTINGS), Ledger(client, SETTINGS)
    for _ in range(3):
        for ledger in (one, two):
            assert (await ledger.commit([NOTE], now_ms=NOW, epoch_randomness=EPOCH)).seqs == (0,)
    assert verify_chain(await trail(one), head=await two.audit_head()) == 6


async def test_ended_policy_is_gone_and_its_side_record_with_it(client: Redis) -> None:
    ledger, store = Ledger(client, SETTINGS), PolicyStore(client, SETTINGS)
    made = policy()
    watch = SideWrite(side=Side.WATCHED, name=made.id, value=b"w")
    await ledger.commit([PutPolicy(policy=made, expected=0), watch], now_ms=NOW, epoch_randomness=EPOCH)
    await ledger.commit([EndPolicy(policy=made, by="ada"), NOTE], now_ms=NOW, epoch_randomness=EPOCH)
    assert (await store.ended(made.id)).by == "ada"
    assert await ledger.side(Side.WATCHED, made.id) is None
    assert (await ledger.commit([EndPolicy(policy=made, by="ada")], now_ms=NOW, epoch_randomness=EPOCH)).refused


async def test_deleted_entry_in_the_store_is_found(client: Redis) -> None:
    ledger = Ledger(client, SETTINGS)
    for _ in range(4):
        await ledger.commit([NOTE], now_ms=NOW, epoch_randomness=EPOCH)
    await client.xdel(Keys("t:").audit, "2-0")
    with pytest.raises(AuditBroken, match="entry 2 is missing"):
        verify_chain(await trail(ledger), head=await ledger.audit_head())


def made_trail(count: int) -> tuple[list[AuditEntry], AuditHead]:
    head, entries = EMPTY, []
    for number in range(count):
        entry = chain(head, AuditNote(actor="a", action="b", target=str(number)), now_ms=NOW)
        entries.append(entry)
        head = AuditHead(entry.seq, entry.hash)
    return entries, head


@given(st.integers(2, 12), st.randoms(use_true_random=False), st.sampled_from(["remove", "edit", "swap", "cut"]))
def test_every_kind_of_tampering_breaks_the_trail(count: int, chance: random.Random, how: str) -> None:
    entries, head = made_trail(count)
    assert verify_chain(entries, head=head, anchor=head) == count
    at = chance.randrange(count - 1)
    if how == "remove":
        del entries[at]
    elif how == "edit":
        entries[at] = AuditEntry(entries[at].seq, entries[at].body.replace(b'"a"', b'"x"'), entries[at].hash)
    elif how == "swap":
        entries[at], entries[at + 1] = entries[at + 1], entries[at]
    else:
        entries = entries[:-1]
    with pytest.raises(AuditBroken):
        verify_chain(entries, head=head)


def test_trail_and_head_cut_together_are_found_by_the_anchor_only() -> None:
    entries, head = made_trail(5)
    short, cut = entries[:3], AuditHead(3, entries[2].hash)
    assert verify_chain(short, head=cut) == 3
    with pytest.raises(AuditBroken, match="before the anchored entry"):
        verify_chain(short, head=cut, anchor=parse_anchor(str(head)))


def test_trail_written_anew_is_found_by_the_anchor() -> None:
    _, head = made_trail(5)
    entries, forged = [], EMPTY
    for _ in range(5):
        entries.append(chain(forged, AuditNote(actor="mallory", action="b", target="c"), now_ms=NOW))
        forged = AuditHead(entries[-1].seq, entries[-1].hash)
    with pytest.raises(AuditBroken, match="another one than was anchored"):
        verify_chain(entries, head=forged, anchor=head)
