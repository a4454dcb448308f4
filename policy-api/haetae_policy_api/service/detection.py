"""The fraud detection's switch and its undo: application functions over what every worker follows.

Rules kept: what is set here stands above the workers' settings; every change is in the audit trail. Times are Unix
milliseconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

from haetae_fds.decision import Mode
from haetae_fds.io.feedback import tally
from haetae_fds.io.modes import OVERALL, Modes, has_switch, take_back, turn_mode
from haetae_policy.model import Policy

from haetae_policy_api.errors import Invalid, Unavailable
from haetae_policy_api.faults import said
from haetae_policy_api.roles import Caller
from haetae_policy_api.service.context import Context

_NAMED: Final = 500
_WEEK_MS: Final = 7 * 86_400_000


async def show(context: Context, *, now_ms: int) -> dict[str, Any]:
    """Return what is set, and how detectors were judged in the last seven days."""
    found = {name: mode.value for name, mode in (await _modes(context).read()).items()}
    judged = {} if context.labels is None else await tally(context.labels, since_ms=now_ms - _WEEK_MS)
    return {
        "mode": found.pop(OVERALL, None),
        "detectors": dict(sorted(found.items())),
        "judged": {name: {**asdict(one), "precision": one.precision} for name, one in judged.items()},
    }


async def turn(
    context: Context, detector: str | None, mode: Mode, caller: Caller, *, clock_ms: Callable[[], int]
) -> dict[str, Any]:
    """Set a mode; below `enforce`, end what acts. Raises Invalid for a detector that there is not."""
    ended = await turn_mode(
        _modes(context),
        context.store,
        context.ledger,
        detector=_known(detector),
        mode=mode,
        by=caller.name,
        clock_ms=clock_ms,
    )
    return _told(ended)


async def undo(context: Context, detector: str | None, minutes: int, caller: Caller, *, now_ms: int) -> dict[str, Any]:
    """End what was made in the last minutes. Raises Invalid for a detector that there is not."""
    since = now_ms - minutes * 60_000
    ended = await take_back(
        context.store, context.ledger, detector=_known(detector), since_ms=since, by=caller.name, now_ms=now_ms
    )
    return _told(ended)


def _modes(context: Context) -> Modes:
    if context.modes is None:
        raise Unavailable("the fraud detection's switch is not here")
    return context.modes


def _known(detector: str | None) -> str | None:
    if detector is not None and not has_switch(detector):
        raise Invalid(said("detector_unknown"), errors=[("detector", said("detector_unknown"))])
    return detector


def _told(ended: Sequence[Policy]) -> dict[str, Any]:
    return {"ended": len(ended), "policies": [policy.id for policy in ended[:_NAMED]]}
