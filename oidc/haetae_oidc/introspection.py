"""What a token service says of a token (RFC 7662), judged here as strictly as a token that we read ourselves.

Rules kept:
- Only `active` that is the JSON value true counts; `"true"`, 1 and a missing member do not.
- An active token of another kind (a refresh token, an ID token) is refused: services call those active, too.
- Issuer, audience, times and confirmation are checked again here: an endpoint may know a token that is not for us.
- An answer is remembered under the endpoint *and* the hash of the token, for a short time and never past `exp`; what a
  route needs (scopes, confirmation) is judged on every use, so that one route's "yes" is not another's.
- "Inactive" is remembered for a shorter time, and apart: a flood of invented tokens does not push out good ones.

Not done here: HTTP (`io/introspection.py`), scopes (`AccessToken.require_scopes`), proof of the bound key.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from haetae_crypto.strict_json import read_json_object

from haetae_oidc.access_claims import AccessToken, parse_access_claims
from haetae_oidc.errors import IntrospectionUnavailable, SettingsInvalid, TokenInvalid

MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_REMEMBERED_SECONDS: Final = 300
#: Where services say what kind of token they speak of: RFC 7662 section 2.2, Ory and Amazon, Keycloak. Refresh tokens
#: live long and were never meant to be sent to us.
_ACCESS_TOKEN: Final = {
    "token_type": frozenset({"bearer", "dpop", "access_token", "urn:ietf:params:oauth:token-type:access_token"}),
    "token_use": frozenset({"access_token", "access"}),
    "typ": frozenset({"bearer", "dpop", "at+jwt", "jwt"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectionPolicy:
    """What must hold for an active token of one endpoint; times in seconds. Raises SettingsInvalid.

    `issuer` is whose tokens the endpoint knows: an answer may leave `iss` out, not name another. `audience` must be
    among the answer's. `remember` and `remember_inactive` bound how long an answer is used again.
    """

    endpoint: str
    issuer: str
    audience: str
    leeway: int = 30
    remember: float = 30.0
    remember_inactive: float = 5.0

    def __post_init__(self) -> None:
        if not self.endpoint or not self.issuer or not self.audience:
            raise SettingsInvalid("endpoint, issuer and audience are required")
        if not 0 <= self.leeway <= 300:
            raise SettingsInvalid("leeway is 0 to 300 seconds")
        if not all(0 <= value <= MAX_REMEMBERED_SECONDS for value in (self.remember, self.remember_inactive)):
            raise SettingsInvalid(f"answers are remembered for at most {MAX_REMEMBERED_SECONDS} seconds")

    def key_of(self, token: str) -> bytes:
        """The name under which an answer on `token` is remembered: endpoint and token, hashed, unambiguous."""
        endpoint = self.endpoint.encode("utf-8", "surrogatepass")
        digest = sha256(len(endpoint).to_bytes(4, "big") + endpoint)
        digest.update(token.encode("utf-8", "surrogatepass"))
        return digest.digest()


def read_introspection_answer(
    *, status: int, content_type: str, content_encoding: str, body: bytes, policy: IntrospectionPolicy
) -> AccessToken | None:
    """The token an answer describes, None when it says "inactive" (RFC 7662 section 2.2).

    Times are not judged here, so that a remembered answer is judged like a new one: see `check_introspected`. Raises
    IntrospectionUnavailable for what is not an answer, TokenInvalid for an active token that is not acceptable.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if status != 200 or kind != "application/json" or content_encoding not in ("", "identity"):
        raise IntrospectionUnavailable(f"status {status}")
    try:
        answer = read_json_object(body, max_bytes=MAX_ANSWER_BYTES)
    except ValueError as why:
        raise IntrospectionUnavailable("not one JSON object") from why
    active = answer.get("active")
    if not isinstance(active, bool):
        raise IntrospectionUnavailable("no boolean `active`")
    if not active:
        return None
    _check_kind(answer)
    claims = {name: value for name, value in answer.items() if name != "active"}
    claims.setdefault("iss", policy.issuer)
    # RFC 7662 makes these optional. A client's own token may name no other subject than the client.
    claims.setdefault("iat", 0)
    if "sub" not in claims:
        claims["sub"] = claims.get("client_id")
    access = parse_access_claims(claims)
    if access.issuer != policy.issuer:
        raise TokenInvalid("issuer")
    if policy.audience not in access.audience:
        raise TokenInvalid("audience")
    return access


def _check_kind(answer: Mapping[str, object]) -> None:
    """Raises TokenInvalid when the service says that this is something else than an access token (RFC 8725 3.12)."""
    for name, accepted in _ACCESS_TOKEN.items():
        if name not in answer:
            continue
        kind = answer[name]
        if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in accepted:
            raise TokenInvalid("type")


def check_introspected(access: AccessToken, policy: IntrospectionPolicy, *, now: float) -> None:
    """Judge the times of a token, as new or as remembered. `now` is Unix seconds. Raises TokenInvalid."""
    if now >= access.expires_at:
        # No leeway: the endpoint and we speak of the same moment, and a cache must not lengthen a life.
        raise TokenInvalid("expired")
    if access.not_before > now + policy.leeway:
        raise TokenInvalid("not-yet-valid")
    if access.issued_at > now + policy.leeway:
        raise TokenInvalid("issued-in-the-future")


@dataclass(frozen=True, slots=True)
class _Entry:
    until: float
    token: AccessToken | None


class IntrospectionMemory:
    """Bounded memory of answers: `limit` active ones and as many inactive ones, least recently used first out."""

    __slots__ = ("_active", "_by_user", "_inactive", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._active: OrderedDict[bytes, _Entry] = OrderedDict()
        self._inactive: OrderedDict[bytes, _Entry] = OrderedDict()
        self._by_user: dict[str, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self._active) + len(self._inactive)

    def recall(self, key: bytes, *, now: float) -> AccessToken | None:
        """A token that was active a short time ago, or None when nothing is known. Raises TokenInvalid("inactive")."""
        entry = self._active.get(key)
        if entry is not None:
            if now < entry.until:
                self._active.move_to_end(key)
                return entry.token
            self._drop(key)
        no = self._inactive.get(key)
        if no is not None:
            if now < no.until:
                raise TokenInvalid("inactive")
            del self._inactive[key]
        return None

    def remember(self, key: bytes, token: AccessToken | None, policy: IntrospectionPolicy, *, now: float) -> None:
        """Keep an answer: until the earlier of `exp` and the policy's bound."""
        self._drop(key)
        self._inactive.pop(key, None)
        if self._limit <= 0:
            return
        if token is None:
            if policy.remember_inactive > 0:
                self._inactive[key] = _Entry(now + policy.remember_inactive, None)
                if len(self._inactive) > self._limit:
                    self._inactive.popitem(last=False)
            return
        until = min(now + policy.remember, float(token.expires_at))
        if until <= now:
            return
        self._active[key] = _Entry(until, token)
        for name in _names(token):
            self._by_user.setdefault(name, set()).add(key)
        if len(self._active) > self._limit:
            self._drop(next(iter(self._active)))

    def forget_user(self, subject: str) -> None:
        """Forget the tokens of one user or client."""
        for key in list(self._by_user.get(subject, ())):
            self._drop(key)

    def clear(self) -> None:
        """Forget everything."""
        self._active.clear()
        self._inactive.clear()
        self._by_user.clear()

    def _drop(self, key: bytes) -> None:
        entry = self._active.pop(key, None)
        if entry is None or entry.token is None:
            return
        for name in _names(entry.token):
            keys = self._by_user[name]
            keys.discard(key)
            if not keys:
                del self._by_user[name]


def _names(token: AccessToken) -> set[str]:
    return {token.subject} if token.client_id is None else {token.subject, token.client_id}
