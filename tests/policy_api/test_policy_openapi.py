"""The OpenAPI document and the service agree, whatever a client makes of the document (schemathesis)."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from haetae_cli.state import StateDirectory
from haetae_policy_api.roles import OPERATIONS
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.policy.conftest import Server
from tests.policy_api.service_process import service

# The stream of changes has no end, which a fuzzer would wait for.
OPERATIONS_HERE = sorted(OPERATIONS.keys() - {"feed_follow"})
CHECKS: Any = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]


@pytest.fixture(scope="module")
def url(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    state = StateDirectory(tmp_path_factory.mktemp("openapi") / "state")
    state.create()
    with service(valkey, state, "--insecure-development") as (url, _):
        yield url


@pytest.mark.parametrize("operation", OPERATIONS_HERE)
def test_document_and_service_agree(url: str, operation: str) -> None:
    described = schemathesis.openapi.from_url(f"{url}/openapi.json").find_operation_by_id(operation)

    @given(case=described.as_strategy())
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    def agree(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    agree()
