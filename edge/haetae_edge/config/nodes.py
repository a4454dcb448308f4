"""The tree a configuration file becomes before it has types: text, lists and mappings, each knowing where it
stands.

Nothing is converted here: `no`, `1:30` and `2024-01-01` are text until a field asks for something else. The
list of problems is part of it, because every step from file to typed value adds to one list and goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from haetae_edge.errors import ConfigError, ConfigProblem


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, counted from 1; `file` is relative to the configuration directory."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """One piece of text. `broken`: its placeholders could not be filled, which is already reported.

    `plain` is true when it stood without quotes; only then can it mean "nothing". `written` is the text as it
    stands in the file, before placeholders: messages quote it, so that no value of the environment reaches a
    log.
    """

    text: str
    plain: bool
    place: Place
    written: str
    broken: bool = False

    @property
    def is_null(self) -> bool:
        """Whether this says "no value" (YAML 1.2.2 section 10.3.2)."""
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order of the file; no key occurs twice."""

    entries: tuple[tuple[Scalar, Node], ...]
    place: Place

    def get(self, key: str) -> Node | None:
        """The value under exactly this key."""
        return next((value for name, value in self.entries if name.text == key), None)


Node = Scalar | Sequence | Mapping


class Problems:
    """Collects every mistake, so that one run shows them all."""

    def __init__(self) -> None:
        self._found: list[ConfigProblem] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, place: Place, message: str) -> None:
        """Note one mistake; the message says what is wrong and what to write."""
        self._found.append(ConfigProblem(file=place.file, line=place.line, message=message))

    def extend(self, problems: Iterable[ConfigProblem]) -> None:
        """Take over what a parser reported."""
        self._found.extend(problems)

    def raise_any(self) -> None:
        """Raise ConfigError when there is at least one problem, sorted by file and line."""
        if self._found:
            unique = dict.fromkeys(self._found)
            raise ConfigError(tuple(sorted(unique, key=lambda problem: (problem.file, problem.line))))


def describe(node: Node) -> str:
    """What a node is, for messages."""
    if isinstance(node, Scalar):
        return "nothing" if node.is_null else f"`{shorten(node.written)}`"
    return "a list" if isinstance(node, Sequence) else "a mapping"


def shorten(text: str) -> str:
    """Text fit for one line of a message."""
    line = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text[:61])
    return line if len(text) <= 60 else line[:60] + "…"
