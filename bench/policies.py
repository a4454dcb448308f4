"""Block policies in the store, so that the measured routes look callers up among many.

Three in five name a user, one in five a device, one in five an address; none of them is one of the measured
callers, as in ordinary traffic, except `BLOCKED_USER`, by whom it is checked that policies are enforced.
"""

import asyncio
import os
import time

from haetae_policy import (
    Action,
    Api,
    Policy,
    Source,
    SourceKind,
    Subject,
    make_policy_id,
    parse_network,
)
from haetae_policy.audit import AuditNote
from haetae_policy.io.connect import RedisSettings, connect
from haetae_policy.io.ledger import Ledger, NewPolicy
from haetae_policy.io.store import StoreSettings

__all__ = ["BLOCKED_USER", "fill_store", "make_policy"]

BLOCKED_USER = "u-blocked-0"
LIFETIME_MS = 6 * 3600 * 1000
TOGETHER = 500


def subject(number: int) -> Subject:
    """Whom policy `number` blocks."""
    kind = number % 5
    if kind < 3:
        return Subject(user=f"u-blocked-{number}")
    if kind == 3:
        return Subject(device=f"dev_blocked{number}")
    return Subject(ip=parse_network(f"11.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/32"))


def make_policy(number: int, *, now_ms: int) -> Policy:
    """Policy `number`, in force from `now_ms` (Unix milliseconds) for six hours, on every route."""
    return Policy(
        id=make_policy_id(now_ms=now_ms, randomness=os.urandom(10)),
        subject=subject(number),
        api=Api(),
        action=Action.BLOCK,
        reason="credential stuffing",
        source=Source(SourceKind.ANALYST, "bench"),
        created_ms=now_ms,
        changed_ms=now_ms,
        expires_ms=(now_ms + LIFETIME_MS) // 1000 * 1000,
    )


def fill_store(url: str, count: int) -> None:
    """Issue `count` policies, as batches of the policy service are stored."""
    asyncio.run(_fill(url, count))


async def _fill(url: str, count: int) -> None:
    now_ms = int(time.time()) * 1000
    client = connect(RedisSettings(url=url, connect_s=5.0, reply_s=5.0, pool_wait_s=5.0))
    try:
        ledger = Ledger(client, StoreSettings(deadline_s=5.0))
        for start in range(0, count, TOGETHER):
            policies = [make_policy(number, now_ms=now_ms) for number in range(start, min(start + TOGETHER, count))]
            await ledger.add_all(
                [NewPolicy(policy=policy, document=policy.to_json()) for policy in policies],
                AuditNote(actor="bench", action="create", target=f"bench-{start}"),
                now_ms=now_ms,
                epoch_randomness=os.urandom(8),
            )
    finally:
        await client.aclose()
