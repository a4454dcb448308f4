"""What the gateway stands on while it runs, as ports: each names what it gives and what happens when it is down.

The composition root (`io/worker`) makes one `Services` per worker after the fork; filters keep the reference and use
the ports they need. `required` turns a missing one into a start-up error rather than a surprise on a request.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from haetae_crypto.app_channel import DeviceKey
from haetae_crypto.content_key import ContentKey
from haetae_oidc import AccessToken, DpopNonces
from haetae_passport import CallContext, Risk
from haetae_policy import ApiFacts, Facts, Verdict

from haetae_edge.blast_radius import BlastRadius
from haetae_edge.errors import EdgeError
from haetae_edge.fingerprint import Fingerprints

if TYPE_CHECKING:
    from haetae_edge.certificates import CertificateReader
    from haetae_edge.expiry import ExpiryWatch
    from haetae_edge.staff.gate import StaffGate


class StoreUnavailable(Exception):
    """The shared store did not answer within its deadline. Never means "no"."""


class NonceSeen(Exception):
    """The nonce was claimed before. `unanswered`: by an attempt that got no answer or a 5xx, so that this may be the
    same client trying again; refused all the same, but no sign of an attack.
    """

    def __init__(self, *, unanswered: bool = False) -> None:
        super().__init__("the nonce was claimed before")
        self.unanswered = unanswered


class UnknownDevice(Exception):
    """The identity service knows no such device key, or it is disabled."""


class TokenReused(Exception):
    """This token id, or this proof, was used before."""


class DependencyUnavailable(Exception):
    """The identity service or token issuer gave no usable answer in time."""


class NonceStore(Protocol):
    """One-time claims. Down: signed routes answer 503 (app channel section 3)."""

    async def claim(self, keyid: str, nonce: str, *, ttl_ms: int) -> None:
        """Claim once, atomically. Raises NonceSeen or StoreUnavailable."""
        ...

    def mark_unanswered(self, keyid: str, nonce: str) -> None:
        """Note that the request which claimed this got no answer; best effort, waits for nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRecord:
    """A registered device key and whose it is (app channel section 7)."""

    key: DeviceKey
    user_id: str | None
    device: Mapping[str, Any]

    @property
    def device_id(self) -> str:
        """The device itself, which stays the same when its app makes a new key."""
        identifier: str = self.device["id"]
        return identifier

    def age(self, now: float) -> int | None:
        """Seconds since the device was enrolled, None where the identity service does not say (`device.enrolled`)."""
        enrolled = self.device.get("enrolled")
        return max(0, int(now) - enrolled) if type(enrolled) is int else None


class IdentityService(Protocol):
    """Devices and people. Down: what is cached serves on, everything else is 503."""

    def cached_device(self, keyid: str) -> DeviceRecord | None:
        """The record if it is in memory and fresh."""
        ...

    async def device(self, keyid: str) -> DeviceRecord:
        """Raises UnknownDevice or DependencyUnavailable."""
        ...

    def cached_context(
        self, *, sub: str, keyid: str | None, device: str | None, route: str
    ) -> Mapping[str, Any] | None:
        """What `context` would answer, if it is in memory and fresh."""
        ...

    async def context(self, *, sub: str, keyid: str | None, device: str | None, route: str) -> Mapping[str, Any]:
        """User, device, consents and risk for a Passport. Raises DependencyUnavailable."""
        ...

    def forget(self, *, user: str | None = None, device: str | None = None) -> None:
        """Drop what is remembered of a user or device."""
        ...


class ContentKeys(Protocol):
    """Opens `Haetae-Key` values with the gateway's ring, remembering opened ones."""

    def open(self, value: str, *, keyid: str, now: float) -> ContentKey:
        """Raises haetae_crypto.ContentKeyInvalid."""
        ...


class Tokens(Protocol):
    """Access tokens of the configured issuers. Keys unreachable and never seen: 503."""

    def verify(self, token: str, *, now: float) -> AccessToken:
        """Raises haetae_oidc.TokenInvalid, or KeyUnknown when keys must be fetched first."""
        ...

    async def refresh(self, token: str, unverified_kid: str | None) -> None:
        """Fetch the keys this token needs. Raises haetae_oidc.TokenInvalid or DependencyUnavailable."""
        ...

    def forget_user(self, subject: str) -> None:
        """Drop remembered tokens of a user."""
        ...


class TokenClaims(Protocol):
    """One-time use of token ids and proofs, across workers. Down: routes that need it answer 503."""

    async def claim(self, kind: str, owner: str, identifier: str, *, holder: str, ttl_ms: int) -> None:
        """Claim once, or again by the same holder; an empty holder is nobody. Raises TokenReused, StoreUnavailable."""
        ...


class Introspection(Protocol):
    """Asks one token service about tokens (RFC 7662). Down: 503; what is remembered is remembered briefly."""

    async def introspect(self, token: str) -> AccessToken:
        """The active token. Raises haetae_oidc.TokenInvalid or IntrospectionUnavailable."""
        ...

    def forget_user(self, subject: str) -> None:
        """Drop remembered answers on a user's or client's tokens."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RateVerdict:
    """What a bucket says: whether tokens were taken, whole ones left, seconds until as many are there."""

    allowed: bool
    remaining: int
    retry_after: float


class Rates(Protocol):
    """Token buckets shared by all workers. Down: each route says whether it refuses or lets pass."""

    async def take(self, *bucket: str, rate: float, capacity: int, tokens: int) -> RateVerdict:
        """Take `tokens` of the bucket of this name. Raises StoreUnavailable."""
        ...


class Policies(Protocol):
    """The policy table in memory. Feed down: what is known stays in force until it expires."""

    @property
    def loaded(self) -> bool:
        """Whether all policies were known at least once. Before, an empty table says nothing."""
        ...

    @property
    def radius(self) -> BlastRadius:
        """What machines may still refuse in this worker."""
        ...

    def check_early(self, ip: int, api: ApiFacts, now_ms: int) -> Verdict | None:
        """What address and API alone decide."""
        ...

    def check(
        self,
        facts: Facts,
        api: ApiFacts,
        now_ms: int,
        *,
        observed: list[Verdict] | None = None,
        machines: bool = True,
    ) -> Verdict | None:
        """What everything known of the caller decides; without `machines`, what people alone decided."""
        ...

    def within_rate(self, verdict: Verdict, now_ms: int) -> bool:
        """Take one token of a throttle's bucket; False when it is empty."""
        ...


class Passports(Protocol):
    """Mints Passports with the active key, and remembers them for the caller's next request."""

    def recall(self, inputs: Hashable, facts: object, *, now: float) -> str | None:
        """The Passport kept for these inputs and facts. Raises haetae_crypto.errors.KeyUnavailable."""
        ...

    def keep(self, inputs: Hashable, facts: object, token: str, *, now: float) -> None:
        """Remember one that was minted at `now` from these. Raises haetae_crypto.errors.KeyUnavailable."""
        ...

    def mint(
        self,
        *,
        audience: str,
        subject: str,
        context: CallContext,
        passport_id: str,
        now: float,
        user: Mapping[str, object] | None = None,
        device: Mapping[str, object] | None = None,
        consents: Mapping[str, object] | None = None,
        risk: Risk | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> str:
        """Raises haetae_passport.PassportUnmintable."""
        ...


@dataclass(slots=True, kw_only=True)
class Services:
    """The ports of one worker. None where the configuration names no such dependency."""

    clock: Callable[[], float]
    random_bytes: Callable[[int], bytes]
    nonces: NonceStore | None = None
    identity: IdentityService | None = None
    content_keys: ContentKeys | None = None
    tokens: Tokens | None = None
    policies: Policies | None = None
    passports: Passports | None = None
    fingerprints: Fingerprints | None = None
    token_claims: TokenClaims | None = None
    introspection: Mapping[str, Introspection] | None = None
    rates: Rates | None = None
    dpop_nonces: DpopNonces | None = None
    staff: StaffGate | None = None
    certificates: CertificateReader | None = None
    certificate_watch: ExpiryWatch | None = None


T = TypeVar("T")


def required(port: T | None, filter_name: str, setting: str) -> T:
    """The port, or an error that names the filter and the setting of gateway.yaml that would provide it."""
    if port is None:
        raise EdgeError(f"{filter_name} needs `{setting}` in gateway.yaml")
    return port
