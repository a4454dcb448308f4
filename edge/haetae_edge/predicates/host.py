"""`Host=**.example.org,{sub}.example.com`: what the client addressed matches one of the patterns.

Patterns are Spring's AntPathMatcher with "." between the parts: `?` and `*` within one label, `**` for any
number of labels, `{name}` for a label that becomes a variable. The port is part of what is matched; a default
port is not there. Letters match in either case (RFC 9110 section 4.2.3), which Spring's do not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar, Final

from haetae_edge.config.pattern import Pattern, escape
from haetae_edge.config.values import ArgumentError
from haetae_edge.predicate import Test
from haetae_edge.request import Request

_TOKEN = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})(?::([^{}]+))?\}|([?*])|([^{}?*]+)")
_LITERAL = re.compile(r"[a-z0-9\-_:\[\]]+")
_MAX_LENGTH: Final = 300


@dataclass(frozen=True, slots=True)
class HostPattern:
    """One compiled pattern. `exact` is set when it is plain text."""

    text: str
    exact: bool
    names: tuple[str, ...]
    pattern: Pattern


def parse_host_pattern(text: str) -> HostPattern:
    """Compile one pattern. Raises ValueError with a sentence that says what to write."""
    if not text or len(text) > _MAX_LENGTH:
        raise ValueError(f"a host pattern has 1 to {_MAX_LENGTH} characters")
    names: list[str] = []
    # Matched on "." + host, so that `**` can stand for no label at all.
    expression = "".join(
        r"(?:\.[^.]+)*" if label == "**" else r"\." + _label(label, text, names) for label in text.split(".")
    )
    if len(set(names)) != len(names):
        raise ValueError(f"`{text}` names the same variable twice")
    exact = not names and "*" not in text and "?" not in text
    return HostPattern(text=text.lower(), exact=exact, names=tuple(names), pattern=Pattern(expression))


def _label(label: str, text: str, names: list[str]) -> str:
    expression, at = "", 0
    while at < len(label):
        match = _TOKEN.match(label, at)
        if match is None:
            raise ValueError(f"`{text}`: a variable is written `{{name}}` or `{{name:regex}}`")
        name, inner, wildcard, literal = match.groups()
        if name:
            if inner:
                Pattern(inner)
            expression += f"(?P<v{len(names)}>{inner or '[^.]*'})"
            names.append(name)
        elif wildcard:
            expression += "[^.]" if wildcard == "?" else "[^.]*"
        elif _LITERAL.fullmatch(literal.lower()):
            expression += escape(literal.lower())
        else:
            raise ValueError(f"`{text}` has characters that no host has: write a name such as `**.example.org`")
        at = match.end()
    if not label:
        raise ValueError(f"`{text}` has an empty label: write a name such as `**.example.org`")
    return expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """`patterns`: tried in order; the first that matches sets the variables."""

    shortcut: ClassVar[tuple[str, ...]] = ("patterns",)

    patterns: tuple[str, ...]
    parsed: tuple[HostPattern, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.patterns:
            raise ArgumentError("patterns", "write at least one pattern, such as `**.example.org`")
        try:
            parsed = tuple(parse_host_pattern(text) for text in self.patterns)
        except ValueError as error:
            raise ArgumentError("patterns", str(error)) from None
        object.__setattr__(self, "parsed", parsed)

    @property
    def sets(self) -> frozenset[str]:
        """The variables every pattern has."""
        return frozenset.intersection(*(frozenset(pattern.names) for pattern in self.parsed))

    def build(self) -> Test:
        """A set lookup for plain names, expressions for the others."""
        if all(pattern.exact for pattern in self.parsed):
            names = frozenset(pattern.text for pattern in self.parsed)
            return lambda request, variables: request.authority.value in names
        parsed = self.parsed

        def test(request: Request, variables: dict[str, str]) -> bool:
            host = "." + request.authority.value
            for pattern in parsed:
                groups = pattern.pattern.capture(host)
                if groups is not None:
                    variables.update({name: groups[f"v{at}"] for at, name in enumerate(pattern.names)})
                    return True
            return False

        return test
