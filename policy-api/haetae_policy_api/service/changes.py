"""Making, changing and ending policies: application functions, the same for the API, the console and the terminal.

Rules kept: the caller's right was checked by the table of roles before; every change is one transaction with its audit
entry and its kept answer; a change names the version it is made to. Times are Unix milliseconds.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson
from haetae_policy.asked import read_asked
from haetae_policy.audit import AuditNote
from haetae_policy.errors import PolicyInvalid, Problem
from haetae_policy.faults import fault
from haetae_policy.identifiers import RANDOM_BYTES, make_policy_id
from haetae_policy.io.ledger import EndPolicy, Operation, PutPolicy, Side, SideWrite
from haetae_policy.model import Action, Policy, format_time
from haetae_policy.parse import MAX_REASON, parse_new_policy
from haetae_policy.reader import Reader

from haetae_policy_api.errors import Invalid, NotAllowed, TooMany, VersionMismatch
from haetae_policy_api.faults import said
from haetae_policy_api.guards import Course, Judgement, check_rate, is_watched, judge
from haetae_policy_api.roles import Caller, Role
from haetae_policy_api.service.answers import Answer, Repeatable, refused
from haetae_policy_api.service.context import Context, epoch
from haetae_policy_api.traffic import Preview

_LONGEST_S: Final = 30 * 86_400


class RequestReader:
    """Reads what one caller asks for at one moment, each policy under a new identifier."""

    def __init__(self, context: Context, caller: Caller, *, now_ms: int) -> None:
        self._source, self._rules, self._now_ms = caller.source, context.rules.for_asking(), now_ms

    def __call__(self, document: Mapping[str, Any]) -> Policy:
        """Return the policy; raises Invalid, PolicyInvalid. `lasts_s` (seconds) may stand in the place of `expires`."""
        members, now_ms = dict(document), self._now_ms
        if "approved_by" in members:
            raise Invalid(said("policy_invalid"), errors=[("approved_by", fault("set_by_service"))])
        lasts = members.pop("lasts_s", None)
        if lasts is not None:
            if "expires" in members or type(lasts) is not int or not 1 <= lasts <= _LONGEST_S:
                raise Invalid(said("policy_invalid"), errors=[("lasts_s", said("lasts", most=_LONGEST_S))])
            members["expires"] = format_time(now_ms // 1000 * 1000 + lasts * 1000)
        policy_id = make_policy_id(now_ms=now_ms, randomness=os.urandom(RANDOM_BYTES))
        source, rules = self._source, self._rules
        quick = read_asked(members, policy_id=policy_id, source=source, now_ms=now_ms, rules=rules)
        if quick is not None:
            return quick
        return parse_new_policy(members, policy_id=policy_id, source=source, now_ms=now_ms, rules=rules)


def read_request(context: Context, document: Mapping[str, Any], caller: Caller, *, now_ms: int) -> Policy:
    """Return the policy somebody asks for, as `RequestReader` does."""
    return RequestReader(context, caller, now_ms=now_ms)(document)


async def create(
    context: Context, document: Mapping[str, Any], caller: Caller, *, now_ms: int, key: str | None = None
) -> Answer:
    """Make one policy: 201 in force (or observed), 202 waiting for a second person."""
    request = Repeatable(context, caller, "create", key, document)
    if (earlier := await request.earlier()) is not None:
        return earlier
    policy = read_request(context, document, caller, now_ms=now_ms)
    return await _store_new(context, policy, caller, request, now_ms=now_ms, action="create")


async def make_exception(
    context: Context, policy_id: str, document: Mapping[str, Any], caller: Caller, *, now_ms: int, key: str | None
) -> Answer:
    """Make an `allow` policy for (part of) the subject of a policy; `document` may narrow it and says why."""
    request = Repeatable(context, caller, f"except {policy_id}", key, document)
    if (earlier := await request.earlier()) is not None:
        return earlier
    held = await context.store.get(policy_id)
    if held.hard:
        raise Invalid(said("hard_no_exception"), errors=[("hard", said("hard_stays"))])
    members = {
        "api": held.api.to_dict(),
        "expires": format_time(held.expires_ms),
        **document,
        "subject": {**held.subject.to_dict(), **(document.get("subject") or {})},
        "action": Action.ALLOW.value,
        "evidence": {"exception_to": policy_id},
    }
    if "lasts_s" in document:
        del members["expires"]
    policy = read_request(context, members, caller, now_ms=now_ms)
    return await _store_new(context, policy, caller, request, now_ms=now_ms, action="except")


async def extend(
    context: Context, policy_id: str, *, version: int, expires_ms: int, caller: Caller, now_ms: int, key: str | None
) -> Answer:
    """Give a policy another end. One that took a second person takes one again: an approver who did not ask for it."""
    request = Repeatable(context, caller, f"extend {policy_id}", key, [version, expires_ms])
    if (earlier := await request.earlier()) is not None:
        return earlier
    held = await _held(context, policy_id, version=version)
    _check_owner(held, caller)
    changed = held.extended(expires_ms=expires_ms, now_ms=now_ms)
    if expires_ms <= changed.changed_ms or expires_ms % 1000:
        raise Invalid(said("policy_invalid"), errors=[("expires", said("expires_later"))])
    if held.approved_by is not None or context.rules.is_wide(held.subject):
        if caller.role is None or caller.role < Role.APPROVER or caller.name == held.source.name:
            raise NotAllowed(said("second_person_extends"))
        changed = replace(changed, approved_by=caller.name)
    note = AuditNote(
        actor=caller.name,
        action="extend",
        target=policy_id,
        details={"from": format_time(held.expires_ms), "to": format_time(expires_ms), "version": changed.version},
    )
    answer = Answer(status=200, body={"policy": changed.to_dict()}, version=changed.version)
    return await _commit(context, [PutPolicy(policy=changed, expected=version), note], answer, request, now_ms=now_ms)


async def revoke(
    context: Context, policy_id: str, *, version: int, reason: str, caller: Caller, now_ms: int, key: str | None
) -> Answer:
    """Take a policy back."""
    request = Repeatable(context, caller, f"revoke {policy_id}", key, [version, reason])
    if (earlier := await request.earlier()) is not None:
        return earlier
    held = await _held(context, policy_id, version=version)
    _check_owner(held, caller)
    return await _end(context, held, readable(reason), caller, request, now_ms=now_ms)


async def end_held(context: Context, held: Policy, *, reason: str, caller: Caller, now_ms: int) -> Answer:
    """End a policy as it was read, whoever made it: the caller may judge it."""
    request = Repeatable(context, caller, f"end {held.id}", None, [held.version, reason])
    return await _end(context, held, reason, caller, request, now_ms=now_ms)


async def _end(
    context: Context, held: Policy, reason: str, caller: Caller, request: Repeatable, *, now_ms: int
) -> Answer:
    details = {"reason": reason, "version": held.version}
    note = AuditNote(actor=caller.name, action="revoke", target=held.id, details=details)
    answer = Answer(status=200, body={"id": held.id, "ended": format_time(now_ms)})
    return await _commit(context, [EndPolicy(policy=held, by=caller.name), note], answer, request, now_ms=now_ms)


def readable(reason: str) -> str:
    """Return a reason as it is kept: colleagues read it in terminals and pages, so nothing in it may steer those.

    Raises PolicyInvalid, as for the reason of a policy.
    """
    problems: list[Problem] = []
    text = Reader({"reason": reason.strip()}, "", frozenset({"reason"}), problems).text(
        "reason", limit=MAX_REASON, required=True
    )
    if text is None:
        raise PolicyInvalid(tuple(problems))
    return text


def _check_owner(held: Policy, caller: Caller) -> None:
    if caller.is_machine and held.source != caller.source:
        raise NotAllowed("a machine changes only policies of its own")


async def _held(context: Context, policy_id: str, *, version: int) -> Policy:
    held = await context.store.get(policy_id)
    if held.version != version:
        raise VersionMismatch(said("version_is", version=held.version))
    return held


async def _store_new(
    context: Context, policy: Policy, caller: Caller, request: Repeatable, *, now_ms: int, action: str
) -> Answer:
    prediction = context.traffic.preview(policy, now_ms=now_ms)
    judgement = judge(policy, caller, prediction, settings=context.settings, rules=context.rules)
    if caller.is_machine:
        check_rate(await context.ledger.spend(caller.name, 1, now_ms=now_ms), settings=context.settings)
    if judgement.course is Course.PENDING:
        return await _store_pending(context, judgement, caller, prediction, request, now_ms=now_ms, action=action)
    note = note_of(action, judgement.policy, caller.name, judgement=judgement)
    operations: list[Operation] = [PutPolicy(policy=judgement.policy, expected=0), note]
    operations += watch(judgement.policy, prediction, now_ms=now_ms)
    body = {
        "policy": judgement.policy.to_dict(),
        "course": judgement.course.value,
        "reasons": list(judgement.reasons),
        "prediction": prediction.to_dict() | {"sample": []},
    }
    return await _commit(context, operations, Answer(status=201, body=body, version=1), request, now_ms=now_ms)


async def _store_pending(
    context: Context,
    judgement: Judgement,
    caller: Caller,
    prediction: Preview,
    request: Repeatable,
    *,
    now_ms: int,
    action: str,
) -> Answer:
    # Half is kept for people: a machine that asks without end must not keep them from asking.
    room = context.settings.most_pending // (2 if caller.is_machine else 1)
    if await context.ledger.side_count(Side.PENDING) >= room:
        raise TooMany(said("waiting_full"))
    policy = judgement.policy
    waiting = {
        "id": policy.id,
        "policy": policy.to_dict(),
        "by": caller.name,
        "machine": caller.is_machine,
        "reasons": list(judgement.reasons),
        "prediction": prediction.to_dict() | {"sample": []},
        "at_ms": now_ms,
    }
    write = SideWrite(side=Side.PENDING, name=policy.id, value=orjson.dumps(waiting, option=orjson.OPT_SORT_KEYS))
    note = note_of(f"{action}.ask", policy, caller.name, judgement=judgement)
    body: dict[str, Any] = {"policy": policy.to_dict(), "course": "pending", "reasons": list(judgement.reasons)}
    body["prediction"] = waiting["prediction"]
    return await _commit(context, [write, note], Answer(status=202, body=body), request, now_ms=now_ms)


def note_of(action: str, policy: Policy, actor: str, *, judgement: Judgement | None = None) -> AuditNote:
    """Return the audit entry of a policy that is made: everything about it but its evidence, which may be large."""
    document = policy.to_dict()
    document.pop("evidence")
    details: dict[str, Any] = {"policy": document}
    if judgement is not None and judgement.reasons:
        details |= {"course": judgement.course.value, "reasons": list(judgement.reasons)}
    return AuditNote(actor=actor, action=action, target=policy.id, details=details)


def watch(policy: Policy, prediction: Preview, *, now_ms: int) -> list[Operation]:
    """Return what has the refusals of a new policy compared with the prediction; nothing for most."""
    record = watch_record(policy, prediction, now_ms=now_ms)
    return [SideWrite(side=Side.WATCHED, name=policy.id, value=record)] if record else []


def watch_record(policy: Policy, prediction: Preview, *, now_ms: int) -> bytes:
    """Return what is kept of a policy whose refusals are compared with the prediction; empty for most."""
    if not is_watched(policy, prediction):
        return b""
    callers = max(prediction.users, prediction.devices, prediction.addresses)
    record = {"at_ms": now_ms, "per_minute": prediction.per_minute, "callers": callers}
    return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)


async def _commit(
    context: Context, operations: list[Operation], answer: Answer, request: Repeatable, *, now_ms: int
) -> Answer:
    done = await context.ledger.commit(operations, now_ms=now_ms, epoch_randomness=epoch(), once=request.once(answer))
    if done.answer is not None:
        return request.read(done.answer)
    if done.refused:
        raise refused(done.refused)
    seq = max(done.seqs)
    return replace(answer, body={**answer.body, "seq": seq}) if seq else answer
