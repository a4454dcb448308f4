"""Which routes get in each other's way: a report for the people who write them.

`shadowed`: the later route can never be reached. `ambiguous`: some requests fit both, neither route is
plainly the more special one, and only their order decides. A special route before a general one is how routes
are meant, and is not reported. What cannot be compared (headers, queries, expressions) counts as "may fit
both", never as "shadowed".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal, NamedTuple

from haetae_edge.predicate import Predicate
from haetae_edge.predicates.host import Host
from haetae_edge.predicates.method import Method
from haetae_edge.predicates.path import Path
from haetae_edge.request import METHODS
from haetae_edge.route import RouteDefinition
from haetae_edge.template import Kind, PathTemplate, Segment, match_segment, parse_template

_EVERYTHING: Final = (parse_template("/**"),)


@dataclass(frozen=True, slots=True)
class Overlap:
    """`first` is tried before `second`."""

    kind: Literal["shadowed", "ambiguous"]
    first: RouteDefinition
    second: RouteDefinition

    @property
    def message(self) -> str:
        """One sentence with what to do."""
        where = f"{self.first.file}:{self.first.line}"
        if self.kind == "shadowed":
            return (
                f"route `{self.second.id}` is never reached: `{self.first.id}` ({where}) takes all of its requests; "
                "give it a lower `order`, or remove it"
            )
        return (
            f"routes `{self.first.id}` ({where}) and `{self.second.id}` fit some of the same requests, which go to "
            f"`{self.first.id}`; make the paths differ, or set `order` on both"
        )


class _Shape(NamedTuple):
    """One way to satisfy a template: these segments, then `rest`, or an end without or with a slash."""

    segments: tuple[Segment, ...]
    rest: bool
    bare: bool
    slash: bool


@dataclass(frozen=True, slots=True)
class _Facts:
    """What can be compared of one route."""

    definition: RouteDefinition
    prefix: tuple[str, ...]
    shapes: tuple[_Shape, ...]
    methods: frozenset[str]
    hosts: frozenset[str] | None
    others: frozenset[Predicate]


def overlaps(definitions: Sequence[RouteDefinition]) -> Iterator[Overlap]:
    """Every pair worth a look, in the order in which routes are tried."""
    ordered = sorted(definitions, key=lambda definition: definition.order)
    for first, second in combinations([_facts(definition) for definition in ordered], 2):
        if not _may_both_fit(first, second):
            continue
        if _covers(first, second):
            yield Overlap("shadowed", first.definition, second.definition)
        elif not _covers(second, first) and first.definition.order == second.definition.order:
            yield Overlap("ambiguous", first.definition, second.definition)


def _facts(definition: RouteDefinition) -> _Facts:
    methods, hosts, others, shapes = frozenset(METHODS), None, set(), None
    for predicate in definition.predicates:
        if isinstance(predicate, Method):
            methods &= frozenset(predicate.methods)
        elif isinstance(predicate, Host) and all(pattern.exact for pattern in predicate.parsed) and hosts is None:
            hosts = frozenset(pattern.text for pattern in predicate.parsed)
        elif isinstance(predicate, Path) and shapes is None:
            shapes = tuple(shape for template in predicate.templates for shape in _shapes(template))
        else:
            others.add(predicate)
    if shapes is None:
        shapes = tuple(_shapes(_EVERYTHING[0]))
    return _Facts(definition, _common_prefix(shapes), shapes, methods, hosts, frozenset(others))


def _shapes(template: PathTemplate) -> Iterator[_Shape]:
    segments = template.segments
    if template.rest is not None:
        yield _Shape(segments, rest=True, bare=True, slash=True)
        return
    slash = template.slash or template.optional_slash
    yield _Shape(segments, rest=False, bare=not template.slash, slash=slash)
    if segments and segments[-1].kind is Kind.ANY and not template.slash:
        yield _Shape(segments[:-1], rest=False, bare=False, slash=True)


def _common_prefix(shapes: tuple[_Shape, ...]) -> tuple[str, ...]:
    """The segments of plain text that every path of these shapes starts with."""
    prefix = []
    for segments in zip(*(shape.segments for shape in shapes), strict=False):
        if any(segment.kind is not Kind.LITERAL or segment.text != segments[0].text for segment in segments):
            break
        prefix.append(segments[0].text)
    return tuple(prefix)


def _may_both_fit(one: _Facts, other: _Facts) -> bool:
    # Most pairs part here; the rest of the comparison is ten times as dear.
    if one.prefix != other.prefix:
        shared = min(len(one.prefix), len(other.prefix))
        if one.prefix[:shared] != other.prefix[:shared]:
            return False
    if not one.methods & other.methods:
        return False
    if one.hosts is not None and other.hosts is not None and not one.hosts & other.hosts:
        return False
    return any(_meet(a, b) for a in one.shapes for b in other.shapes)


def _covers(wide: _Facts, narrow: _Facts) -> bool:
    """Whether every request of `narrow` surely fits `wide`."""
    if not narrow.methods <= wide.methods or not wide.others <= narrow.others:
        return False
    if wide.hosts is not None and (narrow.hosts is None or not narrow.hosts <= wide.hosts):
        return False
    return all(any(_shape_covers(a, b) for a in wide.shapes) for b in narrow.shapes)


def _meet(a: _Shape, b: _Shape) -> bool:
    if (
        not a.rest
        and not b.rest
        and (len(a.segments) != len(b.segments) or not ((a.bare and b.bare) or (a.slash and b.slash)))
    ):
        return False
    if (not a.rest and len(a.segments) < len(b.segments)) or (not b.rest and len(b.segments) < len(a.segments)):
        return False
    return all(_segments_meet(x, y) for x, y in zip(a.segments, b.segments, strict=False))


def _segments_meet(a: Segment, b: Segment) -> bool:
    if a.kind is Kind.LITERAL:
        return match_segment(b, a.text, {})
    return b.kind is not Kind.LITERAL or match_segment(a, b.text, {})


def _shape_covers(wide: _Shape, narrow: _Shape) -> bool:
    if wide.rest:
        if len(wide.segments) > len(narrow.segments):
            return False
    elif (
        narrow.rest
        or len(wide.segments) != len(narrow.segments)
        or narrow.bare > wide.bare
        or narrow.slash > wide.slash
    ):
        return False
    return all(_segment_covers(x, y) for x, y in zip(wide.segments, narrow.segments, strict=False))


def _segment_covers(wide: Segment, narrow: Segment) -> bool:
    if wide.kind is Kind.ANY or (wide.kind is Kind.VARIABLE and wide.pattern is None):
        return True
    if narrow.kind is Kind.LITERAL:
        return match_segment(wide, narrow.text, {})
    return wide.kind is narrow.kind and wide.pattern == narrow.pattern
