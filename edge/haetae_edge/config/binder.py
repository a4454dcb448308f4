"""Binds a node tree to frozen dataclasses by their type hints: the one way configuration gets its types.

Strict: unknown fields, wrong types and missing values are problems with file and line; nothing is guessed
from the look of a value, because the field decides the type. All problems are collected. A dataclass is only
made when all of its fields could be, and a ValueError of its `__post_init__` is reported at its line
(`ArgumentError`: at the field's line).
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
from collections.abc import Callable, Set
from collections.abc import Mapping as Map
from enum import Enum
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from haetae_edge.config.nodes import Mapping, Node, Place, Problems, Scalar, Sequence, describe, shorten
from haetae_edge.config.spelling import kebab, nearest, snake, suggestion
from haetae_edge.config.values import ArgumentError, Derived, From

T = TypeVar("T")

#: A type as it stands in a field's annotation; Python has no name for these.
Hint: TypeAlias = object
#: What a field holds, or `_FAILED`.
Value: TypeAlias = Any

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?")


class _Failed:
    """Stands for a value that could not be bound; the problem is already noted."""


_FAILED: Final = _Failed()


@functools.cache
def hints_of(cls: type) -> dict[str, Any]:
    """The fields that can be configured, in order, with their types."""
    hints = get_type_hints(cls, include_extras=True)
    names = [item.name for item in dataclasses.fields(cls) if item.init]
    return {name: hints[name] for name in names if Derived not in get_args(hints[name])}


@functools.cache
def required_of(cls: type) -> frozenset[str]:
    """The fields without a default."""
    missing = dataclasses.MISSING
    return frozenset(
        item.name
        for item in dataclasses.fields(cls)
        if item.name in hints_of(cls) and item.default is missing and item.default_factory is missing
    )


class Binder:
    """Binds nodes; adds mistakes to `problems`. `spell` is how field names are shown in messages."""

    def __init__(self, problems: Problems, *, spell: Callable[[str], str] = kebab) -> None:
        self._problems = problems
        self._spell = spell

    def bind(self, cls: type[T], node: Node, *, what: str) -> T | None:
        """One dataclass from a mapping; None when there were problems. `what` names it in messages."""
        value = self._dataclass(cls, node, what)
        return None if value is _FAILED else cast(T, value)

    def bind_fields(self, cls: type[T], given: Map[str, tuple[Scalar, Node]], *, place: Place, what: str) -> T | None:
        """The same from fields that are already sorted out: snake-case name to key and value."""
        value = self._construct(cls, given, place, what)
        return None if value is _FAILED else cast(T, value)

    def _dataclass(self, cls: type, node: Node, what: str) -> Value:
        if isinstance(node, Scalar) and node.is_null:
            node = Mapping(entries=(), place=node.place)
        if not isinstance(node, Mapping):
            return self._fail(node.place, f"{what} must be a mapping of fields, not {describe(node)}")
        known = hints_of(cls)
        given: dict[str, tuple[Scalar, Node]] = {}
        excused: set[str | None] = set()
        failed = False
        for key, value in node.entries:
            name = snake(key.text)
            if name not in known:
                excused.add(self._unknown(key, known, what))
                failed = True
            elif name in given:
                first = given[name][0]
                message = f"`{key.text}` is the same field as `{first.text}` in line {first.place.line}: keep one"
                self._problems.add(key.place, message)
                failed = True
            else:
                given[name] = (key, value)
        bound = self._construct(cls, given, node.place, what, excused)
        return _FAILED if failed else bound

    def _unknown(self, key: Scalar, known: Map[str, Any], what: str) -> str | None:
        """Report a field nobody knows; the snake-case name of the one it was probably meant to be."""
        names = [self._spell(name) for name in known]
        allowed = ", ".join(names) or "none"
        near = nearest(key.text, names)
        meant = f"; did you mean `{near}`?" if near else ""
        message = f"`{shorten(key.text)}` is not a field of {what}{meant} (fields: {allowed})"
        self._problems.add(key.place, message)
        return snake(near) if near else None

    def _construct(
        self,
        cls: type,
        given: Map[str, tuple[Scalar, Node]],
        place: Place,
        what: str,
        excused: Set[str | None] = frozenset(),
    ) -> Value:
        """`excused` are missing fields that a misspelt one was already taken for."""
        values: dict[str, Any] = {}
        failed = False
        for name, hint in hints_of(cls).items():
            if name in given:
                node = given[name][1]
                value = self._value(hint, node, f"`{self._spell(name)}` of {what}")
                failed |= value is _FAILED
                values[name] = value
            elif name in required_of(cls):
                if name not in excused:
                    self._problems.add(place, f"{what} needs `{self._spell(name)}`: write {expected(hint)}")
                failed = True
        if failed:
            return _FAILED
        try:
            return cls(**values)
        except ArgumentError as error:
            where = given[error.argument][1].place if error.argument in given else place
            return self._fail(where, f"{what}: {error}")
        except ValueError as error:
            return self._fail(place, f"{what}: {error}")

    def _value(self, hint: Hint, node: Node, what: str) -> Value:
        if isinstance(node, Scalar) and node.broken:
            return _FAILED
        optional, hint = unwrap_optional(hint)
        if isinstance(node, Scalar) and node.is_null and hint is not Any:
            if optional:
                return None
            if not dataclasses.is_dataclass(hint):
                return self._fail(node.place, f"{what} has no value: write {expected(hint)}")
        origin = _origin(hint)
        if origin is tuple:
            return self._tuple(_args(hint)[0], node, what)
        if origin is not None and isinstance(origin, type) and issubclass(origin, Map):
            return self._mapping(_args(hint)[1], node, what)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            return self._dataclass(hint, node, what)
        if hint is Any:
            return untyped(node)
        if not isinstance(node, Scalar):
            return self._fail(node.place, f"{what} must be {expected(hint)}, not {describe(node)}")
        return self._scalar(hint, node, what)

    def _scalar(self, hint: Hint, node: Scalar, what: str) -> Value:
        try:
            return parse_scalar(hint, node.text)
        except ValueError as error:
            reason = str(error)
            marker = converter(hint)
            shown = "" if marker is not None and marker.secret else f"{describe(node)} does not fit: "
            return self._fail(node.place, f"{what}: {shown}{reason}")

    def _tuple(self, hint: Hint, node: Node, what: str) -> Value:
        if isinstance(node, Scalar):
            texts = [part.strip() for part in node.text.split(",")]
            items: tuple[Node, ...] = tuple(
                Scalar(text=text, plain=False, place=node.place, written=node.written) for text in texts if text
            )
        elif isinstance(node, Sequence):
            items = node.items
        else:
            return self._fail(node.place, f"{what} must be a list of values, not {describe(node)}")
        values = [self._value(hint, item, what) for item in items]
        return _FAILED if any(value is _FAILED for value in values) else tuple(values)

    def _mapping(self, hint: Hint, node: Node, what: str) -> Value:
        if not isinstance(node, Mapping):
            return self._fail(node.place, f"{what} must be a mapping of names to values, not {describe(node)}")
        values = {key.text: self._value(hint, value, f"`{key.text}` in {what}") for key, value in node.entries}
        failed = any(value is _FAILED for value in values.values())
        return _FAILED if failed else types.MappingProxyType(values)

    def _fail(self, place: Place, message: str) -> _Failed:
        self._problems.add(place, message)
        return _FAILED


def parse_scalar(hint: Hint, text: str) -> Value:
    """The value of one text for a scalar type. Raises ValueError with a sentence that says what to write."""
    marker = converter(hint)
    if marker is not None:
        return marker.parse(text)
    if _origin(hint) is Literal or (isinstance(hint, type) and issubclass(hint, Enum)):
        choices = _choices(hint)
        if text not in choices:
            raise ValueError(f"write {expected(hint)}{suggestion(text, choices)}")
        return choices[text]
    if hint is bool:
        if text not in ("true", "false"):
            raise ValueError("write `true` or `false`")
        return text == "true"
    if hint is int:
        if not _INTEGER.fullmatch(text):
            raise ValueError("write a whole number such as `10`")
        return int(text)
    if hint is float:
        if not _NUMBER.fullmatch(text):
            raise ValueError("write a number such as `0.5`")
        return float(text)
    if hint is str:
        return text
    raise TypeError(f"{hint} cannot be bound")


def expected(hint: Hint) -> str:
    """What to write for a type, in words; used by messages and by the generated documentation."""
    _, hint = unwrap_optional(hint)
    marker = converter(hint)
    if marker is not None:
        return marker.expects
    if _origin(hint) is Literal or (isinstance(hint, type) and issubclass(hint, Enum)):
        return "one of " + ", ".join(f"`{choice}`" for choice in _choices(hint))
    if _origin(hint) is tuple:
        return f"a list, each {expected(_args(hint)[0])}"
    words: dict[object, str] = {
        bool: "`true` or `false`",
        int: "a whole number",
        float: "a number",
        str: "text",
        Any: "any value",
    }
    return words.get(hint, "a mapping")


def untyped(node: Node) -> Value:
    """Plain text, tuples and mappings, for values nobody gave a type; "nothing" is None."""
    if isinstance(node, Scalar):
        return None if node.is_null else node.text
    if isinstance(node, Sequence):
        return tuple(untyped(item) for item in node.items)
    return types.MappingProxyType({key.text: untyped(value) for key, value in node.entries})


def _choices(hint: Hint) -> dict[str, Any]:
    if isinstance(hint, type):
        return {str(member.value): member for member in cast("type[Enum]", hint)}
    return {str(choice): choice for choice in _args(hint)}


def _origin(hint: Hint) -> object:
    return get_origin(cast(Any, hint))


def _args(hint: Hint) -> tuple[Any, ...]:
    return get_args(cast(Any, hint))


def converter(hint: Hint) -> From | None:
    """The `From` of an annotated type."""
    if _origin(hint) is not Annotated:
        return None
    return next((extra for extra in _args(hint)[1:] if isinstance(extra, From)), None)


def unwrap_optional(hint: Hint) -> tuple[bool, Any]:
    """Whether None is allowed, and the type without it and without annotations that do not convert."""
    if _origin(hint) is Annotated and converter(hint) is None:
        return unwrap_optional(_args(hint)[0])
    if _origin(hint) in (Union, types.UnionType):
        rest = [part for part in _args(hint) if part is not types.NoneType]
        if len(rest) < len(_args(hint)) and len(rest) == 1:
            return True, rest[0]
    return False, hint
