"""`VerifyJwt`: a valid access token of a configured issuer (RFC 9068, RFC 8725), from the one it was given to.

A token bound to a key or certificate needs proof of it: the signature of the app channel, a DPoP proof (RFC 9449), the
client certificate (RFC 8705). A device that belongs to a user speaks only for that user (app channel section 4). With
`reuse`, a token is used once. Without a token the call is a device's own, and passes where `required: false` says so.
Fail closed: an issuer whose keys were never fetched, and a store that does not answer, give 503, not a pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from haetae_oidc import AccessToken, KeyUnknown, TokenInvalid

from haetae_edge.config.values import ArgumentError
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.services import Services, Tokens, required
from haetae_edge.tokens.check import TokenCheck
from haetae_edge.tokens.scopes import ScopeRule, check_scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyJwt:
    """Arguments of the filter.

    `issuer` restricts the route to one of the configured issuers; absent, any of them. `scopes` must all be granted,
    and those of the first rule of `scope_map` that takes the call. `reuse`: `refuse` takes each token (`jti`) once;
    `once-per-device` takes it again from the same proven device, key or certificate. `dpop`: whether proofs are taken,
    or needed; `dpop_nonce` asks for one of our nonces in them. `certificate_bound` takes only tokens bound to the
    caller's certificate. `forward` sends the token on to the upstream, which otherwise sees the Passport only.
    """

    issuer: str | None = None
    scopes: tuple[str, ...] = ()
    scope_map: tuple[ScopeRule, ...] = ()
    required: bool = True
    reuse: Literal["refuse", "once-per-device", "off"] = "off"
    dpop: Literal["accept", "require", "refuse"] = "accept"
    dpop_nonce: bool = False
    certificate_bound: bool = False
    forward: bool = False

    phase: ClassVar[Phase] = Phase.AUTHENTICATE
    shortcut: ClassVar[tuple[str, ...]] = ("issuer",)

    def __post_init__(self) -> None:
        check_scopes("scopes", self.scopes)
        if self.dpop_nonce and self.dpop == "refuse":
            raise ArgumentError("dpop_nonce", "goes with `dpop: accept` or `dpop: require`")

    def build(self, context: BuildContext) -> Steps:
        """Compile for one route."""
        resolver = _Resolver(self.issuer, context.services)
        check = TokenCheck(self, context.services, resolver.resolve, filter_name="VerifyJwt", reuse=self.reuse)
        return check.steps()


class _Resolver:
    def __init__(self, issuer: str | None, services: Services) -> None:
        self._issuer = issuer
        self._clock = services.clock
        self._tokens: Tokens = required(services.tokens, "VerifyJwt", "issuers")

    async def resolve(self, token: str) -> AccessToken:
        """The verified token. Raises TokenInvalid or DependencyUnavailable."""
        try:
            access = self._tokens.verify(token, now=self._clock())
        except KeyUnknown as unknown:
            await self._tokens.refresh(token, unknown.unverified_kid)
            access = self._tokens.verify(token, now=self._clock())
        if self._issuer is not None and access.issuer != self._issuer:
            raise TokenInvalid("issuer")
        return access
