"""The route table: which one route a request belongs to.

Spring Cloud Gateway's rule: routes by `order`, lowest first, then as written; the first whose predicates all
hold. A trie over path segments finds the few routes whose path can match, so that the cost does not grow with
their number. Routes without a `Path` are always looked at. The answer equals that of trying every route in
turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from haetae_edge.predicate import Test
from haetae_edge.predicates.path import Path
from haetae_edge.request import Request
from haetae_edge.route import Route
from haetae_edge.template import Kind, PathTemplate

_REMEMBERED_PATHS: Final = 4096
_REMEMBERED_CHARS: Final = 128


class _Node:
    """A place in the trie. `ends`: routes with a pattern that ends here; `rests`: that take everything from
    here."""

    __slots__ = ("any", "ends", "literals", "rests")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.ends: list[int] = []
        self.rests: list[int] = []


class RouteTable:
    """A compiled, immutable table. `match` is safe to call from anywhere on the loop; it never raises."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(sorted(routes, key=lambda route: route.definition.order))
        self._tests = tuple(tuple(p.build() for p in route.definition.predicates) for route in self.routes)
        self._root = _Node()
        self._remembered: dict[str, list[int]] = {}
        for rank, route in enumerate(self.routes):
            self._index(rank, route)

    def match(self, request: Request) -> tuple[Route, dict[str, str]] | None:
        """The route and its URI variables, or None when no route takes the request."""
        for rank in self._candidates(request.target.path):
            variables: dict[str, str] = {}
            if _all_hold(self._tests[rank], request, variables):
                return self.routes[rank], variables
        return None

    def _index(self, rank: int, route: Route) -> None:
        paths = [p for p in route.definition.predicates if isinstance(p, Path)]
        if not paths:
            self._root.rests.append(rank)
            return
        for template in paths[0].templates:
            self._insert(rank, template)

    def _insert(self, rank: int, template: PathTemplate) -> None:
        node = parent = self._root
        for segment in template.segments:
            parent = node
            if segment.kind is Kind.LITERAL:
                node = node.literals.setdefault(segment.text, _Node())
            else:
                node.any = node.any or _Node()
                node = node.any
        if template.rest is not None:
            node.rests.append(rank)
            return
        node.ends.append(rank)
        if template.segments and template.segments[-1].kind is Kind.ANY:
            parent.ends.append(rank)  # `/a/*` also matches `/a/`

    def _candidates(self, path: str) -> list[int]:
        """Ranks of the routes whose pattern can match; remembered for paths that come again."""
        known = self._remembered.get(path)
        if known is None:
            known = self._walk(path)
            if len(path) <= _REMEMBERED_CHARS:
                if len(self._remembered) >= _REMEMBERED_PATHS:
                    self._remembered.clear()
                self._remembered[path] = known
        return known

    def _walk(self, path: str) -> list[int]:
        root = self._root
        found = list(root.rests)
        nodes = [root]
        segments = path[1:].split("/")
        if not segments[-1]:
            segments.pop()
        for segment in segments:
            reached = []
            for node in nodes:
                literal = node.literals.get(segment)
                if literal is not None:
                    reached.append(literal)
                    if literal.rests:
                        found += literal.rests
                wild = node.any
                if wild is not None:
                    reached.append(wild)
                    if wild.rests:
                        found += wild.rests
            if not reached:
                break
            nodes = reached
        else:
            for node in nodes:
                if node.ends:
                    found += node.ends
        if len(found) > 1:
            found.sort()
        return found


def _all_hold(tests: tuple[Test, ...], request: Request, variables: dict[str, str]) -> bool:
    for test in tests:  # noqa: SIM110 - a generator costs more than the tests
        if not test(request, variables):
            return False
    return True
