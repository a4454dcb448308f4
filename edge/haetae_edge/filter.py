"""What a filter is: its arguments as a frozen dataclass, its place in the order, and the steps it compiles to.

A filter file holds one class. Its fields are its arguments, under Spring Cloud Gateway's names in snake case
(`matchTrailingSlash` is `match_trailing_slash`); `shortcut` lists them in the order of the `Name=a,b` form. Checks on
argument values are in `__post_init__` and raise ValueError with a sentence that says what to write; the loader adds
file and line. `build` runs once per route, at start; nothing about configuration is looked at again afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from haetae_edge.exchange import Around, Exchange, Response, ResponseStep, Step
    from haetae_edge.services import Services


class Phase(IntEnum):
    """The fixed order of a request. A route lists its filters in this order; the loader refuses any other."""

    TRANSPORT = 0
    EARLY_BLOCK = 1
    AUTHENTICATE = 2
    CLAIM = 3
    LATE_BLOCK = 4
    AUTHORIZE = 5
    OPEN_BODY = 6
    SANITIZE = 7
    INJECT = 8
    RESILIENCE = 9
    RESPONSE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What a filter does: steps on the way in with their phases, a wrapper around sending, a step on the way out.

    Response steps run in the reverse of the filters' order, as in Spring Cloud Gateway. `preflight` answers a browser's
    question whether it may make a call (CORS) in the place of all other steps but the early blocks.
    """

    request: tuple[tuple[Phase, Step], ...] = ()
    around: Around | None = None
    response: ResponseStep | None = None
    preflight: Callable[[Exchange], Response] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContext:
    """What a filter may know and use when it is compiled into a route.

    `auth_events`: the upstream checks credentials and reports what came of it.
    """

    gateway: str
    route_id: str
    upstream: str
    services: Services
    auth_events: bool = False


class Filter(Protocol):
    """The shape of every class in `filters/`."""

    phase: ClassVar[Phase]
    shortcut: ClassVar[tuple[str, ...]]

    def build(self, context: BuildContext) -> Steps:
        """Compile for one route."""
        ...


def in_order(built: Iterable[Steps], *, only: Phase | None = None) -> tuple[Step, ...]:
    """The steps of a route's filters on the way in, by phase and then as listed; those of one phase with `only`."""
    placed = [placed for steps in built for placed in steps.request if only in (None, placed[0])]
    return tuple(step for _, step in sorted(placed, key=lambda pair: pair[0]))
