"""URI variables: what a route's predicates surely set, and what its filters use.

Spring finds an unknown variable on the first request; here it is found when the file is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from haetae_edge.filter import Filter
from haetae_edge.predicate import Predicate


@runtime_checkable
class SetsVariables(Protocol):
    """A predicate that captures: `sets` are the variables that are there whichever pattern matched."""

    @property
    def sets(self) -> frozenset[str]: ...


@runtime_checkable
class UsesVariables(Protocol):
    """A filter that puts variables into a header or path."""

    @property
    def uses(self) -> frozenset[str]: ...


def missing_variables(filter_: Filter, predicates: Iterable[Predicate]) -> frozenset[str]:
    """The variables this filter uses and the predicates do not surely set."""
    if not isinstance(filter_, UsesVariables):
        return frozenset()
    known = [predicate.sets for predicate in predicates if isinstance(predicate, SetsVariables)]
    return filter_.uses.difference(*known)
