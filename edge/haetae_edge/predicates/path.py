"""`Path=/users/{id},/people/**`: the decoded path matches one of the patterns; the first that does sets the
variables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from haetae_edge.config.values import ArgumentError
from haetae_edge.predicate import Test
from haetae_edge.request import Request
from haetae_edge.template import PathTemplate, parse_template


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """`patterns`: see `template.py`. `match_trailing_slash`: one slash after the path is passed over."""

    shortcut: ClassVar[tuple[str, ...]] = ("patterns", "match_trailing_slash")

    patterns: tuple[str, ...]
    match_trailing_slash: bool = True
    templates: tuple[PathTemplate, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.patterns:
            raise ArgumentError("patterns", "write at least one pattern, such as `/api/v1/**`")
        slash = self.match_trailing_slash
        try:
            templates = tuple(parse_template(text, match_trailing_slash=slash) for text in self.patterns)
        except ValueError as error:
            raise ArgumentError("patterns", str(error)) from None
        object.__setattr__(self, "templates", templates)

    @property
    def sets(self) -> frozenset[str]:
        """The variables every pattern has."""
        return frozenset.intersection(*(frozenset(template.variables) for template in self.templates))

    def build(self) -> Test:
        """One test per pattern, in order."""
        matches = tuple(template.compile() for template in self.templates)
        if len(matches) == 1:
            only = matches[0]
            return lambda request, variables: only(request.target.path, variables)

        def test(request: Request, variables: dict[str, str]) -> bool:
            path = request.target.path
            return any(match(path, variables) for match in matches)

        return test
