"""A finished request is gone at once: nothing of it waits for the garbage collector, which would stop everybody."""

import gc
import os
import time
from collections import Counter

import pytest
from haetae_edge.exchange import Exchange
from haetae_edge.filters.block import Block
from haetae_edge.filters.cors import Cors
from haetae_edge.filters.trace import Trace
from haetae_edge.services import Services
from haetae_policy import Action, Api, Record, Subject, parse_network

from tests.simulator.policies import MemoryPolicies
from tests.simulator.world import World, world

REQUEST = b"GET /next HTTP/1.1\r\nHost: api.test\r\n\r\n"
PREFLIGHT = (
    b"OPTIONS /next HTTP/1.1\r\nHost: api.test\r\n"
    b"Origin: https://app.test\r\nAccess-Control-Request-Method: GET\r\n\r\n"
)
TIMES = 20


async def exchanges_left_behind(edge: World, request: bytes, status: int) -> int:
    """How many exchanges only the collector could free after so many requests."""
    assert (await edge.client.ask(request)).status == status
    gc.collect()
    gc.disable()
    try:
        for _ in range(TIMES):
            assert (await edge.client.ask(request)).status == status
        await edge.gateway.finished.until(TIMES + 1)
        edge.gateway.finished.all.clear()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return Counter(type(item) for item in gc.garbage)[Exchange]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize(
    ("request_bytes", "blocked", "status"), [(REQUEST, False, 200), (REQUEST, True, 403), (PREFLIGHT, False, 204)]
)
async def test_finished_request_leaves_nothing_that_only_the_collector_can_free(
    request_bytes: bytes, blocked: bool, status: int
) -> None:
    policies = MemoryPolicies()
    if blocked:
        end = int(time.time() * 1000) + 60_000
        subject = Subject(ip=parse_network("127.0.0.0/8"))
        policies.put(Record(pid=1, ver=1, exp_ms=end, action=Action.BLOCK, subject=subject, api=Api()))
    services = Services(clock=time.time, random_bytes=os.urandom, policies=policies)
    filters = (Trace(), Cors(allowed_origins=("https://app.test",), allowed_methods=("GET",)), Block())
    async with world(filters=filters, services=services) as edge:
        assert await exchanges_left_behind(edge, request_bytes, status) == 0
