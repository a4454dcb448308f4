"""What people say about decisions: labels in one stream that every worker follows.

A false alarm takes its policy back at once and keeps the detector off that subject for a day; a confirmation is
written down, and where an account was taken over its owner's account can be switched off at the identity service
(`haetae fds feedback --disable-account`).
Labels name the reviewer and the campaign, so that they can train a model and measure detectors.

Rules kept: a label is stored before anything is taken back, so that no worker decides the same again in between. Not
here: who may say so (the caller's business).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson
from haetae_policy import Policy, PolicyConflict, PolicyNotFound, parse_policy_id
from haetae_policy.io.commands import Commands
from haetae_policy.io.store import MAX_PAGE, PolicyStore
from haetae_policy.model import SourceKind

from haetae_fds.decision import Subject
from haetae_fds.errors import FeedbackInvalid

DAMPED_MS: Final = 86_400_000
KEPT: Final = 100_000
MAX_NAME: Final = 128
_CAUSE_MS: Final = 600_000
_MAX_SAME: Final = 100
_READ: Final = 1000


class Word(StrEnum):
    """What a person says."""

    CONFIRM = "confirm"
    FALSE_ALARM = "false-alarm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One judgement. `decision` is the decision's `pid`; `at_ms` when it was given."""

    at_ms: int
    word: Word
    by: str
    policy_id: str
    decision: str
    detector: str
    subject: Subject
    campaign: str | None = None

    def to_json(self) -> bytes:
        """The form in the stream."""
        return orjson.dumps(
            {
                "at": self.at_ms,
                "word": self.word.value,
                "by": self.by,
                "policy": self.policy_id,
                "decision": self.decision,
                "detector": self.detector,
                "subject": self.subject.to_dict(),
                "campaign": self.campaign,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What came of it: the label, whether the policy was taken back, and others in force of the same cause; `swept`:
    whether the same was said of those.
    """

    label: Label
    revoked: bool
    same_cause: tuple[Policy, ...]
    swept: bool = False


class Labels:
    """The stream of labels. Raises haetae_policy.StoreUnavailable."""

    def __init__(self, commands: Commands, *, prefix: str) -> None:
        self._commands = commands
        self._key = f"{prefix}fds:labels"

    async def add(self, label: Label) -> None:
        """Write a label down."""
        await self._commands.call("XADD", self._key, "MAXLEN", "~", KEPT, "*", "d", label.to_json())

    async def after(self, entry: str) -> list[tuple[str, Label | None]]:
        """Up to a thousand labels after stream entry `entry`; None for what cannot be read."""
        raw = await self._commands.call("XRANGE", self._key, f"({entry}", "+", "COUNT", _READ)
        return [(name.decode("ascii"), _read(fields)) for name, fields in raw]


@dataclass(slots=True)
class Tally:
    """How one detector was judged, by the last word on each decision. `twice`: decisions that at least two reviewers
    judged; `agreed`: those on which their last words are the same.
    """

    confirmed: int = 0
    false_alarms: int = 0
    twice: int = 0
    agreed: int = 0

    @property
    def precision(self) -> float | None:
        """The share that was right, None where nothing was judged."""
        judged = self.confirmed + self.false_alarms
        return self.confirmed / judged if judged else None


async def tally(labels: Labels, *, since_ms: int) -> dict[str, Tally]:
    """Count the labels since then, by detector. Raises haetae_policy.StoreUnavailable."""
    said: dict[tuple[str, str], dict[str, Word]] = {}
    entry = f"{max(0, since_ms)}-0"
    while page := await labels.after(entry):
        entry = page[-1][0]
        for _, label in page:
            if label is not None:
                words = said.setdefault((label.detector, label.policy_id), {})
                words.pop(label.by, None)
                words[label.by] = label.word
    found: dict[str, Tally] = {}
    for (detector, _), words in sorted(said.items()):
        one = found.setdefault(detector, Tally())
        *_, last = words.values()
        one.confirmed += last is Word.CONFIRM
        one.false_alarms += last is Word.FALSE_ALARM
        one.twice += len(words) > 1
        one.agreed += len(words) > 1 and len(set(words.values())) == 1
    return found


async def give_feedback(
    store: PolicyStore, labels: Labels, *, policy_id: str, word: Word, by: str, now_ms: int, sweep: bool = False
) -> Given:
    """Say that a machine's policy was right, or a false alarm, also after it has ended; with `sweep` the latter of all
    that is in force of the same cause.

    Raises:
        FeedbackInvalid: a person made the policy, or it does not say what was decided, or `by` is no name.
        haetae_policy.PolicyNotFound: there is and was no such policy.
        haetae_policy.PolicyInvalid: `policy_id` is no identifier.
        haetae_policy.StoreUnavailable: say it again.
    """
    if not 0 < len(by) <= MAX_NAME or not by.isprintable():
        raise FeedbackInvalid("the reviewer's name is 1 to 128 printable characters")
    parse_policy_id(policy_id)
    policy, stands = await _find(store, policy_id)
    label = label_of(policy, word=word, by=by, now_ms=now_ms)
    await labels.add(label)
    revoked = False
    if word is Word.FALSE_ALARM and stands:
        revoked = await _revoke(store, policy, by=by, now_ms=now_ms)
    others = await same_cause(store, policy)
    swept = sweep and word is Word.FALSE_ALARM
    for other in others if swept else ():
        await labels.add(label_of(other, word=word, by=by, now_ms=now_ms))
        await _revoke(store, other, by=by, now_ms=now_ms)
    return Given(label=label, revoked=revoked, same_cause=others, swept=swept)


def label_of(policy: Policy, *, word: Word, by: str, now_ms: int) -> Label:
    """The label of a policy that a decision made. Raises FeedbackInvalid."""
    if policy.source.kind is not SourceKind.FDS:
        raise FeedbackInvalid("a person made this policy; revoke it instead")
    evidence = policy.evidence()
    decision, campaign = evidence.get("decision"), evidence.get("campaign")
    if not isinstance(decision, str):
        raise FeedbackInvalid("this policy does not say which decision made it")
    return Label(
        at_ms=now_ms,
        word=word,
        by=by,
        policy_id=policy.id,
        decision=decision,
        detector=policy.source.name,
        subject=_subject(evidence.get("subject")),
        campaign=campaign if isinstance(campaign, str) else None,
    )


async def same_cause(store: PolicyStore, policy: Policy) -> tuple[Policy, ...]:
    """Policies in force of the same campaign; without one, of the same detector within ten minutes."""
    campaign = policy.evidence().get("campaign")
    found: list[Policy] = []
    after = None
    while len(found) < _MAX_SAME:
        page = await store.list(limit=MAX_PAGE, after=after)
        for other in page.policies:
            if other.id == policy.id or other.source != policy.source:
                continue
            if (
                other.evidence().get("campaign") == campaign
                if campaign is not None
                else abs(other.created_ms - policy.created_ms) <= _CAUSE_MS
            ):
                found.append(other)
        after = page.after
        if after is None or page.policies[-1].created_ms < policy.created_ms - _CAUSE_MS:
            break
    return tuple(found[:_MAX_SAME])


async def _find(store: PolicyStore, policy_id: str) -> tuple[Policy, bool]:
    try:
        return await store.get(policy_id), True
    except PolicyNotFound:
        return (await store.ended(policy_id)).policy, False


async def _revoke(store: PolicyStore, policy: Policy, *, by: str, now_ms: int) -> bool:
    """Take it back at whatever version it is by now: an extension meanwhile does not save a false alarm."""
    for _ in range(5):
        try:
            await store.revoke(policy.id, version=policy.version, by=by, now_ms=now_ms)
        except PolicyNotFound:
            return False
        except PolicyConflict:
            try:
                policy = await store.get(policy.id)
            except PolicyNotFound:
                return False
        else:
            return True
    return False


def _read(fields: Any) -> Label | None:
    pairs = fields if isinstance(fields, Mapping) else dict(zip(fields[::2], fields[1::2], strict=True))
    try:
        value = orjson.loads(pairs.get(b"d", b""))
        campaign = value["campaign"]
        return Label(
            at_ms=int(value["at"]),
            word=Word(value["word"]),
            by=str(value["by"]),
            policy_id=str(value["policy"]),
            decision=str(value["decision"]),
            detector=str(value["detector"]),
            subject=_subject(value["subject"]),
            campaign=None if campaign is None else str(campaign),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None


def _subject(value: object) -> Subject:
    """A subject's JSON form, read back. Raises FeedbackInvalid."""
    if not isinstance(value, dict):
        raise FeedbackInvalid("no subject")
    untrusted = value.get("untrusted", False)
    rest = {name: item for name, item in value.items() if name != "untrusted"}
    if type(untrusted) is not bool or not all(isinstance(item, str) for item in rest.values()):
        raise FeedbackInvalid("a subject's conditions are texts")
    try:
        return Subject(**rest, untrusted=untrusted)
    except TypeError as error:
        raise FeedbackInvalid("a condition that no subject has") from error
