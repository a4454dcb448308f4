"""What a detector says, and the interface all detectors keep.

Rules kept: a detector reads facts and says what it found; it never changes facts, draws random numbers or reads a
clock. A score lies in [0, 1] and 0.5 is the detector's own boundary. Not here: who is refused in the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

from haetae_fds.decision import Action, Api, Number, Subject
from haetae_fds.facts import Facts
from haetae_fds.state import MINUTE

TTL: Final = 15 * MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found. `subjects` are proposals, narrowest first; `ttl` is the base time to live in ms.

    `offender`: an address whose network is to be watched for more of the same. `systemic`: a fault of our own making,
    for people. `warm` is False while the population the limit is relative to is still being learned.
    """

    detector: str
    version: int
    action: Action
    subjects: tuple[Subject, ...]
    api: Api | None
    what: str
    numbers: tuple[Number, ...]
    events: tuple[str, ...]
    ttl: int = TTL
    score: float = 1.0
    warm: bool = True
    approval: bool = False
    proposal: str | None = None
    rate: tuple[int, int] | None = None
    campaign: str | None = None
    wide: bool = False

    def why(self) -> str:
        """Return the finding as a sentence with its numbers beside their limits."""
        numbers = ", ".join(f"{n.name} {n.value:.4g} (limit {n.limit:.4g})" for n in self.numbers)
        return f"{self.what}: {numbers}" if numbers else self.what


class Scorer(Protocol):
    """A model beside the rules. Its score in [0, 1], 0.5 the boundary, can challenge or halve limits, never block."""

    def score(self, facts: Facts) -> float:
        """Judge one event without learning from it."""


class Detector:
    """One rule. `wants` says which events it looks at (the bits of `haetae_fds.facts`)."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    wants: ClassVar[int]

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def observe(self, f: Facts) -> Finding | None:
        """Return what this event completes, or None."""
        raise NotImplementedError

    def limit(self, f: Facts, base: float) -> float:
        """Return a limit as it applies to this event."""
        return base * self.factor * f.scale


def score_of(value: float, limit: float) -> float:
    """Map a ratio to [0, 1): 0.5 where the value equals its limit."""
    if limit <= 0:
        return 1.0 if value > 0 else 0.5
    return max(0.0, value) / (max(0.0, value) + limit)


def worst(numbers: tuple[Number, ...]) -> float:
    """Return the score of the number that is furthest over its limit's weakest condition."""
    return min((score_of(n.value, n.limit) for n in numbers), default=1.0)


def number(name: str, value: float, limit: float) -> Number:
    """Put a value beside its limit."""
    return Number(name=name, value=value, limit=limit)


def at_address(f: Facts, *, account: str | None = None, client: str | None = None, shared: int = 5) -> Subject:
    """Return the address as a subject: only its callers without an established identity once others live there."""
    mobile = f.place is not None and f.place.kind == "mobile"
    return Subject(ip=f.ip, account=account, client=client, untrusted=f.pop > 0 or mobile or shared == 0)


def api_named(f: Facts, key: str | None = None) -> Api | None:
    """Return the API of this event, or None when evidence is spread over several (`key` is then None)."""
    api = f.api
    if api is None or key is None or key != f.api_key:
        return None
    return api_ref(f)


def api_ref(f: Facts) -> Api | None:
    """Return this event's API."""
    if f.api is None:
        return None
    method, _, path = (f.api.name or "").partition(" ")
    if not path:
        method, path = "", method
    return Api(gateway=f.api.gw or None, route=f.api.route, method=method or None, path=path or None)
