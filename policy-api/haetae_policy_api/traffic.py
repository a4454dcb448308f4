"""The last minutes of requests, and whom a policy would have hit among them.

Bounded in number and age; kept in columns of plain tuples, so that a quarter of an hour of a busy gateway fits. A
preview is a prediction: identities that were not verified never match, as at the gateway, and a path condition is
tested against the route's template and a client by its fingerprint, because events carry no
more (`approximate` says so).

Does not read streams; `io.events` feeds it.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple, Protocol

from haetae_fds.event import Event
from haetae_policy.conditions import ApiCondition
from haetae_policy.errors import AddressInvalid
from haetae_policy.facts import ApiFacts
from haetae_policy.model import Api, Policy, Subject
from haetae_policy.network import address_key

SAMPLE: Final = 20


class Seen(NamedTuple):
    """One request, as much of it as policies can name."""

    ts: int
    gateway: str
    route: str
    method: str
    path: str
    status: int
    ip: int | None
    ip_text: str
    device: str | None
    user: str | None
    session: str | None
    account: str | None
    client: str | None
    outcome: str
    trace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Whom a policy would have hit. `share` is of all requests kept; `known` is False while there are none."""

    known: bool
    requests: int
    of_requests: int
    share: float
    users: int
    devices: int
    addresses: int
    per_minute: float
    span_s: int
    approximate: bool
    sample: tuple[dict[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self) | {"sample": list(self.sample)}


class RecentTraffic(Protocol):
    """What previews and timelines ask."""

    def preview(self, policy: Policy, *, now_ms: int) -> Preview:
        """Whom `policy` would have hit."""

    def of_subject(self, subject: Subject, *, now_ms: int, limit: int) -> list[dict[str, Any]]:
        """The newest requests of a subject."""


class TrafficRing:
    """The newest `most` requests of the last `span_ms` milliseconds."""

    def __init__(self, *, most: int, span_ms: int) -> None:
        self._seen: deque[Seen] = deque(maxlen=most)
        self._span_ms = span_ms

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, events: Iterable[Event]) -> None:
        """Keep requests; log-in reports without a status are none."""
        self._seen.extend(_seen(event) for event in events if event.status is not None)

    def preview(self, policy: Policy, *, now_ms: int) -> Preview:
        """Whom `policy` would have hit in the time kept. `now_ms` is Unix milliseconds."""
        matches = _matcher(policy.subject, policy.api)
        total, hits, oldest = 0, 0, now_ms
        users: set[str] = set()
        devices: set[str] = set()
        addresses: set[str] = set()
        sample: deque[Seen] = deque(maxlen=SAMPLE)
        for seen in self._fresh(now_ms):
            total, oldest = total + 1, min(oldest, seen.ts)
            if not matches(seen):
                continue
            hits += 1
            sample.append(seen)
            for found, value in ((users, seen.user), (devices, seen.device), (addresses, seen.ip_text)):
                if value:
                    found.add(value)
        span_s = max(1, (now_ms - oldest) // 1000)
        return Preview(
            known=total > 0,
            requests=hits,
            of_requests=total,
            share=hits / total if total else 0.0,
            users=len(users),
            devices=len(devices),
            addresses=len(addresses),
            per_minute=hits * 60 / max(60, span_s),
            span_s=span_s if total else 0,
            approximate=policy.api.path is not None or policy.subject.client is not None,
            sample=tuple(_shown(seen) for seen in reversed(sample)),
        )

    def of_subject(self, subject: Subject, *, now_ms: int, limit: int) -> list[dict[str, Any]]:
        """The newest `limit` requests of a subject, newest first."""
        matches = _matcher(subject, Api())
        found = deque((seen for seen in self._fresh(now_ms) if matches(seen)), maxlen=limit)
        return [_shown(seen) for seen in reversed(found)]

    def _fresh(self, now_ms: int) -> Iterator[Seen]:
        oldest = now_ms - self._span_ms
        return (seen for seen in self._seen if seen.ts >= oldest)


class _Matcher(Protocol):
    def __call__(self, seen: Seen, /) -> bool: ...


def _matcher(subject: Subject, api: Api) -> _Matcher:
    condition = ApiCondition(api)
    named = tuple(subject.named().items())

    def matches(seen: Seen) -> bool:
        if any(getattr(seen, kind) != value for kind, value in named):
            return False
        if subject.ip is not None and (seen.ip is None or seen.ip not in subject.ip):
            return False
        if subject.untrusted and (seen.user is not None or seen.device is not None):
            return False
        return condition.matches(ApiFacts(seen.gateway, seen.route, seen.method, seen.path))

    return matches


def _seen(event: Event) -> Seen:
    method, _, template = (event.api or "").partition(" ")
    try:
        ip = address_key(event.ip) if event.ip else None
    except AddressInvalid:
        ip = None
    return Seen(
        *(event.ts, event.gw, event.route or "", method, template, event.status or 0, ip, event.ip or ""),
        event.dev if event.dev_v else None,
        event.user if event.user_v else None,
        *(event.sess, event.acct, _client(event), event.pol.value if event.pol else "", event.trace or ""),
    )


def _client(event: Event) -> str:
    """The fingerprint as the gateways compare it; whoever showed an OAuth client's token is not told by events."""
    return "|".join((event.ja4 or "", event.ua or "", event.hdr or ""))


def _shown(seen: Seen) -> dict[str, Any]:
    return {
        "at_ms": seen.ts,
        "gateway": seen.gateway,
        "route": seen.route,
        "method": seen.method,
        "path": seen.path,
        "status": seen.status,
        "ip": seen.ip_text,
        "device": seen.device,
        "user": seen.user,
        "outcome": seen.outcome,
        "trace": seen.trace,
    }
