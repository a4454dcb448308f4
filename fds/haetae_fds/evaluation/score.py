"""What an evaluation measures, over the events of one case as they were answered.

Let-through before and after the first refusal, harm done, time to the first refusal, honest people refused, victims of
forged identities touched, decisions by what they hit. Works in one pass and keeps identities, not events.
Rules kept: a challenge stops a program and costs a person a fifth of a refusal; a throttle stops what it refuses;
a person counts once however often they are refused.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from haetae_fds.evaluation.labels import Label

CHALLENGE_COST: Final = 0.2
RESIDUAL_MS: Final = 120_000
SHARED_BY: Final = 5
STOPPED_BELOW: Final = 0.1
_REFUSED: Final = frozenset({"block", "throttle"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackResult:
    """One campaign: requests let through before and after the first refusal, the damage done and possible, the share
    let through in its last two minutes after that, and milliseconds to the first refusal (None: never).
    """

    campaign: str
    kind: str
    requests: int
    before: int
    after: int
    harm: int
    harm_possible: int
    residual: float
    first_refusal_ms: int | None

    @property
    def stopped(self) -> bool:
        """Whether hardly anything came through in the end."""
        return self.first_refusal_ms is not None and self.residual <= STOPPED_BELOW

    @property
    def score(self) -> float:
        """0 to 100: the share of the damage prevented; of the requests refused, where none does damage by itself."""
        if self.harm_possible:
            return 100.0 * (1 - self.harm / self.harm_possible)
        return 100.0 * (1 - (self.before + self.after) / max(1, self.requests))


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleResult:
    """Honest people: active, refused at least once, challenged, minutes of harm, refused log-ins from new devices,
    refused behind an address that at least five people use, and victims of forged identities refused or challenged.
    """

    active: int
    refused: int
    challenged: int
    minutes: int
    fresh_refused: int
    shared_refused: int
    victims: int

    @property
    def cost(self) -> float:
        """People refused, challenges counted as a fifth."""
        return self.refused + CHALLENGE_COST * self.challenged


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResult:
    """Policies in force that refused something: how many, how many of them refused attacks, and honest people only."""

    hitting: int
    right: int
    wrong: int

    @property
    def precision(self) -> float | None:
        """The share that refused attacks, by policy, None when none refused anything."""
        return self.right / self.hitting if self.hitting else None


class _Campaign:
    __slots__ = ("after", "before", "first_ms", "harm", "harm_possible", "kind", "recent", "refusal_ms", "requests")

    def __init__(self, kind: str, first_ms: int) -> None:
        self.kind = kind
        self.first_ms = first_ms
        self.refusal_ms: int | None = None
        self.requests = self.before = self.after = self.harm = self.harm_possible = 0
        self.recent: deque[tuple[int, bool, bool]] = deque()

    def add(self, now_ms: int, *, passed: bool, harm: bool) -> None:
        self.requests += 1
        self.harm_possible += harm
        if passed:
            self.harm += harm
            if self.refusal_ms is None:
                self.before += 1
            else:
                self.after += 1
        elif self.refusal_ms is None:
            self.refusal_ms = now_ms
        if self.refusal_ms is not None:
            self.recent.append((now_ms, passed, harm))
            while self.recent[0][0] < now_ms - RESIDUAL_MS:
                self.recent.popleft()

    def residual(self) -> float:
        """Of what does damage, where anything does: reads that a freeze leaves open are not a failure."""
        if not self.recent:
            return 1.0
        harmful = [passed for _, passed, harm in self.recent if harm]
        counted = harmful if len(harmful) >= 3 else [passed for _, passed, _ in self.recent]
        return sum(counted) / len(counted)


class Scoreboard:
    """Add every event of a case with its label, then read the results.

    `planned` tells what each campaign would do undefended, as (requests, damage): attackers who give up early would
    otherwise leave too little to measure by.
    """

    def __init__(self, planned: Mapping[str, tuple[int, int]] | None = None) -> None:
        self.events = 0
        self._planned = dict(planned or {})
        self._campaigns: dict[str, _Campaign] = {}
        self._active: set[str] = set()
        self._refused: set[str] = set()
        self._challenged: set[str] = set()
        self._minutes: set[tuple[str, int]] = set()
        self._fresh: set[str] = set()
        self._behind: dict[str, set[str]] = {}
        self._refused_at: set[tuple[str, str]] = set()
        self._victims: set[str] = set()
        self._right: Counter[str] = Counter()
        self._wrong: dict[str, set[str]] = {}

    def add(self, event: Mapping[str, Any], label: Label) -> None:
        """Count one event, with the verdict it carries."""
        self.events += 1
        verdict = event.get("pol")
        stopped = verdict in _REFUSED or verdict == "challenge"
        if label.attack is None:
            self._honest(event, label, verdict, stopped=stopped)
            return
        campaign = self._campaigns.get(label.attack)
        if campaign is None:
            campaign = self._campaigns[label.attack] = _Campaign(label.kind, event["ts"])
        campaign.add(event["ts"], passed=not stopped, harm=label.harm)
        if label.victim is not None:
            self._victims.add(label.victim)
        if stopped and event.get("pid"):
            self._right[event["pid"]] += 1

    def attacks(self) -> list[AttackResult]:
        """One result for each campaign."""
        return [
            AttackResult(
                campaign=name,
                kind=found.kind,
                requests=max(found.requests, self._planned.get(name, (0, 0))[0]),
                before=found.before,
                after=found.after,
                harm=found.harm,
                harm_possible=max(found.harm_possible, self._planned.get(name, (0, 0))[1]),
                residual=found.residual(),
                first_refusal_ms=None if found.refusal_ms is None else found.refusal_ms - found.first_ms,
            )
            for name, found in sorted(self._campaigns.items())
        ]

    def people(self) -> PeopleResult:
        """The harm done to honest people."""
        shared = {user for user, ip in self._refused_at if len(self._behind[ip]) >= SHARED_BY}
        return PeopleResult(
            active=len(self._active),
            refused=len(self._refused),
            challenged=len(self._challenged - self._refused),
            minutes=len(self._minutes),
            fresh_refused=len(self._fresh),
            shared_refused=len(shared),
            victims=len(self._victims & (self._refused | self._challenged)),
        )

    def policies(self) -> PolicyResult:
        """What the policies hit."""
        hitting = self._right.keys() | self._wrong.keys()
        return PolicyResult(
            hitting=len(hitting), right=len(self._right), wrong=len(self._wrong.keys() - self._right.keys())
        )

    def blamed(self) -> dict[str, int]:
        """Honest people refused or challenged by each policy, most first."""
        return dict(
            sorted(((pid, len(users)) for pid, users in self._wrong.items()), key=lambda item: (-item[1], item))
        )

    def _honest(self, event: Mapping[str, Any], label: Label, verdict: str | None, *, stopped: bool) -> None:
        user = label.user
        if user is None:
            return
        self._active.add(user)
        address = event.get("ip") or ""
        self._behind.setdefault(address, set()).add(user)
        if not stopped:
            return
        if event.get("pid"):
            self._wrong.setdefault(event["pid"], set()).add(user)
        if verdict == "challenge":
            self._challenged.add(user)
            return
        self._refused.add(user)
        self._refused_at.add((user, address))
        self._minutes.add((user, event["ts"] // 60_000))
        if label.fresh:
            self._fresh.add(user)
