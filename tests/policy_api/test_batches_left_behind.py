"""Batches that a killed process left, finished by a service with stricter rules than the one that took them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from haetae_policy.audit import AuditNote
from haetae_policy.io.ledger import Operation, Side, SideWrite
from haetae_policy.model import SourceKind
from haetae_policy.network import parse_network
from haetae_policy.parse import parse_policy
from haetae_policy.protected import Protected
from haetae_policy_api.io.keeper import Keeper
from haetae_policy_api.service.context import Context
from haetae_policy_api.settings import Settings
from haetae_policy_api.traffic import TrafficRing
from redis.asyncio import Redis

from tests.policy.policy_strategies import document
from tests.policy_api.test_policy_endpoints import make_context

NOW_MS = 1_777_629_600_000
LISTED = Protected(networks=(parse_network("203.0.113.0/28"),))


def policy(number: int, **changes: Any) -> dict[str, Any]:
    """A policy of the fraud detection, as it was accepted then."""
    made = parse_policy(document(number, **changes))
    return replace(made, source=replace(made.source, kind=SourceKind.FDS, name="r1")).to_dict()


async def leave(context: Context, name: str, policies: Sequence[dict[str, Any]]) -> None:
    """Write down what a process that dies then leaves."""
    record = orjson.dumps({"by": "r1", "at_ms": NOW_MS, "policies": policies})
    operations: list[Operation] = [
        SideWrite(side=Side.BATCHES, name=name, value=record),
        AuditNote(actor="r1", action="batch", target=name, details={"count": len(policies)}),
    ]
    await context.ledger.commit(operations, now_ms=NOW_MS, epoch_randomness=b"12345678")


@pytest.mark.parametrize("barred_first", [True, False])
async def test_policy_that_is_protected_by_now_keeps_neither_the_others_nor_the_service(
    client: Redis, barred_first: bool
) -> None:
    ring = TrafficRing(most=10, span_ms=900_000)
    context = make_context(client, ring, Settings(prefix="t:", protected=LISTED))
    barred = policy(1, subject={"ip": "203.0.113.0/24"})
    await leave(context, "bat_a", [barred, policy(2)] if barred_first else [policy(2), barred])
    await leave(context, "bat_b", [policy(3)])
    await Keeper(context, clock=lambda: NOW_MS / 1000).turn()
    page = await context.store.list()
    assert {made.id for made in page.policies} == {policy(2)["id"], policy(3)["id"]}
    assert await context.ledger.side_count(Side.BATCHES) == 0
    told = [entry.to_dict() for entry in await context.ledger.audit_page()]
    done = {entry["target"]: entry["details"] for entry in told if entry["action"] == "batch.done"}
    assert done == {"bat_a": {"skipped": 1}, "bat_b": {"skipped": 0}}
