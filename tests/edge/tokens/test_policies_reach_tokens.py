"""A policy on a user or an OAuth client reaches what is remembered of their tokens, and blocks the client itself."""

from collections.abc import Callable
from typing import Any, cast

from haetae_edge.filters.block import Block
from haetae_edge.filters.verify_jwt import VerifyJwt
from haetae_edge.io.introspection import forget_tokens_on_policy
from haetae_edge.io.policies import EdgePolicies
from haetae_edge.services import Services
from haetae_policy import Action, Api, Record, Subject

from tests.edge.tokens.gate import NOW, gate
from tests.simulator.policies import MemoryPolicies


class Feed:
    """The part of the policy feed that tells who a policy is about."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[Subject], None]] = []

    def on_subject(self, listener: Callable[[Subject], None]) -> None:
        self.listeners.append(listener)


class Remembering:
    """Stands for whatever remembers tokens."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    def forget_user(self, subject: str) -> None:
        self.forgotten.append(subject)


def test_policy_on_a_user_or_client_reaches_every_memory_of_tokens() -> None:
    feed, tokens, asked = Feed(), Remembering(), Remembering()
    services = Services(clock=lambda: 0.0, random_bytes=bytes)
    services.tokens, services.introspection = cast(Any, tokens), cast(Any, {"one": asked})
    forget_tokens_on_policy(cast(EdgePolicies, feed), services)
    [listener] = feed.listeners
    listener(Subject(user="u-1"))
    listener(Subject(client="partner-1"))
    listener(Subject(device="d-1"))
    assert tokens.forgotten == asked.forgotten == ["u-1", "partner-1"]


async def test_blocked_client_is_refused_from_the_next_call_on_and_other_clients_are_not() -> None:
    policies = MemoryPolicies()
    async with gate(Block(), VerifyJwt(), policies=policies) as g:
        partner, other = (g.issuer.token(sub=name, client_id=name) for name in ("partner-1", "partner-2"))
        assert (await g.bearer(partner)).status == 200
        subject = Subject(client="partner-1")
        policies.put(
            Record(pid=1, ver=1, exp_ms=(NOW + 60) * 1000, action=Action.BLOCK, subject=subject, api=Api(), rate=None)
        )
        answer = await g.bearer(partner)
        assert (answer.status, answer.problem()) == (403, "blocked")
        assert (await g.bearer(other)).status == 200
