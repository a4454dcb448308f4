"""What the demo services refuse, and how a caller sees it.

Each class carries the HTTP ``status`` and the stable ``code`` of its problem+json answer. The text of an
exception is written for the caller: it never holds key material, tokens or another person's data.
"""

from typing import ClassVar


class DemoError(Exception):
    """Base of everything this package raises on purpose."""

    code: ClassVar[str] = "demo-error"
    status: ClassVar[int] = 500


class WorldInvalid(DemoError):
    """The data file of people and accounts does not read as one."""

    code = "world-invalid"


class RequestInvalid(DemoError):
    """The request is malformed: a missing, unknown or ill-typed field."""

    code = "request-invalid"
    status = 400


class CredentialsInvalid(DemoError):
    """No bearer token where one is required, or not one this service knows."""

    code = "credentials-invalid"
    status = 401


class AssertionInvalid(DemoError):
    """A statement signed by a device key does not hold."""

    code = "assertion-invalid"
    status = 400


class AccountDisabled(DemoError):
    """The person's account has been switched off."""

    code = "account-disabled"
    status = 403


class RiskTooHigh(DemoError):
    """The bank does not move money for a caller the Passport calls risky."""

    code = "risk-too-high"
    status = 403


class NotFound(DemoError):
    """No such person, device, account or transfer (or not one the caller may see)."""

    code = "not-found"
    status = 404


class Conflict(DemoError):
    """The request contradicts what is already recorded."""

    code = "conflict"
    status = 409


class InsufficientFunds(DemoError):
    """The account holds less than the amount asked for."""

    code = "insufficient-funds"
    status = 422


class IdempotencyKeyReused(DemoError):
    """The same Idempotency-Key came with another payload."""

    code = "idempotency-key-reused"
    status = 422


class CapacityReached(DemoError):
    """A bounded table is full; nothing was recorded."""

    code = "capacity-reached"
    status = 503


class Unreachable(DemoError):
    """A service this one depends on did not give a usable answer."""

    code = "dependency-unavailable"
    status = 503


class AnswerInvalid(DemoError):
    """The gateway's answer or key list is not to be trusted."""

    code = "answer-invalid"
    status = 502
