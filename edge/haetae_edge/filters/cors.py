"""`Cors`: which pages of other origins may call, and what they may read (Fetch standard, section 3.2).

Preflights are answered here, before authentication (a browser sends no credentials with them), and never reach the
upstream. What the upstream itself says about CORS is replaced: one word on who may read, the gateway's. A call from an
origin that is not allowed is refused rather than left to the browser. Requests without `Origin`, or from the gateway's
own origin, are none of this filter's business.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from haetae_edge.config.values import ArgumentError, Duration, HeaderName
from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange, Response
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.headers import folded
from haetae_edge.request import METHODS
from haetae_edge.tokens.origins import OriginRule, own_origin, parse_origin_pattern, parse_origin_text

#: Set on an exchange whose `Origin` is one this route names: not a foreign page to `Csrf`.
NAMED_ORIGIN: Final = "cors-named-origin"
_ALLOW_ORIGIN: Final = b"access-control-allow-origin"
_RESPONSE_FIELDS: Final = frozenset(
    {
        _ALLOW_ORIGIN,
        b"access-control-allow-credentials",
        b"access-control-allow-headers",
        b"access-control-allow-methods",
        b"access-control-expose-headers",
        b"access-control-max-age",
        b"access-control-allow-private-network",
    }
)
_ORIGIN: Final = "cors-origin"
_PREFLIGHT: Final = "cors-preflight"
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]{1,128}")
_MAX_ASKED: Final = 64
#: Names that a browser may always send (Fetch standard, CORS-safelisted request-headers).
_SAFE_HEADERS: Final = frozenset({"accept", "accept-language", "content-language", "content-type", "range"})
_WEEK: Final = 7 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """Arguments of the filter.

    `allowed_origins`: origins written out, or `*` alone. `allowed_origin_patterns`: with `*` for one or more whole
    labels at the left of the host. `allowed_headers`: beyond those that are always safe; no wildcard.
    `exposed_headers`: what a page may read of an answer. `allow_credentials`: cookies and TLS certificates; not
    together with `*`. `max_age`: how long a browser may remember a preflight.
    """

    allowed_origins: tuple[str, ...] = ()
    allowed_origin_patterns: tuple[str, ...] = ()
    allowed_methods: tuple[str, ...] = ("GET", "HEAD")
    allowed_headers: tuple[HeaderName, ...] = ()
    exposed_headers: tuple[HeaderName, ...] = ()
    allow_credentials: bool = False
    max_age: Duration = 600.0
    rule: OriginRule = field(init=False, repr=False, compare=False)

    phase: ClassVar[Phase] = Phase.TRANSPORT
    shortcut: ClassVar[tuple[str, ...]] = ("allowed_origins",)

    def __post_init__(self) -> None:
        if not self.allowed_origins and not self.allowed_origin_patterns:
            raise ArgumentError("allowed_origins", "list at least one origin, such as `https://app.example.org`")
        if "*" in self.allowed_origins:
            if len(self.allowed_origins) > 1 or self.allowed_origin_patterns:
                raise ArgumentError("allowed_origins", "`*` stands alone: it already names every origin")
            if self.allow_credentials:
                raise ArgumentError("allow_credentials", "not together with `*`: any site could act for your users")
        unknown = sorted(set(self.allowed_methods) - METHODS)
        if unknown or not self.allowed_methods:
            raise ArgumentError("allowed_methods", f"list methods among {', '.join(sorted(METHODS))}")
        if "*" in self.allowed_headers or "*" in self.exposed_headers:
            raise ArgumentError("allowed_headers", "names are written out; `*` is not one")
        if not 0 <= self.max_age <= _WEEK:
            raise ArgumentError("max_age", "is at most 7d")
        object.__setattr__(self, "rule", self._rule())

    def _rule(self) -> OriginRule:
        exact = [origin for origin in self.allowed_origins if origin != "*"]
        try:
            origins = frozenset(parse_origin_text(origin) for origin in exact)
        except ValueError as error:
            raise ArgumentError("allowed_origins", str(error)) from None
        try:
            patterns = tuple(parse_origin_pattern(pattern) for pattern in self.allowed_origin_patterns)
        except ValueError as error:
            raise ArgumentError("allowed_origin_patterns", str(error)) from None
        return OriginRule(anyone="*" in self.allowed_origins, origins=origins, patterns=patterns)

    def build(self, context: BuildContext) -> Steps:
        """Compile for one route."""
        desk = _Desk(self)
        return Steps(request=((Phase.TRANSPORT, desk.admit),), response=desk.answer, preflight=desk.preflight)


class _Desk:
    def __init__(self, arguments: Cors) -> None:
        self._rule = arguments.rule
        self._credentials = arguments.allow_credentials
        self._methods = frozenset(arguments.allowed_methods)
        self._called_by = self._methods | ({"HEAD"} if "GET" in self._methods else set())
        self._headers = _SAFE_HEADERS | {name.lower() for name in arguments.allowed_headers}
        self._any_origin = arguments.rule.anyone
        self._exposed = ", ".join(arguments.exposed_headers).encode("ascii")
        self._preflight_fields = (
            (b"access-control-allow-methods", ", ".join(arguments.allowed_methods).encode("ascii")),
            (b"access-control-max-age", b"%d" % int(arguments.max_age)),
        )

    def admit(self, exchange: Exchange) -> None:
        """Refuse a call from a foreign origin, and one by a method that no preflight would have allowed it.

        Browsers send simple POSTs without asking first.
        """
        if self._judge(exchange) is not None and exchange.request.method not in self._called_by:
            raise Refusal("foreign-origin", reason="cors-method")

    def preflight(self, exchange: Exchange) -> Response:
        """Say what the page may do. Raises Refusal("foreign-origin")."""
        request = exchange.request
        if self._judge(exchange) is None:
            raise Refusal("foreign-origin", reason="preflight-of-own-origin")
        if (request.header(b"access-control-request-method") or "") not in self._methods:
            raise Refusal("foreign-origin", reason="cors-method")
        asked = self._asked_headers(request.field_lines("access-control-request-headers"))
        fields = [*self._preflight_fields, (b"vary", b"Access-Control-Request-Method, Access-Control-Request-Headers")]
        if asked:
            fields.append((b"access-control-allow-headers", ", ".join(asked).encode("ascii")))
        exchange.state[_PREFLIGHT] = fields
        return Response(status=204, fields=[], body=b"")

    def _judge(self, exchange: Exchange) -> str | None:
        """The origin that may read the answer, None for a call that is not cross-origin."""
        origin = exchange.request.header(b"origin")
        if origin is None or origin == own_origin(exchange.request):
            return None
        if self._rule.names(origin):
            exchange.state[NAMED_ORIGIN] = True
        elif not self._any_origin:
            raise Refusal("foreign-origin", reason="cors-origin")
        exchange.state[_ORIGIN] = origin
        return origin

    def _asked_headers(self, lines: Sequence[str]) -> list[str]:
        names = [name.strip(" \t").lower() for line in lines for name in line.split(",") if name.strip(" \t")]
        if len(names) > _MAX_ASKED or any(_NAME.fullmatch(name) is None for name in names):
            raise Refusal("foreign-origin", reason="cors-headers")
        if not set(names) <= self._headers:
            raise Refusal("foreign-origin", reason="cors-headers")
        return names

    def answer(self, exchange: Exchange, response: Response) -> None:
        """Write who may read this answer, in the place of what the upstream said about it."""
        fields = [pair for pair in response.fields if folded(pair[0]) not in _RESPONSE_FIELDS]
        preflight: list[tuple[bytes, bytes]] | None = exchange.state.get(_PREFLIGHT)
        if preflight is not None:
            fields += preflight
        elif self._exposed:
            fields.append((b"access-control-expose-headers", self._exposed))
        if self._any_origin:
            fields.append((_ALLOW_ORIGIN, b"*"))
        else:
            origin = exchange.state.get(_ORIGIN)
            if origin is not None:
                fields.append((_ALLOW_ORIGIN, origin.encode("ascii")))
                if self._credentials:
                    fields.append((b"access-control-allow-credentials", b"true"))
            # Also where nobody is named: a shared cache must not give this answer to another origin.
            fields.append((b"vary", b"Origin"))
        response.fields = fields
