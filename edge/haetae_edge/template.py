"""Path patterns of the `Path` predicate: the grammar of Spring's PathPattern, on the decoded path.

| pattern | matches |
|---|---|
| `/users` | exactly this (and, unless switched off, one slash after it) |
| `?` | one character of a segment |
| `*` | any characters of one segment |
| `**` | at the end only: any further segments, also none |
| `{name}` | one segment, at least one character when it stands alone; a URI variable |
| `{name:regex}` | the same, where the whole of it matches the expression |
| `{*name}` | at the end only: the rest of the path with its leading slash, also nothing |

A pattern compiles to a few operations per segment and never backtracks across segments. What this does not
do: decode or normalise; the request view did both, so that no segment is empty and no dot segment is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from haetae_edge.config.pattern import Pattern, escape

Match = Callable[[str, dict[str, str]], bool]

MAX_LENGTH: Final = 1000
MAX_SEGMENTS: Final = 64

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,63}")
#: Written like this a pattern could never match: the path is decoded, and these are refused in it.
_NEVER = re.compile(r"%[0-9A-Fa-f]{2}|[\\;\x00-\x1f\x7f]")


class Kind(IntEnum):
    """What one segment of a pattern asks of a segment of the path."""

    LITERAL = 0
    ANY = 1
    VARIABLE = 2
    MIXED = 3


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment.

    `text` is the literal, `names` the URI variables in order. VARIABLE may have a `pattern` for the whole
    segment; MIXED always has one, with groups `v0`, `v1`, … for its variables.
    """

    kind: Kind
    text: str
    names: tuple[str, ...] = ()
    pattern: Pattern | None = None


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A parsed pattern.

    `rest` is None, "" for `**`, or the variable of `{*name}`. `slash`: the pattern itself ends in a slash.
    `optional_slash`: one slash after the path is passed over (`matchTrailingSlash`).
    """

    text: str
    segments: tuple[Segment, ...]
    rest: str | None
    slash: bool
    optional_slash: bool

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the URI variables, in order."""
        names = tuple(name for segment in self.segments for name in segment.names)
        return (*names, self.rest) if self.rest else names

    def compile(self) -> Match:
        """The test: path and variables in, verdict out; variables are written only when it matches."""
        if all(segment.kind is Kind.LITERAL for segment in self.segments):
            return self._compile_literal()
        if all(segment.kind is not Kind.MIXED and segment.pattern is None for segment in self.segments):
            return self._compile_simple()
        return self._compile_general()

    def _compile_literal(self) -> Match:
        path = "".join("/" + segment.text for segment in self.segments)
        if self.rest is None:
            accepted = {path + "/"} if self.slash else {path, path + "/"} if self.optional_slash else {path}
            return lambda value, variables: value in accepted
        prefix, length, rest = path + "/", len(path), self.rest
        if not rest:
            return lambda value, variables: value.startswith(prefix) or value == path

        def match(value: str, variables: dict[str, str]) -> bool:
            if not value.startswith(prefix) and value != path:
                return False
            variables[rest] = value[length:]
            return True

        return match

    def _compile_simple(self) -> Match:
        """Whole segments only: one expression, in which no two parts can take the same character."""
        parts = []
        for segment in self.segments:
            if segment.kind is Kind.LITERAL:
                parts.append("/" + re.escape(segment.text))
            else:
                parts.append("/([^/]+)" if segment.kind is Kind.VARIABLE else "/[^/]+")
        if self.rest is not None:
            parts.append("(/.*)?" if self.rest else "(?:/.*)?")
        else:
            if self.segments[-1].kind is Kind.ANY and not self.slash:
                parts[-1] = "/[^/]*"  # `/a/*` also matches `/a/`
            parts.append("/" if self.slash else "/?" if self.optional_slash else "")
        expression = re.compile("".join(parts), re.DOTALL).fullmatch
        names = self.variables

        def match(value: str, variables: dict[str, str]) -> bool:
            found = expression(value)
            if found is None:
                return False
            if names:
                variables.update(zip(names, found.groups(""), strict=True))
            return True

        return match

    def _compile_general(self) -> Match:
        segments, rest, count = self.segments, self.rest, len(self.segments)
        slash, optional_slash = self.slash, self.optional_slash
        open_end = rest is None and not slash and segments[-1].kind is Kind.ANY

        def match(value: str, variables: dict[str, str]) -> bool:
            given = value[1:].split("/")
            trailing = not given[-1]
            if trailing:
                given.pop()
            if len(given) != count:
                if open_end and trailing and len(given) == count - 1:
                    given.append("")
                    trailing = False
                elif rest is None or len(given) < count:
                    return False
            if rest is None and trailing is not slash and not (trailing and optional_slash):
                return False
            captured: dict[str, str] = {}
            for segment, text in zip(segments, given, strict=False):
                if not match_segment(segment, text, captured):
                    return False
            if rest:
                captured[rest] = "".join("/" + text for text in given[count:]) + ("/" if trailing else "")
            variables.update(captured)
            return True

        return match


def match_segment(segment: Segment, text: str, captured: dict[str, str]) -> bool:
    """Whether one segment of a path fits; variables are added to `captured`."""
    kind = segment.kind
    if kind is Kind.LITERAL:
        return text == segment.text
    if kind is Kind.ANY:
        return True
    pattern = segment.pattern
    if kind is Kind.VARIABLE:
        if pattern is not None and not pattern.fullmatch(text):
            return False
        captured[segment.names[0]] = text
        return True
    groups = pattern.capture(text) if pattern is not None else None
    if groups is None:
        return False
    for index, name in enumerate(segment.names):
        captured[name] = groups[f"v{index}"]
    return True


def parse_template(text: str, *, match_trailing_slash: bool = True) -> PathTemplate:
    """Parse one pattern. Raises ValueError with a sentence that says what to write."""
    if not text or len(text) > MAX_LENGTH:
        raise ValueError(f"a path pattern has 1 to {MAX_LENGTH} characters")
    body = text.removeprefix("/")
    parts = list(_split(body)) if body else []
    slash = bool(parts) and parts[-1] == ""
    if slash:
        parts.pop()
    if len(parts) > MAX_SEGMENTS:
        raise ValueError(f"a path pattern has at most {MAX_SEGMENTS} segments")
    rest = None if slash or not parts else _rest_of(parts[-1], text)
    if rest is not None:
        parts.pop()
    segments = tuple(_segment(part, text) for part in parts)
    template = PathTemplate(
        text=text, segments=segments, rest=rest, slash=slash or not body, optional_slash=match_trailing_slash
    )
    names = template.variables
    if len(set(names)) != len(names):
        raise ValueError(f"`{text}` names the same variable twice: give each its own name")
    return template


def _split(body: str) -> Iterator[str]:
    """Split at slashes outside braces."""
    depth = start = 0
    for index, character in enumerate(body):
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth < 0:
                raise ValueError(f"`{body}` has a `}}` without its `{{`")
        elif character == "/" and depth == 0:
            yield body[start:index]
            start = index + 1
    if depth:
        raise ValueError(
            f"`{body}` has a `{{` that is not closed; a pattern with a comma in it needs the full form "
            "(`name: Path` with `args:`)"
        )
    yield body[start:]


def _rest_of(part: str, text: str) -> str | None:
    if part == "**":
        return ""
    if part.startswith("{*"):
        if not part.endswith("}") or not _NAME.fullmatch(part[2:-1]):
            raise ValueError(f"`{text}`: write the rest of the path as `{{*name}}`")
        return part[2:-1]
    return None


def _segment(part: str, text: str) -> Segment:
    if part == "":
        raise ValueError(f"`{text}` has an empty segment (`//`), which no request has: remove one slash")
    if "**" in part or "{*" in part:
        raise ValueError(f"`{text}`: `**` and `{{*name}}` stand alone and at the end, as in `/api/**`")
    if part in (".", ".."):
        raise ValueError(f"`{text}` has a dot segment, which no request has")
    if part == "*":
        return Segment(Kind.ANY, part)
    pieces = list(_pieces(part, text))
    if len(pieces) == 1:
        kind, content = pieces[0]
        if kind == "literal":
            return Segment(Kind.LITERAL, content)
        if kind == "variable":
            name, expression = _variable(content, text)
            return Segment(Kind.VARIABLE, part, (name,), Pattern(expression) if expression else None)
    return _mixed(part, pieces, text)


def _mixed(part: str, pieces: list[tuple[str, str]], text: str) -> Segment:
    names: list[str] = []
    expressions: list[str] = []
    for kind, content in pieces:
        if kind == "literal":
            expressions.append(escape(content))
        elif kind == "wildcard":
            expressions.append("(?s:.)" if content == "?" else "(?s:.*)")
        else:
            name, expression = _variable(content, text)
            if expression:
                Pattern(expression)
            expressions.append(f"(?P<v{len(names)}>{expression or '(?s:.*)'})")
            names.append(name)
    return Segment(Kind.MIXED, part, tuple(names), Pattern("".join(expressions)))


def _pieces(part: str, text: str) -> Iterator[tuple[str, str]]:
    """Literal runs, wildcards and the inside of braces, in order."""
    literal = ""
    index = 0
    while index < len(part):
        character = part[index]
        if character in "?*{":
            if literal:
                yield "literal", _checked(literal, text)
                literal = ""
            end = index if character != "{" else _closing(part, index)
            yield ("wildcard", character) if character != "{" else ("variable", part[index + 1 : end])
            index = end + 1
        else:
            literal += character
            index += 1
    if literal:
        yield "literal", _checked(literal, text)


def _closing(part: str, at: int) -> int:
    depth = 0
    for index in range(at, len(part)):
        depth += {"{": 1, "}": -1}.get(part[index], 0)
        if depth == 0:
            return index
    raise ValueError(f"`{part}` has a `{{` that is not closed")


def _checked(literal: str, text: str) -> str:
    if _NEVER.search(literal):
        raise ValueError(
            f"`{text}` is matched on the decoded path: write the character itself, without `%`, `;` or `\\`"
        )
    return literal


def _variable(content: str, text: str) -> tuple[str, str]:
    name, colon, expression = content.partition(":")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"`{text}`: a variable is written `{{name}}` or `{{name:regex}}`, with letters, digits, `_`, `-`"
        )
    if colon and not expression:
        raise ValueError(f"`{text}`: the expression of `{{{name}:…}}` is missing")
    return name, expression
