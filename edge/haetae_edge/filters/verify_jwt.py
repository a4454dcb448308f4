"""`VerifyJwt`: a valid access token of a configured issuer (RFC 9068, RFC 8725), bound to the device that signed.

A token with `cnf.jkt` must name the key that signed this request; a device that belongs to a user speaks only for that
user (app channel section 4). Without a token the call is a device's own, and passes where `required: false` says so.
Fail closed: an issuer whose keys were never fetched gives 503, not a pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haetae_oidc import (
    AccessToken,
    BearerMalformed,
    KeyUnknown,
    OidcError,
    ScopeInsufficient,
    TokenInvalid,
    bearer_challenge,
    parse_bearer,
)

from haetae_edge.errors import Refusal
from haetae_edge.exchange import Caller, Exchange
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.services import DependencyUnavailable, Services, Tokens, required


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyJwt:
    """Arguments of the filter.

    `issuer` restricts the route to one of the configured issuers; absent, any of them. `scopes` must all be granted.
    `forward` sends the token on to the upstream, which otherwise sees the Passport only.
    """

    issuer: str | None = None
    scopes: tuple[str, ...] = ()
    required: bool = True
    forward: bool = False

    phase: ClassVar[Phase] = Phase.AUTHENTICATE
    shortcut: ClassVar[tuple[str, ...]] = ("issuer",)

    def build(self, context: BuildContext) -> Steps:
        """Compile for one route."""
        check = _Check(self, context.services)
        return Steps(request=((Phase.AUTHENTICATE, check.authenticate), (Phase.AUTHORIZE, check.authorize)))


class _Check:
    def __init__(self, arguments: VerifyJwt, services: Services) -> None:
        self._arguments = arguments
        self._scopes = frozenset(arguments.scopes)
        self._clock = services.clock
        self._tokens: Tokens = required(services.tokens, "VerifyJwt", "issuers")

    async def authenticate(self, exchange: Exchange) -> None:
        """Whose token is this, and may this caller use it?"""
        try:
            token = parse_bearer(exchange.request.field_lines("authorization"))
        except BearerMalformed as error:
            raise _refuse("bearer-malformed", error) from None
        if token is None:
            if self._arguments.required:
                raise _refuse("token-missing", None)
            return
        access = await self._verify(token)
        _check_binding(access, exchange.caller)
        caller = exchange.caller
        caller.user = access.subject
        caller.claims = dict(access.claims)
        caller.scopes = access.scopes
        caller.auth = (*caller.auth, "token")
        if not self._arguments.forward:
            exchange.remove_field(b"authorization")

    async def _verify(self, token: str) -> AccessToken:
        try:
            access = await self._verified(token)
        except TokenInvalid as error:
            raise _refuse(error.reason, error) from None
        except DependencyUnavailable:
            raise Refusal("keys-unavailable", reason="issuer-keys") from None
        if self._arguments.issuer is not None and access.issuer != self._arguments.issuer:
            raise _refuse("issuer", TokenInvalid("issuer"))
        return access

    async def _verified(self, token: str) -> AccessToken:
        try:
            return self._tokens.verify(token, now=self._clock())
        except KeyUnknown as unknown:
            await self._tokens.refresh(token, unknown.unverified_kid)
            return self._tokens.verify(token, now=self._clock())

    def authorize(self, exchange: Exchange) -> None:
        """Does the token grant what this route asks (exact scope tokens, RFC 6749 section 3.3)?"""
        if not self._scopes <= exchange.caller.scopes:
            raise _refuse("scope", ScopeInsufficient(self._scopes), code="insufficient-scope")


def _check_binding(access: AccessToken, caller: Caller) -> None:
    record = caller.device_record
    if access.cnf_jkt is not None and (record is None or access.cnf_jkt != record.key.thumbprint):
        raise _refuse("bound-to-another-key", TokenInvalid("bound-to-another-key"))
    if access.cnf_x5t is not None:
        raise _refuse("bound-to-a-certificate", TokenInvalid("bound-to-a-certificate"))
    if record is not None and record.user_id is not None and record.user_id != access.subject:
        raise _refuse("device-of-another-user", TokenInvalid("device-of-another-user"))


def _refuse(reason: str, error: OidcError | None, *, code: str = "token-invalid") -> Refusal:
    challenge = bearer_challenge(error, realm="haetae").www_authenticate.encode("ascii")
    return Refusal(code, reason=reason, headers=((b"www-authenticate", challenge),))
