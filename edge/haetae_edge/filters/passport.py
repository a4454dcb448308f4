"""`Passport`: one signed statement of who is calling, for the upstream and for nobody else.

The identity service is asked for the caller's context (coalesced, remembered for a Passport's life), and a Passport is
minted per request with the active key. Who signed in as staff is described by the session, and who came with a
certificate by its name: nobody is asked about them, nor where the gateway has no identity service. Inbound copies of
the header were dropped when the request was read. Fail closed: no context, no Passport, no call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from haetae_crypto.errors import KeyUnavailable
from haetae_passport import CallContext, PassportUnmintable, Risk

from haetae_edge.errors import Refusal
from haetae_edge.exchange import Caller, Exchange
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.services import DependencyUnavailable, IdentityService, Passports, required

_HEADER = b"x-passport"
_ID_BYTES = 16
_NO_FACTS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Passport:
    """Arguments of the filter. `audience` names the upstream; the host of the route's `uri` when absent."""

    audience: str | None = None

    phase: ClassVar[Phase] = Phase.INJECT
    shortcut: ClassVar[tuple[str, ...]] = ("audience",)

    def build(self, context: BuildContext) -> Steps:
        """Compile for one route."""
        issuer = _Issuer(context, self.audience or context.upstream)
        return Steps(request=((Phase.INJECT, issuer.inject),))


class _Issuer:
    def __init__(self, context: BuildContext, audience: str) -> None:
        services = context.services
        self._gateway = context.gateway
        self._route = context.route_id
        self._audience = audience
        self._clock = services.clock
        self._random_bytes = services.random_bytes
        self._identity: IdentityService | None = services.identity
        self._passports: Passports = required(services.passports, "Passport", "passport")

    def inject(self, exchange: Exchange) -> Awaitable[None] | None:
        """Mint, and set the header; waits only for a context that is not in memory."""
        caller = exchange.caller
        subject = caller.user or caller.service or caller.key_id or caller.client_id
        if subject is None:
            raise Refusal("token-invalid", reason="nobody", headers=((b"www-authenticate", b"Bearer"),))
        if self._identity is None or caller.profile is not None or (caller.user is None and caller.key_id is None):
            self._mint(exchange, subject, _NO_FACTS)
            return None
        facts = self._identity.cached_context(sub=subject, keyid=caller.key_id, device=caller.device, route=self._route)
        if facts is None:
            return self._ask(exchange, subject, self._identity)
        self._mint(exchange, subject, facts)
        return None

    async def _ask(self, exchange: Exchange, subject: str, identity: IdentityService) -> None:
        caller = exchange.caller
        try:
            facts = await identity.context(sub=subject, keyid=caller.key_id, device=caller.device, route=self._route)
        except DependencyUnavailable:
            raise Refusal("identity-unavailable", reason="context") from None
        self._mint(exchange, subject, facts)

    def _mint(self, exchange: Exchange, subject: str, facts: Mapping[str, Any]) -> None:
        caller, trace = exchange.caller, exchange.trace
        context = CallContext(
            gateway=self._gateway,
            route=self._route,
            trace=trace.trace_id if trace is not None else "-",
            client=exchange.request.client.text,
            auth=caller.auth,
        )
        try:
            token = self._passports.mint(
                audience=self._audience,
                subject=subject,
                context=context,
                passport_id=self._random_bytes(_ID_BYTES).hex(),
                now=self._clock(),
                user=_user(caller, facts),
                device=_mapping(facts, "device"),
                consents=_mapping(facts, "consents"),
                risk=_risk(facts),
                extra=_extra(caller),
            )
        except PassportUnmintable:
            raise Refusal("identity-unavailable", reason="context-unusable") from None
        except KeyUnavailable:
            raise Refusal("keys-unavailable", reason="passport-key") from None
        # Inbound copies went when the request was read, and no filter may add one: nothing is to be replaced.
        exchange.fields.append((_HEADER, token.encode("ascii")))


def _user(caller: Caller, facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if caller.profile is not None:
        return caller.profile
    return _mapping(facts, "user") if caller.user is not None else None


def _extra(caller: Caller) -> Mapping[str, str] | None:
    """The OAuth client and the certificate's name, where the caller has them beside or instead of a user."""
    if caller.client_id is None:
        return None if caller.service is None else {"svc": caller.service}
    if caller.service is None:
        return {"client_id": caller.client_id}
    return {"client_id": caller.client_id, "svc": caller.service}


def _mapping(facts: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    value = facts.get(name)
    return value if isinstance(value, dict) else None


def _risk(facts: Mapping[str, Any]) -> Risk | None:
    value = facts.get("risk")
    if not isinstance(value, dict):
        return None
    score, level = value.get("score"), value.get("level")
    if isinstance(score, bool) or not isinstance(score, int | float) or not isinstance(level, str):
        raise Refusal("identity-unavailable", reason="context-unusable")
    return Risk(score=float(score), level=level)
