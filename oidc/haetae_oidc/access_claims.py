"""What an access token says: the claims of RFC 9068 section 2.2, typed.

Rules kept: each claim has exactly the type its standard gives it. A number in a string, a fraction, a boolean
or an empty identifier refuses the token. Sizes are bounded. All other claims stay readable in `claims`.

Not done here: comparing them with what we expect; see `access_token.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from haetae_crypto.b64url import b64url_decode

from haetae_oidc.errors import ScopeInsufficient, TokenInvalid

MAX_TEXT: Final = 512
MAX_AUDIENCES: Final = 32
# RFC 6749 section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ), separated by single spaces.
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")
_THUMBPRINT_CHARS: Final = 43


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A verified access token. Times are Unix seconds; `not_before` is 0 when the token does not say.

    `cnf_jkt` and `cnf_x5t` are the SHA-256 thumbprints (base64url) of the key (RFC 9449) or certificate (RFC
    8705) that the sender must prove to hold: the caller of `verify` has to check them.
    """

    issuer: str
    subject: str
    audience: frozenset[str]
    client_id: str | None
    scopes: frozenset[str]
    token_id: str | None
    issued_at: int
    expires_at: int
    not_before: int
    acr: str | None
    cnf_jkt: str | None
    cnf_x5t: str | None
    claims: Mapping[str, object] = field(compare=False, repr=False)

    @property
    def acts_for_itself(self) -> bool:
        """Whether the client acts without a user (RFC 9068 section 5: `sub` is then the client)."""
        return self.subject == self.client_id

    def require_scopes(self, required: frozenset[str]) -> None:
        """Raises ScopeInsufficient unless each scope was granted, compared as a whole word."""
        if not required <= self.scopes:
            raise ScopeInsufficient(required)


def parse_access_claims(claims: Mapping[str, object]) -> AccessToken:
    """The typed form of claims. Raises TokenInvalid when one is missing or of another type."""
    jkt, x5t = _confirmation(claims)
    return AccessToken(
        issuer=_text(claims, "iss"),
        subject=_text(claims, "sub"),
        audience=_audience(claims),
        client_id=_optional_text(claims, "client_id"),
        scopes=_scopes(claims),
        token_id=_optional_text(claims, "jti"),
        issued_at=_seconds(claims, "iat"),
        expires_at=_seconds(claims, "exp"),
        not_before=_seconds(claims, "nbf") if "nbf" in claims else 0,
        acr=_optional_text(claims, "acr"),
        cnf_jkt=jkt,
        cnf_x5t=x5t,
        claims=claims,
    )


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise TokenInvalid(f"claim-{name}")
    return value


def _optional_text(claims: Mapping[str, object], name: str) -> str | None:
    return _text(claims, name) if name in claims else None


def _seconds(claims: Mapping[str, object], name: str) -> int:
    value = claims.get(name)
    # RFC 7519 allows fractions; no issuer of access tokens needs them, and they compare in surprising ways.
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TokenInvalid(f"claim-{name}")
    return value


def _audience(claims: Mapping[str, object]) -> frozenset[str]:
    value = claims.get("aud")
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not 0 < len(values) <= MAX_AUDIENCES:
        raise TokenInvalid("claim-aud")
    if not all(isinstance(item, str) and 0 < len(item) <= MAX_TEXT for item in values):
        raise TokenInvalid("claim-aud")
    return frozenset(values)


def _scopes(claims: Mapping[str, object]) -> frozenset[str]:
    value = claims.get("scope", "")
    if not isinstance(value, str) or (value and _SCOPE.fullmatch(value) is None):
        raise TokenInvalid("claim-scope")
    return frozenset(value.split(" ")) if value else frozenset()


def _confirmation(claims: Mapping[str, object]) -> tuple[str | None, str | None]:
    if "cnf" not in claims:
        return None, None
    cnf = claims["cnf"]
    if not isinstance(cnf, dict):
        raise TokenInvalid("claim-cnf")
    jkt, x5t = _thumbprint(cnf, "jkt"), _thumbprint(cnf, "x5t#S256")
    if jkt is None and x5t is None:
        raise TokenInvalid("claim-cnf")  # bound in a way that we cannot check
    return jkt, x5t


def _thumbprint(cnf: Mapping[str, object], name: str) -> str | None:
    if name not in cnf:
        return None
    value = cnf[name]
    if not isinstance(value, str) or len(value) != _THUMBPRINT_CHARS:
        raise TokenInvalid("claim-cnf")
    try:
        b64url_decode(value)
    except ValueError:
        raise TokenInvalid("claim-cnf") from None
    return value
