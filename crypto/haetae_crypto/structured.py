"""Structured Fields (RFC 9651) as this package reads them: bounded, ASCII, nothing named twice.

The parser is `http_sf`; this port gives it types, limits and one error. RFC 9651 lets the last of two equal
keys win; here that is refused, because two readers that disagree about which one counts is how signatures get
forged.

Not done here: what the members mean.
"""

from collections.abc import Mapping, Sequence
from typing import Final, cast

import http_sf

Parameters = Mapping[str, object]
Token = http_sf.Token
"""A bare item that is a word rather than a text in quotes."""
Item = tuple[object, Parameters]
"""A bare item with its parameters. The bare item may itself be a list of items: then it is an Inner List."""

MAX_FIELD_CHARS: Final = 8192


def join_lines(lines: Sequence[str], *, max_chars: int = MAX_FIELD_CHARS) -> str:
    """Field lines combined in order (RFC 9110 section 5.3). Raises ValueError when too long or not ASCII."""
    value = lines[0] if len(lines) == 1 else ", ".join(lines)
    if len(value) > max_chars or not value.isascii():
        raise ValueError("field too long or not ASCII")
    return value


def parse_item(value: str) -> Item:
    """One Item. Raises ValueError."""
    return cast(Item, _parse(value, "item"))


def parse_dictionary(value: str) -> dict[str, Item]:
    """A Dictionary of Items and Inner Lists, in order. Raises ValueError."""
    return cast(dict[str, Item], _parse(value, "dictionary"))


def serialize_inner_list(items: list[Item], parameters: Parameters) -> str:
    """The one canonical text of an Inner List with its parameters. Raises ValueError."""
    structure = [(items, dict(parameters))]
    return http_sf.ser(cast(http_sf.ListType, structure))


def serialize_parameters(parameters: Parameters) -> str:
    """The canonical text of parameters, each with its leading semicolon; empty when there is none."""
    return serialize_inner_list([], parameters)[2:]


def serialize_member(member: Item) -> str:
    """The canonical text of one Dictionary member's value. Raises ValueError."""
    bare, parameters = member
    if isinstance(bare, list):
        return serialize_inner_list(bare, parameters)
    return http_sf.ser(cast(http_sf.ItemType, (bare, dict(parameters))))


def reserialize(value: str, kind: str) -> str:
    """The canonical text of a field of the given kind: `dictionary`, `list` or `item`. Raises ValueError."""
    return http_sf.ser(_parse(value, kind))


def _parse(value: str, kind: str) -> http_sf.StructuredType:
    if len(value) > MAX_FIELD_CHARS:
        raise ValueError("field too long")
    return http_sf.parse(value.encode("ascii"), tltype=kind, on_duplicate_key=_refuse_duplicate)


def _refuse_duplicate(key: str, context: str) -> None:
    raise ValueError(f"{key!r} given twice in its {context}")
