"""`Introspect`: an access token that the token service calls active (RFC 7662), for tokens we cannot read ourselves.

The answer is remembered until the earlier of `exp` and a small bound (settings `introspection`); what this route needs
is judged on every call. Binding, scopes and challenges are those of `VerifyJwt`. Fail closed: no usable answer is 503.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from haetae_edge.config.values import ArgumentError
from haetae_edge.errors import EdgeError
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.services import Introspection, Services, required
from haetae_edge.tokens.check import TokenCheck
from haetae_edge.tokens.scopes import ScopeRule, check_scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspect:
    """Arguments of the filter.

    `provider` is the name of an entry of `introspection` in gateway.yaml; absent, its only one. The others are those
    of `VerifyJwt`.
    """

    provider: str | None = None
    scopes: tuple[str, ...] = ()
    scope_map: tuple[ScopeRule, ...] = ()
    required: bool = True
    dpop: Literal["accept", "require", "refuse"] = "accept"
    dpop_nonce: bool = False
    certificate_bound: bool = False
    forward: bool = False

    phase: ClassVar[Phase] = Phase.AUTHENTICATE
    shortcut: ClassVar[tuple[str, ...]] = ("provider",)

    def __post_init__(self) -> None:
        check_scopes("scopes", self.scopes)
        if self.dpop_nonce and self.dpop == "refuse":
            raise ArgumentError("dpop_nonce", "goes with `dpop: accept` or `dpop: require`")

    def build(self, context: BuildContext) -> Steps:
        """Compile for one route."""
        provider = _provider(self.provider, context.services)
        return TokenCheck(self, context.services, provider.introspect, filter_name="Introspect").steps()


def _provider(name: str | None, services: Services) -> Introspection:
    providers = required(services.introspection, "Introspect", "introspection")
    if name is None and len(providers) == 1:
        return next(iter(providers.values()))
    if name is None or name not in providers:
        raise EdgeError("Introspect names no entry of `introspection` in gateway.yaml")
    return providers[name]
