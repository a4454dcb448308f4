"""Support references: every refusal gets one, and for refusals by policy what it stands for is kept for a week."""

from __future__ import annotations

import os
import time

from haetae_policy.identifiers import parse_policy_id
from haetae_policy.io.refusals import Refusal
from haetae_policy.reference import ReferenceMaker

from haetae_edge.exchange import Exchange
from haetae_edge.io.policies import EdgePolicies


class References:
    """Makes references with a key shared by all edges and support, and records refusals by policy."""

    def __init__(self, maker: ReferenceMaker, policies: EdgePolicies | None) -> None:
        self._maker = maker
        self._policies = policies

    def make(self, exchange: Exchange | None) -> str:
        """A new reference for this refusal."""
        now_ms = int(time.time() * 1000)
        policy = exchange.facts.policy if exchange is not None else None
        pid = parse_policy_id(policy) if policy is not None else 0
        reference = self._maker.make(pid=pid, now_ms=now_ms, randomness=os.urandom(8))
        if exchange is not None and policy is not None and self._policies is not None:
            self._policies.note_refusal(reference, _refusal(exchange, policy, now_ms))
        return reference


def _refusal(exchange: Exchange, policy: str, now_ms: int) -> Refusal:
    request, caller = exchange.request, exchange.caller
    facts = {
        "ip": request.client.text,
        "method": request.method,
        "path": request.path,
        "route": exchange.route.id if exchange.route is not None else "",
        "user": caller.user or "",
        "device": caller.device or "",
        "trace": exchange.trace.trace_id if exchange.trace is not None else "",
    }
    return Refusal(
        policy_id=policy,
        action=exchange.facts.policy_action or "",
        why=exchange.facts.policy_why or "",
        at_ms=now_ms,
        facts={name: value for name, value in facts.items() if value},
    )
