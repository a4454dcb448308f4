"""`Passport`: one signed statement of who is calling, for the upstream and for nobody else.

The identity service is asked for the caller's context (coalesced, remembered for a Passport's life). Who signed in as
staff is described by the session, and who came with a certificate by its name: nobody is asked about them, nor where
the gateway has no identity service. What is stated is signed with the active key, and serves the caller's next requests
too while nothing of it changes, or this one request alone where the route says so. Inbound copies of the header were
dropped when the request was read. Fail closed: no context, no Passport, no call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

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
    """Arguments of the filter. `audience` names the upstream; the host of the route's `uri` when absent.

    `binding: request` mints one for each request, with its trace id and a `jti` of its own. By default a Passport
    serves its caller (user, device, client and address) on this route for the first half of its life.
    """

    audience: str | None = None
    binding: Literal["caller", "request"] = "caller"

    phase: ClassVar[Phase] = Phase.INJECT
    shortcut: ClassVar[tuple[str, ...]] = ("audience",)

    def build(self, context: BuildContext) -> Steps:
        """Compile for one route."""
        issuer = _Issuer(context, self.audience or context.upstream, per_request=self.binding == "request")
        return Steps(request=((Phase.INJECT, issuer.inject),))


class _Issuer:
    def __init__(self, context: BuildContext, audience: str, *, per_request: bool) -> None:
        services = context.services
        self._gateway = context.gateway
        self._route = context.route_id
        self._audience = audience
        self._per_request = per_request
        self._clock = services.clock
        self._random_bytes = services.random_bytes
        self._identity: IdentityService | None = services.identity
        self._passports: Passports = required(services.passports, "Passport", "passport")

    def inject(self, exchange: Exchange) -> Awaitable[None] | None:
        """Set the header; waits only for a context that is not in memory."""
        caller = exchange.caller
        subject = caller.user or caller.service or caller.key_id or caller.client_id
        if subject is None:
            raise Refusal("token-invalid", reason="nobody", headers=((b"www-authenticate", b"Bearer"),))
        if self._identity is None or caller.profile is not None or (caller.user is None and caller.key_id is None):
            self._state(exchange, subject, _NO_FACTS)
            return None
        facts = self._identity.cached_context(sub=subject, keyid=caller.key_id, device=caller.device, route=self._route)
        if facts is None:
            return self._ask(exchange, subject, self._identity)
        self._state(exchange, subject, facts)
        return None

    async def _ask(self, exchange: Exchange, subject: str, identity: IdentityService) -> None:
        caller = exchange.caller
        try:
            facts = await identity.context(sub=subject, keyid=caller.key_id, device=caller.device, route=self._route)
        except DependencyUnavailable:
            raise Refusal("identity-unavailable", reason="context") from None
        self._state(exchange, subject, facts)

    def _state(self, exchange: Exchange, subject: str, facts: Mapping[str, Any]) -> None:
        now = self._clock()
        try:
            if self._per_request:
                trace = exchange.trace
                token = self._mint(
                    exchange, subject, facts, trace=trace.trace_id if trace is not None else "-", now=now
                )
            else:
                token = self._kept(exchange, subject, facts, now=now)
        except PassportUnmintable:
            raise Refusal("identity-unavailable", reason="context-unusable") from None
        except KeyUnavailable:
            raise Refusal("keys-unavailable", reason="passport-key") from None
        # Inbound copies went when the request was read, and no filter may add one: nothing is to be replaced.
        exchange.fields.append((_HEADER, token.encode("ascii")))

    def _kept(self, exchange: Exchange, subject: str, facts: Mapping[str, Any], *, now: float) -> str:
        caller = exchange.caller
        # All that `_mint` reads of this request, and `known` all that the authenticator and the identity service say.
        inputs = (
            self._audience,
            self._route,
            caller.user,
            caller.service,
            caller.key_id,
            caller.client_id,
            caller.auth,
            exchange.request.client.text,
        )
        known = (facts, caller.profile)
        token = self._passports.recall(inputs, known, now=now)
        if token is None:
            token = self._mint(exchange, subject, facts, trace=None, now=now)
            self._passports.keep(inputs, known, token, now=now)
        return token

    def _mint(
        self, exchange: Exchange, subject: str, facts: Mapping[str, Any], *, trace: str | None, now: float
    ) -> str:
        caller = exchange.caller
        context = CallContext(
            gateway=self._gateway,
            route=self._route,
            trace=trace,
            client=exchange.request.client.text,
            auth=caller.auth,
        )
        return self._passports.mint(
            audience=self._audience,
            subject=subject,
            context=context,
            passport_id=self._random_bytes(_ID_BYTES).hex(),
            now=now,
            user=_user(caller, facts),
            device=_mapping(facts, "device"),
            consents=_mapping(facts, "consents"),
            risk=_risk(facts),
            extra=_extra(caller),
        )


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
