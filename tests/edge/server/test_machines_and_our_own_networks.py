"""A worker's own guard: what a machine decided about others refuses nobody in our own networks."""

import os
import time
from dataclasses import replace

from haetae_edge.config.gateway import RedisSettings
from haetae_edge.io.policies import EdgePolicies
from haetae_policy import ApiFacts, Facts, Source, SourceKind, Subject
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.network import address_key

from tests.simulator.stored_policies import block_of
from tests.simulator.valkey import valkey

HERE, OUTSIDE = address_key("10.7.0.1"), address_key("203.0.113.9")
API = ApiFacts(gateway="app", route="r", method="GET", path="/a")


async def refused(subject: Subject, source: SourceKind, *callers: Facts) -> list[bool]:
    """Which of the callers a worker refuses, with one block in the store."""
    now_ms = int(time.time()) * 1000
    made = replace(block_of(subject, now_ms=now_ms), source=Source(source, "stuffing_from_address"))
    async with valkey() as server:
        client = server.client()
        await PolicyStore(client, StoreSettings()).add_many([made], now_ms=now_ms, epoch_randomness=os.urandom(8))
        await client.aclose()
        async with EdgePolicies(RedisSettings(uri=f"unix://{server.socket}"), worker="w") as worker:
            await worker.wait_loaded()
            return [worker.check(facts, API, now_ms) is not None for facts in callers]


async def test_client_that_a_machine_blocked_is_served_where_health_checks_and_neighbours_have_it_too() -> None:
    callers = (Facts(ip=HERE, client="c"), Facts(ip=OUTSIDE, client="c"))
    strangers = Subject(client="c", untrusted=True)
    assert await refused(strangers, SourceKind.FDS, *callers) == [False, True]
    assert await refused(strangers, SourceKind.ANALYST, *callers) == [True, True]


async def test_user_whom_a_machine_blocked_is_not_let_in_by_sitting_inside() -> None:
    assert await refused(Subject(user="u1"), SourceKind.FDS, Facts(ip=HERE, user="u1")) == [True]
