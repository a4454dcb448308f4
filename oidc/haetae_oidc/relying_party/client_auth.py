"""How we prove to the provider that we are the client (RFC 6749 section 2.3.1, RFC 7523, Core section 9).

Rules kept: one method, the registered one; client assertions live a minute, are used once, and name the issuer (or what
was configured) as their only audience, so that they are worth nothing elsewhere.

Not done here: randomness and time, which are arguments; HTTP.
"""

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote_plus

from haetae_crypto.b64url import b64url_encode
from haetae_crypto.strict_json import canonical_json
from jwt import get_algorithm_by_name

from haetae_oidc.relying_party.settings import ProviderSettings

_LIFETIME: Final = 60
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientProof:
    """What to add to a request: header fields and form fields."""

    headers: dict[str, str] = field(repr=False)
    form: dict[str, str] = field(repr=False)


def prove_client(*, settings: ProviderSettings, now: float, random: bytes) -> ClientProof:
    """The proof for one request; `random` is at least 16 fresh bytes."""
    if settings.client_key is not None:
        form = {
            "client_id": settings.client_id,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": _assertion(settings, now=int(now), token_id=b64url_encode(random)),
        }
        return ClientProof(headers={}, form=form)
    secret = settings.client_secret or ""
    if settings.client_auth == "client_secret_post":
        return ClientProof(headers={}, form={"client_id": settings.client_id, "client_secret": secret})
    pair = f"{quote_plus(settings.client_id)}:{quote_plus(secret)}"
    return ClientProof(headers={"Authorization": "Basic " + b64encode(pair.encode()).decode()}, form={})


def _assertion(settings: ProviderSettings, *, now: int, token_id: str) -> str:
    key = settings.client_key
    assert key is not None  # noqa: S101 - the caller asked
    alg = "EdDSA" if key.public.kty == "OKP" else "ES256"
    header = {"alg": alg, "typ": "JWT", "kid": key.public.kid or key.public.thumbprint}
    claims = {
        "iss": settings.client_id,
        "sub": settings.client_id,
        "aud": settings.assertion_audience or settings.issuer,
        "iat": now,
        "exp": now + _LIFETIME,
        "jti": token_id,
    }
    signed = ".".join(b64url_encode(canonical_json(part)) for part in (header, claims))
    signature = get_algorithm_by_name(alg).sign(signed.encode(), key.key)
    return f"{signed}.{b64url_encode(signature)}"
