"""The errors of this package: few classes, each with a stable ``code``.

Rules kept: ``code`` is public interface; ``reason`` is one stable word for logs and metrics; no message
carries token text or claims, because an unverified token must not write our logs.

Not done here: HTTP answers; `bearer.py` has the challenges, the gateway the problem documents.
"""

from typing import ClassVar


class OidcError(Exception):
    """Base of every error raised on purpose by this package."""

    code: ClassVar[str] = "oidc-error"


class TokenInvalid(OidcError):
    """The access token is malformed, not for us, out of its time, or not signed by its issuer."""

    code = "token-invalid"

    def __init__(self, reason: str) -> None:
        """`reason` names the rule that failed, in one stable word."""
        super().__init__(reason)
        self.reason = reason


class KeyUnknown(TokenInvalid):
    """No key of the issuer is known under the id the token names. Fresher keys might help: see `io.jwks`.

    `unverified_kid` is the token's word, to be compared with key ids and nothing else.
    """

    def __init__(self, unverified_kid: str | None) -> None:
        super().__init__("key-unknown")
        self.unverified_kid = unverified_kid


class KeysUnavailable(OidcError):
    """Nothing is known of the issuer's keys and it does not answer. `retry_after` is in seconds."""

    code = "keys-unavailable"

    def __init__(self, *, retry_after: float) -> None:
        super().__init__("the issuer's keys are not available")
        self.retry_after = retry_after


class BearerMalformed(OidcError):
    """The Authorization header says Bearer but does not follow RFC 6750, or came more than once."""

    code = "bearer-malformed"


class ScopeInsufficient(OidcError):
    """The token is good but was not granted what the route needs: `required`, all of it."""

    code = "scope-insufficient"

    def __init__(self, required: frozenset[str]) -> None:
        super().__init__("a required scope was not granted")
        self.required = required


class SettingsInvalid(OidcError):
    """A token policy or key source was configured in a way that cannot be secure or cannot work."""

    code = "settings-invalid"


class SessionMissing(OidcError):
    """There is no such session: no ticket, a forged one, or one whose session ended. Sign in again.

    `reason` is one of `no-ticket`, `malformed`, `unknown`, `forged`, `idle`, `expired`, `ended`.
    """

    code = "session-missing"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SessionStoreUnavailable(OidcError):
    """The session store did not answer. This says nothing about the session: keep the cookie, answer 503."""

    code = "session-store-unavailable"


class LoginInvalid(OidcError):
    """The answer of the provider to a login may not be accepted. `reason` is one stable word."""

    code = "login-invalid"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LoginStale(OidcError):
    """The login that this answer belongs to is unknown in this browser, over, or already used: start again.

    `return_to` is where that login was going, or `/`; it is what `begin` was given and nothing from the request.
    """

    code = "login-stale"

    def __init__(self, return_to: str = "/") -> None:
        super().__init__("the login is unknown, over or already used")
        self.return_to = return_to


class ProviderUnavailable(OidcError):
    """The provider does not answer, or answers what cannot be used. `retry_after` is in seconds."""

    code = "provider-unavailable"

    def __init__(self, why: str, *, retry_after: float = 5.0) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class TokenRefused(OidcError):
    """The provider refused a grant. `error` is a code of RFC 6749 section 5.2, or `other`."""

    code = "token-refused"

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class LogoutTokenInvalid(OidcError):
    """The logout token may not be acted on. `reason` is one stable word."""

    code = "logout-token-invalid"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DpopInvalid(TokenInvalid):
    """The proof of possession is missing, malformed, or for another request, token or key (RFC 9449 section 7.1)."""

    code = "dpop-invalid"

    def __init__(self, reason: str) -> None:
        """`reason` names the rule that failed; it reads `dpop-…` in logs."""
        super().__init__(f"dpop-{reason}")


class DpopNonceRequired(DpopInvalid):
    """The proof is good but lacks a nonce of ours that still holds (RFC 9449 section 9)."""

    code = "dpop-nonce-required"

    def __init__(self) -> None:
        super().__init__("nonce")


class IntrospectionUnavailable(OidcError):
    """The introspection endpoint gave no usable answer. This says nothing about the token: answer 503."""

    code = "introspection-unavailable"
