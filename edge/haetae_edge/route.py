"""A route, as configured and as compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from haetae_edge.exchange import Exchange, Response, ResponseStep, Send, Step
from haetae_edge.filter import Filter
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
