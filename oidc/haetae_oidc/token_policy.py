"""Which access tokens one route, or a group of routes, accepts.

Rules kept (RFC 8725): algorithms are listed, asymmetric, and of today; issuer and audience are required; the
token kind (`typ`) is part of the policy, so that an ID token never passes as an access token. Checked once,
when made.

Not done here: checking tokens.
"""

from dataclasses import dataclass
from typing import Final

from haetae_oidc.errors import SettingsInvalid

ASYMMETRIC_ALGORITHMS: Final = frozenset(
    {"EdDSA", "Ed25519", "ES256", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
)
ACCESS_TOKEN_TYPES: Final = frozenset({"at+jwt"})
MAX_LEEWAY: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPolicy:
    """What must hold for an access token; times in seconds. Raises SettingsInvalid when made in an unsafe
    way.

    - `issuer`, `audience`: compared exactly; `audience` must be among the token's.
    - `algorithms`: JOSE names, from `ASYMMETRIC_ALGORITHMS`.
    - `types`: accepted `typ`, lower case, without `application/`. An issuer that predates RFC 9068 may need
      `jwt`: then its ID tokens must have another audience.
    - `leeway`: for clocks that differ. `max_lifetime`: of `exp - iat`.
    - `required`: claims that must be there beyond `iss`, `sub`, `aud`, `exp` and `iat`, which always are.
      Without `client_id` or `jti` in it, the result may hold None for them.
    - `max_chars`: of the compact token.
    """

    issuer: str
    audience: str
    algorithms: frozenset[str]
    types: frozenset[str] = ACCESS_TOKEN_TYPES
    leeway: int = 30
    max_lifetime: int = 3600
    required: frozenset[str] = frozenset({"client_id", "jti"})
    max_chars: int = 8000

    def __post_init__(self) -> None:
        if not self.issuer or not self.audience:
            raise SettingsInvalid("issuer and audience are required")
        if not self.algorithms or not self.algorithms <= ASYMMETRIC_ALGORITHMS:
            raise SettingsInvalid("algorithms must be listed, and be asymmetric ones")
        if not self.types or any(t != t.lower().removeprefix("application/") or not t for t in self.types):
            raise SettingsInvalid("types must be listed, in lower case, without application/")
        if not 0 <= self.leeway <= MAX_LEEWAY or self.max_lifetime <= 0:
            raise SettingsInvalid(f"leeway is 0 to {MAX_LEEWAY} seconds, max_lifetime positive")
        if not 256 <= self.max_chars <= 65_536:
            raise SettingsInvalid("max_chars is 256 to 65536")
