"""What the engine answers: who may not do what, until when and why, in the one JSON form that travels.

Rules kept: a subject names verified identities or addresses only; conditions are AND-ed, what is None does not
restrict; times are Unix milliseconds. Not here: how a decision is reached, and how it reaches the gateways.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final

import orjson


class Op(StrEnum):
    """`put` makes or replaces, `extend` only moves the end, `del` takes back."""

    PUT = "put"
    DEL = "del"
    EXTEND = "extend"


class Mode(StrEnum):
    """`shadow` decisions are written down and never act."""

    OFF = "off"
    SHADOW = "shadow"
    ENFORCE = "enforce"


class Action(StrEnum):
    """What happens to what matches. `alert` is for people: nothing is refused."""

    ALERT = "alert"
    THROTTLE = "throttle"
    CHALLENGE = "challenge"
    BLOCK = "block"


STRENGTH: Final = {action: rank for rank, action in enumerate(Action)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who is meant. `client` is `ja4|ua|hdr`; `untrusted` means callers without a verified, established identity.

    `account` and `pw_fp` are what a log-in tries, as in its event.
    """

    session: str | None = None
    user: str | None = None
    device: str | None = None
    account: str | None = None
    pw_fp: str | None = None
    client: str | None = None
    ip: str | None = None
    untrusted: bool = False

    def to_dict(self) -> dict[str, object]:
        """Return the JSON form; only what is set."""
        return {name: value for name in _SUBJECT if (value := getattr(self, name))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What is meant: gateway, route, method and path template."""

    gateway: str | None = None
    route: str | None = None
    method: str | None = None
    path: str | None = None

    def to_dict(self) -> dict[str, str]:
        """Return the JSON form; only what is set."""
        return {name: value for name in _API if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One measured value beside the limit it is compared with."""

    name: str
    value: float
    limit: float

    def __str__(self) -> str:
        return f"{self.name} {self.value:.4g} (limit {self.limit:.4g})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One line of the decision log.

    `pid` names subject, API and action: the same for a repeated decision. `ver` grows with every change of it.
    `events` are at most 20 ids. `rate` is (requests, seconds) of a throttle. `approval` says that a person must
    agree before it acts; `proposal` says to what, or names an operation of another service (`disable_account`).
    `campaign` is equal for decisions that belong together.
    """

    ts: int
    op: Op
    mode: Mode
    action: Action
    subject: Subject
    api: Api | None
    exp: int
    detector: str
    why: str
    events: tuple[str, ...] = ()
    pid: str = ""
    ver: int = 1
    score: float = 1.0
    numbers: tuple[Number, ...] = ()
    rate: tuple[int, int] | None = None
    approval: bool = False
    proposal: str | None = None
    campaign: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, keys in a fixed order."""
        return {
            "ts": self.ts,
            "op": self.op.value,
            "mode": self.mode.value,
            "action": self.action.value,
            "subject": self.subject.to_dict(),
            "api": None if self.api is None else self.api.to_dict(),
            "exp": self.exp,
            "detector": self.detector,
            "why": self.why,
            "events": list(self.events),
            "pid": self.pid,
            "ver": self.ver,
            "score": round(self.score, 4),
            "numbers": [{"name": n.name, "value": round(n.value, 3), "limit": round(n.limit, 3)} for n in self.numbers],
            "rate": None if self.rate is None else list(self.rate),
            "approval": self.approval,
            "proposal": self.proposal,
            "campaign": self.campaign,
        }

    def to_json(self) -> bytes:
        """Return one line of JSON without its end."""
        return orjson.dumps(self.to_dict())


def policy_id(subject: Subject, api: Api | None, action: Action, *, about: str | None = None) -> str:
    """Return the stable name of what a decision is about; `about` tells apart what names nobody."""
    named = [subject.to_dict(), None if api is None else api.to_dict(), action.value]
    text = orjson.dumps(named if about is None else [*named, about])
    return "fds_" + blake2b(text, digest_size=10).hexdigest()


def api_of(gateway: str | None, route: str | None, api: str | None) -> Api | None:
    """Split "METHOD /template" into an Api; None when an event names neither route nor API."""
    if api is None and route is None:
        return None
    method, _, path = (api or "").partition(" ")
    if not path:
        method, path = "", method
    return Api(gateway=gateway, route=route, method=method or None, path=path or None)


_SUBJECT: Final = tuple(field.name for field in fields(Subject))
_API: Final = tuple(field.name for field in fields(Api))
