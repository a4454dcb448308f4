"""Pages that change: a new block with its preview, taking back, extending, exceptions, second persons, judgements.

Rules kept: every change goes through the application layer, so guards and audit are the API's; what is destructive
says in words what will happen before the one button that does it.
"""

from typing import Any, Final
from urllib.parse import urlencode

from haetae_fds.io.feedback import Word
from haetae_policy.errors import PolicyInvalid, PolicyNotFound
from haetae_policy.faults import fault
from haetae_policy.model import KINDS, Policy
from starlette.responses import Response

from haetae_policy_api.console.forms import filled_of, policy_document, seconds
from haetae_policy_api.console.io.visit import Visit
from haetae_policy_api.errors import ApiProblem, Invalid, problem_of
from haetae_policy_api.faults import said
from haetae_policy_api.guards import judge
from haetae_policy_api.service import changes, explain, judging, pending

MOST_AT_ONCE: Final = 100
_PREFILLED: Final = (*KINDS, "ip", "gateway", "route", "method", "path", "action")


async def show_new(visit: Visit) -> Response:
    """The form of a new policy, filled in with what the address names; `instead`: the policy it shall stand in for."""
    filled = {name: text for name in _PREFILLED if (text := visit.query(name))}
    instead = await _instead(visit, visit.query("instead"))
    if instead is not None:
        filled = filled_of(instead, now_ms=visit.now_ms) | filled
        filled |= {"instead": instead.id, "instead_version": str(instead.version)}
    return visit.page("new.html", filled=filled, problem=None, instead=instead)


async def _instead(visit: Visit, policy_id: str) -> Policy | None:
    return await visit.context.store.get(policy_id) if policy_id else None


async def preview(visit: Visit) -> Response:
    """Whom it would have hit and what will become of it; stores nothing."""
    try:
        document = policy_document(visit.form)
        document.setdefault("action", "block")
        document.setdefault("reason", "-")  # not written yet while it is typed; the real request must have one
        policy = changes.read_request(visit.context, document, visit.caller, now_ms=visit.now_ms)
    except (Invalid, PolicyInvalid) as error:
        return visit.page("_preview.html", problem=_told(error), seen=None, judgement=None, policy=None)
    instead = await _instead(visit, visit.form.get("instead"))
    policies = [policy] if instead is None else [policy, instead]
    seen, *before = visit.context.traffic.preview_many(policies, now_ms=visit.now_ms)
    judgement = judge(policy, visit.caller, seen, settings=visit.context.settings, rules=visit.context.rules)
    return visit.page(
        "_preview.html", problem=None, seen=seen, judgement=judgement, policy=policy.to_dict(), before=before
    )


async def create(visit: Visit) -> Response:
    """Make the policy; a form that is not complete comes back with what is wrong.

    What it stands in for ends once it is in force: whoever it keeps out is never let in meanwhile. While it waits for
    a second person, nothing ends.
    """
    instead = await _instead(visit, visit.form.get("instead"))
    ends = () if instead is None else (_shown(f"{instead.id}@{visit.form.get('instead_version')}"),)
    try:
        made = await changes.create(
            visit.context, policy_document(visit.form), visit.caller, now_ms=visit.now_ms, key=None
        )
    except (Invalid, PolicyInvalid) as error:
        return visit.page("new.html", status=422, filled=visit.form.values, problem=_told(error), instead=instead)
    results = [await _ended(visit, *end) for end in ends] if made.body.get("seq") else []
    if any(result["problem"] for result in results):
        return visit.page("ended.html", results=results)
    return _made(visit, made.body)


def _told(error: Invalid | PolicyInvalid) -> ApiProblem:
    return error if isinstance(error, Invalid) else problem_of(error)


def _made(visit: Visit, body: Any) -> Response:
    where = f"/policies/{body['policy']['id']}"
    return visit.go(f"{where}?seq={body['seq']}&since={visit.now_ms}" if body.get("seq") else where)


async def show_end(visit: Visit) -> Response:
    """What taking policies back will do, in words, before it is done."""
    ids = list(dict.fromkeys(visit.request.query_params.getlist("id")))
    policies = [await visit.context.store.get(policy_id) for policy_id in _bounded(ids)]
    shown = await explain.with_hits(visit.context, policies)
    return visit.page("end.html", policies=shown, cause=bool(visit.query("cause")), problem=None)


async def end(visit: Visit) -> Response:
    """Take policies back, each at the version that was shown."""
    _check_reason(visit)
    results = [await _ended(visit, *_shown(item)) for item in _bounded(list(visit.form.ids))]
    if len(results) == 1 and results[0]["problem"] is None:
        return visit.go(f"/policies/{results[0]['id']}")
    return visit.page("ended.html", results=results)


def _shown(item: str) -> tuple[str, int]:
    """Return a policy and the version of it that was shown, of `id@version`."""
    policy_id, _, version = item.partition("@")
    if not (version.isascii() and version.isdigit() and len(version) <= 9):
        raise Invalid(said("form_incomplete"), errors=[("id", said("form_version"))])
    return policy_id, int(version)


async def _ended(visit: Visit, policy_id: str, version: int) -> dict[str, Any]:
    """Take one policy back at the version that was shown, and say what prevented it."""
    result: dict[str, Any] = {"id": policy_id, "problem": None}
    try:
        await _end_one(visit, policy_id, version, visit.form.get("reason"))
    except (ApiProblem, PolicyNotFound) as problem:
        result["problem"] = problem if isinstance(problem, ApiProblem) else problem_of(problem)
    return result


def _check_reason(visit: Visit) -> None:
    if not visit.form.get("reason"):
        raise Invalid(said("form_incomplete"), errors=[("reason", said("given"))])


async def _end_one(visit: Visit, policy_id: str, version: int, reason: str) -> None:
    await changes.revoke(
        visit.context, policy_id, version=version, reason=reason, caller=visit.caller, now_ms=visit.now_ms, key=None
    )


def _bounded(ids: list[str]) -> list[str]:
    if not 0 < len(ids) <= MOST_AT_ONCE:
        raise Invalid(said("choose", most=MOST_AT_ONCE))
    return ids


async def extend(visit: Visit) -> Response:
    """Give a policy another end, counted from now."""
    made = await changes.extend(
        visit.context,
        visit.request.path_params["policy_id"],
        version=seconds(visit.form, "version"),
        expires_ms=visit.now_ms // 1000 * 1000 + seconds(visit.form, "lasts_s") * 1000,
        caller=visit.caller,
        now_ms=visit.now_ms,
        key=None,
    )
    return _made(visit, made.body)


async def make_exception(visit: Visit) -> Response:
    """Let (part of) a policy's subject through."""
    document: dict[str, Any] = {"reason": visit.form.get("reason"), "lasts_s": seconds(visit.form, "lasts_s")}
    if narrower := {name: text for name in ("user", "device") if (text := visit.form.get(name))}:
        document["subject"] = narrower
    made = await changes.make_exception(
        visit.context,
        visit.request.path_params["policy_id"],
        document,
        visit.caller,
        now_ms=visit.now_ms,
        key=None,
    )
    return _made(visit, made.body)


async def approve(visit: Visit) -> Response:
    """Put a waiting policy in force."""
    made = await pending.approve(
        visit.context, visit.request.path_params["policy_id"], visit.caller, now_ms=visit.now_ms
    )
    return _made(visit, made.body)


async def reject(visit: Visit) -> Response:
    """Drop a waiting policy."""
    _check_reason(visit)
    policy_id, reason = visit.request.path_params["policy_id"], visit.form.get("reason")
    await pending.reject(visit.context, policy_id, visit.caller, reason=reason, now_ms=visit.now_ms)
    return visit.go("/pending")


async def judge_case(visit: Visit) -> Response:
    """Say whether the fraud detection was right, also after its policy has ended.

    After a false alarm, what is in force of the same cause is shown, to be taken back together.
    """
    policy_id = visit.request.path_params["policy_id"]
    judged = await judging.judge_case(
        visit.context, policy_id, word=_word(visit.form.get("word")), caller=visit.caller, now_ms=visit.now_ms
    )
    if judged.same_cause:
        return visit.go("/policies/end?cause=1&" + urlencode([("id", other) for other in judged.same_cause]))
    return visit.go(f"/policies/{policy_id}")


def _word(text: str) -> Word:
    try:
        return Word(text)
    except ValueError:
        raise Invalid(said("not_judged"), errors=[("word", fault("choice", choices=", ".join(Word)))]) from None
