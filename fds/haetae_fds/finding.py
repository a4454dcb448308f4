"""What a detector says, and the interface all detectors keep.

Rules kept: a detector reads facts and says what it found; it never changes facts, draws random numbers or reads a
clock. A score lies in [0, 1] and 0.5 is the detector's own boundary. Not here: who is refused in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

from haetae_fds.decision import Action, Api, Number, Subject, api_of
from haetae_fds.event import Event
from haetae_fds.facts import Facts
from haetae_fds.features_login import single
from haetae_fds.state import MINUTE, ApiState

TTL: Final = 15 * MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found. `subjects` are proposals, narrowest first; `ttl` is the base time to live in ms.

    `also`: further APIs the same goes for. `warm` is False while the population the limit is relative to is still
    being learned. `shadow`: why this one is only written down, whatever the detector's mode.
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
    also: tuple[Api, ...] = ()
    shadow: str | None = None

    def why(self) -> str:
        """Return the finding as a sentence with its numbers beside their limits."""
        numbers = ", ".join(str(number) for number in self.numbers)
        return f"{self.what}: {numbers}" if numbers else self.what


class Scorer(Protocol):
    """A model beside the rules. Its score in [0, 1], 0.5 the boundary, can challenge or halve limits, never block."""

    def score(self, facts: Facts) -> float:
        """Judge one event without learning from it."""


class Learner:
    """A scorer that also finds things of its own, learns while running, and is saved with the engine's state."""

    def score(self, facts: Facts) -> float:
        """Judge one event without learning from it."""
        raise NotImplementedError

    def findings(self, facts: Facts, heard: Sequence[Finding] = ()) -> list[Finding]:
        """Return what it finds by itself in an event; asked once an event, after the rules, which found `heard`."""
        raise NotImplementedError

    def learn(self, facts: Facts, findings: Sequence[Finding]) -> None:
        """Learn from an event and what was found in it."""
        raise NotImplementedError

    def refused(self, event: Event, now: int) -> None:
        """Note a request that was refused, and is never judged."""
        raise NotImplementedError

    def told(self, detector: str, subject: Subject, *, fraud: bool, now: int) -> None:
        """Learn from a person's word on a decision."""
        raise NotImplementedError

    def dump(self) -> bytes:
        """Return what was learnt."""
        raise NotImplementedError

    def load(self, saved: bytes) -> bool:
        """Go on from what was learnt; return whether that was possible."""
        raise NotImplementedError


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

    def knows(self, api: ApiState) -> bool | None:
        """Say whether enough is known of an API's users to compare with them; None where it compares with nobody."""
        return None

    def found(
        self,
        f: Facts,
        what: str,
        numbers: tuple[Number, ...],
        *subjects: Subject,
        action: Action = Action.BLOCK,
        api: Api | None = None,
        events: Sequence[str] = (),
        ttl: int = TTL,
        campaign: str | None = None,
        **more: Any,
    ) -> Finding:
        """Build a finding of this detector; its score is that of its weakest number."""
        return Finding(
            detector=self.name, version=self.version, action=action, subjects=subjects, api=api, what=what,
            numbers=numbers, events=tuple(events), ttl=ttl, score=worst(numbers),
            campaign=campaign or campaign_of(f, f"{self.name} {f.net_key or f.actor}"), **more,
        )  # fmt: skip

    def limit(self, f: Facts, base: float) -> float:
        """Return a limit as it applies to this event."""
        return base * self.factor * f.scale


def campaign_of(f: Facts, otherwise: str) -> str:
    """Return what decisions belong together by: the client, where it tells whoever has it from all others."""
    return f"client {f.client}" if f.strange else otherwise


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


def at_address(f: Facts, *, account: str | None = None, client: str | None = None, strangers: bool = False) -> Subject:
    """Return the address as a subject: only its callers without an established identity once others live there."""
    return Subject(ip=f.ip, account=account, client=client, untrusted=strangers or f.pop > 0 or f.mobile)


def of_actor(f: Facts) -> Subject:
    """Return the narrowest verified identity of the event, or the strangers at its address."""
    if f.user_key is not None:
        return Subject(user=f.user_key)
    if f.device is not None:
        return Subject(device=f.event.dev, ip=f.ip or None)
    return at_address(f, strangers=True)


def of_faults(f: Facts) -> Subject:
    """Return who sends faulty envelopes: the verified device where it was seen, or the strangers at the address."""
    if f.device is not None:
        return Subject(device=f.event.dev, ip=f.ip)
    pair = f.fault_pair
    client = single(pair.clients) if pair is not None and f.pop > 0 else None
    return at_address(f, client=client, strangers=True)


def faulty_api(f: Facts, subject: Subject, apis: dict[str, int]) -> Api | None:
    """Return what faults of these APIs are refused on, None for everything the subject calls.

    Strangers where others live are refused only what was called wrongly: whoever claims other people's ids there must
    not keep their owners from anything else.
    """
    return api_ref(f) if among_others(f, subject) else one_api(f, apis)


def among_others(f: Facts, subject: Subject) -> bool:
    """Say whether a subject is the strangers at an address where others live, too."""
    return subject.device is None and (f.pop > 0 or f.mobile)


def one_api(f: Facts, apis: dict[str, int]) -> Api | None:
    """Return this event's API when (nearly) all evidence is about it."""
    return api_ref(f) if single(apis) == f.api_key else None


def api_ref(f: Facts) -> Api | None:
    """Return this event's API."""
    return None if f.api is None else ref(f.api)


def ref(api: ApiState) -> Api | None:
    """Return an API by gateway, route, method and template."""
    return api_of(api.gw or None, api.route, api.name)
