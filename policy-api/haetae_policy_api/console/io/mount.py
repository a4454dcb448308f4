"""Puts the console onto the application: its pages, its files, nothing into the API's document."""

import time
from collections.abc import Callable
from typing import Final

from fastapi import FastAPI, Request
from haetae_policy.io.commands import Executor
from starlette.responses import Response

from haetae_policy_api.console.io import changing, live, reading
from haetae_policy_api.console.io.assets import load_assets
from haetae_policy_api.console.io.casebook import Casebook
from haetae_policy_api.console.io.shared import Shared
from haetae_policy_api.console.io.visit import GUARDS, Desk, Handler, make_environment, served
from haetae_policy_api.errors import NotFound
from haetae_policy_api.io.identify import Identify
from haetae_policy_api.service.context import Context

_ID: Final = "/{policy_id}"
PAGES: Final[tuple[tuple[str, str, str, Handler], ...]] = (
    ("GET", "/", "convergence", reading.show_overview),
    ("GET", "/live", "convergence", live.watch_overview),
    ("GET", "/search", "subject_timeline", reading.show_search),
    ("GET", "/policies", "list_policies", reading.show_policies),
    ("GET", "/policies/end", "revoke_policy", changing.show_end),
    ("POST", "/policies/end", "revoke_policy", changing.end),
    ("GET", f"/policies{_ID}", "list_policies", reading.show_policy),
    ("POST", f"/policies{_ID}/extend", "extend_policy", changing.extend),
    ("POST", f"/policies{_ID}/except", "except_policy", changing.make_exception),
    ("GET", "/hold/{seq:int}", "convergence", live.watch_hold),
    ("GET", "/new", "create_policy", changing.show_new),
    ("POST", "/new", "create_policy", changing.create),
    ("POST", "/new/preview", "create_policy", changing.preview),
    ("GET", "/pending", "list_pending", reading.show_pending),
    ("POST", f"/pending{_ID}/approve", "approve_pending", changing.approve),
    ("POST", f"/pending{_ID}/reject", "reject_pending", changing.reject),
    ("GET", "/cases", "list_cases", reading.show_cases),
    ("POST", f"/cases{_ID}/judge", "judge_case", changing.judge_case),
    ("GET", "/audit", "audit_list", reading.show_audit),
    ("GET", "/audit/verify", "audit_verify", reading.verify_audit),
)


def mount_console(
    app: FastAPI,
    context: Context,
    *,
    identify: Identify,
    client: Executor,
    deadline_s: float,
    clock: Callable[[], float] = time.time,
) -> Desk:
    """Add the console's routes to `app`."""
    assets = load_assets()
    settings = context.settings
    casebook = Casebook(client, prefix=settings.prefix, shards=settings.event_shards, deadline_s=deadline_s)
    desk = Desk(
        context=context,
        identify=identify,
        casebook=casebook,
        assets=assets,
        environment=make_environment(assets),
        shared=Shared(casebook),
        clock=clock,
    )
    for method, path, operation, handler in PAGES:
        app.router.add_route(path, served(desk, operation, handler), methods=[method], include_in_schema=False)

    async def static(request: Request) -> Response:
        asset = assets.static.get(request.path_params["name"])
        if asset is None:
            raise NotFound("there is no such file")
        fresh = request.query_params.get("v") == asset.digest
        caching = "public, max-age=31536000, immutable" if fresh else "no-cache"
        return Response(asset.body, 200, {**GUARDS, "Cache-Control": caching, "Content-Type": asset.kind})

    app.router.add_route("/static/{name:path}", static, methods=["GET"], include_in_schema=False)
    return desk
