"""The one table from refusal codes to what the caller sees (RFC 9457).

Every answer the gateway makes itself is `application/problem+json` with `type`, `title`, `status`, `code` and `ref`
and nothing else: `ref` is what support looks up. `side` says whose fault it is (for logs, metrics and alerts) and
`retry_after` (seconds) whether trying again can help.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

import orjson


class Side(StrEnum):
    """Who must act when this happens."""

    CLIENT = "client"
    EDGE = "edge"
    POLICY = "policy"
    UPSTREAM = "upstream"
    DEPENDENCY = "dependency"


@dataclass(frozen=True, slots=True)
class Problem:
    """One row: how a refusal code is answered."""

    code: str
    status: int
    side: Side
    title: str
    type: str = "about:blank"
    retry_after: int | None = None
    close: bool = False


#: RFC 9458 section 8.2.2 registers this type for a date outside the server's window.
DATE_PROBLEM = "https://iana.org/assignments/http-problem-types#date"

_ROWS = (
    # The message itself
    Problem("request-malformed", 400, Side.CLIENT, "The request is not well-formed", close=True),
    Problem("request-ambiguous", 400, Side.CLIENT, "The request can be read in more than one way"),
    Problem("method-not-supported", 501, Side.CLIENT, "This method is not supported", close=True),
    Problem("request-timeout", 408, Side.CLIENT, "The request did not arrive in time", close=True),
    Problem("uri-too-long", 414, Side.CLIENT, "The request target is too long", close=True),
    Problem("headers-too-large", 431, Side.CLIENT, "The request headers are too large", close=True),
    Problem("body-too-large", 413, Side.CLIENT, "The request body is too large", close=True),
    Problem("expectation-failed", 417, Side.CLIENT, "This expectation is not supported"),
    Problem("misdirected", 421, Side.CLIENT, "This gateway does not serve the requested host"),
    Problem("loop-detected", 508, Side.EDGE, "The request came back to this gateway"),
    Problem("route-not-found", 404, Side.CLIENT, "There is nothing here"),
    Problem("input-invalid", 400, Side.CLIENT, "A parameter or field is not acceptable"),
    # Who is calling (app channel section 5)
    Problem("signature-invalid", 401, Side.CLIENT, "A valid request signature is required"),
    Problem("clock-skew", 400, Side.CLIENT, "The request time is outside the accepted window", type=DATE_PROBLEM),
    Problem("replayed", 401, Side.CLIENT, "This request was already received"),
    Problem("content-key-invalid", 400, Side.CLIENT, "The content key cannot be used; fetch the keys and seal anew"),
    Problem("body-undecryptable", 400, Side.CLIENT, "The body cannot be opened"),
    Problem("token-invalid", 401, Side.CLIENT, "A valid access token is required"),
    Problem("insufficient-scope", 403, Side.CLIENT, "The access token does not allow this"),
    Problem("token-ambiguous", 400, Side.CLIENT, "An access token is sent in one way, the Authorization header"),
    # Callers with certificates. Not 401, which would owe them a challenge: TLS has none that a new try could answer
    Problem("certificate-required", 403, Side.CLIENT, "A client certificate is required"),
    Problem("certificate-invalid", 403, Side.CLIENT, "The client certificate cannot be used"),
    Problem("caller-not-permitted", 403, Side.CLIENT, "This caller may not do this"),
    # Staff, signed in with a browser
    Problem("login-required", 401, Side.CLIENT, "Please sign in"),
    Problem("login-invalid", 400, Side.CLIENT, "This sign-in could not be completed; please start again"),
    Problem("not-permitted", 403, Side.CLIENT, "You may not open this"),
    Problem("foreign-origin", 403, Side.CLIENT, "Another site's page may not make this request"),
    # What policies say
    Problem("blocked", 403, Side.POLICY, "This request is not allowed"),
    Problem("challenge", 401, Side.POLICY, "Please sign in again"),
    Problem("throttled", 429, Side.POLICY, "Too many requests", retry_after=1),
    Problem("rate-limited", 429, Side.CLIENT, "Too many requests", retry_after=1),
    # What we depend on
    Problem("replay-store-unavailable", 503, Side.DEPENDENCY, "Temporarily unavailable", retry_after=1),
    Problem("policies-unavailable", 503, Side.DEPENDENCY, "Temporarily unavailable", retry_after=1),
    Problem("identity-unavailable", 503, Side.DEPENDENCY, "Temporarily unavailable", retry_after=1),
    Problem("keys-unavailable", 503, Side.DEPENDENCY, "Temporarily unavailable", retry_after=1),
    Problem("introspection-unavailable", 503, Side.DEPENDENCY, "Temporarily unavailable", retry_after=1),
    Problem("limits-unavailable", 503, Side.DEPENDENCY, "Temporarily unavailable", retry_after=1),
    Problem("sessions-unavailable", 503, Side.DEPENDENCY, "Temporarily unavailable", retry_after=2),
    Problem("sign-in-unavailable", 503, Side.DEPENDENCY, "Signing in is not possible at the moment", retry_after=5),
    # The other side
    Problem("upstream-unreachable", 502, Side.UPSTREAM, "The service cannot be reached"),
    Problem("upstream-invalid", 502, Side.UPSTREAM, "The service gave an answer that cannot be used"),
    Problem("upstream-overloaded", 503, Side.UPSTREAM, "The service is busy", retry_after=1),
    Problem("upstream-timeout", 504, Side.UPSTREAM, "The service did not answer in time"),
    # Ourselves
    Problem("overloaded", 503, Side.EDGE, "The gateway is busy", retry_after=1, close=True),
    Problem("internal", 500, Side.EDGE, "The gateway failed", close=True),
)

PROBLEMS: dict[str, Problem] = {row.code: row for row in _ROWS}


def render(problem: Problem, *, ref: str) -> bytes:
    """The problem document (RFC 9457 section 3) as UTF-8 JSON; `ref` is the support reference."""
    return orjson.dumps(
        {
            "type": problem.type,
            "title": problem.title,
            "status": problem.status,
            "code": problem.code,
            "ref": ref,
        }
    )


def reason_phrase(status: int) -> bytes:
    """The standard reason phrase of a status code, empty for one that has none."""
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b""
