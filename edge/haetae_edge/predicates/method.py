"""`Method=GET,POST`: the request method is one of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haetae_edge.config.spelling import suggestion
from haetae_edge.config.values import ArgumentError
from haetae_edge.predicate import Test
from haetae_edge.request import METHODS


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """`methods`: names in upper case, as on the wire (RFC 9110 section 9.1: they are case-sensitive)."""

    shortcut: ClassVar[tuple[str, ...]] = ("methods",)

    methods: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.methods:
            raise ArgumentError("methods", "write at least one method, such as `GET`")
        for method in self.methods:
            if method not in METHODS:
                known = ", ".join(sorted(METHODS))
                raise ArgumentError("methods", f"`{method[:20]}` is none of {known}{suggestion(method, METHODS)}")

    def build(self) -> Test:
        """A set lookup."""
        methods = frozenset(self.methods)
        return lambda request, variables: request.method in methods
