"""What `VerifyJwt` and `Introspect` share: from the request's words to a verified, bound, permitted caller.

In order: read the token as it was sent → ask whether it is good (the filter's own part) → the key or certificate it is
bound to must be the sender's → who is calling → (claim phase) proofs and, where asked, tokens are used once →
(authorize phase) scopes → (body phase) no second token in a form. Every refusal carries the challenge of RFC 6750 or
RFC 9449.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from haetae_oidc import (
    AccessToken,
    BearerMalformed,
    DpopInvalid,
    DpopNonceRequired,
    DpopPolicy,
    IntrospectionUnavailable,
    OidcError,
    PresentedToken,
    ScopeInsufficient,
    TokenInvalid,
    bearer_challenge,
    dpop_challenge,
    parse_presented,
    verify_dpop_proof,
)

from haetae_edge.errors import Refusal
from haetae_edge.exchange import Caller, Exchange, Response
from haetae_edge.filter import Phase, Steps
from haetae_edge.services import (
    DependencyUnavailable,
    Services,
    StoreUnavailable,
    TokenClaims,
    TokenReused,
    required,
)
from haetae_edge.tokens.scopes import ScopeCheck, ScopeRule
from haetae_edge.tokens.sent import refuse_second_token, refuse_token_in_form

_REALM: Final = "haetae"
_CREDENTIALS: Final = frozenset({b"authorization", b"dpop"})
_DPOP_NONCE: Final = b"dpop-nonce"
#: A used token id is remembered this much longer than `exp`: the longest leeway any issuer may be given, and a second.
_AFTER_EXPIRY: Final = 301
_STATE: Final = "token-check"
_PROOFS: Final = DpopPolicy()

Resolve = Callable[[str], Awaitable[AccessToken]]
Reuse = Literal["refuse", "once-per-device", "off"]


class TokenArguments(Protocol):
    """What both filters can be told."""

    @property
    def scopes(self) -> tuple[str, ...]: ...
    @property
    def scope_map(self) -> tuple[ScopeRule, ...]: ...
    @property
    def required(self) -> bool: ...
    @property
    def forward(self) -> bool: ...
    @property
    def dpop(self) -> Literal["accept", "require", "refuse"]: ...
    @property
    def dpop_nonce(self) -> bool: ...
    @property
    def certificate_bound(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Claim:
    kind: str
    owner: str
    identifier: str
    holder: str
    ttl_ms: int


@dataclass(slots=True)
class _Seen:
    """What this request's token was found to be, for the later phases."""

    by_dpop: bool
    claims: list[_Claim] = field(default_factory=list)


class TokenCheck:
    """The steps of one route. `resolve` judges a token: raises TokenInvalid, DependencyUnavailable, …Unavailable."""

    def __init__(
        self, arguments: TokenArguments, services: Services, resolve: Resolve, *, filter_name: str, reuse: Reuse = "off"
    ) -> None:
        self._arguments = arguments
        self._resolve = resolve
        self._reuse = reuse
        self._clock = services.clock
        self._scopes = ScopeCheck(arguments.scopes, arguments.scope_map)
        self._claims: TokenClaims | None = services.token_claims
        if reuse != "off" or arguments.dpop == "require":
            required(self._claims, filter_name, "redis")
        self._nonces = services.dpop_nonces if arguments.dpop_nonce else None
        if arguments.dpop_nonce:
            required(self._nonces, filter_name, "passport")

    def steps(self) -> Steps:
        """All of them, in their phases."""
        response = self._offer_nonce if self._nonces is not None else None
        return Steps(
            request=(
                (Phase.AUTHENTICATE, self.authenticate),
                (Phase.CLAIM, self.claim),
                (Phase.AUTHORIZE, self.authorize),
                (Phase.SANITIZE, refuse_token_in_form),
            ),
            response=response,
        )

    async def authenticate(self, exchange: Exchange) -> None:
        """Whose token is this, and may this sender use it?"""
        try:
            sent = parse_presented(exchange.request.field_lines("authorization"))
        except BearerMalformed as error:
            raise self._refuse("bearer-malformed", error, code="token-ambiguous") from None
        if sent is None:
            if self._arguments.required:
                raise self._refuse("token-missing", None)
            return
        by_dpop = sent.scheme == "DPoP"
        try:
            refuse_second_token(exchange.request)
            access = await self._resolve(sent.token)
            seen = self._bind(exchange, sent, access)
        except BearerMalformed as error:
            raise self._refuse("token-sent-twice", error, code="token-ambiguous") from None
        except TokenInvalid as error:
            raise self._refuse(error.reason, error, by_dpop=by_dpop) from None
        except DependencyUnavailable:
            raise Refusal("keys-unavailable", reason="issuer-keys") from None
        except IntrospectionUnavailable:
            raise Refusal("introspection-unavailable", reason="introspection") from None
        exchange.state[_STATE] = seen
        _enter(exchange.caller, access)
        if not self._arguments.forward:
            exchange.remove_fields(_CREDENTIALS)

    def _bind(self, exchange: Exchange, sent: PresentedToken, access: AccessToken) -> _Seen:
        """The sender must hold what the token is bound to (RFC 8705 section 3, RFC 9449 section 7)."""
        caller = exchange.caller
        record, certificate = caller.device_record, caller.certificate
        seen = _Seen(by_dpop=sent.scheme == "DPoP")
        holder = ""
        if record is not None:
            if record.user_id is not None and record.user_id != access.subject:
                raise TokenInvalid("device-of-another-user")
            holder = f"device:{record.device_id}"
        if seen.by_dpop:
            holder = f"key:{self._prove(exchange, sent, access, seen)}"
        elif self._arguments.dpop == "require":
            raise DpopInvalid("missing")
        elif access.cnf_jkt is not None and (record is None or access.cnf_jkt != record.key.thumbprint):
            raise TokenInvalid("bound-to-another-key")
        if access.cnf_x5t is not None:
            if certificate is None or access.cnf_x5t != certificate.thumbprint:
                raise TokenInvalid("bound-to-another-certificate")
            holder = holder or f"certificate:{access.cnf_x5t}"
        elif self._arguments.certificate_bound:
            raise TokenInvalid("not-bound-to-a-certificate")
        if self._reuse != "off":
            seen.claims.append(self._token_claim(access, holder))
        return seen

    def _prove(self, exchange: Exchange, sent: PresentedToken, access: AccessToken, seen: _Seen) -> str:
        """The thumbprint of the key that this request was proven with."""
        request = exchange.request
        if self._arguments.dpop == "refuse" or self._claims is None:
            raise TokenInvalid("dpop-not-accepted")
        lines = request.field_lines("dpop")
        if len(lines) != 1:
            raise DpopInvalid("count")
        if access.cnf_jkt is None:
            raise TokenInvalid("not-bound-to-a-key")
        proof = verify_dpop_proof(
            lines[0],
            method=request.method,
            uri=f"{request.scheme}://{request.authority.value}{request.target.raw_path}",
            access_token=sent.token,
            policy=_PROOFS,
            now=self._clock(),
            nonces=self._nonces,
        )
        if proof.thumbprint != access.cnf_jkt:
            raise DpopInvalid("another-key")
        ttl_ms = _PROOFS.claim_seconds * 1000
        seen.claims.append(_Claim("dpop", proof.thumbprint, proof.token_id, "", ttl_ms))
        return proof.thumbprint

    def _token_claim(self, access: AccessToken, holder: str) -> _Claim:
        if access.token_id is None:
            raise TokenInvalid("claim-jti")
        ttl_ms = int((access.expires_at - self._clock() + _AFTER_EXPIRY) * 1000)
        owner = holder if self._reuse == "once-per-device" else ""
        return _Claim("jti", access.issuer, access.token_id, owner, ttl_ms)

    def claim(self, exchange: Exchange) -> Awaitable[None] | None:
        """Use up what may be used once. Nothing forged ever gets here, so nobody burns what is another's."""
        seen: _Seen | None = exchange.state.get(_STATE)
        if seen is None or not seen.claims:
            return None
        return self._claim(exchange, seen)

    async def _claim(self, exchange: Exchange, seen: _Seen) -> None:
        for item in seen.claims:
            try:
                await required(self._claims, "token", "redis").claim(
                    item.kind, item.owner, item.identifier, holder=item.holder, ttl_ms=item.ttl_ms
                )
            except TokenReused:
                exchange.facts.nonce = "replay"
                error = DpopInvalid("replayed") if item.kind == "dpop" else TokenInvalid("token-reused")
                raise self._refuse(error.reason, error, by_dpop=seen.by_dpop) from None
            except StoreUnavailable:
                raise Refusal("replay-store-unavailable", reason="token-claims") from None
        exchange.facts.nonce = exchange.facts.nonce or "ok"

    def authorize(self, exchange: Exchange) -> None:
        """Does the token grant what this call asks (exact scope tokens, RFC 6749 section 3.3)?"""
        seen: _Seen | None = exchange.state.get(_STATE)
        try:
            self._scopes.check(exchange.caller.scopes, exchange.request)
        except ScopeInsufficient as error:
            by_dpop = seen is not None and seen.by_dpop
            raise self._refuse("scope", error, code="insufficient-scope", by_dpop=by_dpop) from None

    def _refuse(
        self, reason: str, error: OidcError | None, *, code: str = "token-invalid", by_dpop: bool = False
    ) -> Refusal:
        headers: list[tuple[bytes, bytes]] = []
        if by_dpop or self._arguments.dpop == "require" or isinstance(error, DpopInvalid):
            words = dpop_challenge(error, realm=_REALM, algorithms=_PROOFS.algorithms).www_authenticate
        else:
            words = bearer_challenge(error, realm=_REALM).www_authenticate
        headers.append((b"www-authenticate", words.encode("ascii")))
        if isinstance(error, DpopNonceRequired) and self._nonces is not None:
            headers.append((_DPOP_NONCE, self._nonces.current(now=self._clock()).encode("ascii")))
        return Refusal(code, reason=reason, headers=tuple(headers))

    def _offer_nonce(self, exchange: Exchange, response: Response) -> None:
        """With each answer the nonce for the next call, so that a new window costs no round trip (section 8.2)."""
        if self._nonces is None:
            return
        response.fields = [pair for pair in response.fields if pair[0] != _DPOP_NONCE]
        response.fields.append((_DPOP_NONCE, self._nonces.current(now=self._clock()).encode("ascii")))


def _enter(caller: Caller, access: AccessToken) -> None:
    """What the token says is now known of the caller. A client that acts for itself is no user (RFC 9068 section 5)."""
    if not access.acts_for_itself:
        caller.user = access.subject
    caller.client_id = caller.client = access.client_id
    caller.claims = dict(access.claims)
    caller.scopes = access.scopes
    caller.auth = (*caller.auth, "token")
    caller.ends_with(access.expires_at)
