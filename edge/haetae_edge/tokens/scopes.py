"""Which scopes a call needs: those of the whole route, and those of the first rule that takes its method and path.

Rules kept: scopes compare as whole words (RFC 6749 section 3.3); where there are rules, a call that none of them takes
is refused. Paths are matched like those of the `Path` predicate, on the same decoded path.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from haetae_oidc import ScopeInsufficient

from haetae_edge.config.values import ArgumentError
from haetae_edge.request import METHODS, Request
from haetae_edge.template import PathTemplate, parse_template

_SCOPE_CHARS: Final = frozenset("!" + "".join(chr(c) for c in (*range(0x23, 0x5C), *range(0x5D, 0x7F))))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeRule:
    """One rule: `scopes`, all of them, are needed for `path` (a pattern) by one of `methods` (none listed: any)."""

    path: str
    scopes: tuple[str, ...]
    methods: tuple[str, ...] = ()
    template: PathTemplate = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.methods) - METHODS)
        if unknown:
            raise ArgumentError("methods", f"`{unknown[0]}` is none of {', '.join(sorted(METHODS))}")
        if not self.scopes:
            raise ArgumentError("scopes", "list at least one scope: a rule without one would let every token pass")
        check_scopes("scopes", self.scopes)
        try:
            object.__setattr__(self, "template", parse_template(self.path))
        except ValueError as error:
            raise ArgumentError("path", str(error)) from None


def check_scopes(argument: str, scopes: tuple[str, ...]) -> None:
    """Raises ArgumentError for what cannot be a scope (RFC 6749 section 3.3)."""
    for scope in scopes:
        if not scope or not set(scope) <= _SCOPE_CHARS:
            raise ArgumentError(argument, "a scope is visible ASCII without spaces, quotes and backslashes")


class ScopeCheck:
    """The scopes of one route, compiled."""

    def __init__(self, scopes: tuple[str, ...], rules: tuple[ScopeRule, ...]) -> None:
        self.always = frozenset(scopes)
        self._rules = tuple((frozenset(r.methods), r.template.compile(), self.always | set(r.scopes)) for r in rules)

    def check(self, granted: frozenset[str], request: Request) -> None:
        """Raises ScopeInsufficient with what is missing; with nothing in it when no rule takes the call."""
        needed = self.always
        if self._rules:
            for methods, match, scopes in self._rules:
                if (not methods or request.method in methods) and match(request.target.path, {}):
                    needed = scopes
                    break
            else:
                raise ScopeInsufficient(frozenset())
        if not needed <= granted:
            raise ScopeInsufficient(needed)
