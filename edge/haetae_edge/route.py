"""A route, as configured and as compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from haetae_edge.exchange import Exchange, Response, ResponseStep, Send, Step
from haetae_edge.filter import Filter, Phase, Steps, in_order
from haetae_edge.predicate import Predicate


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDefinition:
    """One route of the configuration, every argument parsed and checked, not yet bound to anything running.

    `file` and `line` are where it is written. `filters` include the gateway's default filters, in running order.
    """

    id: str
    uri: str
    order: int
    predicates: tuple[Predicate, ...]
    filters: tuple[Filter, ...]
    metadata: Mapping[str, Any]
    file: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A compiled route: what runs before the request is forwarded, how it is sent, what runs on the answer.

    `preflight` answers CORS preflights for it, where one of its filters does, after the steps in `before_preflight`.
    """

    definition: RouteDefinition
    id: str
    index: int
    before: tuple[Step, ...]
    send: Send
    after: tuple[ResponseStep, ...]
    preflight: Callable[[Exchange], Response] | None = None
    before_preflight: tuple[Step, ...] = ()


def compiled(definition: RouteDefinition, *, index: int, built: Sequence[Steps], send: Send) -> Route:
    """The route of these filters' steps: requests pass the filters in their order, answers in the reverse.

    `send` is the innermost sender; what a filter has `around` it is put around it.
    """
    for steps in reversed(built):
        if steps.around is not None:
            send = steps.around(send)
    return Route(
        definition=definition,
        id=definition.id,
        index=index,
        before=in_order(built),
        send=send,
        after=tuple(steps.response for steps in reversed(built) if steps.response is not None),
        preflight=next((steps.preflight for steps in built if steps.preflight is not None), None),
        before_preflight=in_order(built, only=Phase.EARLY_BLOCK),
    )
