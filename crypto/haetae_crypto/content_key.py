"""The sealed content key of the app channel (section 1) and its header `Haetae-Key`.

    Haetae-Key: :<base64 of enc || ct>:;kid="<gateway key id>";v=1
    info      = "haetae/app/1 content-key" 00 kid 00 keyid
    plaintext = created (8 bytes, big-endian Unix seconds) || CK (32 bytes)

Rules kept:
- Header, key ids and plaintext have bounded or exact sizes; parameters other than `kid` and `v`, or given
  twice, are refused.
- A key that opened is remembered in a bounded cache under its header's digest *and* the signing device's key
  id. A hit is judged again by age and by the ring, so a cached key never outlives its 900 s or a retired
  gateway key.
- Every failure is ContentKeyInvalid, and a failed opening never says why.

Not done here: whether a route needs an encrypted body; body encryption (`body`).
"""

import base64
import binascii
import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from haetae_crypto.errors import ContentKeyInvalid, KeyUnavailable
from haetae_crypto.gateway_keys import GatewayPublicKey, GatewayRing
from haetae_crypto.keyring import is_key_id
from haetae_crypto.keys import CONTENT_KEY_BYTES, request_key, response_key
from haetae_crypto.structured import parse_item

MAX_HEADER_CHARS: Final = 2048
MAX_AGE_S: Final = 900
DEFAULT_SKEW_S: Final = 5
_INFO_PREFIX: Final = b"haetae/app/1 content-key\x00"
_PLAINTEXT_BYTES: Final = 8 + CONTENT_KEY_BYTES


@dataclass(frozen=True, slots=True)
class UnverifiedContentKey:
    """A parsed `Haetae-Key` header; nothing is known yet about who sealed it, and when."""

    unverified_kid: str
    sealed: bytes


@dataclass(frozen=True, slots=True, repr=False)
class ContentKey:
    """An opened content key: gateway key id, age, and the keys that follow from it."""

    kid: str
    created: int
    secret: bytes
    request_key: bytes

    def __repr__(self) -> str:
        return f"ContentKey(kid={self.kid!r}, created={self.created})"

    def response_key(self, *, nonce: str) -> bytes:
        """IKM_res for the answer to the request with this signature nonce."""
        return response_key(self.secret, nonce=nonce)


def content_key_info(*, kid: str, keyid: str) -> bytes:
    """The HPKE `info` that binds a content key to the gateway key `kid` and the device key `keyid`.

    Raises ContentKeyInvalid when one of them is not a well-formed key id (which also keeps 00 a separator).
    """
    if not is_key_id(kid) or not is_key_id(keyid):
        raise ContentKeyInvalid("malformed key id")
    return b"%s%s\x00%s" % (_INFO_PREFIX, kid.encode("ascii"), keyid.encode("ascii"))


def seal_content_key(content_key: bytes, *, gateway_key: GatewayPublicKey, keyid: str, created: int) -> str:
    """The `Haetae-Key` value that carries the 32-byte `content_key`, sealed at Unix second `created`.

    Raises ContentKeyInvalid for another size or a malformed key id.
    """
    if len(content_key) != CONTENT_KEY_BYTES or not 0 <= created < 1 << 63:
        raise ContentKeyInvalid("a content key has 32 bytes and a time of creation")
    info = content_key_info(kid=gateway_key.kid, keyid=keyid)
    sealed = gateway_key.seal(created.to_bytes(8, "big") + content_key, info=info)
    return f':{base64.b64encode(sealed).decode("ascii")}:;kid="{gateway_key.kid}";v=1'


def parse_content_key_header(value: str) -> UnverifiedContentKey:
    """Read a `Haetae-Key` value. Raises ContentKeyInvalid for everything outside section 1."""
    if len(value) > MAX_HEADER_CHARS or not value.isascii():
        raise ContentKeyInvalid("Haetae-Key too long or not ASCII")
    fast = _CANONICAL.fullmatch(value)
    if fast is not None:
        return _checked(binascii.a2b_base64(fast[1]), fast[2])
    try:
        sealed, parameters = parse_item(value)
    except ValueError:
        raise ContentKeyInvalid("Haetae-Key is not a Structured Field item") from None
    kid, version = parameters.get("kid"), parameters.get("v")
    if type(sealed) is not bytes or set(parameters) != {"kid", "v"} or type(kid) is not str:
        raise ContentKeyInvalid("Haetae-Key needs bytes with exactly kid and v")
    if type(version) is not int or version != 1:
        raise ContentKeyInvalid("Haetae-Key of another version")
    return _checked(sealed, kid)


def open_content_key(
    value: str,
    *,
    ring: GatewayRing,
    keyid: str,
    now: float,
    max_age: int = MAX_AGE_S,
    skew: int = DEFAULT_SKEW_S,
) -> ContentKey:
    """Open the `Haetae-Key` value sent with a signature by device key `keyid`; times in seconds.

    Raises ContentKeyInvalid when it is malformed, for an unknown or retired key, too old, from the future, or
    sealed for another device.
    """
    unverified = parse_content_key_header(value)
    kid = unverified.unverified_kid
    try:
        key = ring.accepted(kid, now=now).key
    except KeyUnavailable:
        raise ContentKeyInvalid("no gateway key of that id") from None
    plaintext = key.open(unverified.sealed, info=content_key_info(kid=kid, keyid=keyid))
    if len(plaintext) != _PLAINTEXT_BYTES:
        raise ContentKeyInvalid("the content key does not open")
    created, secret = int.from_bytes(plaintext[:8], "big"), plaintext[8:]
    _check_age(created, now=now, max_age=max_age, skew=skew)
    return ContentKey(kid=kid, created=created, secret=secret, request_key=request_key(secret))


class ContentKeyOpener:
    """`open_content_key` with a bounded memory of the keys that opened, least recently used out first.

    The public-key operation is paid once per app session. Replace the opener when the ring changes, or hand
    the new ring to `use_ring`: entries of keys that left it stop working at once.
    """

    __slots__ = ("_max_age", "_max_entries", "_opened", "_ring", "_skew")

    def __init__(
        self,
        ring: GatewayRing,
        *,
        max_entries: int = 20_000,
        max_age: int = MAX_AGE_S,
        skew: int = DEFAULT_SKEW_S,
    ) -> None:
        self._ring = ring
        self._max_entries = max_entries
        self._max_age = max_age
        self._skew = skew
        self._opened: OrderedDict[tuple[str, bytes], ContentKey] = OrderedDict()

    def __len__(self) -> int:
        return len(self._opened)

    def use_ring(self, ring: GatewayRing) -> None:
        """Open with `ring` from now on."""
        self._ring = ring
        self._opened.clear()

    def open(self, value: str, *, keyid: str, now: float) -> ContentKey:
        """As `open_content_key`, same errors; a repeated header costs a look-up."""
        # The digest stands for the header, whose 1.6 kB would otherwise be most of the memory used.
        slot = (keyid, hashlib.sha256(value.encode("utf-8", errors="surrogatepass")).digest())
        known = self._opened.get(slot)
        if known is None:
            known = open_content_key(
                value, ring=self._ring, keyid=keyid, now=now, max_age=self._max_age, skew=self._skew
            )
            if len(self._opened) >= self._max_entries:
                self._opened.popitem(last=False)
            self._opened[slot] = known
            return known
        try:
            self._ring.accepted(known.kid, now=now)
            _check_age(known.created, now=now, max_age=self._max_age, skew=self._skew)
        except (KeyUnavailable, ContentKeyInvalid):
            del self._opened[slot]
            raise ContentKeyInvalid("the content key is too old or its gateway key was withdrawn") from None
        self._opened.move_to_end(slot)
        return known


# The one spelling our own client writes. Other spellings of the same item take the general parser.
_CANONICAL = re.compile(r':((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?):;kid="([!#-\[\]-~ ]+)";v=1')


def _check_age(created: int, *, now: float, max_age: int, skew: int) -> None:
    if created > now + skew or now - created > max_age + skew:
        raise ContentKeyInvalid("the content key is too old or from the future")


def _checked(sealed: bytes, kid: str) -> UnverifiedContentKey:
    if not is_key_id(kid):
        raise ContentKeyInvalid("malformed gateway key id")
    return UnverifiedContentKey(unverified_kid=kid, sealed=sealed)
