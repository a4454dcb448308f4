"""What a decision does to the policies: names that are the same whenever it is made again, and documents.

A worker that restarts makes decisions again that it has made before. Their effect must not happen twice, so everything
that names an effect derives from the decision itself: the policy's identifier from what it is about and when it was
first decided, never from chance or the clock.

Not here: the store (`io/effects.py`), how decisions are reached (the engine).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final

import orjson
from haetae_policy import make_policy_id
from haetae_policy.identifiers import RANDOM_BYTES
from haetae_policy.model import format_time

from haetae_fds.decision import Action, Api, Decision, Mode, Op

MAX_REASON: Final = 480
MAX_EVIDENCE: Final = 8000
_SAMPLE: Final = 20
_SAMPLE_KEPT: Final = 3
_PROPOSED: Final = {"block": Action.BLOCK, "challenge": Action.CHALLENGE}
_REPLACED: Final = re.compile(r"\{[^}/]*\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A policy that a decision made, and what it takes to make it again. `decided_ms`: of the newest word about it.
    `document` is JSON, with fewer sample events.
    """

    policy_id: str
    expires_ms: int
    detector: str
    decided_ms: int
    document: bytes


@dataclass(slots=True)
class Live:
    """The policies that decisions have made and that have not ended, by what they are about and whether they act: one
    that is only written down takes nothing away from one that acts.

    Part of a checkpoint: it must agree with the engine about what stands.
    """

    held: dict[str, Standing] = field(default_factory=dict)

    def forget(self, pid: str) -> None:
        """Drop what stands about this."""
        self.held.pop(pid, None)
        self.held.pop(_noted(pid), None)

    def forget_ended(self, now_ms: int) -> None:
        """Drop what has ended."""
        self.held = {pid: one for pid, one in self.held.items() if one.expires_ms > now_ms}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One thing to do. `kind` is `put`, `ask` (a person), `extend` or `revoke`; `document` is a new
    policy's, without what the service sets; `replaces` is the policy that a new one stands in for.
    """

    kind: str
    policy_id: str
    expires_ms: int
    document: dict[str, Any] | None = None
    replaces: str | None = None


def effect_of(decision: Decision, live: Live) -> Effect | None:
    """What to do about a decision, and note it in `live`; None for what concerns people only.

    Alerts and ended decisions change no policy. What needs a person's approval is asked for as what it proposes.
    """
    proposed = _PROPOSED.get(decision.proposal or "")
    if decision.approval and proposed and decision.op is Op.PUT and decision.mode is not Mode.OFF:
        return _asked(replace(decision, action=proposed))
    if decision.action is Action.ALERT or decision.approval or decision.mode is Mode.OFF:
        return None
    key = decision.pid if decision.mode is Mode.ENFORCE else _noted(decision.pid)
    held = live.held.get(key)
    if decision.op is Op.DEL:
        live.held.pop(key, None)
        return None if held is None else Effect(kind="revoke", policy_id=held.policy_id, expires_ms=decision.ts)
    expires_ms = -(-decision.exp // 1000) * 1000
    stands = held is not None and held.expires_ms > decision.ts
    if decision.op is Op.EXTEND and held is not None and stands:
        expires_ms = max(held.expires_ms, expires_ms)
        live.held[key] = replace(held, expires_ms=expires_ms, decided_ms=decision.ts)
        return Effect(kind="extend", policy_id=held.policy_id, expires_ms=expires_ms)
    if expires_ms <= decision.ts:
        return None
    name = policy_name(decision)
    live.held[key] = Standing(
        policy_id=name,
        expires_ms=expires_ms,
        detector=decision.detector,
        decided_ms=decision.ts,
        document=orjson.dumps(policy_document(replace(decision, events=decision.events[:_SAMPLE_KEPT]), expires_ms)),
    )
    return Effect(
        kind="put",
        policy_id=name,
        expires_ms=expires_ms,
        document=policy_document(decision, expires_ms),
        # A challenge that became a block: the new policy first, then the old one goes.
        replaces=held.policy_id if held is not None and stands and held.policy_id != name else None,
    )


def _noted(pid: str) -> str:
    return f"{pid} shadow"


def _asked(asked: Decision) -> Effect | None:
    expires_ms = -(-asked.exp // 1000) * 1000
    if expires_ms <= asked.ts or not asked.subject.to_dict():
        return None
    document = policy_document(asked, expires_ms)
    return Effect(kind="ask", policy_id=policy_name(asked), expires_ms=expires_ms, document=document)


def policy_name(decision: Decision) -> str:
    """The identifier of the policy this decision makes: always the same for the same decision."""
    about = f"{decision.pid}:{decision.ts}:{decision.ver}:{decision.mode}"
    return make_policy_id(now_ms=decision.ts, randomness=blake2b(about.encode(), digest_size=RANDOM_BYTES).digest())


def policy_document(decision: Decision, expires_ms: int) -> dict[str, Any]:
    """The policy as `haetae_policy.parse_new_policy` takes it."""
    document: dict[str, Any] = {
        "subject": decision.subject.to_dict(),
        "action": decision.action.value,
        "mode": "enforce" if decision.mode is Mode.ENFORCE else "shadow",
        "reason": decision.why[:MAX_REASON] or decision.detector,
        "why": _code(decision.detector),
        "expires": format_time(expires_ms),
        "evidence": evidence(decision),
    }
    if decision.api is not None:
        document["api"] = api_document(decision.api)
    if decision.action is Action.THROTTLE:
        limit, seconds = decision.rate or (10, 60)
        document["rate"] = {"limit": limit, "per_seconds": seconds}
    return document


def api_document(api: Api) -> dict[str, str]:
    """The API as policies write it: `*` for what a template replaced, no path where it is known by its route alone."""
    found = api.to_dict()
    path = found.get("path")
    if path is not None:
        path = _REPLACED.sub("*", path)
        if path.startswith("/"):
            found["path"] = path
        else:
            del found["path"]
    return found


def evidence(decision: Decision) -> dict[str, Any]:
    """Numbers beside limits, sample events, campaign; bounded."""
    sample = list(decision.events[:_SAMPLE])
    found: dict[str, Any] = {
        "decision": decision.pid,
        "subject": decision.subject.to_dict(),
        "decided": decision.ts,
        "score": round(decision.score, 4),
        "numbers": {n.name: [round(n.value, 3), round(n.limit, 3)] for n in decision.numbers[:20]},
        "events": sample,
    }
    if decision.campaign is not None:
        found["campaign"] = decision.campaign
    while sample and len(orjson.dumps(found)) > MAX_EVIDENCE:
        sample.pop()
    return found


def _code(detector: str) -> str:
    text = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "-" for c in detector.lower())[:64]
    return text if text[:1].isalnum() else "fds"
