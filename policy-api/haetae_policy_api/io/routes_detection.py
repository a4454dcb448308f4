"""Routes about the fraud detection as a whole: its switch, and taking back what it did lately."""

from fastapi import APIRouter
from haetae_fds.decision import Mode
from starlette.requests import Request
from starlette.responses import Response

from haetae_policy_api.io.answers import documented, json
from haetae_policy_api.io.caller import Admitted, GuardedRoute
from haetae_policy_api.io.routes_policies import OBJECT, context_of, now_ms
from haetae_policy_api.io.schemas import Switch, Undo
from haetae_policy_api.service import detection

router = APIRouter(prefix="/v1/detection", route_class=GuardedRoute)


@router.get("", operation_id="show_detection", response_class=Response, responses={**OBJECT, **documented()})
async def show_detection(request: Request, caller: Admitted) -> Response:
    """What is set above the workers' own settings, for everything (`mode`, null where nothing is) and by detector; and
    how people judged detectors in the last seven days.
    """
    return json(await detection.show(context_of(request), now_ms=now_ms()))


@router.post(
    "/mode",
    operation_id="turn_detection",
    response_class=Response,
    responses={**OBJECT, **documented(413, 415)},
)
async def turn_detection(request: Request, body: Switch, caller: Admitted) -> Response:
    """Set the mode of one detector or of all. Anything but `enforce` also ends what they did."""
    mode = Mode(body.mode)
    ended = await detection.turn(context_of(request), body.detector, mode, caller, clock_ms=now_ms)
    return json({"detector": body.detector, "mode": mode.value, **ended})


@router.post(
    "/undo",
    operation_id="undo_detection",
    response_class=Response,
    responses={**OBJECT, **documented(413, 415)},
)
async def undo_detection(request: Request, body: Undo, caller: Admitted) -> Response:
    """Take back what one detector or all did in the last minutes."""
    return json(await detection.undo(context_of(request), body.detector, body.minutes, caller, now_ms=now_ms()))
