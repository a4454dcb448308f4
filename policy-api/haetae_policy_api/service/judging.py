"""Verdicts on what the fraud detection did: application functions, the same for the API and the console.

Rules kept: the label is stored first, so that no worker decides the same again in between; a false alarm then ends its
policy where that still stands, also when it was extended meanwhile. Times are Unix milliseconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from haetae_fds.errors import FeedbackInvalid
from haetae_fds.io.feedback import Word, label_of, same_cause
from haetae_policy.audit import AuditNote
from haetae_policy.errors import PolicyNotFound
from haetae_policy.model import Policy, SourceKind

from haetae_policy_api.errors import Conflict, Invalid, Unavailable, VersionMismatch
from haetae_policy_api.faults import said
from haetae_policy_api.roles import Caller
from haetae_policy_api.service import changes
from haetae_policy_api.service.context import Context, epoch

_TRIES: Final = 5
FALSE_ALARM: Final = "false alarm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came of a verdict: policies that ended, and others of the same cause that are still in force."""

    policy: Policy
    revoked: tuple[str, ...]
    same_cause: tuple[str, ...]


async def judge_case(
    context: Context, policy_id: str, *, word: Word, caller: Caller, now_ms: int, sweep: bool = False
) -> Judged:
    """Say whether a decision was right, also after its policy has ended; with `sweep` a false alarm is said of all that
    is in force of the same cause.

    Raises Invalid for what cannot be judged, Conflict for a policy that changes too fast, PolicyNotFound.
    """
    policy, stands = await _case(context, policy_id)
    await _say(context, policy, word=word, caller=caller, now_ms=now_ms)
    if word is not Word.FALSE_ALARM:
        return Judged(policy=policy, revoked=(), same_cause=())
    revoked = [policy_id] if stands and await _take_back(context, policy_id, caller, now_ms=now_ms) else []
    others = await same_cause(context.store, policy)
    if sweep:
        revoked += await _sweep(context, others, caller, now_ms=now_ms)
    left = tuple(other.id for other in others if other.id not in revoked)
    return Judged(policy=policy, revoked=tuple(revoked), same_cause=() if sweep else left)


async def _sweep(context: Context, others: Iterable[Policy], caller: Caller, *, now_ms: int) -> list[str]:
    ended = []
    for other in others:
        await _say(context, other, word=Word.FALSE_ALARM, caller=caller, now_ms=now_ms)
        if await _take_back(context, other.id, caller, now_ms=now_ms):
            ended.append(other.id)
    return ended


async def _say(context: Context, policy: Policy, *, word: Word, caller: Caller, now_ms: int) -> None:
    if context.labels is None:
        raise Unavailable("verdicts are not kept here")
    try:
        label = label_of(policy, word=word, by=caller.name, now_ms=now_ms)
    except FeedbackInvalid as error:
        why = "judged_person" if policy.source.kind is SourceKind.ANALYST else "judged_nothing"
        raise Invalid(said("not_judged"), errors=[("word", said(why))]) from error
    await context.labels.add(label)
    note = AuditNote(actor=caller.name, action=f"case.{word.value}", target=policy.id, details={})
    await context.ledger.commit([note], now_ms=now_ms, epoch_randomness=epoch())


async def _case(context: Context, policy_id: str) -> tuple[Policy, bool]:
    """Return the policy, and whether it stands; raises PolicyNotFound for one that nobody remembers."""
    try:
        return await context.store.get(policy_id), True
    except PolicyNotFound:
        return (await context.store.ended(policy_id)).policy, False


async def _take_back(context: Context, policy_id: str, caller: Caller, *, now_ms: int) -> bool:
    for _ in range(_TRIES):
        try:
            held = await context.store.get(policy_id)
            await changes.end_held(context, held, reason=FALSE_ALARM, caller=caller, now_ms=now_ms)
        except PolicyNotFound:
            return False
        except (VersionMismatch, Conflict):
            continue
        return True
    raise Conflict(said("changes_fast"))
