"""What the policy service refuses and why: problems in the sense of RFC 9457, one class per kind of answer.

Errors of `haetae_policy` are turned into these by one table, so that every answer has one stable `code`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from haetae_policy.errors import (
    AuditBroken,
    FeedCorrupt,
    PolicyConflict,
    PolicyError,
    PolicyInvalid,
    PolicyNotFound,
    ReferenceInvalid,
    StoreUnavailable,
    TooManyPolicies,
)
from haetae_policy.faults import Fault

from haetae_policy_api.faults import said


class ApiProblem(Exception):  # an answer, not a fault
    """A refusal with its HTTP status. `errors` names fields; `headers` go with the answer.

    `detail` and the messages of `errors` are English; those a person at the console can meet are a `Fault`.
    """

    code = "refused"
    status = 400
    title = "Refused"

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def to_dict(self) -> dict[str, Any]:
        """Return the members of `application/problem+json` (RFC 9457, section 3)."""
        document: dict[str, Any] = {
            "type": f"urn:haetae:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [
                {"field": name, "code": message.code if isinstance(message, Fault) else "other", "message": message}
                for name, message in self.errors
            ]
        return document


class RequestMalformed(ApiProblem):
    """The request is not one this service reads."""

    code, status, title = "request_malformed", 400, "Request malformed"


class NotSignedIn(ApiProblem):
    """No verified identity came with the request."""

    code, status, title = "not_signed_in", 401, "Not signed in"


class NotAllowed(ApiProblem):
    """The caller is known and may not do this."""

    code, status, title = "not_allowed", 403, "Not allowed"


class NotFound(ApiProblem):
    """There is no such thing (any more)."""

    code, status, title = "not_found", 404, "Not found"


class MethodNotAllowed(ApiProblem):
    """The path exists; the method does not."""

    code, status, title = "method_not_allowed", 405, "Method not allowed"


class Conflict(ApiProblem):
    """Another change came first, or the change is not possible any more."""

    code, status, title = "conflict", 409, "Conflict"


class VersionMismatch(ApiProblem):
    """`If-Match` names another version than the one in force (RFC 9110, 13.1.1)."""

    code, status, title = "version_mismatch", 412, "Version mismatch"


class TooLarge(ApiProblem):
    """The request is larger than the service reads."""

    code, status, title = "too_large", 413, "Request too large"


class MediaTypeUnsupported(ApiProblem):
    """Changes are sent as `application/json`."""

    code, status, title = "media_type_unsupported", 415, "Media type not supported"


class Invalid(ApiProblem):
    """The document breaks the language or its rules; `errors` names every field."""

    code, status, title = "invalid", 422, "Invalid"


class VersionRequired(ApiProblem):
    """A change must say which version it is made to (RFC 6585, section 3)."""

    code, status, title = "version_required", 428, "If-Match required"


class TooMany(ApiProblem):
    """A limit on how much a source, or everybody, may ask for."""

    code, status, title = "too_many", 429, "Too many"


class Unavailable(ApiProblem):
    """The store, or keys, cannot be reached; repeating is safe."""

    code, status, title = "unavailable", 503, "Unavailable"


PROBLEMS: Final = (
    *(RequestMalformed, NotSignedIn, NotAllowed, NotFound, MethodNotAllowed, Conflict, VersionMismatch, TooLarge),
    *(MediaTypeUnsupported, Invalid, VersionRequired, TooMany, Unavailable),
)

_TABLE: Final[tuple[tuple[type[PolicyError], type[ApiProblem]], ...]] = (
    (PolicyNotFound, NotFound),
    (ReferenceInvalid, NotFound),
    (PolicyConflict, Conflict),
    (TooManyPolicies, Conflict),
    (StoreUnavailable, Unavailable),
    (FeedCorrupt, Unavailable),
)


class SettingsInvalid(ValueError):
    """Settings do not fit; the message names the setting and what to write."""

    code = "settings_invalid"


def problem_of(error: PolicyError) -> ApiProblem:
    """Return the answer for an error of the policy language or store."""
    if isinstance(error, PolicyInvalid):
        return Invalid(said("policy_invalid"), errors=[(p.field, p.message) for p in error.problems])
    if isinstance(error, AuditBroken):
        return Conflict(said("trail_broken", where=error))
    for kind, problem in _TABLE:
        if isinstance(error, kind):
            retry = {"Retry-After": "1"} if problem is Unavailable else None
            return problem(str(error), headers=retry)
    return Invalid(str(error))
