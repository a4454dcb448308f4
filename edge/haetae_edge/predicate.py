"""What a predicate is: arguments as a frozen dataclass, compiled once to a test on the request view.

Same conventions as `filter.py`. A predicate that captures URI variables writes them into the mapping it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

from haetae_edge.request import Request

Test = Callable[[Request, dict[str, str]], bool]


class Predicate(Protocol):
    """The shape of every class in `predicates/`."""

    shortcut: ClassVar[tuple[str, ...]]

    def build(self) -> Test:
        """Compile. The test is pure and takes microseconds; it must not raise."""
        ...
