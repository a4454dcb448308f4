"""Passports: one signed statement of who and what a service is serving. Mint them at the gate, verify them
behind it.
"""

from haetae_passport.claims import CallContext, Passport, Risk
from haetae_passport.errors import (
    PassportError,
    PassportInvalid,
    PassportKeysUnavailable,
    PassportKeyUnknown,
    PassportMissing,
    PassportUnmintable,
)
from haetae_passport.headers import PASSPORT_HEADER, is_passport_header, without_passport
from haetae_passport.inspect import Inspection, inspect_passport
from haetae_passport.minter import PassportMinter
from haetae_passport.publish import (
    JWKS_CACHE_CONTROL,
    JWKS_CONTENT_TYPE,
    JWKS_MAX_AGE,
    JWKS_PATH,
    PUBLISH_LEAD,
    jwks_document,
)
from haetae_passport.refusal import Refusal, refusal_for
from haetae_passport.verifier import (
    MAX_PASSPORT_CHARS,
    PASSPORT_LIFETIME,
    PassportPolicy,
    PassportVerifier,
    UnverifiedPassport,
)

__all__ = [
    "JWKS_CACHE_CONTROL",
    "JWKS_CONTENT_TYPE",
    "JWKS_MAX_AGE",
    "JWKS_PATH",
    "MAX_PASSPORT_CHARS",
    "PASSPORT_HEADER",
    "PASSPORT_LIFETIME",
    "PUBLISH_LEAD",
    "CallContext",
    "Inspection",
    "Passport",
    "PassportError",
    "PassportInvalid",
    "PassportKeyUnknown",
    "PassportKeysUnavailable",
    "PassportMinter",
    "PassportMissing",
    "PassportPolicy",
    "PassportUnmintable",
    "PassportVerifier",
    "Refusal",
    "Risk",
    "UnverifiedPassport",
    "inspect_passport",
    "is_passport_header",
    "jwks_document",
    "refusal_for",
    "without_passport",
]
