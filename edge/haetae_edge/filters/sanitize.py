"""`Sanitize`: only what a service knows reaches it.

A header allow-list and a schema for the query. What is fine goes on in its order and its bytes; what is
corrected is counted under `exchange.state["sanitize"]`; what is refused is `input-invalid`. It judges the
outgoing query, after whatever earlier filters made of it. Bodies are not looked at.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal
from urllib.parse import quote

from haetae_edge.config.values import ArgumentError
from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.query_rules import ParameterRule, Unacceptable
from haetae_edge.querystring import Parameter, parameters
from haetae_edge.trace import TRACE_FIELDS, TRACE_STATE

#: The gateway wrote these itself, or the body cannot be read without them.
_ALWAYS: Final = TRACE_FIELDS | {TRACE_STATE, b"accept-encoding", b"content-encoding", b"content-type"}
_HEADER = re.compile(r"[A-Za-z0-9\-_.]{1,64}\*?")
_SAFE: Final = "-._~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sanitize:
    """`headers`: names that pass, `x-app-*` for a family; left out, all do. `query`: a rule per parameter
    name.

    `unknown_query`: what happens to parameters without a rule; left out, they pass when there are no rules at
    all and are dropped when there are.
    """

    phase: ClassVar[Phase] = Phase.SANITIZE
    shortcut: ClassVar[tuple[str, ...]] = ("headers",)

    headers: tuple[str, ...] | None = None
    query: Mapping[str, ParameterRule] = field(default_factory=dict)
    unknown_query: Literal["keep", "drop", "reject"] | None = None

    def __post_init__(self) -> None:
        if self.headers is None and not self.query and self.unknown_query is None:
            raise ValueError("write `headers`, `query` or `unknownQuery`; without them nothing is sanitized")
        for name in self.headers or ():
            if not _HEADER.fullmatch(name):
                raise ArgumentError("headers", f"`{name[:40]}` is no header name; write `accept` or `x-app-*`")
        if any(not name for name in self.query):
            raise ArgumentError("query", "a parameter has a name")

    def build(self, context: BuildContext) -> Steps:
        """One step for what is asked."""
        headers = _header_cleaner(self.headers) if self.headers is not None else None
        unknown = self.unknown_query or ("drop" if self.query else "keep")
        query = _QueryCleaner(self.query, unknown) if self.query or unknown != "keep" else None

        def step(exchange: Exchange) -> None:
            if headers is not None:
                headers(exchange)
            if query is not None:
                query.clean(exchange)

        return Steps(request=((Phase.SANITIZE, step),))


def _count(exchange: Exchange, what: str, number: int) -> None:
    if number:
        counts: dict[str, int] = exchange.state.setdefault("sanitize", {})
        counts[what] = counts.get(what, 0) + number


def _header_cleaner(names: tuple[str, ...]) -> Callable[[Exchange], None]:
    exact = _ALWAYS | {name.lower().encode("ascii") for name in names if not name.endswith("*")}
    families = tuple(name[:-1].lower().encode("ascii") for name in names if name.endswith("*"))

    def clean(exchange: Exchange) -> None:
        fields = exchange.fields
        if families:
            kept = [pair for pair in fields if pair[0] in exact or pair[0].startswith(families)]
        else:
            kept = [pair for pair in fields if pair[0] in exact]
        if len(kept) != len(fields):
            _count(exchange, "headers-dropped", len(fields) - len(kept))
            exchange.fields = kept

    return clean


class _QueryCleaner:
    """Applies the rules of one route to a query."""

    def __init__(self, rules: Mapping[str, ParameterRule], unknown: str) -> None:
        self._rules = rules
        self._unknown = unknown
        self._defaults = {name: rule.default for name, rule in rules.items() if rule.default is not None}
        self._required = frozenset(name for name, rule in rules.items() if rule.required)

    def clean(self, exchange: Exchange) -> None:
        query = exchange.query
        if not query and not self._defaults and not self._required:
            return
        try:
            found = list(parameters(query)) if query else []
        except ValueError:
            raise Refusal("input-invalid", reason="query-parameters") from None
        kept = self._judge(exchange, self._without_repeats(exchange, found))
        names = {name for name, _ in kept}
        if self._required - names:
            raise Refusal("input-invalid", reason="query-missing")
        for name, default in self._defaults.items():
            if name not in names:
                kept.append((name, _encode(quote(name, safe=_SAFE), default)))
                _count(exchange, "query-defaulted", 1)
        pieces = [raw for _, raw in kept]
        if pieces != [piece.raw for piece in found]:
            exchange.query = "&".join(pieces) if pieces else None

    def _without_repeats(self, exchange: Exchange, found: list[Parameter]) -> list[Parameter]:
        """Each parameter as often as its rule allows."""
        total = Counter(piece.name for piece in found)
        if len(total) == len(found):
            return found
        kept = []
        seen: Counter[str | None] = Counter()
        for piece in found:
            seen[piece.name] += 1
            rule = self._rules.get(piece.name) if piece.name is not None else None
            if rule is not None and total[piece.name] > 1 and rule.repeated != "all":
                if rule.repeated == "reject":
                    raise Refusal("input-invalid", reason="query-repeated")
                wanted = 1 if rule.repeated == "first" else total[piece.name]
                if seen[piece.name] != wanted:
                    _count(exchange, "query-dropped", 1)
                    continue
            kept.append(piece)
        return kept

    def _judge(self, exchange: Exchange, found: list[Parameter]) -> list[tuple[str, str]]:
        """Decoded name and outgoing piece of every parameter that stays."""
        kept: list[tuple[str, str]] = []
        for piece in found:
            name = piece.name
            rule = self._rules.get(name) if name is not None else None
            if name is None or rule is None:
                self._judge_unknown(exchange, piece, kept)
                continue
            value = piece.value if piece.value is not None else "\x00"  # undecodable: no rule accepts a control
            try:
                accepted = rule.accept(value)
            except Unacceptable:
                raise Refusal("input-invalid", reason="query-value") from None
            if accepted is value:
                kept.append((name, piece.raw))
            elif accepted is None:
                _count(exchange, "query-dropped", 1)
            else:
                _count(exchange, "query-corrected", 1)
                kept.append((name, _encode(piece.raw.partition("=")[0], accepted)))
        return kept

    def _judge_unknown(self, exchange: Exchange, piece: Parameter, kept: list[tuple[str, str]]) -> None:
        if self._unknown == "drop":
            _count(exchange, "query-dropped", 1)
        elif self._unknown == "reject" or piece.name is None or piece.value is None:
            raise Refusal("input-invalid", reason="query-unknown")
        else:
            kept.append((piece.name, piece.raw))


def _encode(raw_name: str, value: str) -> str:
    return f"{raw_name}={quote(value, safe=_SAFE)}"
