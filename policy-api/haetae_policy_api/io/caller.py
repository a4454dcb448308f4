"""The caller of a request, known before its body is read: identified, allowed by the table, and no forgery.

Rules kept: frameworks read and parse a body before they ask who sent it; here nobody but a caller who may do the
operation makes this service read megabytes. An operation without a row in the table cannot be mounted.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from haetae_policy_api.io.browsers import check_change
from haetae_policy_api.io.identify import Identify
from haetae_policy_api.roles import OPERATIONS, Caller, require

_READS = frozenset({"GET", "HEAD"})


class GuardedRoute(APIRoute):
    """A route whose `operation_id` is in the table; raises KeyError at start for one that is not."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler with the caller's rights checked in front of it."""
        operation = self.operation_id or ""
        OPERATIONS[operation]
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            request.state.caller = await _admit(request, operation)
            return await handle(request)

        return guarded


async def _admit(request: Request, operation: str) -> Caller:
    identify: Identify = request.app.state.identify
    lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
    caller = await identify(lines)
    require(caller, operation)
    if request.method not in _READS:
        check_change(request.headers, origins=request.app.state.context.settings.origins)
    return caller


async def _admitted(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


Admitted = Annotated[Caller, Depends(_admitted)]
