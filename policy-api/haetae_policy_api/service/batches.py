"""Batches: thousands of policies that all take effect or none.

One long transaction would hold up every gateway that waits for the store. So the whole batch is first written down
as one record, with its audit entry: from then on it will happen. Its policies follow in short transactions; whoever
runs the service finishes what a killed process left (`finish_all`). Before the record is written, nothing happens.

What the ledger refuses later (a subject that became full, a policy that expired meanwhile) is skipped and told.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from haetae_policy.audit import AuditNote
from haetae_policy.errors import PolicyInvalid
from haetae_policy.identifiers import RANDOM_BYTES, make_policy_id
from haetae_policy.io.ledger import Operation, PutPolicy, Side, SideWrite
from haetae_policy.model import Policy
from haetae_policy.parse import read_policy

from haetae_policy_api.errors import Invalid
from haetae_policy_api.guards import Course, check_rate, judge
from haetae_policy_api.roles import Caller
from haetae_policy_api.service.answers import Answer, Repeatable, refused
from haetae_policy_api.service.changes import note_of, read_request, watch
from haetae_policy_api.service.context import Context, epoch

CHUNK: Final = 100
MAX_ERRORS: Final = 100


async def create_batch(
    context: Context, documents: Sequence[Mapping[str, Any]], caller: Caller, *, now_ms: int, key: str | None
) -> Answer:
    """Make all policies of a batch. A single one that is not valid, or needs a second person, refuses the batch."""
    request = Repeatable(context, caller, "batch", key, documents)
    if (earlier := await request.earlier()) is not None:
        await finish_all(context, now_ms=now_ms)
        return earlier
    if not 1 <= len(documents) <= context.settings.batch:
        raise Invalid(f"a batch has 1 to {context.settings.batch} policies")
    policies = _read_all(context, documents, caller, now_ms=now_ms)
    if caller.is_machine:
        check_rate(await context.ledger.spend(caller.name, len(policies), now_ms=now_ms), settings=context.settings)
    batch_id = make_policy_id(now_ms=now_ms, randomness=os.urandom(RANDOM_BYTES)).replace("pol_", "bat_")
    record = orjson.dumps(
        {"by": caller.name, "at_ms": now_ms, "policies": [policy.to_dict() for policy in policies]},
        option=orjson.OPT_SORT_KEYS,
    )
    answer = Answer(status=201, body={"batch": batch_id, "ids": [policy.id for policy in policies]})
    note = AuditNote(actor=caller.name, action="batch", target=batch_id, details={"policies": len(policies)})
    done = await context.ledger.commit(
        [SideWrite(side=Side.BATCHES, name=batch_id, value=record), note],
        now_ms=now_ms,
        epoch_randomness=epoch(),
        once=request.once(answer),
    )
    if done.answer is not None:
        await finish_all(context, now_ms=now_ms)
        return request.read(done.answer)
    seq, skipped = await _finish(context, batch_id, record, now_ms=now_ms)
    return Answer(status=201, body={**answer.body, "seq": seq, "skipped": skipped})


async def finish_all(context: Context, *, now_ms: int) -> int:
    """Finish every batch that was begun; return how many there were. Running it twice at once is harmless."""
    begun = await context.ledger.sides(Side.BATCHES)
    for batch_id, record in begun.items():
        await _finish(context, batch_id, record, now_ms=now_ms)
    return len(begun)


def _read_all(context: Context, documents: Sequence[Mapping[str, Any]], caller: Caller, *, now_ms: int) -> list[Policy]:
    policies: list[Policy] = []
    errors: list[tuple[str, str]] = []
    many = len(documents) > CHUNK
    for number, document in enumerate(documents):
        try:
            policy = read_request(context, document, caller, now_ms=now_ms)
            # Thousands of previews over the recent traffic would take minutes: only policies that can hit more than
            # one caller are predicted in a large batch.
            narrow = many and bool(policy.subject.named())
            traffic = context.traffic.preview(policy, now_ms=now_ms if not narrow else 1 << 52)
            judgement = judge(policy, caller, traffic, settings=context.settings, rules=context.rules)
        except PolicyInvalid as error:
            errors += [(f"{number}.{problem.field}", problem.message) for problem in error.problems]
        except Invalid as error:
            errors += [(f"{number}.{name}", message) for name, message in error.errors]
        else:
            if judgement.course is Course.PENDING:
                errors.append((str(number), "needs a second person; ask for it by itself"))
            policies.append(judgement.policy)
        if len(errors) >= MAX_ERRORS:
            break
    if errors:
        raise Invalid("the batch is not valid; nothing of it was stored", errors=errors[:MAX_ERRORS])
    return policies


async def _finish(context: Context, batch_id: str, record: bytes, *, now_ms: int) -> tuple[int, list[dict[str, str]]]:
    batch = orjson.loads(record)
    policies = [read_policy(document) for document in batch["policies"]]
    seq = 0
    skipped: list[dict[str, str]] = []
    for start in range(0, len(policies), CHUNK):
        chunk_seq, chunk_skipped = await _store_chunk(
            context, policies[start : start + CHUNK], batch["by"], batch_id, now_ms=now_ms
        )
        seq = max(seq, chunk_seq)
        skipped += chunk_skipped
    note = AuditNote(actor=batch["by"], action="batch.done", target=batch_id, details={"skipped": len(skipped)})
    await context.ledger.commit(
        [SideWrite(side=Side.BATCHES, name=batch_id, value=None, expected=record), note],
        now_ms=now_ms,
        epoch_randomness=epoch(),
    )
    return seq, skipped


async def _store_chunk(
    context: Context, policies: list[Policy], by: str, batch_id: str, *, now_ms: int
) -> tuple[int, list[dict[str, str]]]:
    """Store what can be stored; policies that are there already count as stored."""
    seq = 0
    skipped: list[dict[str, str]] = []
    while policies:
        operations: list[Operation] = [PutPolicy(policy=policy, expected=0) for policy in policies]
        for policy in policies:
            prediction = context.traffic.preview(policy, now_ms=now_ms) if policy.subject.ip is not None else None
            operations.append(_note(policy, by, batch_id))
            if prediction is not None:
                operations += watch(policy, prediction, now_ms=now_ms)
        done = await context.ledger.commit(operations, now_ms=now_ms, epoch_randomness=epoch())
        if not done.refused:
            return max(seq, *done.seqs), skipped
        left = []
        for policy, status in zip(policies, done.refused, strict=False):
            word, _, value = status.partition(" ")
            if word == "ok":
                left.append(policy)
            elif word == "same":
                seq = max(seq, int(value))
            elif word not in ("conflict", "ended"):  # those two were stored, then changed or taken back
                skipped.append({"id": policy.id, "why": word})
        if len(left) == len(policies):
            raise refused(done.refused)
        policies = left
    return seq, skipped


def _note(policy: Policy, by: str, batch_id: str) -> AuditNote:
    note = note_of("create", policy, by)
    return AuditNote(actor=by, action=note.action, target=note.target, details={**note.details, "batch": batch_id})
