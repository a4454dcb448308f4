"""A policy asked for in a batch gets the verdict, and becomes the policy, that it would have got by itself."""

import asyncio
import json
import time
from typing import Any

import httpx
from haetae_policy.io.connect import connect
from haetae_policy.network import parse_network
from haetae_policy.protected import Protected
from haetae_policy_api.io.app import make_app
from haetae_policy_api.io.feed import Feed
from haetae_policy_api.service.context import Context
from haetae_policy_api.settings import Settings
from haetae_policy_api.traffic import TrafficRing
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from tests.policy.conftest import Server
from tests.policy_api.test_policy_endpoints import ByName, events, make_context

LISTED = Protected(
    networks=(parse_network("203.0.113.0/28"), parse_network("2001:db8:1::/48")), subjects=frozenset({("user", "vip")})
)
SETTINGS = Settings(prefix="t:", share_least=100, protected=LISTED)
NAMES = st.sampled_from(["u-1", "busy", "vip", "", " u", "u\n", "é", "x" * 256, "x" * 257, "\ud800", 5, None, True])
NETWORKS = st.sampled_from(
    [
        *("198.51.100.9", "198.51.100.0/24", "203.0.113.0/24", "203.0.113.1", "10.0.0.0/8", "0.0.0.0/0"),
        *(
            "2001:db8:1:2::/64",
            "2001:db8::/16",
            "::/0",
            "::ffff:203.0.113.1",
            "::ffff:203.0.113.0/120",
            "198.51.100.9/24",
        ),
        *("11.0.0.0/8", "198.51.100.9/24", "198.51.100.09", "198.51.100.9/032", "198.51.100.9%1", "x", "", 5, None),
    ]
)
SUBJECTS = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "user": NAMES,
        "device": NAMES,
        "client": NAMES,
        "ip": NETWORKS,
        "untrusted": st.sampled_from([True, False, None, 1]),
        "group": st.just("staff"),
    },
)
APIS = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "route": st.sampled_from(["a", "-", "", "r" * 128, "r" * 129, None]),
        "method": st.sampled_from(["GET", "get", "", None]),
        "path": st.sampled_from(["/a/**", "/" + "a" * 1023, "/" + "a" * 1024, "/../a", "a", None]),
    },
)
USUAL = {"subject": {"user": "u-1"}, "action": "block", "reason": "stuffing", "lasts_s": 600}
MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "subject": SUBJECTS,
    "api": APIS,
    "action": st.sampled_from(["observe", "allow", "throttle", "challenge", "block", "ban", 5, None]),
    "mode": st.sampled_from(["shadow", "enforce", "off", None]),
    "hard": st.sampled_from([True, False, None, 1]),
    "rate": st.sampled_from([None, {"limit": 5, "per_seconds": 10}, {"limit": 0, "per_seconds": 10}, 5]),
    "reason": st.sampled_from(["r", "", " r", "é", "\u202e", "r" * 500, "r" * 501, None]),
    "why": st.sampled_from(["r1", "R1", "", "w" * 64, "w" * 65, None]),
    "ticket": st.sampled_from(["FR-1", "", "t" * 64, "t" * 65, None]),
    "evidence": st.sampled_from([None, {}, {"a": 1}, {"a": 1 << 70}, {"a": "\ud800"}, []]),
    "expires": st.sampled_from(["2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "x", None]),
    "lasts_s": st.sampled_from([1, 0, 2_592_000, 2_592_001, True, 1.0, "60", None]),
    "approved_by": st.sampled_from(["lee", None]),
    "version": st.just(7),
    "created": st.just("2020-01-01T00:00:00Z"),
    "source": st.just({"kind": "analyst", "name": "lee"}),
}
CHANGES = st.sets(st.sampled_from(sorted(MEMBERS)), max_size=3).flatmap(
    lambda names: st.fixed_dictionaries({name: MEMBERS[name] for name in sorted(names)})
)
Outcome = tuple[int, list[dict[str, Any]]]


async def stored(http: httpx.AsyncClient, context: Context, path: str, document: Any, who: str) -> Outcome:
    """The status of one request, and the policies in force afterwards without what is unique. Takes them back."""
    body, headers = json.dumps(document).encode(), {"x-caller": who, "content-type": "application/json"}
    answer = await http.post(path, content=body, headers=headers)
    policies = [policy.to_dict() for policy in (await context.store.list()).policies]
    for policy in policies:
        await context.store.revoke(policy["id"], version=1, by="test", now_ms=int(time.time() * 1000))
        for name in ("id", "created", "changed", "expires"):
            del policy[name]
    return answer.status_code, policies


async def empty(client: Redis) -> None:
    await client.flushall()


def test_document_of_a_batch_is_judged_as_if_it_had_been_sent_alone(valkey: Server) -> None:
    ring = TrafficRing(most=1000, span_ms=900_000)
    ring.add(events(100, user="quiet", user_v=True) + events(20, user="busy", user_v=True))
    with asyncio.Runner() as runner:
        client = connect(valkey.settings)
        runner.run(empty(client))
        context = make_context(client, ring, SETTINGS)
        app = make_app(context, identify=ByName(), feed=Feed(client, prefix="t:", deadline_s=2.0))
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api")

        @settings(deadline=None, max_examples=150)
        @example({"subject": {}}, "analyst")
        @example({"subject": {"user": "busy"}}, "writer")
        @example({"hard": True}, "writer")
        @given(CHANGES, st.sampled_from(["analyst", "approver", "writer"]))
        def judged_alike(changes: dict[str, Any], who: str) -> None:
            document = {**USUAL, **changes}
            alone, kept_alone = runner.run(stored(http, context, "/v1/policies", document, who))
            several = {"policies": [document]}
            batch, kept_of_batch = runner.run(stored(http, context, "/v1/policies/batch", several, who))
            assert kept_of_batch == kept_alone
            # One that would wait for a second person refuses the batch: it has to be asked for by itself.
            assert batch == {202: 422}.get(alone, alone)
            statuses.add(alone)

        statuses: set[int] = set()
        try:
            judged_alike()
        finally:
            runner.run(http.aclose())
            runner.run(client.aclose())
    assert statuses == {201, 202, 403, 422}
