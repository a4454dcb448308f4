"""The published key list of the gateway (app channel, section 6): built and signed here, checked there.

    {"keys": [{"kid", "kem", "kdf", "aead", "public_key", "not_before", "not_after"}, …], "signature":
    "<compact JWS>"}

What exactly is signed: the JWS is attached, with `typ` `haetae-app-keys+jws`, `alg` `EdDSA` and the `kid` of
the root key in its header. Its payload is the canonical JSON (RFC 8785, UTF-8, no spaces, members sorted) of
the *array* that is the value of `keys`, and nothing else. A reader decodes `keys`, writes it canonically and
must get the payload bytes; so the signed and the read list cannot differ, and a client without a canonical
writer may read the payload alone.

Rules kept: the root key is pinned in the app, never fetched; unknown members, suites or doubled key ids are
errors; an empty list is refused; each key's own `not_after` bounds how long an old copy of the list can be
played back.

Not done here: fetching, caching headers, pin rotation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from haetae_crypto.b64url import b64url_decode, b64url_encode
from haetae_crypto.errors import DiscoveryInvalid, JwsInvalid, KeyFormatInvalid
from haetae_crypto.gateway_keys import AEAD_NAME, HYBRID, KDF_NAME, GatewayPublicKey, GatewayRing
from haetae_crypto.jwk import PublicJwk
from haetae_crypto.jws import find_among, sign_compact, verify_compact
from haetae_crypto.keyring import MAX_KEYS, is_key_id
from haetae_crypto.signing_keys import SigningKey
from haetae_crypto.strict_json import canonical_json, read_json_object

APP_KEYS_PATH: Final = "/.well-known/haetae/app-keys"
APP_KEYS_TYP: Final = "haetae-app-keys+jws"
MAX_DOCUMENT_BYTES: Final = 256 * 1024
_MEMBERS: Final = frozenset({"kid", "kem", "kdf", "aead", "public_key", "not_before", "not_after"})


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A verified entry of the list; times in Unix seconds, `not_after` exclusive."""

    key: GatewayPublicKey
    not_before: int
    not_after: int


@dataclass(frozen=True, slots=True)
class AppKeys:
    """The verified key list."""

    keys: tuple[PublishedKey, ...]

    def choose(self, *, now: float) -> GatewayPublicKey:
        """The key to seal to: hybrid before classic, then the one with the latest `not_before`.

        Raises DiscoveryInvalid when no key is in use at `now`; the client then fetches the list again.
        """
        usable = [entry for entry in self.keys if entry.not_before <= now < entry.not_after]
        if not usable:
            raise DiscoveryInvalid("no published key is in use now")
        return max(usable, key=lambda entry: (entry.key.suite.name == HYBRID, entry.not_before)).key


def build_app_keys(ring: GatewayRing, *, root_key: SigningKey, now: float) -> bytes:
    """The signed document for the keys that apps may seal to at `now` or soon after.

    Raises KeyUnavailable when the ring has none.
    """
    keys = [
        {
            "kid": entry.kid,
            "kem": entry.key.public.suite.name,
            "kdf": KDF_NAME,
            "aead": AEAD_NAME,
            "public_key": b64url_encode(entry.key.public.raw),
            "not_before": entry.not_before,
            "not_after": entry.not_after,
        }
        for entry in ring.published_for_use(now=now)
    ]
    signature = sign_compact(canonical_json(keys), key=root_key, typ=APP_KEYS_TYP)
    return canonical_json({"keys": keys, "signature": signature})


def read_app_keys(document: bytes, *, root_key: PublicJwk) -> AppKeys:
    """Check a published document against the pinned root key (Ed25519, with its `kid`).

    Raises DiscoveryInvalid.
    """
    if root_key.kid is None:
        raise DiscoveryInvalid("the pinned root key has no key id")
    try:
        members = read_json_object(document, max_bytes=MAX_DOCUMENT_BYTES)
    except ValueError as why:
        raise DiscoveryInvalid(f"not strict JSON: {why}") from None
    keys, signature = members.get("keys"), members.get("signature")
    if set(members) != {"keys", "signature"} or not isinstance(keys, list) or not isinstance(signature, str):
        raise DiscoveryInvalid("the document needs exactly keys and signature")
    try:
        signed = verify_compact(
            signature,
            typ=APP_KEYS_TYP,
            find_key=find_among({root_key.kid: root_key}),
            max_chars=MAX_DOCUMENT_BYTES,
        )
        same = canonical_json(keys) == signed.payload
    except (JwsInvalid, KeyFormatInvalid, ValueError):
        raise DiscoveryInvalid("the list is not signed by the pinned root key") from None
    if not same:
        raise DiscoveryInvalid("the signed list is not the list shown")
    return _read_list(keys)


def _read_list(keys: list[object]) -> AppKeys:
    if not 0 < len(keys) <= MAX_KEYS:
        raise DiscoveryInvalid(f"the list needs 1 to {MAX_KEYS} keys")
    published = tuple(_read_key(item) for item in keys)
    if len({entry.key.kid for entry in published}) != len(published):
        raise DiscoveryInvalid("key id used twice")
    return AppKeys(published)


def _read_key(item: object) -> PublishedKey:
    if not isinstance(item, dict) or set(item) != _MEMBERS:
        raise DiscoveryInvalid(f"a key needs exactly the members {', '.join(sorted(_MEMBERS))}")
    if item["kdf"] != KDF_NAME or item["aead"] != AEAD_NAME:
        raise DiscoveryInvalid("unknown KDF or AEAD")
    kid, kem, public_key = (_text(item, name) for name in ("kid", "kem", "public_key"))
    not_before, not_after = item["not_before"], item["not_after"]
    if type(not_before) is not int or type(not_after) is not int or not 0 <= not_before < not_after:
        raise DiscoveryInvalid("a key needs whole Unix seconds, not_before before not_after")
    if not is_key_id(kid):
        raise DiscoveryInvalid("malformed key id")
    try:
        key = GatewayPublicKey.from_raw(kid=kid, kem=kem, raw=b64url_decode(public_key))
    except (ValueError, KeyFormatInvalid):
        raise DiscoveryInvalid("malformed public key") from None
    return PublishedKey(key=key, not_before=not_before, not_after=not_after)


def _text(item: Mapping[str, object], name: str) -> str:
    value = item[name]
    if not isinstance(value, str):
        raise DiscoveryInvalid(f"{name} is not a string")
    return value
