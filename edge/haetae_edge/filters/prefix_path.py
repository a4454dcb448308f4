"""`PrefixPath=/internal/{tenant}`: puts a path before the one that is sent; `/x` becomes `/internal/blue/x`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote

from haetae_edge.config.values import ArgumentError
from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange
from haetae_edge.filter import BuildContext, Phase, Steps

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_\-]{0,63})\}")
_LITERAL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,=:@/]|%[0-9A-Fa-f]{2})*")
_DOTS = re.compile(r"(?:^|/)\.{1,2}(?:/|$)|//")
#: What may stand unencoded in a path (RFC 3986 section 3.3); only `{*rest}` has slashes in it.
_SAFE = "/-._~!$&'()*+,=:@"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixPath:
    """`prefix`: an encoded path; `{name}` are URI variables, encoded where they are put in."""

    phase: ClassVar[Phase] = Phase.INJECT
    shortcut: ClassVar[tuple[str, ...]] = ("prefix",)

    prefix: str

    def __post_init__(self) -> None:
        plain = _VARIABLE.sub("x", self.prefix)
        if not plain.startswith("/") or len(plain) > 1000 or not _LITERAL.fullmatch(plain) or _DOTS.search(plain):
            raise ArgumentError(
                "prefix", "write a path such as `/internal` or `/tenants/{tenant}`, encoded, without dots"
            )

    @property
    def uses(self) -> frozenset[str]:
        """The URI variables in the prefix."""
        return frozenset(_VARIABLE.findall(self.prefix))

    def build(self, context: BuildContext) -> Steps:
        """One step."""
        pieces = _VARIABLE.split(self.prefix.rstrip("/"))
        fixed = pieces[0] if len(pieces) == 1 else None

        def step(exchange: Exchange) -> None:
            prefix = fixed if fixed is not None else _fill(pieces, exchange.variables)
            exchange.path = prefix + exchange.path

        return Steps(request=((Phase.INJECT, step),))


def _fill(pieces: list[str], variables: dict[str, str]) -> str:
    parts = []
    for at, piece in enumerate(pieces):
        value = quote(variables.get(piece, ""), safe=_SAFE) if at % 2 else piece
        if at % 2 and not value:
            raise Refusal("input-invalid", reason="variable-empty")
        parts.append(value)
    return "".join(parts)
