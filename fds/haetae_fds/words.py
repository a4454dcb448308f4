"""The closed vocabularies of a behaviour event. A word is never renamed or reused; new ones are added at the end."""

from __future__ import annotations

from enum import StrEnum


class SignatureOutcome(StrEnum):
    """What became of the request signature."""

    OK = "ok"
    MISSING = "missing"
    BAD = "bad"
    EXPIRED = "expired"
    SKEW = "skew"
    UNKNOWN_KEY = "unknown_key"


class BodyOutcome(StrEnum):
    """What became of the encrypted body or its content key."""

    OK = "ok"
    FAIL = "fail"
    OLD_VERSION = "old_version"


class NonceOutcome(StrEnum):
    """What became of the one-time claim. `retry`: the same client repeating an attempt that got no answer."""

    OK = "ok"
    REPLAY = "replay"
    RETRY = "retry"
    UNCHECKED = "unchecked"


class PolicyOutcome(StrEnum):
    """What block policies said."""

    ALLOW = "allow"
    BLOCK = "block"
    CHALLENGE = "challenge"
    THROTTLE = "throttle"
    OBSERVE = "observe"
    SHADOW_BLOCK = "shadow_block"


class AuthOutcome(StrEnum):
    """What the auth service said of a log-in. Never derived from a status code: a failure may well be a 200."""

    OK = "ok"
    BAD = "bad"
    NO_USER = "nouser"
    LOCKED = "locked"
    MFA_FAIL = "mfa_fail"
    MFA_OK = "mfa_ok"


class NetworkKind(StrEnum):
    """What kind of network an address belongs to."""

    RESIDENTIAL = "residential"
    MOBILE = "mobile"
    HOSTING = "hosting"
    ANONYMISER = "vpn/tor"
    CORPORATE = "corporate"
    INTERNAL = "internal"
