"""The query string as ordered pieces: decoded strictly for decisions, kept byte for byte for what is sent on.

A piece is what stands between two `&`. Only `&` separates and only the first `=` splits, as in WHATWG's
application/x-www-form-urlencoded; `+` is a space. A piece whose percent-encoding is broken or not UTF-8 has
no meaning: it decodes to None and the reader decides what that refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

_ENCODED = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")
#: More parameters than any honest form has; reading stops with the declared error beyond.
MAX_PARAMETERS: Final = 256


class Parameter(NamedTuple):
    """`raw` as received; `name` and `value` decoded, None when they do not decode. A missing `=` gives an
    empty value."""

    raw: str
    name: str | None
    value: str | None


def decode(text: str) -> str | None:
    """Percent-decode strictly; None when it is broken or not UTF-8."""
    if "%" not in text:
        return text.replace("+", " ") if "+" in text else text
    if not _ENCODED.fullmatch(text):
        return None
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError:
        return None


def parameters(query: str) -> Iterator[Parameter]:
    """The pieces in order; empty ones (`a&&b`) are left out. Raises ValueError beyond MAX_PARAMETERS."""
    if query.count("&") >= MAX_PARAMETERS:
        raise ValueError("too many parameters")
    for raw in query.split("&"):
        if raw:
            name, _, value = raw.partition("=")
            yield Parameter(raw, decode(name), decode(value))
