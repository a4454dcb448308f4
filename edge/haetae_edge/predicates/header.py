"""`Header=X-Request-Id, \\d+`: the request has this header, and one of its values matches the expression as a
whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haetae_edge.config.values import HeaderName, Regexp
from haetae_edge.predicate import Test
from haetae_edge.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """`header`: its name. `regexp`: left out, the header only has to be there."""

    shortcut: ClassVar[tuple[str, ...]] = ("header", "regexp")

    header: HeaderName
    regexp: Regexp | None = None

    def build(self) -> Test:
        """A lookup by lower-case name, then the expression on each value."""
        name = self.header.lower().encode("ascii")
        pattern = self.regexp
        if pattern is None:
            return lambda request, variables: name in request.values
        matches = pattern.fullmatch_bytes

        def test(request: Request, variables: dict[str, str]) -> bool:
            values = request.values.get(name)
            return values is not None and any(matches(value) for value in values)

        return test
