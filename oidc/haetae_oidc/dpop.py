"""Proof of possession at the resource server: DPoP (RFC 9449), and the server's nonces for it.

Rules kept:
- A proof is a JWT of type `dpop+jwt`, signed by the public key in its own header with an algorithm we list; a
  header with a private key, or a key that does not fit the algorithm, refuses it (section 4.3).
- It is for one request: method and URI are compared after normalisation, the access token by its hash, the time by a
  window. It is for one use: who verifies a proof must claim its `jti` afterwards (section 11.1).
- Nonces are stateless: a keyed hash of a time window, the same at every worker that has the key.

Not done here: claiming the `jti`; comparing the proof's key with the token's `cnf.jkt`; HTTP.
"""

import hmac
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from haetae_crypto.b64url import b64url_encode
from haetae_crypto.compact_jwt import UnverifiedJwt, read_unverified_jwt
from haetae_crypto.errors import JwsInvalid, KeyFormatInvalid
from haetae_crypto.jwk import PublicJwk, parse_public_jwk

from haetae_oidc.errors import DpopInvalid, DpopNonceRequired, SettingsInvalid, TokenInvalid
from haetae_oidc.jwt_signature import verify_jwt_signature
from haetae_oidc.token_policy import ASYMMETRIC_ALGORITHMS

PROOF_TYPE: Final = "dpop+jwt"
MAX_PROOF_CHARS: Final = 4096
MAX_TOKEN_ID: Final = 256
_MAX_URI: Final = 8192
_NONCE_BYTES: Final = 16
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_ENCODED: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_URI: Final = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]%|^`{}#]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class DpopPolicy:
    """Which proofs are accepted; times in seconds. Raises SettingsInvalid when made in an unsafe way.

    `max_age` is how old `iat` may be, `leeway` how far ahead of our clock.
    """

    algorithms: frozenset[str] = frozenset({"ES256", "EdDSA", "Ed25519", "PS256", "RS256"})
    max_age: int = 60
    leeway: int = 5
    max_chars: int = MAX_PROOF_CHARS

    def __post_init__(self) -> None:
        if not self.algorithms or not self.algorithms <= ASYMMETRIC_ALGORITHMS:
            raise SettingsInvalid("algorithms must be listed, and be asymmetric ones")
        if not 1 <= self.max_age <= 600 or not 0 <= self.leeway <= 60:
            raise SettingsInvalid("max_age is 1 to 600 seconds, leeway 0 to 60")
        if not 256 <= self.max_chars <= 16_384:
            raise SettingsInvalid("max_chars is 256 to 16384")

    @property
    def claim_seconds(self) -> int:
        """How long a used `jti` must be remembered: a second longer than any proof with it is accepted."""
        return self.max_age + self.leeway + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DpopProof:
    """A verified proof: `thumbprint` of the key that made it (RFC 7638), and its id, to be claimed once."""

    thumbprint: str
    token_id: str
    issued_at: int


class DpopNonces:
    """The server's nonces (section 8): valid in the time window they were made in and in the one after it."""

    __slots__ = ("_key", "_seconds")

    def __init__(self, key: bytes, *, seconds: int = 120) -> None:
        """`key` is 32 secret bytes shared by all workers; `seconds` is one window. Raises SettingsInvalid."""
        if len(key) != 32 or not 10 <= seconds <= 3600:
            raise SettingsInvalid("a nonce key has 32 bytes, a window 10 to 3600 seconds")
        self._key = key
        self._seconds = seconds

    def current(self, *, now: float) -> str:
        """The nonce to hand out at `now` (Unix seconds): base64url, 22 characters."""
        return self._of(int(now) // self._seconds)

    def require(self, nonce: str | None, *, now: float) -> None:
        """Raises DpopNonceRequired unless `nonce` is one of ours and of this window or the one before."""
        window = int(now) // self._seconds
        given = (nonce or "").encode("utf-8", "surrogatepass")
        good = [hmac.compare_digest(given, self._of(at).encode("ascii")) for at in (window, window - 1)]
        if not any(good):
            raise DpopNonceRequired

    def _of(self, window: int) -> str:
        message = b"haetae/1 dpop nonce " + max(window, 0).to_bytes(8, "big")
        return b64url_encode(hmac.digest(self._key, message, "sha256")[:_NONCE_BYTES])


def verify_dpop_proof(
    proof: str,
    *,
    method: str,
    uri: str,
    access_token: str,
    policy: DpopPolicy,
    now: float,
    nonces: DpopNonces | None = None,
) -> DpopProof:
    """The verified proof for one request with `access_token` (RFC 9449 section 4.3).

    `uri` is the request's as its sender wrote it: scheme, authority and path; query and fragment are not compared.
    With `nonces` the proof must hold one of them. Raises DpopInvalid; its subclass DpopNonceRequired when only the
    nonce is missing or old.
    """
    unverified = _read(proof, policy)
    key = _embedded_key(unverified)
    header = unverified.unverified_header
    try:
        verify_jwt_signature(key, header.alg, signing_input=unverified.signing_input, signature=unverified.signature)
        claims = unverified.read_unverified_claims()
    except TokenInvalid as why:
        raise DpopInvalid(why.reason) from why
    except JwsInvalid as why:
        raise DpopInvalid("malformed") from why
    if claims.get("htm") != method:
        raise DpopInvalid("method")
    htu = claims.get("htu")
    if not isinstance(htu, str) or normal_uri(htu) != normal_uri(uri):
        raise DpopInvalid("uri")
    issued_at = _issued_at(claims.get("iat"), policy, now=now)
    if claims.get("ath") != access_token_hash(access_token):
        raise DpopInvalid("access-token")
    token_id = claims.get("jti")
    if not isinstance(token_id, str) or not 0 < len(token_id) <= MAX_TOKEN_ID:
        raise DpopInvalid("claim-jti")
    nonce = claims.get("nonce")
    if nonce is not None and not isinstance(nonce, str):
        raise DpopInvalid("claim-nonce")
    if nonces is not None:
        nonces.require(nonce, now=now)
    return DpopProof(thumbprint=key.thumbprint, token_id=token_id, issued_at=issued_at)


def access_token_hash(token: str) -> str:
    """`ath`: base64url of the SHA-256 of the token's ASCII (section 4.2)."""
    return b64url_encode(sha256(token.encode("ascii", "replace")).digest())


def normal_uri(uri: str) -> str:
    """An http(s) URI without query and fragment, by RFC 3986 section 6.2.2 and 6.2.3.

    Raises DpopInvalid for anything that is not one, or that has user information or dot segments.
    """
    if len(uri) > _MAX_URI or _URI.fullmatch(uri) is None:
        raise DpopInvalid("uri")
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise DpopInvalid("uri") from None
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc:
        raise DpopInvalid("uri")
    shown = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[scheme]:
        shown = f"{shown}:{port}"
    path = _ENCODED.sub(_normal_escape, parts.path) or "/"
    if any(segment in (".", "..") for segment in path.split("/")):
        raise DpopInvalid("uri")
    return f"{scheme}://{shown}{path}"


def _normal_escape(match: re.Match[str]) -> str:
    value = int(match[1], 16)
    return chr(value) if value in _UNRESERVED else match[0].upper()


def _read(proof: str, policy: DpopPolicy) -> UnverifiedJwt:
    try:
        unverified = read_unverified_jwt(proof, max_chars=policy.max_chars)
    except JwsInvalid as why:
        raise DpopInvalid("malformed") from why
    if unverified.unverified_header.typ != PROOF_TYPE:
        raise DpopInvalid("type")
    if unverified.unverified_header.alg not in policy.algorithms:
        raise DpopInvalid("algorithm")
    return unverified


def _embedded_key(unverified: UnverifiedJwt) -> PublicJwk:
    jwk = unverified.unverified_header.members.get("jwk")
    if not isinstance(jwk, dict):
        raise DpopInvalid("key")
    try:
        return parse_public_jwk(jwk)
    except KeyFormatInvalid as why:
        raise DpopInvalid("key") from why


def _issued_at(value: object, policy: DpopPolicy, *, now: float) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise DpopInvalid("claim-iat")
    if not now - policy.max_age <= value <= now + policy.leeway:
        raise DpopInvalid("time")
    return value
