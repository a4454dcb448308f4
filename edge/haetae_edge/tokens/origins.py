"""Web origins (RFC 6454): the gateway's own as the client addressed it, and those that a route names.

Rules kept: origins compare as exact text in the form browsers send (lower case, no default port); a pattern has `*` at
the left of the host only, for one or more whole labels, and never crosses into scheme or port. `null` is no origin.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from haetae_edge.errors import Refusal
from haetae_edge.request import Request
from haetae_edge.target import parse_authority

_TEXT = re.compile(r"(https?)://([a-z0-9.\-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_LABELS = r"(?:[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?\.)+"
_HELP = "write an origin as browsers send it, such as `https://app.example.org`: lower case, no path, no default port"


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginRule:
    """Which origins a route takes: everyone's, listed ones, or those of a pattern."""

    anyone: bool
    origins: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]

    def names(self, origin: str) -> bool:
        """Whether the route names this origin, by itself or by a pattern."""
        return origin in self.origins or any(pattern.fullmatch(origin) is not None for pattern in self.patterns)


def own_origin(request: Request) -> str:
    """The origin of the page that this gateway itself would be."""
    return f"{request.scheme}://{request.authority.value}"


def parse_origin_text(text: str) -> str:
    """An origin, checked to be in the form browsers send. Raises ValueError."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(_HELP)
    scheme, rest = match[1], text.partition("://")[2]
    try:
        authority = parse_authority(rest, scheme=scheme)
    except Refusal:
        raise ValueError(_HELP) from None
    if f"{scheme}://{authority.value}" != text:
        raise ValueError(_HELP)
    return text


def parse_origin_pattern(text: str) -> re.Pattern[str]:
    """A pattern such as `https://*.example.org`. Raises ValueError."""
    scheme, _, rest = text.partition("://*.")
    if not rest or "*" in rest or "." not in rest:
        raise ValueError(
            "write a pattern such as `https://*.example.org`: one `*` at the left, then at least two labels"
        )
    plain = parse_origin_text(f"{scheme}://{rest}")
    return re.compile(re.escape(f"{scheme}://") + _LABELS + re.escape(plain.partition("://")[2]))
