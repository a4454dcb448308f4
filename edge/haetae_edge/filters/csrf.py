"""`Csrf`: no page of another site makes a browser change something here.

Calls that change something, and WebSocket upgrades (which CORS does not hold back), must come from the gateway's own
origin or from a named one: of this filter, or of the route's `Cors`. `Origin` decides where it is sent, else
`Sec-Fetch-Site`; browsers send one of them with every such call. Reading calls are not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

from haetae_edge.config.values import ArgumentError
from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.filters.cors import NAMED_ORIGIN
from haetae_edge.tokens.origins import own_origin, parse_origin_text

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Csrf:
    """Arguments of the filter.

    `allowed_origins`: other origins whose pages may change something. `on_missing`: what becomes of a call that says
    nothing of where it comes from, as programs that are not browsers send it.
    """

    allowed_origins: tuple[str, ...] = ()
    on_missing: Literal["refuse", "allow"] = "refuse"
    origins: frozenset[str] = field(init=False, repr=False, compare=False)

    phase: ClassVar[Phase] = Phase.EARLY_BLOCK
    shortcut: ClassVar[tuple[str, ...]] = ("allowed_origins",)

    def __post_init__(self) -> None:
        try:
            origins = frozenset(parse_origin_text(origin) for origin in self.allowed_origins)
        except ValueError as error:
            raise ArgumentError("allowed_origins", str(error)) from None
        object.__setattr__(self, "origins", origins)

    def build(self, context: BuildContext) -> Steps:
        """Compile for one route."""
        return Steps(request=((Phase.EARLY_BLOCK, self._check),))

    def _check(self, exchange: Exchange) -> None:
        request = exchange.request
        upgrade = b"upgrade" in request.options
        if request.method in _READING and not upgrade:
            return
        site = request.header(b"sec-fetch-site")
        origin = request.header(b"origin")
        if origin is not None:
            if origin in self.origins or exchange.state.get(NAMED_ORIGIN) is True:
                return
            # Both speak of one page; where they differ, the request is not what a browser makes.
            if origin != own_origin(request) or site == "cross-site":
                raise Refusal("foreign-origin", reason="csrf-origin")
            return
        if site is not None:
            if site not in _OWN_SITES:
                raise Refusal("foreign-origin", reason="csrf-fetch-site")
            return
        if self.on_missing == "refuse":
            raise Refusal("foreign-origin", reason="csrf-unsaid")
