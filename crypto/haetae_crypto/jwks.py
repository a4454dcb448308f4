"""JSON Web Key Sets (RFC 7517 section 5) from elsewhere: reading one, and keeping one fresh.

Rules kept:
- A set is bounded in bytes and keys; a key id given twice, a secret among the keys, or no usable key at all
  refuses the whole set. Keys of a kind, size or use that we do not verify with are skipped, as RFC 7517
  section 5 asks.
- Empty is not success: a bad answer never replaces a good set.
- `JwksState` decides and never waits, fetches or reads a clock: it is told the time and says what to do next.
  One fetch at a time; a key id that is not in the set buys at most one fetch per cooldown, so made-up key ids
  cost the issuer nothing; while the issuer is away the last good set is used, for a bounded time.

Not done here: opening connections (each package's `io/jwks.py`), checking tokens, and discovery of the
address.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from haetae_crypto.errors import KeyFormatInvalid
from haetae_crypto.jwk import PublicJwk, parse_public_jwk
from haetae_crypto.strict_json import read_json_object

MAX_JWKS_BYTES: Final = 256 * 1024
MAX_JWKS_KEYS: Final = 64

_SECRETS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MEDIA_TYPES: Final = frozenset({"application/json", "application/jwk-set+json"})
_FITTING: Final = {
    "EdDSA": "OKP",
    "Ed25519": "OKP",
    "ES256": "EC",
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
}


class JwkSet:
    """The usable public keys of one set. Immutable; two sets are equal when their keys, ids and algorithms
    are.
    """

    __slots__ = ("_by_kid", "keys")

    def __init__(self, keys: tuple[PublicJwk, ...]) -> None:
        """Raises KeyFormatInvalid for no keys at all and for a key id given twice."""
        by_kid = {key.kid: key for key in keys if key.kid is not None}
        if not keys:
            raise KeyFormatInvalid("key set without a usable key")
        if len(by_kid) != sum(key.kid is not None for key in keys):
            raise KeyFormatInvalid("key id given twice in one key set")
        self.keys = keys
        self._by_kid = by_kid

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JwkSet) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        return f"JwkSet(kids={[key.kid for key in self.keys]!r})"

    def find(self, kid: str | None, alg: str) -> PublicJwk | None:
        """The key to verify with, or None.

        Without a `kid` (RFC 7515 section 4.1.4: it is a hint) the answer is the only key that fits `alg`;
        with several of them there is none, because trying keys in turn is guessing. A key bound to another
        algorithm never fits.
        """
        if kid is not None:
            key = self._by_kid.get(kid)
            return key if key is not None and fits(key, alg) else None
        fitting = [key for key in self.keys if fits(key, alg)]
        return fitting[0] if len(fitting) == 1 else None

    def knows(self, kid: str) -> bool:
        """Whether a key of this id is in the set, whatever it is good for."""
        return kid in self._by_kid

    def _identity(self) -> frozenset[tuple[str | None, str | None, str]]:
        return frozenset((key.kid, key.alg, key.thumbprint) for key in self.keys)


def fits(key: PublicJwk, alg: str) -> bool:
    """Whether `key` may verify signatures of `alg`: same kind, and the algorithm the key names, if it names
    one.
    """
    return _FITTING.get(alg) == key.kty and key.alg in (None, alg)


def parse_jwks(data: bytes, *, max_bytes: int = MAX_JWKS_BYTES, max_keys: int = MAX_JWKS_KEYS) -> JwkSet:
    """The key set written in `data` (UTF-8 JSON). Raises KeyFormatInvalid for every set outside the rules
    above.
    """
    try:
        document = read_json_object(data, max_bytes=max_bytes)
    except ValueError as why:
        raise KeyFormatInvalid("key set is not a bounded, unambiguous JSON object") from why
    entries = document.get("keys")
    if not isinstance(entries, list) or len(entries) > max_keys:
        raise KeyFormatInvalid(f"key set has no list `keys` of at most {max_keys} entries")
    if not all(isinstance(entry, dict) for entry in entries):
        raise KeyFormatInvalid("key set entry is not an object")
    if any(not _SECRETS.isdisjoint(entry) for entry in entries):
        raise KeyFormatInvalid("key set carries a secret key")
    kids = [entry["kid"] for entry in entries if isinstance(entry.get("kid"), str)]
    if len(set(kids)) != len(kids):
        raise KeyFormatInvalid("key id given twice in one key set")
    return JwkSet(tuple(key for entry in entries if (key := _usable(entry)) is not None))


def _usable(entry: Mapping[str, object]) -> PublicJwk | None:
    try:
        return parse_public_jwk(entry)
    except KeyFormatInvalid:
        return None  # RFC 7517 section 5: ignore keys of kinds and values out of the supported range


def read_jwks_answer(*, status: int, content_type: str, content_encoding: str, body: bytes) -> JwkSet:
    """The key set of an HTTP answer whose body was read without decompression.

    Raises KeyFormatInvalid for a status other than 200 (redirects are not followed), another media type (an
    error page of a proxy is not a key set), a content coding we did not ask for, and a bad set.
    """
    if status != 200:
        raise KeyFormatInvalid(f"key set answered with status {status}")
    if content_type.partition(";")[0].strip().lower() not in _MEDIA_TYPES:
        raise KeyFormatInvalid("key set is not of a JSON media type")
    if content_encoding.strip().lower() not in ("", "identity"):
        raise KeyFormatInvalid("key set came with a content coding")
    return parse_jwks(body)


def check_jwks_url(url: str, *, loopback_http: bool = False) -> str:
    """`url` again, when keys may be fetched from it: https with a host, no user information, no fragment.

    `loopback_http` admits `http` for `localhost` and loopback addresses: for a local stack and for tests,
    where the bytes never leave the machine. Raises KeyFormatInvalid otherwise.
    """
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as why:
        raise KeyFormatInvalid("key set address is not a URL") from why
    if not host or parts.username is not None or parts.fragment or not url.isprintable() or " " in url:
        raise KeyFormatInvalid("key set address has no host, or has user information, a fragment or spaces")
    if parts.scheme == "https" or (parts.scheme == "http" and loopback_http and _is_loopback(host)):
        return url
    raise KeyFormatInvalid("key sets are fetched over https only")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class JwksTimes:
    """How long a set is good for; all in seconds.

    Up to `fresh` it is used as it is; for `stale` more it is used while a fetch runs behind; after that a
    caller waits for the fetch first, and only when that fails is the last good set used, until it is `keep`
    old. A publisher has to publish a key `fresh + stale` before signing with it, or rely on the fetch that an
    unknown key id causes.
    """

    fresh: float = 300.0
    stale: float = 300.0
    keep: float = 86_400.0
    unknown_cooldown: float = 30.0
    retry_first: float = 1.0
    retry_most: float = 30.0

    def __post_init__(self) -> None:
        ordered = 0 < self.fresh <= self.fresh + self.stale <= self.keep
        if not (ordered and self.unknown_cooldown > 0 and 0 < self.retry_first <= self.retry_most):
            raise ValueError("times must be positive, and keep the longest")


@dataclass(frozen=True, slots=True)
class UseKeys:
    """Use this set now; when `refresh`, also start a fetch behind it."""

    keys: JwkSet
    refresh: bool


@dataclass(frozen=True, slots=True)
class FetchKeys:
    """Nothing usable yet: wait for a fetch (the running one if `running`, else a new one), then ask again."""

    running: bool


@dataclass(frozen=True, slots=True)
class RefuseKid:
    """The issuer's set is known and this key is not in it; asking again before `retry_after` seconds is no
    use.
    """

    retry_after: float


@dataclass(frozen=True, slots=True)
class NoKeys:
    """There is no set, and the issuer cannot be asked again before `retry_after` seconds."""

    retry_after: float


NextStep = UseKeys | FetchKeys | RefuseKid | NoKeys


@dataclass(slots=True)
class JwksState:
    """What is known of one issuer's keys. Times are seconds of one monotonic clock, the caller's.

    Usage: `next_step`; on `FetchKeys(running=False)` or `UseKeys(refresh=True)` call `fetch_started`, fetch,
    and report with `fetch_succeeded` or `fetch_failed`. `fetch_started` twice without a report is a mistake
    of the caller.
    """

    times: JwksTimes = field(default_factory=JwksTimes)
    _keys: JwkSet | None = None
    _loaded_at: float = 0.0
    _running: bool = False
    _failures: int = 0
    _retry_at: float = float("-inf")
    _unknown_until: float = float("-inf")

    @property
    def last_good(self) -> JwkSet | None:
        """The newest good set, of any age; the same object until the issuer publishes different keys."""
        return self._keys

    def usable(self, *, now: float) -> JwkSet | None:
        """The set, unless it is older than `keep`."""
        return self._keys if now - self._loaded_at < self.times.keep else None

    def next_step(self, *, kid: str | None, now: float) -> NextStep:
        """What to do for a token that names `kid`. None asks for the set whatever is in it."""
        keys = self.usable(now=now)
        can_fetch = self._running or now >= self._retry_at
        if keys is None:
            return FetchKeys(running=self._running) if can_fetch else NoKeys(self._retry_at - now)
        if kid is not None and not keys.knows(kid):
            return self._unknown(can_fetch=can_fetch, now=now)
        age = now - self._loaded_at
        if age < self.times.fresh:
            return UseKeys(keys, refresh=False)
        if age < self.times.fresh + self.times.stale:
            return UseKeys(keys, refresh=can_fetch and not self._running)
        return FetchKeys(running=self._running) if can_fetch else UseKeys(keys, refresh=False)

    def fetch_started(self, *, kid: str | None = None, now: float) -> None:
        """A fetch begins; `kid` is the unknown key id that caused it, if one did."""
        if self._running:
            raise RuntimeError("one fetch at a time")
        self._running = True
        if kid is not None and self._keys is not None and not self._keys.knows(kid):
            self._unknown_until = now + self.times.unknown_cooldown

    def fetch_succeeded(self, keys: JwkSet, *, now: float) -> None:
        """A good set arrived. An unchanged set keeps its identity, so that what was verified with it stays
        valid.
        """
        self._running, self._failures, self._retry_at = False, 0, now
        self._loaded_at = now
        if keys != self._keys:
            self._keys = keys

    def fetch_failed(self, *, now: float) -> None:
        """No answer, or a bad one: keep what there is, and wait longer after each failure."""
        self._running = False
        delay = min(self.times.retry_first * 2 ** min(self._failures, 16), self.times.retry_most)
        self._failures += 1
        self._retry_at = now + delay

    def refresh_at(self) -> float:
        """When a fetch behind the scenes is next due, for a caller that keeps a timer."""
        if self._failures or self._keys is None:
            return self._retry_at
        return self._loaded_at + self.times.fresh

    def _unknown(self, *, can_fetch: bool, now: float) -> NextStep:
        if self._running:
            return FetchKeys(running=True)
        allowed_at = max(self._unknown_until, self._retry_at)
        if can_fetch and now >= allowed_at:
            return FetchKeys(running=False)
        return RefuseKid(allowed_at - now)
