"""The caller of a request, as a dependency of every operation: identified, allowed by the table, and no forgery."""

from collections.abc import Awaitable, Callable

from fastapi import Request

from haetae_policy_api.io.browsers import check_change
from haetae_policy_api.io.identify import Identify
from haetae_policy_api.roles import OPERATIONS, Caller, require

_READS = frozenset({"GET", "HEAD"})


def allowed(operation: str) -> Callable[[Request], Awaitable[Caller]]:
    """Return the dependency of `operation`; raises KeyError at start for one that is not in the table."""
    OPERATIONS[operation]

    async def dependency(request: Request) -> Caller:
        identify: Identify = request.app.state.identify
        lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        caller = await identify(lines)
        require(caller, operation)
        if request.method not in _READS:
            check_change(request.headers, origins=request.app.state.context.settings.origins)
        return caller

    return dependency
