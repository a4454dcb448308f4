"""One behaviour event per finished request, for fraud detection. Pure: an exchange and its answer in, an array out.

The array is `haetae_fds.event`'s, written at once rather than through an `Event`: it is made for every request. What
a person might not want in a log does not leave the gateway in the clear: object ids, user agents and header orders are
keyed hashes; credentials are known only as the fingerprints that the service which saw them reports
(`auth_report.py`). Queries, bodies, tokens and raw paths have no field.

Unverified identities are marked: `dev_v` and `user_v` are true only for what was proven on this very request. Not done
here: sending (`io/events.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from haetae_fds.event import MAX_INTEGER, SCHEMA_VERSION

from haetae_edge.auth_report import NOTHING
from haetae_edge.fingerprint import Fingerprints
from haetae_edge.networks import NetworkTable

if TYPE_CHECKING:
    from haetae_edge.exchange import Exchange, Facts, Response
    from haetae_edge.route import Route
    from haetae_edge.services import DeviceRecord

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_MEMORY: Final = 16_384
_MAX_TEMPLATES: Final = 256
_MAX_OTHERS: Final = 64
_REFUSED: Final = 400
_MAX_PATHS: Final = 2048
_MAX_SEGMENTS: Final = 12
#: A path segment that names a kind of thing rather than one thing: words, and versions such as `v2`.
_WORD: Final = re.compile(r"(?:[a-z]+(?:[-_][a-z]+)*|v[0-9]{1,2})", re.IGNORECASE)
_MAX_WORD: Final = 24
_VERSION_TEXT: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,31}")
_BY_POLICY: Final = {"blocked": "block", "challenge": "challenge", "throttled": "throttle"}
_RATE_LIMITED: Final = frozenset({"throttled", "rate-limited"})
_LIKE_CHALLENGED: Final = frozenset({401, 403})


class EventMaker:
    """Makes the events of one worker. `prints` makes the hashes; their key is shared, so that they compare."""

    def __init__(
        self,
        *,
        gateway: str,
        prints: Fingerprints,
        random_bytes: Callable[[int], bytes],
        networks: NetworkTable | None = None,
    ) -> None:
        self._gateway = gateway
        self._prints = prints
        self._networks = networks
        self._tail = "".join(_ALPHABET[byte & 31] for byte in random_bytes(8))
        self._count = int.from_bytes(random_bytes(3), "big")
        self._stamp = (0, "")
        self._places: dict[str, _Place] = {}
        self._templates: dict[str, _Templates] = {}

    def make(self, exchange: Exchange, response: Response, *, seconds: float, sent: int, now_ms: int) -> list[object]:
        """The event's array. `seconds` is how long the request took, `sent` the bytes of the answer's body."""
        request, caller, facts, route = exchange.request, exchange.caller, exchange.facts, exchange.route
        client = request.client.text
        place = self._places.get(client) or self._place(client)
        answered = response.status < _REFUSED
        api, thing = self._api(exchange, route, answered=answered) if route is not None else (None, None)
        problem = response.problem.code if response.problem is not None else None
        report = facts.report or NOTHING
        record = caller.device_record
        values = request.values
        version = values.get(b"x-app-version")
        prints = self._prints
        return [
            SCHEMA_VERSION,
            self._next_id(now_ms),
            now_ms,
            self._gateway,
            exchange.trace.trace_id if exchange.trace is not None else None,
            route.id if route is not None else None,
            api,
            prints.hashed(thing.encode("utf-8", "surrogatepass")) if thing is not None else None,
            _number(thing),
            response.status,
            round(seconds * 1000, 2),
            request.content_length or 0,
            sent,
            facts.items,
            client,
            place.net,
            place.net64,
            place.asn,
            place.country,
            place.kind,
            None,  # ja4: TLS ends in front of us
            prints.agent(request),
            prints.order(request.fields),
            _version(version[0]) if version else None,
            _attested(record) if record is not None else None,
            caller.device or facts.claimed_device,
            caller.device is not None,
            record.age(now_ms / 1000) if record is not None else None,
            caller.user or caller.owner,
            caller.user is not None or (caller.owner is not None and caller.device is not None),
            caller.session,
            caller.service,
            report.account,
            report.outcome,
            report.credential,
            report.secret,
            facts.signature,
            facts.body,
            facts.nonce,
            _policy_word(facts, problem, response.status),
            facts.policy or (facts.observed[0] if facts.observed else None),
            problem in _RATE_LIMITED,
        ]

    def _next_id(self, now_ms: int) -> str:
        """A ULID: 48 bits of time, 40 random ones of this worker, a counter: ids sort as they were made."""
        if self._stamp[0] != now_ms:
            digits, rest = [], now_ms
            for _ in range(5):
                digits.append(_PAIRS[rest & 1023])
                rest >>= 10
            self._stamp = (now_ms, "".join(reversed(digits)))
        self._count = count = (self._count + 1) & 0xFFFFFFFFFF
        return (
            self._stamp[1]
            + self._tail
            + _PAIRS[count >> 30]
            + _PAIRS[count >> 20 & 1023]
            + _PAIRS[count >> 10 & 1023]
            + _PAIRS[count & 1023]
        )

    def _place(self, text: str) -> _Place:
        place = _Place.of(text, self._networks)
        if len(self._places) >= _MEMORY:
            self._places.clear()
        self._places[text] = place
        return place

    def _api(self, exchange: Exchange, route: Route, *, answered: bool) -> tuple[str, str | None]:
        templates = self._templates.get(route.id)
        if templates is None:
            templates = self._templates[route.id] = _Templates(route.id)
        template, thing = templates.read(exchange.request.path, answered=answered)
        return f"{exchange.request.method} {template}", thing


class _Templates:
    """The templates of one route: its paths with everything that names one thing replaced by `{}`.

    Bounded, so that no caller can invent names without end: when there are enough, another shape is known by the
    route's id alone. Shapes that were answered have room of their own, so that invented ones cannot hide them.
    """

    __slots__ = ("_answered", "_fallback", "_others", "_paths")

    def __init__(self, route_id: str) -> None:
        self._fallback = f"<{route_id}>"
        self._answered: dict[str, str] = {}
        self._others: dict[str, str] = {}
        self._paths: dict[str, tuple[str, str | None]] = {}

    def read(self, path: str, *, answered: bool) -> tuple[str, str | None]:
        """The template of a path, and the last of its things. Remembers paths that come often."""
        found = self._paths.get(path)
        if found is None:
            found = self._template(path, answered=answered)
            if len(self._paths) >= _MAX_PATHS:
                self._paths.clear()
            if found[0] is not self._fallback:
                self._paths[path] = found
        return found

    def _template(self, path: str, *, answered: bool) -> tuple[str, str | None]:
        thing: str | None = None
        parts = path.split("/", _MAX_SEGMENTS)
        for index, part in enumerate(parts):
            if part and (len(part) > _MAX_WORD or _WORD.fullmatch(part) is None):
                parts[index] = "{}"
                thing = part
        return self._admitted("/".join(parts), answered=answered), thing

    def _admitted(self, text: str, *, answered: bool) -> str:
        known = self._answered.get(text)
        if known is not None:
            return known
        if answered and len(self._answered) < _MAX_TEMPLATES:
            self._others.pop(text, None)
            self._answered[text] = text
            return text
        if text not in self._others and len(self._others) >= _MAX_OTHERS:
            return self._fallback
        return self._others.setdefault(text, text)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an address is."""

    net: str
    net64: str | None
    asn: int | None
    country: str | None
    kind: str | None

    @classmethod
    def of(cls, text: str, networks: NetworkTable | None) -> _Place:
        address = ip_address(text)
        found = networks.find(address) if networks is not None else None
        asn, country, kind = (None, None, None) if found is None else (found.asn, found.country, found.kind)
        if kind is None and address.is_private:
            kind = "internal"
        if address.version == 4:
            return cls(str(ip_network(f"{text}/24", strict=False)), None, asn, country, kind)
        net, net64 = (str(ip_network(f"{text}/{bits}", strict=False)) for bits in (48, 64))
        return cls(net, net64, asn, country, kind)


def _number(thing: str | None) -> int | None:
    """The object's integer, where its id is one: steps between such ids tell a sweep."""
    if thing is None or len(thing) > 16 or not (thing.isascii() and thing.isdigit()):
        return None
    value = int(thing)
    return value if value <= MAX_INTEGER else None


def _version(value: bytes) -> str | None:
    text = value.decode("ascii", "replace")
    return text if _VERSION_TEXT.fullmatch(text) else None


def _attested(record: DeviceRecord) -> str | None:
    word = record.device.get("attestation")
    return word if isinstance(word, str) and len(word) <= _MAX_WORD else None


def _policy_word(facts: Facts, problem: str | None, status: int) -> str:
    if facts.policy is not None and problem in _BY_POLICY:
        return _BY_POLICY[problem]
    if facts.policy_action == "challenge" and problem is None and status not in _LIKE_CHALLENGED:
        return "challenge"  # passed
    return "observe" if facts.observed else "allow"
