"""From problems and answers to HTTP: one shape for every refusal, ETags for versions."""

from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from haetae_policy.errors import PolicyError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from haetae_policy_api.errors import (
    ApiProblem,
    Invalid,
    MethodNotAllowed,
    NotFound,
    RequestMalformed,
    problem_of,
)
from haetae_policy_api.io.schemas import ProblemBody
from haetae_policy_api.service.answers import Answer

PROBLEM_TYPE = "application/problem+json"
_MAX_ERRORS = 100
_NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def problem(error: ApiProblem) -> Response:
    """Return the answer for a refusal."""
    return Response(
        orjson.dumps(error.to_dict()), error.status, {**_NO_STORE, **error.headers}, media_type=PROBLEM_TYPE
    )


def json(body: Any, *, status: int = 200, version: int | None = None) -> Response:
    """Return a JSON answer; `version` becomes its ETag."""
    headers = dict(_NO_STORE)
    if version is not None:
        headers["ETag"] = f'"{version}"'
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def answer(made: Answer) -> Response:
    """Return the answer of a change; a repeated one says so."""
    response = json(made.body, status=made.status, version=made.version)
    if made.repeated:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def install_problems(app: FastAPI) -> None:
    """Give every refusal of `app`, its framework's included, the one shape."""

    async def refused(_: Request, error: Exception) -> Response:
        if isinstance(error, ApiProblem):
            return problem(error)
        if isinstance(error, PolicyError):
            return problem(problem_of(error))
        if isinstance(error, RequestValidationError):
            return problem(_validation(error))
        if isinstance(error, HTTPException):
            return problem(_http(error))
        raise error

    for kind in (ApiProblem, PolicyError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, refused)


def _validation(error: RequestValidationError) -> ApiProblem:
    details = error.errors()[:_MAX_ERRORS]
    if any(detail["type"] == "json_invalid" for detail in details):
        return RequestMalformed("the body is not JSON")
    errors = [(".".join(str(part) for part in detail["loc"][1:])[:128], str(detail["msg"])) for detail in details]
    return Invalid("the request does not fit the document of this API", errors=errors)


def _http(error: HTTPException) -> ApiProblem:
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return NotFound("there is nothing under this path", headers=headers)
    if error.status_code == 405:
        return MethodNotAllowed("this method is not served here", headers=headers)
    return RequestMalformed("the request cannot be read", headers=headers)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the refusals of an operation for the OpenAPI document; those every operation has are included."""
    told = sorted({400, 401, 403, 422, 503, *statuses})
    return {status: {"model": ProblemBody, "description": "Refused", "content": {PROBLEM_TYPE: {}}} for status in told}
