"""Sends an exchange to its route's upstream, and turns what comes back into a `Response`.

What the gateway itself says on a request is written here: the request line, `Host`, the forwarding headers
(RFC 7239 and the `X-Forwarded-*` family, always replaced, never appended to what a client sent), `Via`. Upstream
header fields that are not plain ASCII are dropped, not repaired: a writer that fixes them would let one party read
what another did not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from haetae_edge.auth_report import read_auth_report, read_items
from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange, Fields, Response
from haetae_edge.headers import HOP_BY_HOP, connection_options, is_gateways_own, is_safe_value, write_fields
from haetae_edge.io.upstream import (
    BodySource,
    ClientBodyError,
    ClosedBeforeResponse,
    ConnectFailed,
    ConnectTimeout,
    FirstByteTimeout,
    IdleTimeout,
    PoolExhausted,
    TlsFailed,
    TotalTimeout,
    Upstream,
    UpstreamError,
    UpstreamRequest,
    UpstreamResponse,
)
from haetae_edge.request import METHODS, Request

_UPGRADE: Final = b"upgrade: websocket\r\n"
_CACHE_ENTRIES: Final = 16_384
#: Within a second many answers of a service have the same head; what passes of it is remembered.
_REMEMBERED_HEADS: Final = 256
_METHODS: Final = {method: method.encode("ascii") for method in METHODS}
_DROPPED: Final = HOP_BY_HOP | {b"content-length"}
_REPORTS: Final = frozenset({b"haetae-auth", b"haetae-items"})
_BODILESS: Final = frozenset({204, 304})

_Pairs = tuple[tuple[bytes, bytes], ...]

#: Upstream failures → rows of the problem table; every other one is an answer that cannot be used.
_PROBLEMS: Final[dict[type[UpstreamError], str]] = {
    ConnectFailed: "upstream-unreachable",
    TlsFailed: "upstream-unreachable",
    ConnectTimeout: "upstream-unreachable",
    ClosedBeforeResponse: "upstream-unreachable",
    FirstByteTimeout: "upstream-timeout",
    IdleTimeout: "upstream-timeout",
    TotalTimeout: "upstream-timeout",
    PoolExhausted: "upstream-overloaded",
}


class Forwarder:
    """Sends exchanges of one route to one upstream."""

    def __init__(self, upstream: Upstream, *, host: bytes, via: bytes, auth_events: bool = False) -> None:
        """`auth_events`: the upstream checks credentials and may report what came of it."""
        self._upstream = upstream
        self._host = host
        self._via = b"via: 1.1 %b\r\n" % via
        self._name = host.decode("ascii")
        self._auth_events = auth_events
        self._forwarding: dict[tuple[str, str, str, bytes], bytes] = {}
        self._answers: dict[_Pairs, tuple[Fields, _Pairs]] = {}

    async def send(self, exchange: Exchange) -> Response:
        """One call to the upstream. Raises `Refusal` for every way it can fail before an answer has begun."""
        exchange.facts.upstream = self._name
        request = exchange.request
        upgrade = wants_websocket(request)
        try:
            answer = await self._upstream.exchange(
                UpstreamRequest(
                    method=request.method,
                    head=self._head(exchange, upgrade=upgrade),
                    body=_body(exchange),
                    upgrade=upgrade,
                ),
                exchange.deadlines,
                _interim(exchange),
            )
        except UpstreamError as error:
            raise Refusal(_PROBLEMS.get(type(error), "upstream-invalid"), reason=error.code) from error
        except ClientBodyError as error:
            raise Refusal("request-malformed", reason=error.code) from error
        return self._response(answer, exchange)

    def _response(self, answer: UpstreamResponse, exchange: Exchange) -> Response:
        method = exchange.request.method
        key = tuple(answer.headers)
        known = self._answers.get(key)
        if known is None:
            known = _end_to_end(answer.headers), tuple(pair for pair in key if pair[0] in _REPORTS)
            if len(self._answers) >= _REMEMBERED_HEADS:
                self._answers.clear()
            self._answers[key] = known
        if known[1]:
            self._take_reports(exchange, known[1])
        fields = known[0][:]
        status, body = answer.status, answer.body
        if status == 101:
            return _switched(answer, fields)
        if method == "HEAD" or status in _BODILESS:
            return Response(status=status, fields=fields, body=b"", announced_length=answer.length)
        return Response(status=status, fields=fields, body=answer if body is None else body)

    def _take_reports(self, exchange: Exchange, reports: _Pairs) -> None:
        """What the upstream tells the gateway alone; `_end_to_end` keeps it from the client."""
        for name, value in reports:
            if name == b"haetae-items":
                exchange.facts.items = read_items(value)
            elif self._auth_events:
                exchange.facts.report = read_auth_report(value)

    def _head(self, exchange: Exchange, *, upgrade: bool) -> bytes:
        request = exchange.request
        host = exchange.host or self._host
        key = (request.client.text, request.authority.value, request.scheme, host)
        forwarding = self._forwarding.get(key)
        if forwarding is None:
            forwarding = b"host: %b\r\n%b" % (host, forwarding_lines(request))
            if len(self._forwarding) >= _CACHE_ENTRIES:
                self._forwarding.clear()
            self._forwarding[key] = forwarding
        target = request.target
        if exchange.path is target.raw_path and exchange.query is target.query:
            line = target.line
        else:
            line = (exchange.path if exchange.query is None else f"{exchange.path}?{exchange.query}").encode("ascii")
        # Via comes after those of the hops before us (RFC 9110 section 7.6.3).
        return b"%b %b HTTP/1.1\r\n%b%b%b%b" % (
            _METHODS[request.method],
            line,
            forwarding,
            write_fields(exchange.fields),
            self._via,
            _UPGRADE if upgrade else b"",
        )


def forwarding_lines(request: Request) -> bytes:
    """What the upstream is told of the client: `Forwarded` and the `X-Forwarded-*` family."""
    client = request.client.text
    node = f'"[{client}]"' if ":" in client else client
    host = request.authority.value
    quoted = f'"{host}"' if ":" in host or "[" in host else host
    port = host.rpartition(":")[2] if ":" in host and not host.endswith("]") else ""
    port = port or ("443" if request.scheme == "https" else "80")
    return (
        f"forwarded: for={node};host={quoted};proto={request.scheme}\r\n"
        f"x-forwarded-for: {client}\r\n"
        f"x-forwarded-host: {host}\r\n"
        f"x-forwarded-port: {port}\r\n"
        f"x-forwarded-proto: {request.scheme}\r\n"
    ).encode("ascii")


def wants_websocket(request: Request) -> bool:
    """Whether the client asks for a WebSocket (RFC 6455 section 4.1): GET, and both fields name it."""
    if b"upgrade" not in request.options:
        return False
    values = request.values.get(b"upgrade", [])
    return request.method == "GET" and not request.has_body and [v.lower() for v in values] == [b"websocket"]


def _body(exchange: Exchange) -> bytes | BodySource | None:
    body = exchange.body
    return None if body == b"" and exchange.request.method in ("GET", "HEAD") else body


def _end_to_end(headers: Fields) -> Fields:
    """The fields of an answer that go on to the client.

    Printable ASCII, not hop-by-hop, not named by `Connection`, and nothing that only a gateway may state: a service
    that echoes what it was sent would hand its Passport to the client.
    """
    named = connection_options(value for name, value in headers if name == b"connection") | _DROPPED
    return [
        pair for pair in headers if pair[0] not in named and is_safe_value(pair[1]) and not is_gateways_own(pair[0])
    ]


def _interim(exchange: Exchange) -> Callable[[int, Fields], None] | None:
    """Interim answers go on as they come, except where answers are sealed: their fields could not be."""
    inform = exchange.inform
    if inform is None or exchange.seal is not None:
        return None
    return lambda status, headers: inform(status, _end_to_end(headers))


def _switched(answer: UpstreamResponse, fields: Fields) -> Response:
    """101: only to what the client asked for."""
    if [value.lower() for name, value in answer.headers if name == b"upgrade"] != [b"websocket"]:
        answer.abort()
        raise Refusal("upstream-invalid", reason="upgrade-to-something-else")
    fields.append((b"upgrade", b"websocket"))
    return Response(status=101, fields=fields, body=b"", tunnel=answer.tunnel())
