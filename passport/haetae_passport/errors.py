"""The errors of this package: few classes, each with a stable ``code``.

Rules kept: ``code`` is public interface; ``reason`` is one stable word for logs and metrics; no message
carries token text or claims. Not done here: HTTP answers, which `refusal.py` derives from these classes.
"""

from typing import ClassVar


class PassportError(Exception):
    """Base of every error raised on purpose by this package."""

    code: ClassVar[str] = "passport-error"


class PassportMissing(PassportError):
    """The request carries no Passport at all."""

    code = "passport-missing"


class PassportInvalid(PassportError):
    """The Passport is malformed, not for this service, out of its time, or not signed by its issuer."""

    code = "passport-invalid"

    def __init__(self, reason: str) -> None:
        """`reason` names the rule that failed, in one stable word."""
        super().__init__(reason)
        self.reason = reason


class PassportKeyUnknown(PassportInvalid):
    """The issuer's published keys do not hold the key that the Passport names."""

    def __init__(self) -> None:
        super().__init__("key-unknown")


class PassportKeysUnavailable(PassportError):
    """No keys of the issuer are known and they cannot be fetched: nobody can be let in, through no fault of
    theirs.

    `retry_after` is in seconds.
    """

    code = "passport-keys-unavailable"

    def __init__(self, *, retry_after: float) -> None:
        super().__init__("the issuer's keys are not available")
        self.retry_after = retry_after


class PassportUnmintable(PassportError):
    """What was to be stated does not fit: a missing name, a value JSON does not know, or too much."""

    code = "passport-unmintable"
