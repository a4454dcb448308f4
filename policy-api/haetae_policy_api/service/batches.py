"""Batches: thousands of policies that all take effect or none.

One long transaction would hold up every gateway that waits for the store. So the whole batch is first written down
as one record, with its audit entry: from then on it will happen. Its policies follow in short transactions; whoever
runs the service finishes what a killed process left (`finish_all`). Before the record is written, nothing happens.

What the ledger refuses later is skipped and told: a subject that became full, a policy that expired meanwhile, and in a
batch that was left behind what rules that are stricter by now do not allow any more.
"""

import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import orjson
from haetae_policy.audit import AuditNote
from haetae_policy.errors import PolicyInvalid
from haetae_policy.identifiers import RANDOM_BYTES, make_policy_id
from haetae_policy.io.ledger import PRESENT, NewPolicy, Side, SideWrite
from haetae_policy.model import Policy
from haetae_policy.parse import read_policy

from haetae_policy_api.errors import Invalid
from haetae_policy_api.guards import Course, check_rate, judge
from haetae_policy_api.roles import Caller
from haetae_policy_api.service.answers import Answer, Repeatable, refused
from haetae_policy_api.service.changes import RequestReader, watch_record
from haetae_policy_api.service.context import Context, epoch
from haetae_policy_api.traffic import Preview

CHUNK: Final = 256
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
    news = _new(_read_all(context, documents, caller, now_ms=now_ms), now_ms=now_ms)
    if caller.is_machine:
        check_rate(await context.ledger.spend(caller.name, len(news), now_ms=now_ms), settings=context.settings)
    batch_id = make_policy_id(now_ms=now_ms, randomness=os.urandom(RANDOM_BYTES)).replace("pol_", "bat_")
    record = orjson.dumps(
        {"by": caller.name, "at_ms": now_ms, "policies": [orjson.Fragment(new.document) for new in news]},
        option=orjson.OPT_SORT_KEYS,
    )
    answer = Answer(status=201, body={"batch": batch_id, "ids": [new.policy.id for new in news]})
    note = AuditNote(actor=caller.name, action="batch", target=batch_id, details={"count": len(news)})
    context.at_work.add(batch_id)
    try:
        done = await context.ledger.commit(
            [SideWrite(side=Side.BATCHES, name=batch_id, value=record), note],
            now_ms=now_ms,
            epoch_randomness=epoch(),
            once=request.once(answer),
        )
        if done.answer is not None:
            await finish_all(context, now_ms=now_ms)
            return request.read(done.answer)
        seq, skipped = await _finish(context, batch_id, news, caller.name, now_ms=now_ms, skipped=[])
    finally:
        context.at_work.discard(batch_id)
    return Answer(status=201, body={**answer.body, "seq": seq, "skipped": skipped})


async def finish_left(context: Context, *, now_ms: int) -> int:
    """Finish the batches that nobody here is storing: those of a process that was killed. Returns how many."""
    begun = await context.ledger.sides(Side.BATCHES)
    return await _finish_each(
        context, {name: record for name, record in begun.items() if name not in context.at_work}, now_ms=now_ms
    )


async def finish_all(context: Context, *, now_ms: int) -> int:
    """Finish every batch that was begun; return how many there were. Running it twice at once is harmless."""
    return await _finish_each(context, await context.ledger.sides(Side.BATCHES), now_ms=now_ms)


async def _finish_each(context: Context, begun: Mapping[str, bytes], *, now_ms: int) -> int:
    for batch_id, record in begun.items():
        batch = orjson.loads(record)
        policies = [read_policy(document) for document in batch["policies"]]
        # Rules may have become stricter since: one that breaks them must not keep the others, nor other batches.
        barred = {policy.id for policy in policies if context.rules.problems(policy)}
        skipped = [{"id": policy_id, "why": "rules"} for policy_id in await context.store.unknown(sorted(barred))]
        policies = [policy for policy in policies if policy.id not in barred]
        predictions = context.traffic.preview_many(policies, now_ms=now_ms)
        news = _new(list(zip(policies, predictions, strict=True)), now_ms=now_ms)
        await _finish(context, batch_id, news, batch["by"], now_ms=now_ms, skipped=skipped)
    return len(begun)


def _read_all(
    context: Context, documents: Sequence[Mapping[str, Any]], caller: Caller, *, now_ms: int
) -> list[tuple[Policy, Preview]]:
    """Return the policies, each with its prediction; raises Invalid, NotAllowed."""
    policies: list[Policy] = []
    numbers: list[int] = []
    errors: list[tuple[str, str]] = []
    read = RequestReader(context, caller, now_ms=now_ms)
    for number, document in enumerate(documents):
        try:
            policies.append(read(document))
            numbers.append(number)
        except PolicyInvalid as error:
            errors += [(f"{number}.{problem.field}", problem.message) for problem in error.problems]
        except Invalid as error:
            errors += [(f"{number}.{name}", message) for name, message in error.errors]
        if len(errors) >= MAX_ERRORS:
            break
    judged: list[tuple[Policy, Preview]] = []
    predictions = context.traffic.preview_many(policies, now_ms=now_ms)
    for number, policy, prediction in zip(numbers, policies, predictions, strict=True):
        judgement = judge(policy, caller, prediction, settings=context.settings, rules=context.rules)
        if judgement.course is Course.PENDING:
            errors.append((str(number), "needs a second person; ask for it by itself"))
        judged.append((judgement.policy, prediction))
    if errors:
        raise Invalid("the batch is not valid; nothing of it was stored", errors=errors[:MAX_ERRORS])
    return judged


def _new(judged: Sequence[tuple[Policy, Preview]], *, now_ms: int) -> list[NewPolicy]:
    """What the ledger stores of each: its document, made once, and what its refusals will be compared with."""
    return [
        NewPolicy(policy=policy, document=policy.to_json(), watch=watch_record(policy, prediction, now_ms=now_ms))
        for policy, prediction in judged
    ]


async def _finish(
    context: Context,
    batch_id: str,
    news: Sequence[NewPolicy],
    by: str,
    *,
    now_ms: int,
    skipped: Sequence[dict[str, str]],
) -> tuple[int, list[dict[str, str]]]:
    seq = 0
    skipped = list(skipped)
    for start in range(0, len(news), CHUNK):
        chunk_seq, chunk_skipped = await _store_chunk(
            context, list(news[start : start + CHUNK]), by, batch_id, now_ms=now_ms
        )
        seq = max(seq, chunk_seq)
        skipped += chunk_skipped
    note = AuditNote(actor=by, action="batch.done", target=batch_id, details={"skipped": len(skipped)})
    await context.ledger.commit(
        [SideWrite(side=Side.BATCHES, name=batch_id, value=None, expected=PRESENT), note],
        now_ms=now_ms,
        epoch_randomness=epoch(),
    )
    return seq, skipped


async def _store_chunk(
    context: Context, news: list[NewPolicy], by: str, batch_id: str, *, now_ms: int
) -> tuple[int, list[dict[str, str]]]:
    """Store what can be stored; policies that are there already count as stored."""
    seq = 0
    skipped: list[dict[str, str]] = []
    while news:
        done = await context.ledger.add_all(news, _note(news, by, batch_id), now_ms=now_ms, epoch_randomness=epoch())
        if not done.refused:
            return max(seq, *done.seqs), skipped
        left = []
        for new, status in zip(news, done.refused, strict=True):
            word, _, value = status.partition(" ")
            if word == "ok":
                left.append(new)
            elif word == "same":
                seq = max(seq, int(value))
            elif word not in ("conflict", "ended"):  # those two were stored, then changed or taken back
                skipped.append({"id": new.policy.id, "why": word})
        if len(left) == len(news):
            raise refused(done.refused)
        news = left
    return seq, skipped


def _note(news: Sequence[NewPolicy], by: str, batch_id: str) -> AuditNote:
    """One entry for a transaction's policies: their identifiers, and a digest that binds what each of them said."""
    digest = sha256(b"\n".join(new.document for new in news)).hexdigest()
    details = {"policies": [new.policy.id for new in news], "documents_sha256": digest}
    return AuditNote(actor=by, action="create", target=batch_id, details=details)
