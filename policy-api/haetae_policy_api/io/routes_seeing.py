"""Routes that explain and show: why, subjects, the feed, convergence, the audit trail."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request
from haetae_policy.audit import parse_anchor
from haetae_policy.errors import AuditBroken
from starlette.responses import Response, StreamingResponse

from haetae_policy_api.errors import Invalid
from haetae_policy_api.io.answers import documented, json
from haetae_policy_api.io.caller import Admitted, GuardedRoute
from haetae_policy_api.io.feed import Feed
from haetae_policy_api.io.routes_policies import OBJECT, Limit, Short, context_of, now_ms
from haetae_policy_api.service import explain, listing

router = APIRouter(prefix="/v1", route_class=GuardedRoute)


@router.get("/why", operation_id="why", response_class=Response, responses={**OBJECT, **documented(404)})
async def why(
    request: Request,
    caller: Admitted,
    reference: Annotated[str | None, Query(min_length=8, max_length=64)] = None,
    kind: Short = None,
    value: Short = None,
) -> Response:
    """Why somebody was refused: by the reference of a refusal, or by `kind` and `value` of a subject."""
    context = context_of(request)
    if reference is not None and kind is None and value is None:
        return json(await explain.why_reference(context, reference, now_ms=now_ms()))
    if reference is None and kind is not None and value is not None:
        return json({"policies": await explain.why_subject(context, kind, value)})
    raise Invalid("give either reference, or kind and value")


@router.get(
    "/subjects/{kind}/{value:path}",
    operation_id="subject_timeline",
    response_class=Response,
    responses={**OBJECT, **documented(404)},
)
async def subject_timeline(
    request: Request,
    kind: Annotated[str, Path(max_length=16)],
    value: Annotated[str, Path(max_length=256)],
    caller: Admitted,
    limit: Limit = 200,
) -> Response:
    """What is known of a subject, newest first."""
    return json(await explain.timeline(context_of(request), kind, value, now_ms=now_ms(), limit=limit))


@router.get("/convergence", operation_id="convergence", response_class=Response, responses={**OBJECT, **documented()})
async def convergence(request: Request, caller: Admitted) -> Response:
    """What each live worker of the gateways has applied."""
    return json(await listing.convergence(context_of(request), now_ms=now_ms()))


@router.get(
    "/convergence/{seq}",
    operation_id="policy_convergence",
    response_class=Response,
    responses={**OBJECT, **documented()},
)
async def policy_convergence(
    request: Request,
    seq: Annotated[int, Path(ge=0, le=2**53 - 1)],
    caller: Admitted,
    since_ms: Annotated[int | None, Query(ge=0, le=2**48)] = None,
) -> Response:
    """On how many workers the change with this number is in force; `since_ms` is when it was asked for."""
    return json(await listing.in_force(context_of(request), seq, since_ms=since_ms, now_ms=now_ms()))


@router.get("/feed", operation_id="feed_snapshot", response_class=Response, responses={**OBJECT, **documented(429)})
async def feed_snapshot(request: Request, caller: Admitted) -> Response:
    """Every policy in force as the edges hold it, and the place in the log to follow from."""
    feed: Feed = request.app.state.feed
    return json(await feed.snapshot())


@router.get(
    "/feed/follow",
    operation_id="feed_follow",
    response_class=Response,
    responses={200: {"description": "Server-sent events", "content": {"text/event-stream": {}}}, **documented(429)},
)
async def feed_follow(
    request: Request,
    caller: Admitted,
    after: Annotated[str | None, Query(max_length=40)] = None,
    last: Annotated[str | None, Header(alias="Last-Event-ID", max_length=40)] = None,
) -> Response:
    """Changes after a place in the log, as server-sent events, until the client goes."""
    feed: Feed = request.app.state.feed
    events = await feed.follow(last or after or "0-0")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


@router.get("/audit", operation_id="audit_list", response_class=Response, responses={**OBJECT, **documented(409)})
async def audit_list(
    request: Request,
    caller: Admitted,
    before: Annotated[int | None, Query(ge=1, le=2**53 - 1)] = None,
    limit: Limit = 100,
) -> Response:
    """Who changed what, newest first; `next` continues as `before`."""
    return json(await listing.audit_list(context_of(request), before=before, limit=limit))


@router.get(
    "/audit/verify", operation_id="audit_verify", response_class=Response, responses={**OBJECT, **documented(409)}
)
async def audit_verify(
    request: Request,
    caller: Admitted,
    anchor: Annotated[str | None, Query(max_length=90)] = None,
) -> Response:
    """Check the whole trail, and against a head kept elsewhere. 409: it was tampered with."""
    try:
        kept = None if anchor is None else parse_anchor(anchor)
    except AuditBroken as error:
        raise Invalid(str(error)) from error
    return json(await listing.audit_verify(context_of(request), anchor=kept))
