"""Rows to learn from: one per caller, minute and campaign, as the engine sees it at that moment.

A recording is played through an engine of its own; every event that a rule would look at gives its features, and the
last of a minute stands for it. Offline and online see the same numbers that way, made by the same code.

Rules kept: bounded in rows (harmless callers are thinned by their name, evenly and reproducibly); event time only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from haetae_fds.counters import stable
from haetae_fds.decision import Action, Subject
from haetae_fds.engine import Engine
from haetae_fds.event import Event
from haetae_fds.facts import Facts
from haetae_fds.finding import Finding, Learner
from haetae_fds.models.truth import Truth
from haetae_fds.models.vector import vector
from haetae_fds.settings import EngineSettings
from haetae_fds.state import DAY, MINUTE

MAX_ROWS: Final = 400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One caller's minute. `entity` is who called, `person` whose day a wrong action would spoil."""

    ts: int
    entity: str
    person: str
    campaign: str | None
    values: tuple[float, ...]


@dataclass(slots=True, kw_only=True)
class Collected:
    """Rows of all recordings. `days`: (person, day) of honest people; `events`: how many were played."""

    rows: list[Row] = field(default_factory=list)
    days: set[tuple[str, int]] = field(default_factory=set)
    events: int = 0
    unknown: int = 0
    thinned: int = 1


class _Taken(NamedTuple):
    """One event as a model would have seen it. `suspicious`: a rule has a word against it."""

    ts: int
    entity: str
    values: tuple[float, ...]
    suspicious: bool


class _Recorder(Learner):
    """Takes down what the engine knows of each event; has no say."""

    def __init__(self) -> None:
        self.taken: _Taken | None = None

    def score(self, facts: Facts) -> float:
        """See Learner."""
        del facts
        return 0.0

    def findings(self, facts: Facts, heard: Sequence[Finding] = ()) -> list[Finding]:
        """See Learner."""
        del facts, heard
        return []

    def learn(self, facts: Facts, findings: Sequence[Finding]) -> None:
        """See Learner."""
        suspicious = any(finding.action is not Action.ALERT for finding in findings)
        # Now: once the event is judged, the engine goes on to change what the features are read from.
        self.taken = _Taken(facts.now, entity_of(facts), tuple(vector(facts)), suspicious)

    def take(self) -> _Taken | None:
        """Return what the last event gave, once."""
        taken, self.taken = self.taken, None
        return taken

    def refused(self, event: Event, now: int) -> None:
        """See Learner."""

    def told(self, detector: str, subject: Subject, *, fraud: bool, now: int) -> None:
        """See Learner."""

    def dump(self) -> bytes:
        """See Learner."""
        return b""

    def load(self, saved: bytes) -> bool:
        """See Learner."""
        del saved
        return False


def collect(
    recordings: Iterable[Iterable[Event]], truth: Truth, settings: EngineSettings | None = None, *, most: int = MAX_ROWS
) -> Collected:
    """Play recordings, each in its order, and return their rows."""
    found = Collected()
    rows: dict[tuple[str, int, str | None], Row] = {}
    for recording in recordings:
        recorder = _Recorder()
        engine = Engine(settings, scorer=recorder)
        for event in recording:
            engine.observe(event)
            found.events += 1
            known = truth.of(event)
            person = known.person or _person(event)
            if known.campaign is None and person is not None:
                found.days.add((person, event.ts // DAY))
            taken = recorder.take()
            if taken is None:
                continue
            if not known.sure and taken.suspicious:
                found.unknown += 1
                continue
            if known.campaign is None and found.thinned > 1 and stable(taken.entity) % found.thinned:
                continue
            rows[taken.entity, taken.ts // MINUTE, known.campaign] = Row(
                ts=taken.ts,
                entity=taken.entity,
                person=person or taken.entity,
                campaign=known.campaign,
                values=taken.values,
            )
            if len(rows) > most:
                found.thinned *= 2
                rows = {k: row for k, row in rows.items() if row.campaign or not stable(row.entity) % found.thinned}
    found.rows = sorted(rows.values(), key=lambda row: (row.ts, row.entity, row.campaign or ""))
    return found


def entity_of(f: Facts) -> str:
    """Return who calls: the verified identity, or an address and client, which others may share."""
    return f.actor if f.actor[:2] != "i:" else f"{f.actor} {f.client}"


def _person(event: Event) -> str | None:
    if event.user_v and event.user is not None:
        return event.user
    return event.dev if event.dev_v else None
