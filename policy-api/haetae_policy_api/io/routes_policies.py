"""Routes that make, change, end, list and explain policies. They translate; the services decide."""

import re
import time
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from haetae_fds.io.feedback import Word
from starlette.responses import Response

from haetae_policy_api.errors import Invalid, RequestMalformed, VersionRequired
from haetae_policy_api.io.answers import answer, documented, json
from haetae_policy_api.io.caller import Admitted, GuardedRoute
from haetae_policy_api.io.schemas import Batch, Because, ExceptionBody, Extension, NewPolicy, Verdict
from haetae_policy_api.service import batches, changes, explain, judging, listing, pending
from haetae_policy_api.service.context import Context

router = APIRouter(prefix="/v1", route_class=GuardedRoute)
_ETAG = re.compile(r'"([1-9][0-9]{0,9})"', re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
PolicyId = Annotated[str, Path(pattern="^pol_[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=128)]
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=64)]
Limit = Annotated[int, Query(ge=1, le=500)]
Short = Annotated[str | None, Query(min_length=1, max_length=256)]
OBJECT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Done", "content": {"application/json": {"schema": {"type": "object"}}}}
}
CREATED: dict[int | str, dict[str, Any]] = {
    201: {"description": "Stored", "content": {"application/json": {"schema": {"type": "object"}}}},
    202: {"description": "Waits for a second person", "content": {"application/json": {"schema": {"type": "object"}}}},
}


def context_of(request: Request) -> Context:
    """The services' context of this application."""
    context: Context = request.app.state.context
    return context


def now_ms() -> int:
    """Unix milliseconds."""
    return int(time.time() * 1000)


def version_of(if_match: str | None) -> int:
    """Return the version that `If-Match` names; raises VersionRequired, RequestMalformed."""
    if if_match is None:
        raise VersionRequired("say which version you change: If-Match with the policy's ETag")
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise RequestMalformed('If-Match holds one version, such as "1"')
    return int(found[1])


@router.post(
    "/policies",
    operation_id="create_policy",
    status_code=201,
    response_class=Response,
    responses={**CREATED, **documented(409, 415, 413, 429)},
)
async def create_policy(request: Request, body: NewPolicy, caller: Admitted, key: Key = None) -> Response:
    """Make a policy. 202: it waits for a second person."""
    made = await changes.create(context_of(request), body.document(), caller, now_ms=now_ms(), key=key)
    return answer(made)


@router.post(
    "/policies/batch",
    operation_id="create_batch",
    status_code=201,
    response_class=Response,
    responses={**CREATED, **documented(409, 415, 413, 429)},
)
async def create_batch(request: Request, body: Batch, caller: Admitted, key: Key = None) -> Response:
    """Make thousands of policies: all take effect or none."""
    context = context_of(request)
    return answer(await batches.create_batch(context, body.documents(), caller, now_ms=now_ms(), key=key))


@router.post(
    "/policies/preview",
    operation_id="preview_policy",
    response_class=Response,
    responses={**OBJECT, **documented(413, 415)},
)
async def preview_policy(request: Request, body: NewPolicy, caller: Admitted) -> Response:
    """Whom a policy would have hit in the last minutes. Stores nothing."""
    context, now = context_of(request), now_ms()
    policy = changes.read_request(context, body.document(), caller, now_ms=now)
    return json(context.traffic.preview(policy, now_ms=now).to_dict())


@router.get("/policies", operation_id="list_policies", response_class=Response, responses={**OBJECT, **documented(404)})
async def list_policies(
    request: Request,
    caller: Admitted,
    action: Short = None,
    mode: Short = None,
    source: Short = None,
    by: Short = None,
    user: Short = None,
    device: Short = None,
    gateway: Short = None,
    route: Short = None,
    ticket: Short = None,
    limit: Limit = 100,
    after: Annotated[str | None, Query(pattern="^pol_[0-7][0-9A-HJKMNP-TV-Z]{25}$")] = None,
) -> Response:
    """Policies in force, newest first, with their hits; `next` continues."""
    values = (action, mode, source, by, user, device, gateway, route, ticket)
    filters = {name: value for name, value in zip(listing.FILTERS, values, strict=True) if value is not None}
    return json(
        await listing.list_policies(context_of(request), filters=filters, limit=limit, after=after, now_ms=now_ms())
    )


@router.get(
    "/policies/{policy_id}", operation_id="get_policy", response_class=Response, responses={**OBJECT, **documented(404)}
)
async def get_policy(request: Request, policy_id: PolicyId, caller: Admitted) -> Response:
    """One policy in force, with its hits; its ETag is for changes."""
    context = context_of(request)
    held = await context.store.get(policy_id)
    [shown] = await explain.with_hits(context, [held])
    return json(shown, version=held.version)


@router.post(
    "/policies/{policy_id}/revoke",
    operation_id="revoke_policy",
    response_class=Response,
    responses={**OBJECT, **documented(404, 409, 412, 413, 415, 428)},
)
async def revoke_policy(
    request: Request,
    policy_id: PolicyId,
    body: Because,
    caller: Admitted,
    key: Key = None,
    if_match: IfMatch = None,
) -> Response:
    """Take a policy back."""
    return answer(
        await changes.revoke(
            context_of(request),
            policy_id,
            version=version_of(if_match),
            reason=body.reason,
            caller=caller,
            now_ms=now_ms(),
            key=key,
        )
    )


@router.post(
    "/policies/{policy_id}/extend",
    operation_id="extend_policy",
    response_class=Response,
    responses={**OBJECT, **documented(404, 409, 412, 413, 415, 428)},
)
async def extend_policy(
    request: Request,
    policy_id: PolicyId,
    body: Extension,
    caller: Admitted,
    key: Key = None,
    if_match: IfMatch = None,
) -> Response:
    """Give a policy another end."""
    now = now_ms()
    return answer(
        await changes.extend(
            context_of(request),
            policy_id,
            version=version_of(if_match),
            expires_ms=_expires(body, now),
            caller=caller,
            now_ms=now,
            key=key,
        )
    )


@router.post(
    "/policies/{policy_id}/except",
    operation_id="except_policy",
    status_code=201,
    response_class=Response,
    responses={**CREATED, **documented(404, 409, 413, 415, 429)},
)
async def except_policy(
    request: Request,
    policy_id: PolicyId,
    body: ExceptionBody,
    caller: Admitted,
    key: Key = None,
) -> Response:
    """Make an exception to a policy: an `allow` policy for its subject or a part of it."""
    return answer(
        await changes.make_exception(context_of(request), policy_id, body.document(), caller, now_ms=now_ms(), key=key)
    )


@router.post(
    "/policies/{policy_id}/verdict",
    operation_id="judge_policy",
    response_class=Response,
    responses={**OBJECT, **documented(404, 409, 413, 415)},
)
async def judge_policy(request: Request, policy_id: PolicyId, body: Verdict, caller: Admitted) -> Response:
    """Say whether the fraud detection was right, also after its policy has ended. A false alarm takes it back."""
    judged = await judging.judge_case(
        context_of(request), policy_id, word=Word(body.word), caller=caller, now_ms=now_ms(), sweep=body.same_cause
    )
    told = {"id": policy_id, "word": body.word, "revoked": judged.revoked, "same_cause": judged.same_cause}
    return json(told)


@router.get("/pending", operation_id="list_pending", response_class=Response, responses={**OBJECT, **documented()})
async def list_pending(request: Request, caller: Admitted) -> Response:
    """Policies that wait for a second person."""
    return json({"pending": await pending.list_pending(context_of(request))})


@router.post(
    "/pending/{policy_id}/approve",
    operation_id="approve_pending",
    response_class=Response,
    responses={**OBJECT, **documented(404, 409, 413, 415)},
)
async def approve_pending(request: Request, policy_id: PolicyId, caller: Admitted) -> Response:
    """Put a waiting policy in force; another person than asked for it."""
    return answer(await pending.approve(context_of(request), policy_id, caller, now_ms=now_ms()))


@router.post(
    "/pending/{policy_id}/reject",
    operation_id="reject_pending",
    response_class=Response,
    responses={**OBJECT, **documented(404, 409, 413, 415)},
)
async def reject_pending(
    request: Request,
    policy_id: PolicyId,
    body: Because,
    caller: Admitted,
) -> Response:
    """Drop a waiting policy."""
    return answer(await pending.reject(context_of(request), policy_id, caller, reason=body.reason, now_ms=now_ms()))


def _expires(body: Extension, now: int) -> int:
    if (body.expires is None) == (body.lasts_s is None):
        raise Invalid("give exactly one of expires and lasts_s")
    if body.lasts_s is not None:
        return now // 1000 * 1000 + body.lasts_s * 1000
    text = body.expires or ""
    try:
        if not _TIME.fullmatch(text):
            raise ValueError
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        message = "must be a time such as 2026-05-01T10:00:00Z"
        raise Invalid("the policy is not valid", errors=[("expires", message)]) from None
    return int(moment.timestamp()) * 1000
