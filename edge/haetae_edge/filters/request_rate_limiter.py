"""`RequestRateLimiter`: a token bucket per caller, shared by all workers (Spring Cloud Gateway's algorithm and names).

One script in Redis takes the tokens, by Redis's own clock. Who is counted was proven before: a key that is not known of
this caller refuses the call, it never shares a bucket of the nameless. When the store does not answer in time, the
route says what happens; without a word it refuses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Final, Literal

from haetae_edge.config.values import ArgumentError
from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange, Response
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.services import Rates, StoreUnavailable, required

_STATE: Final = "rate-limit"
_MAX_CAPACITY: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRate:
    """The rate of one named caller, in the place of the filter's own."""

    replenish_rate: float
    burst_capacity: int

    def __post_init__(self) -> None:
        _check_rate(self.replenish_rate, self.burst_capacity)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRateLimiter:
    """Arguments of the filter.

    `replenish_rate`: tokens a second. `burst_capacity`: most tokens at a time. `requested_tokens`: what one call
    costs. `key_resolver`: whose bucket: the `client` of the token, else of the certificate, the `user`, the `device`,
    or the `ip` address (for IPv6 its /64). `clients`: rates of single callers, by their key. `on_store_down`: `allow`
    lets calls pass uncounted.
    """

    replenish_rate: float
    burst_capacity: int
    requested_tokens: int = 1
    key_resolver: Literal["client", "user", "ip", "device"] = "client"
    clients: Mapping[str, ClientRate] = field(default_factory=lambda: MappingProxyType({}))
    on_store_down: Literal["refuse", "allow"] = "refuse"

    phase: ClassVar[Phase] = Phase.RESILIENCE
    shortcut: ClassVar[tuple[str, ...]] = ("replenish_rate", "burst_capacity", "requested_tokens", "key_resolver")

    def __post_init__(self) -> None:
        _check_rate(self.replenish_rate, self.burst_capacity)
        smallest = min([self.burst_capacity, *(client.burst_capacity for client in self.clients.values())])
        if not 1 <= self.requested_tokens <= smallest:
            raise ArgumentError("requested_tokens", "is at least 1 and at most each `burstCapacity`, or nobody passes")

    def build(self, context: BuildContext) -> Steps:
        """Compile for one route."""
        rates = required(context.services.rates, "RequestRateLimiter", "redis")
        limiter = _Limiter(self, rates, gateway=context.gateway, route=context.route_id)
        return Steps(request=((Phase.RESILIENCE, limiter.take),), response=limiter.tell)


def _check_rate(rate: float, capacity: int) -> None:
    if not 0.001 <= rate <= _MAX_CAPACITY:
        raise ArgumentError("replenish_rate", "is tokens a second, from 0.001 to 1000000")
    if not 1 <= capacity <= _MAX_CAPACITY:
        raise ArgumentError("burst_capacity", "is a number of tokens, from 1 to 1000000")


class _Limiter:
    def __init__(self, arguments: RequestRateLimiter, rates: Rates, *, gateway: str, route: str) -> None:
        self._arguments = arguments
        self._rates = rates
        self._name = (gateway, route, arguments.key_resolver)

    async def take(self, exchange: Exchange) -> None:
        """Take the call's tokens. Raises Refusal."""
        arguments = self._arguments
        key = self._key(exchange)
        if not key:
            raise Refusal("not-permitted", reason="rate-key-unknown")
        own = arguments.clients.get(key)
        rate = own.replenish_rate if own is not None else arguments.replenish_rate
        capacity = own.burst_capacity if own is not None else arguments.burst_capacity
        try:
            verdict = await self._rates.take(
                *self._name, key, rate=rate, capacity=capacity, tokens=arguments.requested_tokens
            )
        except StoreUnavailable:
            if arguments.on_store_down == "refuse":
                raise Refusal("limits-unavailable", reason="rate-store") from None
            return
        fields = [
            (b"x-ratelimit-remaining", b"%d" % verdict.remaining),
            (b"x-ratelimit-replenish-rate", f"{rate:g}".encode("ascii")),
            (b"x-ratelimit-burst-capacity", b"%d" % capacity),
            (b"x-ratelimit-requested-tokens", b"%d" % arguments.requested_tokens),
        ]
        exchange.state[_STATE] = fields
        if not verdict.allowed:
            wait = max(1, math.ceil(verdict.retry_after))
            raise Refusal("rate-limited", reason="rate-limit", headers=((b"retry-after", b"%d" % wait),))

    def _key(self, exchange: Exchange) -> str | None:
        caller = exchange.caller
        match self._arguments.key_resolver:
            case "client":
                return caller.client_id or caller.service
            case "user":
                return caller.user
            case "device":
                return caller.device
            case "ip":
                ip = exchange.request.client.ip
                # One subscriber has a whole /64; its addresses are not different callers.
                return str(ip) if ip.version == 4 else f"{int(ip) >> 64:x}/64"

    def tell(self, exchange: Exchange, response: Response) -> None:
        """Say what is left; what the upstream says about limits of its own gives way."""
        ours: list[tuple[bytes, bytes]] | None = exchange.state.get(_STATE)
        if ours is not None:
            names = {name for name, _ in ours}
            response.fields = [pair for pair in response.fields if pair[0] not in names] + ours
