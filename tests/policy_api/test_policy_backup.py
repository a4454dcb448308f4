"""Backup and restore: what comes back equals what was there, to the last field and the digest."""

from typing import Any

import pytest
from haetae_policy.errors import PolicyConflict, PolicyInvalid
from haetae_policy.io.backup import Restored, export_lines, import_lines
from haetae_policy.io.ledger import Ledger, PutPolicy
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.parse import parse_policy
from redis.asyncio import Redis

from tests.policy.policy_strategies import document

NOW = 1_777_629_600_000
EPOCH = b"12345678"
OLD, NEW = StoreSettings(prefix="old:", deadline_s=5.0), StoreSettings(prefix="new:", deadline_s=5.0)


async def exported(client: Redis, settings: StoreSettings) -> list[bytes]:
    return [line async for line in export_lines(PolicyStore(client, settings), now_ms=NOW)]


async def filled(client: Redis, count: int = 250) -> list[bytes]:
    ledger = Ledger(client, OLD)
    for number in range(1, count + 1):
        made = parse_policy(document(number, subject={"user": f"u{number}"}, evidence={"n": [number, "é"]}))
        await ledger.commit([PutPolicy(policy=made, expected=0)], now_ms=NOW, epoch_randomness=EPOCH)
    store = PolicyStore(client, OLD)
    held = (await store.list(limit=1)).policies[0]
    await store.extend(held.id, version=1, expires_ms=held.expires_ms + 60_000, now_ms=NOW, epoch_randomness=EPOCH)
    return await exported(client, OLD)


async def restore(client: Redis, lines: list[bytes]) -> Restored:
    return await import_lines(Ledger(client, NEW), lines, by="kim", now_ms=NOW, epoch_randomness=EPOCH)


async def test_restored_store_equals_the_one_that_was_backed_up(client: Redis) -> None:
    lines = await filled(client)
    assert await restore(client, lines) == Restored(stored=250, already=0, expired=0)
    assert await exported(client, NEW) == lines
    old, new = await PolicyStore(client, OLD).head(), await PolicyStore(client, NEW).head()
    assert old is not None
    assert new is not None
    assert (old.count, old.digest) == (new.count, new.digest)
    assert await restore(client, lines) == Restored(stored=0, already=250, expired=0)


async def test_policy_that_differs_from_the_backup_is_not_overwritten(client: Redis) -> None:
    lines = await filled(client, 3)
    await restore(client, lines)
    held = (await PolicyStore(client, NEW).list(limit=1)).policies[0]
    await PolicyStore(client, NEW).extend(
        held.id, version=held.version, expires_ms=held.expires_ms + 1000, now_ms=NOW, epoch_randomness=EPOCH
    )
    with pytest.raises(PolicyConflict):
        await restore(client, lines)


@pytest.mark.parametrize("line", [b"{", b"[]", b"\xff", b'{"id": 1}', b'"' + b"x" * 70_000 + b'"'])
async def test_line_that_is_no_policy_stops_the_restore_before_anything_is_stored(client: Redis, line: Any) -> None:
    good = await filled(client, 1)
    with pytest.raises(PolicyInvalid, match="line 2"):
        await restore(client, [*good, line])
    assert await PolicyStore(client, NEW).head() is None
