"""The life of a request, once: match → filters in order → upstream → response filters → seal.

Sans-io: it is given an exchange and returns a response; sockets, clocks and stores stand behind the ports. Every way
out that is not the upstream's answer goes through `_refuse`, so that every refusal is one row of the problem table with
a reference, and is sealed for the caller when a content key was opened.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate

from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange, Response
from haetae_edge.problems import PROBLEMS, render
from haetae_edge.table import RouteTable
from haetae_edge.well_known import WellKnown

#: Makes the support reference of a refusal; the exchange is None when no request could be read.
Reference = Callable[[Exchange | None], str]

_PROBLEM_JSON = (b"content-type", b"application/problem+json")
#: What a 401 asks for when the filter that refused did not say (RFC 9110 section 15.5.2); all others ask for a token.
_CHALLENGES = {"signature-invalid": b'Signature realm="app"', "replayed": b'Signature realm="app"'}
_NO_STORE = (b"cache-control", b"no-store")


class Pipeline:
    """Serves exchanges over one compiled route table."""

    def __init__(
        self,
        *,
        table: RouteTable,
        via: bytes,
        reference: Reference,
        clock: Callable[[], float],
        well_known: WellKnown,
    ) -> None:
        self._table = table
        self._well_known = well_known
        self._via = via
        self._reference = reference
        self._clock = clock

    def now(self) -> float:
        """Unix seconds, by the clock that everything here goes by."""
        return self._clock()

    async def serve(self, exchange: Exchange) -> Response:
        """Run one exchange to its answer. Raises nothing that belongs to the request or the upstream."""
        try:
            response = await self._forward(exchange)
        except Refusal as refusal:
            response = self.refuse(refusal, exchange=exchange)
        route = exchange.route
        if route is not None:
            for step in route.after:
                step(exchange, response)
        elif exchange.finish is not None:
            exchange.finish(exchange, response)
        if exchange.seal is not None and response.tunnel is None:
            exchange.seal.apply(exchange, response)
        return response

    async def _forward(self, exchange: Exchange) -> Response:
        request = exchange.request
        via = request.values.get(b"via")
        if via is not None and _names(via, self._via):
            raise Refusal("loop-detected", reason="via")
        endpoint = self._well_known.endpoint(request)
        if endpoint is not None:
            return await endpoint(exchange)
        if request.method == "OPTIONS":
            preflight = await self._preflight(exchange)
            if preflight is not None:
                return preflight
        matched = self._table.match(request)
        if matched is None:
            document = self._well_known.answer(request)
            if document is not None:
                return document
            raise Refusal("route-not-found", reason="no-route")
        route, exchange.variables = matched
        exchange.route = route
        exchange.begin_forwarding()
        for step in route.before:
            pending = step(exchange)
            if pending is not None:
                await pending
        return await route.send(exchange)

    async def _preflight(self, exchange: Exchange) -> Response | None:
        """The answer to a CORS preflight (Fetch standard, section 3.2.2), where its route answers those.

        The route is that of the call which the browser asks for: a route for POST alone would never see the question.
        Nobody is authenticated yet, but what is blocked by its address gets no answer here either.
        """
        request = exchange.request
        asked = request.values.get(b"access-control-request-method")
        if asked is None or len(asked) != 1 or b"origin" not in request.values:
            return None
        matched = self._table.match(request._replace(method=asked[0].decode("ascii")))
        if matched is None or matched[0].preflight is None:
            return None
        exchange.route, exchange.variables = matched
        for step in matched[0].before_preflight:
            pending = step(exchange)
            if pending is not None:
                await pending
        return matched[0].preflight(exchange)

    def refuse(self, refusal: Refusal, *, exchange: Exchange | None) -> Response:
        """The answer for a refusal; with no exchange when the request could not even be read."""
        problem = PROBLEMS[refusal.problem]
        fields = [_PROBLEM_JSON, _NO_STORE, *refusal.headers]
        if problem.retry_after is not None and not any(name == b"retry-after" for name, _ in refusal.headers):
            fields.append((b"retry-after", b"%d" % problem.retry_after))
        if problem.status == 401 and not any(name == b"www-authenticate" for name, _ in refusal.headers):
            fields.append((b"www-authenticate", _CHALLENGES.get(problem.code, b"Bearer")))
        if problem.code == "clock-skew":
            fields.append((b"date", formatdate(self._clock(), usegmt=True).encode("ascii")))
        ref = self._reference(exchange)
        if exchange is not None:
            exchange.facts.reason = refusal.reason or problem.code
            exchange.facts.reference = ref
        return Response(
            status=problem.status,
            fields=fields,
            body=render(problem, ref=ref),
            problem=problem,
            close=problem.close,
        )

    def fault(self, exchange: Exchange | None) -> Response:
        """The answer when the gateway itself failed, sealed like any other once a content key was opened."""
        response = self.refuse(Refusal("internal", reason="fault"), exchange=exchange)
        if exchange is not None and exchange.seal is not None:
            exchange.seal.apply(exchange, response)
        return response


def _names(via: list[bytes], pseudonym: bytes) -> bool:
    """Whether one of the hops in `Via` is this gateway: `protocol received-by [comment]` (RFC 9110 section 7.6.3)."""
    hops = (hop.split() for value in via for hop in value.split(b","))
    return any(len(hop) > 1 and hop[1] == pseudonym for hop in hops)
