"""The tools behind the gateway: which route is which tool, what it demands, where its landing page entry leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from haetae_edge.predicates.host import Host
from haetae_edge.route import RouteDefinition
from haetae_edge.staff.pages import Tool
from haetae_edge.staff.requirement import Requirement, SignedIn


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRoute:
    """A route that staff use. `entry` is its place on the landing page, None for one without a title."""

    requirement: Requirement
    entry: Tool | None


class Tools:
    """All of them, by route id."""

    def __init__(self, routes: Mapping[str, ToolRoute]) -> None:
        self._routes = dict(routes)

    def requirement(self, route: str | None) -> Requirement:
        """What a route demands; nothing for one that is not known."""
        found = self._routes.get(route) if route is not None else None
        return found.requirement if found is not None else Requirement()

    def open_to(self, session: SignedIn) -> Iterator[Tool]:
        """The entries whose demands this person meets, or would after a new sign-in."""
        for tool in self._routes.values():
            if tool.entry is not None and tool.requirement.missing(session) is None:
                yield tool.entry


def origin_of_route(route: RouteDefinition, origins: Mapping[str, str]) -> str | None:
    """The first configured origin whose requests this route takes; `origins` maps what `Host` says to origins."""
    hosts = [predicate for predicate in route.predicates if isinstance(predicate, Host)]
    for authority, origin in origins.items():
        if all(any(p.pattern.capture("." + authority) is not None for p in host.parsed) for host in hosts):
            return origin
    return None
