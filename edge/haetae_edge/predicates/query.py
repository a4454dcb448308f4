"""`Query=red, gree.`: the query has this parameter, and one of its values matches the expression as a whole.

Names and values are decoded once and strictly; a query that does not decode has no parameters here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haetae_edge.config.values import ArgumentError, Regexp
from haetae_edge.predicate import Test
from haetae_edge.querystring import parameters
from haetae_edge.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """`param`: its decoded name. `regexp`: left out, the parameter only has to be there."""

    shortcut: ClassVar[tuple[str, ...]] = ("param", "regexp")

    param: str
    regexp: Regexp | None = None

    def __post_init__(self) -> None:
        if not self.param:
            raise ArgumentError("param", "write the name of a parameter")

    def build(self) -> Test:
        """A pass over the pieces of the query."""
        param, pattern = self.param, self.regexp

        def test(request: Request, variables: dict[str, str]) -> bool:
            query = request.target.query
            if not query:
                return False
            try:
                found = list(parameters(query))
            except ValueError:
                return False
            if any(piece.name is None or piece.value is None for piece in found):
                return False
            values = [piece.value for piece in found if piece.name == param]
            if pattern is None:
                return bool(values)
            return any(value is not None and pattern.fullmatch(value) for value in values)

        return test
