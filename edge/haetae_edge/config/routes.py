"""Route files: Spring Cloud Gateway's `routes` and `default-filters`, from a node tree to route definitions.

The list may stand under `spring.cloud.gateway`, under `spring.cloud.gateway.server.webflux`, or bare. Each
route is checked by itself here; what concerns all of them (ids, profile, order of filters) is in
`compile.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from typing import Any, Final

from haetae_edge.config.binder import Binder
from haetae_edge.config.components import Components
from haetae_edge.config.nodes import Mapping, Node, Place, Problems, Scalar, Sequence, describe, shorten
from haetae_edge.config.spelling import kebab, snake
from haetae_edge.config.values import ArgumentError, Origin
from haetae_edge.filter import Filter
from haetae_edge.filters.timeout import Timeout
from haetae_edge.predicate import Predicate

_NESTINGS: Final = (("spring", "cloud", "gateway", "server", "webflux"), ("spring", "cloud", "gateway"))
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")
_ROUTE_PARTS: Final = frozenset({"predicates", "filters"})
_MAX_MILLISECONDS: Final = 3_600_000

NamedFilter = tuple[str, Filter, Place]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteHead:
    """The plain fields of a route."""

    id: str
    uri: Origin
    order: int = 0
    enabled: bool = True
    metadata: Map[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ArgumentError("id", "has 1 to 64 letters, digits, `-`, `_` or `.`, such as `bank-transfers`")
        if not -(2**31) <= self.order < 2**31:
            raise ArgumentError("order", "is a 32-bit number")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRoute:
    """A route as its file has it; `filters` are its own, as listed."""

    head: RouteHead
    predicates: tuple[Predicate, ...]
    filters: tuple[NamedFilter, ...]
    timeout: Timeout | None
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFile:
    """What one route file holds."""

    routes: tuple[ParsedRoute, ...]
    default_filters: tuple[NamedFilter, ...]


class RouteReader:
    """Reads route files; mistakes go to `problems`."""

    def __init__(
        self, problems: Problems, *, predicates: Map[str, type[Predicate]], filters: Map[str, type[Filter]]
    ) -> None:
        self._problems = problems
        self._binder = Binder(problems, spell=kebab)
        self._predicates: Components[Predicate] = Components("predicate", predicates, problems)
        self._filters: Components[Filter] = Components("filter", filters, problems)

    def read_file(self, root: Node) -> ParsedFile:
        """Every route and default filter of one file."""
        routes: list[ParsedRoute] = []
        defaults: list[NamedFilter] = []
        for key, value in self._sections(root):
            if snake(key.text) == "default_filters":
                defaults += self.read_filters(value)
            elif isinstance(value, Sequence):
                found = (self._route(item) for item in value.items)
                routes += [route for route in found if route is not None]
            elif not (isinstance(value, Scalar) and value.is_null):
                self._problems.add(
                    value.place, f"`routes` is a list: start each route with `- id:`, not {describe(value)}"
                )
        return ParsedFile(routes=tuple(routes), default_filters=tuple(defaults))

    def read_filters(self, node: Node) -> list[NamedFilter]:
        """A list of filters."""
        return self._filters.read_list(node)

    def read_filter(self, text: str, place: Place) -> NamedFilter | None:
        """One filter in its short form, from a profile."""
        read = self._filters.read(Scalar(text=text, plain=True, place=place, written=text))
        return None if read is None else (*read, place)

    def _sections(self, root: Node) -> list[tuple[Scalar, Node]]:
        """The entries `routes` and `default-filters`, from whichever nesting the file uses."""
        if not isinstance(root, Mapping):
            self._problems.add(root.place, f"a route file starts with `routes:`, not {describe(root)}")
            return []
        found: list[tuple[Scalar, Node]] = []
        self._descend(root, (), found)
        return found

    def _descend(self, node: Mapping, path: tuple[str, ...], found: list[tuple[Scalar, Node]]) -> None:
        for key, value in node.entries:
            here = (*path, *key.text.split("."))
            if here[:-1] in ((), *_NESTINGS) and snake(here[-1]) in ("routes", "default_filters"):
                found.append((key, value))
            elif any(nesting[: len(here)] == here for nesting in _NESTINGS):
                if isinstance(value, Mapping):
                    self._descend(value, here, found)
                elif not (isinstance(value, Scalar) and value.is_null):
                    self._problems.add(value.place, f"`{key.text}` must be a mapping, not {describe(value)}")
            else:
                self._problems.add(
                    key.place,
                    f"`{shorten('.'.join(here))}` does not belong into a route file: it has `routes` and "
                    "`default-filters`, bare or under `spring.cloud.gateway`; other settings are in `gateway.yaml`",
                )

    def _route(self, node: Node) -> ParsedRoute | None:
        if not isinstance(node, Mapping):
            self._problems.add(
                node.place, f"a route is a mapping with `id`, `uri` and `predicates`, not {describe(node)}"
            )
            return None
        parts = {snake(key.text): value for key, value in node.entries if snake(key.text) in _ROUTE_PARTS}
        plain = tuple((key, value) for key, value in node.entries if snake(key.text) not in _ROUTE_PARTS)
        head = self._binder.bind(RouteHead, Mapping(plain, node.place), what=_name_of(node))
        before = len(self._problems)
        predicates = self._predicates.read_list(parts["predicates"]) if "predicates" in parts else []
        filters = self.read_filters(parts["filters"]) if "filters" in parts else []
        if not predicates and len(self._problems) == before:
            place = parts["predicates"].place if "predicates" in parts else node.place
            message = f"{_name_of(node)} has no predicates and would take every request: write `- Path=/**` if so meant"
            self._problems.add(place, message)
        timeout = self._metadata_timeout(node, head) if head is not None else None
        if head is None:
            return None
        tests = tuple(value for _, value, _ in predicates)
        return ParsedRoute(head=head, predicates=tests, filters=tuple(filters), timeout=timeout, place=node.place)

    def _metadata_timeout(self, node: Mapping, head: RouteHead) -> Timeout | None:
        """Spring's per-route timeouts: milliseconds, at least 1."""
        seconds: dict[str, float] = {}
        for name, argument in (("connect-timeout", "connect"), ("response-timeout", "response")):
            value = head.metadata.get(name)
            if value is None:
                continue
            if (
                not isinstance(value, str)
                or not re.fullmatch(r"[1-9][0-9]{0,6}", value)
                or int(value) > _MAX_MILLISECONDS
            ):
                metadata = node.get("metadata")
                place = _place_of(metadata, name) or node.place
                self._problems.add(
                    place,
                    f"`{name}` is milliseconds from 1 to {_MAX_MILLISECONDS}; it cannot be switched off",
                )
                continue
            seconds[argument] = int(value) / 1000
        return Timeout(**seconds) if seconds else None


def _name_of(node: Mapping) -> str:
    value = node.get("id")
    return f"route `{shorten(value.written)}`" if isinstance(value, Scalar) and not value.is_null else "this route"


def _place_of(node: Node | None, key: str) -> Place | None:
    if not isinstance(node, Mapping):
        return None
    return next((name.place for name, _ in node.entries if name.text == key), None)
