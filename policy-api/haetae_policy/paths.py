"""Path patterns with the semantics of Spring's PathPattern as Spring Cloud Gateway's `Path` predicate uses
it.

Supported: literal segments, `*` (inside a segment: any run of characters), `{name}` (one non-empty
segment), `**` or `{*name}` as the last segment (the rest, also nothing). A trailing slash on the path is
optional, as SCG's default `matchTrailingSlash` has it. Matching is case-sensitive, by segment, in time
linear in the path.

The path given must be the gateway's normalised path: this module decodes nothing. Patterns that no
normalised path can match (dot segments, doubled slashes, lower-case or needless percent escapes) are
refused rather than kept as policies that never bite.
"""

import re
from typing import Final, Protocol

from haetae_policy.errors import PathPatternInvalid
from haetae_policy.faults import fault

MAX_PATTERN: Final = 512
MAX_SEGMENTS: Final = 32
_CHARACTERS: Final = re.compile(r"/[A-Za-z0-9\-._~!$&'()+,;=:@%*{}/]*", re.ASCII)
_ESCAPE: Final = re.compile(r"%([0-9A-F]{2})?", re.ASCII)
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_VARIABLE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]{0,63})\}", re.ASCII)
_REST: Final = re.compile(r"\*\*|\{\*[A-Za-z_][A-Za-z0-9_-]{0,63}\}", re.ASCII)


class PathMatcher(Protocol):
    """A compiled pattern."""

    def matches(self, path: str) -> bool:
        """Tell whether the normalised `path` (no query) is covered."""


class _Exact:
    __slots__ = ("_both",)

    def __init__(self, path: str) -> None:
        self._both = (path, path if path == "/" else path + "/")

    def matches(self, path: str) -> bool:
        return path in self._both


class _Below:
    """A literal prefix and everything under it: `/a/b/**`."""

    __slots__ = ("_inside", "_itself")

    def __init__(self, prefix: str) -> None:
        self._itself = prefix
        self._inside = prefix + "/"

    def matches(self, path: str) -> bool:
        return path == self._itself or path.startswith(self._inside)


class _Glob:
    """A segment with stars: first, middle and last parts in order. Greedy search is exact for stars."""

    __slots__ = ("_first", "_last", "_least", "_middle")

    def __init__(self, segment: str) -> None:
        self._first, *self._middle, self._last = segment.split("*")
        self._least = len(segment) - segment.count("*")

    def fits(self, text: str) -> bool:
        if len(text) < self._least or not text.startswith(self._first) or not text.endswith(self._last):
            return False
        at, end = len(self._first), len(text) - len(self._last)
        for part in self._middle:
            found = text.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True


class _Segments:
    """The general case. A segment is a literal, None for one non-empty segment, or a glob."""

    __slots__ = ("_empty_last", "_rest", "_segments")

    def __init__(self, segments: list[str | _Glob | None], *, rest: bool, empty_last: bool) -> None:
        self._segments = segments
        self._rest = rest
        self._empty_last = empty_last

    def matches(self, path: str) -> bool:
        wanted = self._segments
        given = path.split("/")[1:]
        extra = len(given) - len(wanted)
        if extra < 0 or (extra and not self._rest and not (extra == 1 and given[-1] == "" != given[-2])):
            return False
        for want, have in zip(wanted, given, strict=False):
            if want is None:
                if have == "" and not (self._empty_last and len(given) == len(wanted) and not given[-1]):
                    return False
            elif isinstance(want, str):
                if want != have:
                    return False
            elif not want.fits(have):
                return False
        return True


def compile_path(pattern: str) -> PathMatcher:
    """Return a matcher for `pattern`; raises PathPatternInvalid with the reason."""
    _check_characters(pattern)
    if pattern == "/":
        return _Exact("/")
    segments = pattern[1:].split("/")
    if len(segments) > MAX_SEGMENTS:
        raise PathPatternInvalid(fault("path_segments", most=MAX_SEGMENTS))
    rest = _REST.fullmatch(segments[-1]) is not None
    if rest:
        segments.pop()
    elif segments[-1] == "":
        segments.pop()  # a pattern written with a trailing slash means the same resource
    compiled = _compile_segments(segments)
    if all(isinstance(segment, str) for segment in compiled):
        literal = "".join("/" + segment for segment in segments)
        return _Below(literal) if rest else _Exact(literal)
    return _Segments(compiled, rest=rest, empty_last=not rest and segments[-1] == "*")


def _check_characters(pattern: str) -> None:
    if len(pattern) > MAX_PATTERN:
        raise PathPatternInvalid(fault("path_length", most=MAX_PATTERN))
    if _CHARACTERS.fullmatch(pattern) is None:
        raise PathPatternInvalid(fault("path_characters"))
    if "//" in pattern:
        raise PathPatternInvalid(fault("path_empty"))
    for escape in _ESCAPE.finditer(pattern):
        if escape[1] is None or int(escape[1], 16) in _UNRESERVED:
            raise PathPatternInvalid(fault("path_escape"))


def _compile_segments(segments: list[str]) -> list[str | _Glob | None]:
    compiled: list[str | _Glob | None] = []
    names: set[str] = set()
    for segment in segments:
        if variable := _VARIABLE.fullmatch(segment):
            if variable[1] in names:
                raise PathPatternInvalid(fault("path_twice", name=variable[1]))
            names.add(variable[1])
            compiled.append(None)
        elif "{" in segment or "}" in segment:
            raise PathPatternInvalid(fault("path_variable"))
        elif "**" in segment:
            raise PathPatternInvalid(fault("path_rest"))
        elif segment in {".", ".."}:
            raise PathPatternInvalid(fault("path_dots"))
        elif segment == "*":
            compiled.append(None)
        else:
            compiled.append(_Glob(segment) if "*" in segment else segment)
    return compiled
