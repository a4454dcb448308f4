"""What is known about recorded events: labels by event, and people's verdicts on decisions.

Two sorts of lines may be mixed: labels of events (`haetae_fds.evaluation`), and verdicts as `haetae fds labels` writes
them, which are about everything a subject did while a decision stood and in the ten minutes before it.

Rules kept: a line is bounded before it is parsed; what cannot be read refuses the whole file with the line's number.
An event about which nothing is said is harmless where events were labelled one by one; where only verdicts are known,
one that a rule has a word against is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from haetae_fds.address import keys_of
from haetae_fds.decision import Subject
from haetae_fds.errors import ModelInvalid
from haetae_fds.evaluation.errors import LabelsInvalid
from haetae_fds.evaluation.labels import MAX_LINE, Label, read_label
from haetae_fds.event import Event
from haetae_fds.state import MIN10

MAX_VERDICT: Final = 64 * 1024
MAX_LABELS: Final = 5_000_000
_WORDS: Final = {"confirm": True, "false-alarm": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a person said of a decision: it was right, or a false alarm. Times in Unix ms."""

    fraud: bool
    at: int
    detector: str
    subject: Subject
    campaign: str
    since: int
    until: int
    events: frozenset[str]

    def covers(self, event: Event) -> bool:
        """Whether the decision is about this event."""
        if event.id in self.events:
            return True
        return self.since <= event.ts <= self.until and matches(self.subject, event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of one event: the attack it is of; None and `sure` is harmless. `person`: whose event it is."""

    campaign: str | None
    sure: bool
    person: str | None = None


class Truth:
    """All labels of a training or a proposal."""

    def __init__(self) -> None:
        self.labels: dict[str, Label] = {}
        self.verdicts: list[Verdict] = []
        self._by: dict[str, list[Verdict]] = {}

    def read(self, lines: Iterable[bytes]) -> None:
        """Add a file's lines. Raises ModelInvalid with the number of the line that cannot be read."""
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            if len(line) > MAX_VERDICT or len(self.labels) + len(self.verdicts) >= MAX_LABELS:
                raise ModelInvalid(f"line {number}: too long, or too many lines")
            if b'"word"' in line:
                self.add(_verdict(line, number))
            else:
                self._label(line, number)

    def add(self, verdict: Verdict) -> None:
        """Add one verdict."""
        self.verdicts.append(verdict)
        for key in {*_keys(verdict.subject), *(f"e {event}" for event in verdict.events)}:
            self._by.setdefault(key, []).append(verdict)

    def of(self, event: Event) -> Known:
        """Return what is known of an event."""
        label = self.labels.get(event.id)
        if label is not None:
            return Known(campaign=label.attack, sure=True, person=label.user)
        found: Verdict | None = None
        for key in (f"e {event.id}", *_keys_of(event)):
            for verdict in self._by.get(key, ()):
                if verdict.covers(event) and (found is None or verdict.at > found.at):
                    found = verdict  # the last word counts
        if found is not None:
            return Known(campaign=found.campaign if found.fraud else None, sure=True)
        return Known(campaign=None, sure=bool(self.labels))

    def _label(self, line: bytes, number: int) -> None:
        if len(line) > MAX_LINE:
            raise ModelInvalid(f"line {number}: too long")
        try:
            label = read_label(line, number=number)
        except LabelsInvalid as error:
            raise ModelInvalid(str(error)) from error
        self.labels[label.id] = label


def matches(subject: Subject, event: Event) -> bool:
    """Say whether an event is one of a subject's; what is unverified names nobody."""
    wanted = (subject.session, subject.user, subject.device, subject.account, subject.pw_fp, subject.client)
    held = (
        event.sess,
        event.user if event.user_v else None,
        event.dev if event.dev_v else None,
        event.acct,
        event.pw_fp,
        f"{event.ja4 or ''}|{event.ua or ''}|{event.hdr or ''}",
    )
    if any(want is not None and want != have for want, have in zip(wanted, held, strict=True)):
        return False
    if subject.ip is None:
        return any(want is not None for want in wanted)
    return event.ip is not None and subject.ip in keys_of(event.ip)


def _keys(subject: Subject) -> tuple[str, ...]:
    for name in ("session", "user", "device", "account", "pw_fp", "client", "ip"):
        value = getattr(subject, name)
        if value is not None:
            return (f"{name} {value}",)
    return ()


def _keys_of(event: Event) -> list[str]:
    keys = [f"client {event.ja4 or ''}|{event.ua or ''}|{event.hdr or ''}"]
    named = (
        ("session", event.sess), ("user", event.user), ("device", event.dev), ("account", event.acct),
        ("pw_fp", event.pw_fp),
    )  # fmt: skip
    for name, value in named:
        if value is not None:
            keys.append(f"{name} {value}")
    if event.ip is not None:
        keys += [f"ip {key}" for key in keys_of(event.ip)]
    return keys


def _verdict(line: bytes, number: int) -> Verdict:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ModelInvalid(f"line {number}: not JSON") from error
    if not isinstance(row, dict) or row.get("word") not in _WORDS:
        raise ModelInvalid(f"line {number}: not a verdict")
    at = _whole(row.get("at"), "at", number)
    decided = row.get("decided")
    since = at - MIN10 if decided is None else _whole(decided, "decided", number) - MIN10
    until = row.get("until")
    events = row.get("events", [])
    if not isinstance(events, list) or len(events) > 100 or not all(isinstance(one, str) for one in events):
        raise ModelInvalid(f"line {number}: events")
    detector, campaign = row.get("detector"), row.get("campaign")
    if not isinstance(detector, str) or not isinstance(campaign, str | None):
        raise ModelInvalid(f"line {number}: detector or campaign")
    return Verdict(
        fraud=_WORDS[row["word"]],
        at=at,
        detector=detector,
        subject=_subject(row.get("subject"), number),
        campaign=campaign or f"{detector} {at}",
        since=since,
        until=at if until is None else _whole(until, "until", number),
        events=frozenset(events),
    )


def _whole(value: Any, what: str, number: int) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ModelInvalid(f"line {number}: {what}")
    return value


def _subject(value: Any, number: int) -> Subject:
    if not isinstance(value, dict):
        raise ModelInvalid(f"line {number}: subject")
    for name, item in value.items():
        if name not in Subject.__slots__ or not (
            isinstance(item, bool) if name == "untrusted" else isinstance(item, str)
        ):
            raise ModelInvalid(f"line {number}: subject")
    return Subject(**value)
