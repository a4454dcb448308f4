"""`${NAME:default}` in configuration values, filled from an explicit mapping.

As in Spring: the default may hold placeholders itself, `\\${` is a literal `${`, and `bank.uri` also finds
`BANK_URI`. Unlike Spring, a value that comes from the environment is taken as it is and never expanded again.
An unknown name without a default is a problem, not an empty text. The environment is an argument; nothing
here reads the process's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Map
from typing import Final

from haetae_edge.config.nodes import Mapping, Node, Problems, Scalar, Sequence

MAX_DEPTH: Final = 8
MAX_LENGTH: Final = 65_536

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,127}")


def resolve(node: Node, environment: Map[str, str], problems: Problems) -> Node:
    """The same tree with every placeholder filled; keys are left alone. Mistakes go to `problems`."""
    if isinstance(node, Scalar):
        return _resolve_scalar(node, environment, problems) if "${" in node.text else node
    if isinstance(node, Sequence):
        return Sequence(tuple(resolve(item, environment, problems) for item in node.items), node.place)
    entries = tuple((key, resolve(value, environment, problems)) for key, value in node.entries)
    return Mapping(entries, node.place)


def expand(text: str, environment: Map[str, str]) -> str:
    """Fill the placeholders of one text. Raises ValueError with a sentence that says what to write."""
    return _expand(text, environment, depth=0)


def _resolve_scalar(node: Scalar, environment: Map[str, str], problems: Problems) -> Scalar:
    try:
        text = expand(node.text, environment)
    except ValueError as error:
        problems.add(node.place, str(error))
        return Scalar(text=node.text, plain=node.plain, place=node.place, written=node.written, broken=True)
    # What is filled with nothing is nothing, quoted or not: `token: "${TOKEN:}"` switches the token off.
    return Scalar(text=text, plain=node.plain or not text, place=node.place, written=node.written)


def _expand(text: str, environment: Map[str, str], *, depth: int) -> str:
    if depth > MAX_DEPTH:
        raise ValueError(f"placeholders are nested more than {MAX_DEPTH} deep")
    parts: list[str] = []
    at = 0
    while (start := text.find("${", at)) >= 0:
        if start > at and text[start - 1] == "\\":
            parts += (text[at : start - 1], "${")
            at = start + 2
            continue
        end = _closing(text, start + 2)
        parts += (text[at:start], _value(text[start + 2 : end], environment, depth=depth))
        at = end + 1
    parts.append(text[at:])
    result = "".join(parts)
    if len(result) > MAX_LENGTH:
        raise ValueError(f"with its placeholders filled this is longer than {MAX_LENGTH} characters")
    return result


def _closing(text: str, at: int) -> int:
    depth = 1
    for index in range(at, len(text)):
        if text[index] == "{":
            depth += 1
        elif text[index] == "}":
            depth -= 1
            if depth == 0:
                return index
    raise ValueError("`${` is not closed: write `${NAME:default}`, or `\\${` for the characters themselves")


def _value(content: str, environment: Map[str, str], *, depth: int) -> str:
    name, colon, default = content.partition(":")
    if not _NAME.fullmatch(name):
        raise ValueError("a placeholder needs a name of letters, digits, `_`, `.` and `-`: write `${NAME:default}`")
    found = environment.get(name)
    if found is None:
        found = environment.get(name.replace(".", "_").replace("-", "").upper())
    if found is not None:
        return found
    if not colon:
        raise ValueError(f"`${{{name}}}` is not set and has no default: set {name}, or write `${{{name}:default}}`")
    return _expand(default, environment, depth=depth + 1)
