"""`MtlsIdentity`: who is calling, by the SAN of the client certificate; what that caller may reach.

The certificate comes from the connection, or from the `X-Forwarded-Client-Cert` header of a trusted proxy. Entries of
`callers` are tried in order, and of a certificate with several names the one that permits the call is the caller's;
if several do, the first entry decides, so the same certificate is always the same caller. No name of the list: no
identity. The certificate is read before any other filter asks for it, so that `VerifyJwt` can check tokens bound to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from haetae_edge.certificate_callers import CallerRule
from haetae_edge.certificates import XFCC, CertificateUnusable
from haetae_edge.config.values import ArgumentError
from haetae_edge.errors import EdgeError, Refusal
from haetae_edge.exchange import ClientCertificate, Exchange
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.services import required
from haetae_edge.xfcc import XfccInvalid

_MAX_CALLERS = 1000
_DENIED = "mtls-denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class MtlsIdentity:
    """Arguments of the filter.

    `callers`: who may call what; a call that fits no entry is refused. `source`: which certificates this route takes,
    among those that `client-certificates` of gateway.yaml allows. With `required: false` a certificate is read, for
    tokens that are bound to it, and a call without one passes.
    """

    callers: tuple[CallerRule, ...] = ()
    source: Literal["xfcc", "tls", "any"] = "any"
    required: bool = True

    phase: ClassVar[Phase] = Phase.AUTHENTICATE
    shortcut: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.required and not self.callers:
            raise ArgumentError("callers", "list who may call; without anybody, write `required: false`")
        if len(self.callers) > _MAX_CALLERS:
            raise ArgumentError("callers", f"at most {_MAX_CALLERS} entries")

    def build(self, context: BuildContext) -> Steps:
        """Compile for one route."""
        identity = _Identity(self, context)
        return Steps(
            request=(
                # Behind the early blocks, yet before whatever authenticates, in whichever order they are listed.
                (Phase.EARLY_BLOCK, identity.read),
                (Phase.AUTHENTICATE, identity.authenticate),
                (Phase.AUTHORIZE, identity.authorize),
            )
        )


class _Identity:
    def __init__(self, arguments: MtlsIdentity, context: BuildContext) -> None:
        self._callers = arguments.callers
        self._source = arguments.source
        self._required = arguments.required
        self._clock = context.services.clock
        self._reader = required(context.services.certificates, "MtlsIdentity", "client-certificates")
        self._watch = context.services.certificate_watch
        if self._reader.source not in (arguments.source, "any") and arguments.source != "any":
            raise EdgeError(
                f"MtlsIdentity on route `{context.route_id}` takes `{arguments.source}`, but `client-certificates` in "
                f"gateway.yaml says `{self._reader.source}`"
            )

    def read(self, exchange: Exchange) -> None:
        """Find the certificate. One that is there and cannot be used ends the request, needed or not."""
        now = self._clock()
        try:
            exchange.caller.certificate = self._reader.find(
                source=self._source,
                peer=exchange.peer,
                tls_der=exchange.unverified_peer_certificate,
                lines=exchange.request.values.get(XFCC, ()),
                now=now,
            )
        except XfccInvalid as error:
            raise Refusal("certificate-invalid", reason=f"xfcc-{error.reason}") from None
        except CertificateUnusable as error:
            raise Refusal("certificate-invalid", reason=f"certificate-{error.reason}") from None
        if exchange.caller.certificate is not None:
            exchange.caller.ends_with(exchange.caller.certificate.not_after)

    def authenticate(self, exchange: Exchange) -> None:
        """Which of the listed callers this is."""
        certificate = exchange.caller.certificate
        if certificate is None:
            if self._required:
                raise Refusal("certificate-required", reason="certificate-missing")
            return
        found = self._find(exchange, certificate)
        if found is None:
            if self._required:
                raise Refusal("caller-not-permitted", reason="caller-unknown")
            return
        rule, name, permitted = found
        caller = exchange.caller
        caller.service = name
        # Policies name a service as they name any other client.
        caller.client = caller.client or name
        caller.auth = (*caller.auth, "certificate")
        exchange.state[_DENIED] = not permitted
        if self._watch is not None:
            self._watch.note(rule.san, certificate.not_after, now=self._clock())

    def authorize(self, exchange: Exchange) -> None:
        """Whether it may make this call; after the policies, which may know it."""
        if self._required and exchange.state.get(_DENIED):
            raise Refusal("caller-not-permitted", reason="caller-call")

    def _find(self, exchange: Exchange, certificate: ClientCertificate) -> tuple[CallerRule, str, bool] | None:
        known: tuple[CallerRule, str, bool] | None = None
        for rule in self._callers:
            name = rule.find(certificate)
            if name is None:
                continue
            if rule.permits(exchange.request):
                return rule, name, True
            known = known or (rule, name, False)
        return known
