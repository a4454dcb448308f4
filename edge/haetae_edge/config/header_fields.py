"""Header names and values that configuration may write, and values with URI variables in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from haetae_edge.config.values import ArgumentError
from haetae_edge.headers import FORWARDED, FRAMING, HOP_BY_HOP, IDENTITY, folded, is_safe_value
from haetae_edge.trace import TRACE_FIELDS

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_\-]{0,63})\}")
_REQUEST: Final = HOP_BY_HOP | FRAMING | FORWARDED | IDENTITY | TRACE_FIELDS | {b"host", b"expect"}
_RESPONSE: Final = HOP_BY_HOP | FRAMING | IDENTITY | {b"date"}

_KEPT: Final = FRAMING | {b"host", b"x-passport"}

Expand = Callable[[Mapping[str, str]], bytes | None]


def request_field(name: str, *, argument: str = "name") -> bytes:
    """The lower-case name of a request field that a route may set. Raises ArgumentError for the gateway's
    own."""
    lower = name.lower().encode("ascii")
    if folded(lower) in _REQUEST:
        raise ArgumentError(argument, f"`{name}` is written by the gateway itself; a route cannot set it")
    return lower


def response_field(name: str, *, argument: str = "name") -> bytes:
    """The same for a field of an answer."""
    lower = name.lower().encode("ascii")
    if folded(lower) in _RESPONSE:
        raise ArgumentError(argument, f"`{name}` is written by the gateway itself; a route cannot set it")
    return lower


def removable_field(name: str, *, argument: str = "name") -> bytes:
    """A request field that a route may remove: anything but framing, `Host` and the Passport."""
    lower = name.lower().encode("ascii")
    if folded(lower) in _KEPT:
        raise ArgumentError(argument, f"`{name}` is written by the gateway itself; a route cannot remove it")
    return lower


def compile_value(template: str) -> Expand:
    """A value whose `{name}` are URI variables.

    The result is None when a variable holds what no header value may hold. That every variable is set was
    checked when the route was loaded.
    """
    pieces = _VARIABLE.split(template)
    if len(pieces) == 1:
        fixed = template.encode("ascii")
        return lambda variables: fixed

    def expand(variables: Mapping[str, str]) -> bytes | None:
        text = "".join(piece if at % 2 == 0 else variables.get(piece, "") for at, piece in enumerate(pieces))
        if not text.isascii():
            return None
        value = text.encode("ascii")
        return value if is_safe_value(value) else None

    return expand


def variables_in(template: str) -> frozenset[str]:
    """The URI variables a value names."""
    return frozenset(_VARIABLE.findall(template))
