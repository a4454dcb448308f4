"""`AppChannel`: verifies the device's signature, claims its nonce, opens the request body, seals the answer.

The order: parse → time window → device key → signature → digest → (token, late blocks elsewhere) → claim → open. The
signature covers the digest, so a body is read only for somebody who signed it. A nonce is never claimed for a signature
that did not verify; nothing reaches the upstream before the claim stands. Fail closed: without the replay store the
request ends with 503, unless the route is marked `onReplayStoreDown: allow`, which only reads may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

from haetae_crypto.accept_encoding import lists_coding
from haetae_crypto.app_channel import (
    UnverifiedSignature,
    check_window,
    parse_app_signature,
    verify_app_signature,
)
from haetae_crypto.body import open_body
from haetae_crypto.digest import verify_content_digest
from haetae_crypto.errors import (
    BodyUndecryptable,
    ClockSkew,
    ContentKeyInvalid,
    SignatureInvalid,
    SignatureMissing,
)
from haetae_crypto.replay import Window

from haetae_edge.config.values import ArgumentError, DataSize, Duration
from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.request import Request
from haetae_edge.seal import CODING, ChannelSeal
from haetae_edge.services import (
    ContentKeys,
    DependencyUnavailable,
    DeviceRecord,
    IdentityService,
    NonceSeen,
    NonceStore,
    Services,
    StoreUnavailable,
    UnknownDevice,
    required,
)

_MIB = 1024 * 1024
_MAX_CLAIM = 128
#: 499 stands for a client that left before its answer; above it, the fault was on our side or behind us.
_UNANSWERED = 499
#: What belonged to the channel and ends here.
_CHANNEL_FIELDS = frozenset(
    {
        b"signature",
        b"signature-input",
        b"haetae-key",
        b"content-digest",
        b"content-encoding",
        b"accept-encoding",
    }
)
#: RFC 9110 section 11.6.1 wants a challenge on every 401; RFC 9421 section 5.1 says what to sign.
_CHALLENGE = (
    (b"www-authenticate", b'Signature realm="app"'),
    (
        b"accept-signature",
        (
            b'app=("@method" "@authority" "@path" "@query" "content-digest" "content-type" "content-encoding" '
            b'"haetae-key" "authorization");created;expires;nonce;keyid;tag="haetae-app"'
        ),
    ),
)


class _SignedView:
    """The request as the signature sees it: the bytes of the request line, what the client addressed."""

    __slots__ = ("_values", "authority", "has_body", "method", "path", "query")

    def __init__(self, request: Request) -> None:
        self._values = request.values
        self.method = request.method
        self.authority = request.authority.value
        self.path = request.target.raw_path
        self.query = request.target.query
        self.has_body = request.has_body

    def field_lines(self, name: str) -> Sequence[str]:
        values = self._values.get(name.encode("ascii"))
        return [value.decode("ascii") for value in values] if values is not None else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AppChannel:
    """Arguments of the filter.

    `body_limit` is the largest body as sent. `plain_body` allows signed requests without a content key.
    `max_lifetime` and `skew` are the replay window (whole seconds).
    """

    body_limit: DataSize = _MIB
    plain_body: bool = False
    on_replay_store_down: Literal["refuse", "allow"] = "refuse"
    max_lifetime: Duration = 30.0
    skew: Duration = 5.0

    phase: ClassVar[Phase] = Phase.AUTHENTICATE
    shortcut: ClassVar[tuple[str, ...]] = ("body_limit",)

    def __post_init__(self) -> None:
        for name, value in (("max_lifetime", self.max_lifetime), ("skew", self.skew)):
            if value != int(value) or not 0 < value <= 300:
                raise ArgumentError(name, "write whole seconds from 1s to 300s")

    def build(self, context: BuildContext) -> Steps:
        """Compile for one route."""
        channel = _Channel(self, context.services)
        return Steps(
            request=(
                (Phase.AUTHENTICATE, channel.authenticate),
                (Phase.CLAIM, channel.claim),
                (Phase.OPEN_BODY, channel.open),
            )
        )


@dataclass(slots=True)
class _Signed:
    """What the later steps need of the verified signature."""

    keyid: str
    nonce: str
    expires: int


class _Channel:
    def __init__(self, arguments: AppChannel, services: Services) -> None:
        self._arguments = arguments
        self._services = services
        self._window = Window(max_lifetime=int(arguments.max_lifetime), skew=int(arguments.skew))
        self._identity: IdentityService = required(services.identity, "AppChannel", "identity")
        self._nonces: NonceStore = required(services.nonces, "AppChannel", "redis")
        self._content_keys: ContentKeys = required(services.content_keys, "AppChannel", "keys")

    async def authenticate(self, exchange: Exchange) -> None:
        """Who signed this, and is it what they signed?"""
        view = _SignedView(exchange.request)
        try:
            unverified = parse_app_signature(view)
            exchange.facts.claimed_device = unverified.keyid[:_MAX_CLAIM]
            check_window(unverified, now=self._services.clock(), window=self._window)
            record = await self._device(exchange, unverified)
            exchange.facts.claimed_device = record.device_id
            verify_app_signature(unverified, record.key)
            digest = view.field_lines("content-digest")
            if digest or exchange.body is not None:
                # Also without a body: one that was signed and taken away on its way must not pass as none.
                verify_content_digest(digest, await self._read(exchange))
        except SignatureMissing:
            raise self._refuse(exchange, "signature-invalid", "missing") from None
        except SignatureInvalid:
            raise self._refuse(exchange, "signature-invalid", "bad") from None
        except ClockSkew:
            raise self._refuse(exchange, "clock-skew", "skew") from None
        exchange.facts.signature = "ok"
        caller = exchange.caller
        caller.device = record.device_id
        caller.key_id = unverified.keyid
        caller.auth = (*caller.auth, "signature")
        caller.device_record = record
        caller.owner = record.user_id
        exchange.state["app-channel"] = _Signed(unverified.keyid, unverified.nonce, unverified.expires)

    async def _device(self, exchange: Exchange, unverified: UnverifiedSignature) -> DeviceRecord:
        try:
            return self._identity.cached_device(unverified.keyid) or await self._identity.device(unverified.keyid)
        except UnknownDevice:
            raise self._refuse(exchange, "signature-invalid", "unknown_key") from None
        except DependencyUnavailable:
            raise Refusal("identity-unavailable", reason="device-lookup") from None

    async def _read(self, exchange: Exchange) -> bytes:
        body = exchange.body
        if body is None:
            return b""
        if not isinstance(body, bytes):
            body = exchange.body = await body.read_all(self._arguments.body_limit)
        return body

    def _refuse(self, exchange: Exchange, code: str, fact: str) -> Refusal:
        exchange.facts.signature = fact
        return Refusal(code, reason=f"signature-{fact}", headers=_CHALLENGE if code == "signature-invalid" else ())

    async def claim(self, exchange: Exchange) -> None:
        """Make this request the only one with its nonce."""
        signed: _Signed = exchange.state["app-channel"]
        try:
            ttl_ms = self._window.nonce_ttl_ms(expires=signed.expires, now=self._services.clock())
            await self._nonces.claim(signed.keyid, signed.nonce, ttl_ms=ttl_ms)
        except ClockSkew:
            raise self._refuse(exchange, "clock-skew", "expired") from None
        except NonceSeen as seen:
            exchange.facts.nonce = "retry" if seen.unanswered else "replay"
            raise Refusal("replayed", reason="nonce-seen", headers=_CHALLENGE) from None
        except StoreUnavailable:
            if self._arguments.on_replay_store_down == "refuse" or exchange.request.method not in (
                "GET",
                "HEAD",
            ):
                raise Refusal("replay-store-unavailable", reason="replay-store") from None
            exchange.facts.nonce = "unchecked"
            return
        exchange.facts.nonce = "ok"
        exchange.on_finished = partial(self._finished, signed)

    def _finished(self, signed: _Signed, status: int) -> None:
        """Whoever got no answer may try again with the same signed bytes; that is then no attack."""
        if status >= _UNANSWERED:
            self._nonces.mark_unanswered(signed.keyid, signed.nonce)

    def open(self, exchange: Exchange) -> None:
        """Open the content key and the body; arrange for the answer to be sealed."""
        signed: _Signed = exchange.state["app-channel"]
        request = exchange.request
        sealed_key = request.header(b"haetae-key")
        coding = request.header(b"content-encoding")
        wants_sealed = lists_coding(request.field_lines("accept-encoding"))
        exchange.fields = [pair for pair in exchange.fields if pair[0] not in _CHANNEL_FIELDS]
        if sealed_key is None:
            self._check_plain(exchange, coding)
            return
        try:
            key = self._content_keys.open(sealed_key, keyid=signed.keyid, now=self._services.clock())
        except ContentKeyInvalid:
            raise Refusal("content-key-invalid", reason="content-key") from None
        if wants_sealed:
            exchange.seal = ChannelSeal(key.response_key(nonce=signed.nonce), self._services.random_bytes)
            exchange.fields.append((b"accept-encoding", b"identity"))
        if exchange.body is None:
            if coding is not None:
                raise Refusal("body-undecryptable", reason="coding-without-body")
            return
        if coding is None or coding.lower() != CODING:
            self._check_plain(exchange, coding)
            return
        try:
            exchange.body = open_body(key.request_key, await_bytes(exchange.body))
        except BodyUndecryptable:
            exchange.facts.body = "fail"
            raise Refusal("body-undecryptable", reason="body") from None
        exchange.facts.body = "ok"

    def _check_plain(self, exchange: Exchange, coding: str | None) -> None:
        """A body that was not encrypted for us: only where the route says so, and never one that claims to be."""
        if coding is not None and CODING in (part.strip() for part in coding.lower().split(",")):
            raise Refusal("body-undecryptable", reason="coding-without-key")
        if not self._arguments.plain_body:
            raise Refusal("content-key-invalid", reason="content-key-missing")
        if coding is not None:
            exchange.fields.append((b"content-encoding", coding.encode("ascii")))


def await_bytes(body: object) -> bytes:
    """The body that `authenticate` has read; anything else is a fault of ours."""
    if not isinstance(body, bytes):
        raise TypeError("the body must have been read before it is opened")
    return body
