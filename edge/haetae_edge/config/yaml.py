"""YAML to a node tree, for files that people write and an attacker may have touched.

Only the plain part of YAML is read: block and flow collections and scalars. Aliases and anchors (alias
bombs), tags (construction of objects), merge keys, directives, several documents and duplicate keys (the last
would win silently) are refused, each with the line and what to write instead. Size, depth and number of nodes
are bounded. What this does not do: types, placeholders, or any knowledge of field names.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import yaml

from haetae_edge.config.nodes import Mapping, Node, Place, Scalar, Sequence, shorten
from haetae_edge.errors import ConfigError, ConfigProblem

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 64
MAX_NODES: Final = 20_000

#: The stubs of the parser know neither marks nor tags.
_Event: TypeAlias = Any

_BOM: Final = b"\xef\xbb\xbf"


def parse_yaml(data: bytes, *, file: str) -> Node:
    """Read one document; an empty file is an empty mapping.

    Raises ConfigError with one problem: parsing stops at the first mistake, because what follows it means
    nothing.
    """
    text = _decode(data, file)
    composer = _Composer(file)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            composer.take(event)
    except yaml.YAMLError as error:
        raise ConfigError((_translate(error, text, file),)) from None
    return composer.result()


def _decode(data: bytes, file: str) -> str:
    if len(data) > MAX_BYTES:
        raise _failure(file, 1, f"the file has {len(data)} bytes; at most {MAX_BYTES} are read: split it")
    if data.startswith(_BOM):
        raise _failure(file, 1, "the file starts with a byte order mark: save it as UTF-8 without BOM")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _failure(file, line, "this is not UTF-8: save the file as UTF-8") from None


def _failure(file: str, line: int, message: str) -> ConfigError:
    return ConfigError((ConfigProblem(file=file, line=line, message=message),))


def _translate(error: yaml.YAMLError, text: str, file: str) -> ConfigProblem:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        position = getattr(error, "position", 0) or 0
        line = text.count("\n", 0, position) + 1
        return ConfigProblem(file, line, "there is a control character here that YAML does not allow: remove it")
    lines = text.split("\n")
    line_text = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line_text[: len(line_text) - len(line_text.lstrip())]:
        return ConfigProblem(file, mark.line + 1, "this line is indented with a tab: indent with spaces")
    problem = str(getattr(error, "problem", None) or "this cannot be read")
    if "undefined alias" in problem:
        return ConfigProblem(file, mark.line + 1, _NO_ALIAS)
    return ConfigProblem(file, mark.line + 1, f"this is not YAML: {problem}; check indentation, colons and quotes")


_NO_ALIAS: Final = "aliases and anchors (`*name`, `&name`) are not read: write the value out"


class _Open:
    """A collection whose end has not come yet; `key` is the mapping key that waits for its value."""

    __slots__ = ("entries", "items", "key", "line", "mapping", "seen")

    def __init__(self, *, mapping: bool, line: int) -> None:
        self.mapping = mapping
        self.line = line
        self.items: list[Node] = []
        self.entries: list[tuple[Scalar, Node]] = []
        self.key: Scalar | None = None
        self.seen: dict[str, int] = {}


class _Composer:
    """Builds nodes from parser events without recursion."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._stack: list[_Open] = []
        self._root: Node | None = None
        self._nodes = 0
        self._documents = 0

    def result(self) -> Node:
        if self._root is None or (isinstance(self._root, Scalar) and self._root.is_null):
            return Mapping(entries=(), place=Place(self._file, 1))
        return self._root

    def take(self, event: _Event) -> None:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            self._document(event, line)
        elif isinstance(event, yaml.AliasEvent):
            raise _failure(self._file, line, _NO_ALIAS)
        elif isinstance(event, yaml.NodeEvent):
            self._node(event, line)
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            self._close()

    def _document(self, event: yaml.DocumentStartEvent, line: int) -> None:
        self._documents += 1
        if self._documents > 1:
            raise _failure(self._file, line, "a second document starts here: put it into a file of its own")
        if event.version or event.tags:
            raise _failure(self._file, line, "directives (`%YAML`, `%TAG`) are not read: remove the line")

    def _node(self, event: _Event, line: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _failure(self._file, line, f"the file has more than {MAX_NODES} values: split it")
        if event.anchor is not None:
            raise _failure(self._file, line, _NO_ALIAS)
        if event.tag is not None:
            raise _failure(self._file, line, f"tags (`{shorten(event.tag)}`) are not read: remove it")
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)
            return
        if len(self._stack) >= MAX_DEPTH:
            raise _failure(self._file, line, f"this is nested more than {MAX_DEPTH} deep")
        mapping = isinstance(event, yaml.MappingStartEvent)
        if self._awaits_key():
            raise _failure(self._file, line, "a list or mapping cannot be a key: write a name before the colon")
        self._stack.append(_Open(mapping=mapping, line=line))

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        text = str(event.value)
        plain = not event.style
        scalar = Scalar(text=text, plain=plain, place=Place(self._file, line), written=text)
        if not self._awaits_key():
            self._put(scalar)
            return
        top = self._stack[-1]
        if plain and text == "<<":
            raise _failure(self._file, line, "merge keys (`<<`) are not read: write the fields out")
        if text == "":
            raise _failure(self._file, line, "a key is missing before the colon")
        if text in top.seen:
            raise _failure(self._file, line, f"`{shorten(text)}` is already given in line {top.seen[text]}: keep one")
        top.seen[text] = line
        top.key = scalar

    def _awaits_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].mapping and self._stack[-1].key is None

    def _close(self) -> None:
        top = self._stack.pop()
        place = Place(self._file, top.line)
        self._put(Mapping(tuple(top.entries), place) if top.mapping else Sequence(tuple(top.items), place))

    def _put(self, node: Node) -> None:
        if not self._stack:
            self._root = node
            return
        top = self._stack[-1]
        if top.key is None:
            top.items.append(node)
        else:
            top.entries.append((top.key, node))
            top.key = None
