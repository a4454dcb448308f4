"""The block-policy language: what a policy consists of, and its one canonical JSON form.

Values of these classes come from `parse`; constructing them by hand skips the rules. Conditions are AND-ed; a
condition that is None does not restrict. Times are Unix milliseconds on whole seconds.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from haetae_policy.network import Network

MAX_LIFETIME_MS: Final = 30 * 86_400_000
KINDS: Final = ("session", "device", "user", "account", "pw_fp", "client")


class Action(StrEnum):
    """What happens to a matching request; see `RANK` for which of several wins."""

    OBSERVE = "observe"
    ALLOW = "allow"
    THROTTLE = "throttle"
    CHALLENGE = "challenge"
    BLOCK = "block"


ACTIONS: Final = tuple(Action)
RANK: Final = {action: rank for rank, action in enumerate(ACTIONS)}


class Mode(StrEnum):
    """`enforce` acts; `shadow` only counts what would have happened."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


class SourceKind(StrEnum):
    """Who made the policy: a person or the fraud detection."""

    ANALYST = "analyst"
    FDS = "fds"


class Rate(NamedTuple):
    """A throttle: `limit` requests per `per_seconds`, all of which may come at once."""

    limit: int
    per_seconds: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where a policy comes from: the kind and the person's or detector's name."""

    kind: SourceKind
    name: str


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is meant. All conditions must hold; none at all means everyone.

    `account` and `pw_fp` are what a log-in tries: keyed hashes of the name and of the secret.
    """

    session: str | None = None
    device: str | None = None
    user: str | None = None
    account: str | None = None
    pw_fp: str | None = None
    client: str | None = None
    ip: Network | None = None
    untrusted: bool = False

    def named(self) -> dict[str, str]:
        """Return the exact-match conditions that are set, most selective kind first."""
        named = {}
        if self.session is not None:
            named["session"] = self.session
        if self.device is not None:
            named["device"] = self.device
        if self.user is not None:
            named["user"] = self.user
        if self.account is not None:
            named["account"] = self.account
        if self.pw_fp is not None:
            named["pw_fp"] = self.pw_fp
        if self.client is not None:
            named["client"] = self.client
        return named

    def names_anybody(self) -> bool:
        """Tell whether any exact-match condition is set."""
        return not (
            self.user is None
            and self.device is None
            and self.session is None
            and self.account is None
            and self.pw_fp is None
            and self.client is None
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; only what is set."""
        document: dict[str, Any] = self.named()
        if self.ip is not None:
            document["ip"] = str(self.ip)
        if self.untrusted:
            document["untrusted"] = True
        return document


@dataclass(frozen=True, slots=True)
class Api:
    """What is meant. All conditions must hold; none at all means every API."""

    gateway: str | None = None
    route: str | None = None
    method: str | None = None
    path: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; only what is set."""
        document = {}
        if self.gateway is not None:
            document["gateway"] = self.gateway
        if self.route is not None:
            document["route"] = self.route
        if self.method is not None:
            document["method"] = self.method
        if self.path is not None:
            document["path"] = self.path
        return document


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy, complete. `version` grows by one with each change; `changed_ms` is when that was.

    `evidence_json` is a canonical JSON object text, kept as text so that a policy cannot be altered through
    it. `why` is the short code that reaches the gateway (a detector's name, say); `reason` is for people
    and does not.
    """

    id: str
    subject: Subject
    api: Api
    action: Action
    reason: str
    source: Source
    created_ms: int
    changed_ms: int
    expires_ms: int
    version: int = 1
    mode: Mode = Mode.ENFORCE
    hard: bool = False
    rate: Rate | None = None
    why: str = "manual"
    ticket: str | None = None
    approved_by: str | None = None
    evidence_json: str = field(default="{}", repr=False)

    def evidence(self) -> dict[str, Any]:
        """Return a fresh copy of the evidence."""
        evidence: dict[str, Any] = {} if self.evidence_json == "{}" else orjson.loads(self.evidence_json)
        return evidence

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form that `parse.read_policy` takes back unchanged."""
        document: dict[str, Any] = {
            "id": self.id,
            "subject": self.subject.to_dict(),
            "api": self.api.to_dict(),
            "action": self.action.value,
            "mode": self.mode.value,
            "hard": self.hard,
            "reason": self.reason,
            "why": self.why,
            "evidence": self.evidence(),
            "source": {"kind": self.source.kind.value, "name": self.source.name},
            "created": format_time(self.created_ms),
            "changed": format_time(self.changed_ms),
            "expires": format_time(self.expires_ms),
            "version": self.version,
        }
        if self.rate is not None:
            document["rate"] = {"limit": self.rate.limit, "per_seconds": self.rate.per_seconds}
        if self.ticket is not None:
            document["ticket"] = self.ticket
        if self.approved_by is not None:
            document["approved_by"] = self.approved_by
        return document

    def to_json(self) -> bytes:
        """Return the canonical bytes: sorted keys, no spaces, UTF-8."""
        return orjson.dumps(self.to_dict(), option=orjson.OPT_SORT_KEYS)

    def extended(self, *, expires_ms: int, now_ms: int) -> "Policy":
        """Return the next version with another expiry. The rules must be checked again."""
        now_s_ms = now_ms - now_ms % 1000
        return replace(self, expires_ms=expires_ms, changed_ms=max(self.changed_ms, now_s_ms), version=self.version + 1)


@lru_cache(maxsize=1024)
def format_time(moment_ms: int) -> str:
    """Return whole-second RFC 3339 text in UTC, `2026-05-01T10:00:00Z`."""
    return datetime.fromtimestamp(moment_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
