"""The last minutes of requests, and whom a policy would have hit among them.

Bounded in number and age; kept in columns of plain tuples, so that a quarter of an hour of a busy gateway fits. A
preview is a prediction: identities that were not verified never match, as at the gateway, and a path condition is
tested against the route's template and a client by its fingerprint, because events carry no
more (`approximate` says so).

Does not read streams; `io.events` feeds it.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple, Protocol

from haetae_fds.event import Event
from haetae_policy.conditions import ApiCondition
from haetae_policy.errors import AddressInvalid
from haetae_policy.facts import ApiFacts
from haetae_policy.model import KINDS, Api, Policy, Subject
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
    pw_fp: str | None
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

    def preview_many(self, policies: Sequence[Policy], *, now_ms: int) -> list[Preview]:
        """Whom each of `policies` would have hit."""

    def of_subject(self, subject: Subject, *, now_ms: int, limit: int) -> list[dict[str, Any]]:
        """The newest requests of a subject."""

    def of_trace(self, trace: str, *, now_ms: int, limit: int) -> list[dict[str, Any]]:
        """The newest requests of a trace."""


class TrafficRing:
    """The newest `most` requests of the last `span_ms` milliseconds."""

    def __init__(self, *, most: int, span_ms: int) -> None:
        self._seen: deque[Seen] = deque()
        self._most = most
        self._span_ms = span_ms
        self._occurring = _Occurring()

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, events: Iterable[Event]) -> None:
        """Keep requests; log-in reports without a status are none."""
        for event in events:
            if event.status is not None:
                seen = _seen(event)
                self._seen.append(seen)
                self._occurring.count(seen, 1)
                if len(self._seen) > self._most:
                    self._occurring.count(self._seen.popleft(), -1)

    def preview(self, policy: Policy, *, now_ms: int) -> Preview:
        """Whom `policy` would have hit in the time kept. `now_ms` is Unix milliseconds."""
        return self.preview_many([policy], now_ms=now_ms)[0]

    def preview_many(self, policies: Sequence[Policy], *, now_ms: int) -> list[Preview]:
        """Whom each policy would have hit, by itself. Looks at each request once, however many policies there are, and
        not closely at any while no policy names anybody who occurs.
        """
        tallies: dict[int, _Tally] = {}
        occur = self._occurring.has
        candidates = _Candidates(policies, [number for number, one in enumerate(policies) if occur(one.subject)])
        times = [seen.ts for seen in self._fresh(now_ms)]
        total, oldest = len(times), min(times, default=now_ms)
        for seen in self._fresh(now_ms) if candidates else ():
            for number in candidates.of(seen):
                if number not in tallies:
                    tallies[number] = _Tally(policies[number])
                tallies[number].look_at(seen)
        span_s = max(1, (now_ms - oldest) // 1000)
        unhit: dict[bool, Preview] = {}  # the same for thousands of policies
        previews = []
        for number, policy in enumerate(policies):
            approximate = _is_approximate(policy)
            if number in tallies:
                previews.append(tallies[number].preview(total=total, span_s=span_s))
                continue
            if approximate not in unhit:
                unhit[approximate] = _Tally(policy).preview(total=total, span_s=span_s)
            previews.append(unhit[approximate])
        return previews

    def of_subject(self, subject: Subject, *, now_ms: int, limit: int) -> list[dict[str, Any]]:
        """The newest `limit` requests of a subject, newest first."""
        matches = _matcher(subject, Api())
        found = deque((seen for seen in self._fresh(now_ms) if matches(seen)), maxlen=limit)
        return [_shown(seen) for seen in reversed(found)]

    def of_trace(self, trace: str, *, now_ms: int, limit: int) -> list[dict[str, Any]]:
        """The newest `limit` requests of a trace, newest first."""
        found = deque((seen for seen in self._fresh(now_ms) if seen.trace == trace), maxlen=limit)
        return [_shown(seen) for seen in reversed(found)]

    def _fresh(self, now_ms: int) -> Iterator[Seen]:
        oldest = now_ms - self._span_ms
        return (seen for seen in self._seen if seen.ts >= oldest)


class _Occurring:
    """Who occurs among the requests kept, so that policies for others need not be compared with any of them."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str | int, int]] = {kind: {} for kind in (*KINDS, "ip")}

    def count(self, seen: Seen, step: int) -> None:
        """Count a request in (1) or out (-1)."""
        for kind, counts in self._counts.items():
            value = getattr(seen, kind)
            if value is not None:
                count = counts.get(value, 0) + step
                if count:
                    counts[value] = count
                else:
                    del counts[value]

    def has(self, subject: Subject) -> bool:
        """Whether a request of such a subject may be among those kept."""
        named = subject.named()
        if not all(value in self._counts[kind] for kind, value in named.items()):
            return False
        return subject.ip is None or subject.ip.shift > 0 or subject.ip.key in self._counts["ip"]


class _Candidates:
    """Policies by the most selective of their conditions, so that a request is compared with few of many."""

    def __init__(self, policies: Sequence[Policy], numbers: Sequence[int]) -> None:
        self._named: dict[str, dict[str, list[int]]] = {}
        self._networks: dict[int, dict[int, list[int]]] = {}
        self._others: list[int] = []
        self._any = bool(numbers)
        for number in numbers:
            named, network = policies[number].subject.named(), policies[number].subject.ip
            if named:
                kind, value = next(iter(named.items()))
                self._named.setdefault(kind, {}).setdefault(value, []).append(number)
            elif network is not None:
                self._networks.setdefault(network.shift, {}).setdefault(network.key, []).append(number)
            else:
                self._others.append(number)

    def __bool__(self) -> bool:
        return self._any

    def of(self, seen: Seen) -> Iterator[int]:
        """The numbers of the policies that may mean this request."""
        yield from self._others
        for kind, values in self._named.items():
            yield from values.get(getattr(seen, kind), ())
        if seen.ip is not None:
            for shift, networks in self._networks.items():
                yield from networks.get(seen.ip >> shift, ())


class _Tally:
    """What one policy would have hit."""

    def __init__(self, policy: Policy) -> None:
        self._matches = _matcher(policy.subject, policy.api)
        self._approximate = _is_approximate(policy)
        self._hits = 0
        self._users: set[str] = set()
        self._devices: set[str] = set()
        self._addresses: set[str] = set()
        self._sample: deque[Seen] = deque(maxlen=SAMPLE)

    def look_at(self, seen: Seen) -> None:
        """Count the request if the policy means it."""
        if not self._matches(seen):
            return
        self._hits += 1
        self._sample.append(seen)
        for found, value in ((self._users, seen.user), (self._devices, seen.device), (self._addresses, seen.ip_text)):
            if value:
                found.add(value)

    def preview(self, *, total: int, span_s: int) -> Preview:
        """The outcome, of `total` requests in `span_s` seconds."""
        return Preview(
            known=total > 0,
            requests=self._hits,
            of_requests=total,
            share=self._hits / total if total else 0.0,
            users=len(self._users),
            devices=len(self._devices),
            addresses=len(self._addresses),
            per_minute=self._hits * 60 / max(60, span_s),
            span_s=span_s if total else 0,
            approximate=self._approximate,
            sample=tuple(_shown(seen) for seen in reversed(self._sample)),
        )


def _is_approximate(policy: Policy) -> bool:
    return policy.api.path is not None or policy.subject.client is not None


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
        *(event.sess, event.acct, event.pw_fp, _client(event), event.pol.value if event.pol else "", event.trace or ""),
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
