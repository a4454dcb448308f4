"""What the gateway publishes so that services can verify Passports.

Rules kept: the set holds the keys signing now, the next one and those that signed lately, never a secret. It
may be cached for `JWKS_MAX_AGE`; a key must be published at least `PUBLISH_LEAD` before it signs, so that
every verifier that keeps to its own times already has it. The default lead of `next_signing_entry` (a day) is
far above it.

Not done here: serving it; rotating the ring.
"""

from typing import Final

import orjson
from haetae_crypto.jwks import JwksTimes
from haetae_crypto.signing_keys import SigningRing, public_jwks

JWKS_PATH: Final = "/.well-known/haetae/passport-jwks.json"
JWKS_CONTENT_TYPE: Final = "application/jwk-set+json"
JWKS_MAX_AGE: Final = 60
JWKS_CACHE_CONTROL: Final = f"public, max-age={JWKS_MAX_AGE}"

_VERIFIER: Final = JwksTimes()
PUBLISH_LEAD: Final = JWKS_MAX_AGE + int(_VERIFIER.fresh + _VERIFIER.stale)
"""Seconds between publishing a key and signing with it."""


def jwks_document(ring: SigningRing, *, now: float) -> bytes:
    """The body of `JWKS_PATH`, UTF-8 JSON. Raises KeyUnavailable when the ring has nothing to publish."""
    return orjson.dumps(public_jwks(ring, now=now))
