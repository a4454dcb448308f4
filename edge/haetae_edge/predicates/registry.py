"""The predicates route files can name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from haetae_edge.predicate import Predicate
from haetae_edge.predicates.header import Header
from haetae_edge.predicates.host import Host
from haetae_edge.predicates.method import Method
from haetae_edge.predicates.path import Path
from haetae_edge.predicates.query import Query

_CLASSES: Final[tuple[type[Predicate], ...]] = (Header, Host, Method, Path, Query)

PREDICATES: Final[Mapping[str, type[Predicate]]] = {cls.__name__: cls for cls in _CLASSES}
