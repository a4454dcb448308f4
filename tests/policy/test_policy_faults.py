"""Every fault of the policy language: what brings it about, its code, and that its text is the one of the table."""

from typing import Any

import pytest
from haetae_policy.errors import PolicyInvalid
from haetae_policy.faults import FAULTS, Fault, fault
from haetae_policy.model import Source, SourceKind
from haetae_policy.parse import parse_new_policy, parse_policy
from haetae_policy.protected import parse_protected
from haetae_policy.rules import Rules

from tests.policy.policy_strategies import T0, document, policy_id

FDS = {"kind": "fds", "name": "r3"}
DEEP: dict[str, Any] = {"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("required", {"reason": None}),
    ("unknown", {"extra": 1}),
    ("object", {"subject": []}),
    ("text", {"reason": " x"}),
    ("invisible", {"reason": "a\u202eb"}),
    ("flag", {"hard": "yes"}),
    ("whole_number", {"version": 0}),
    ("choice", {"action": "ban"}),
    ("time", {"expires": "tomorrow"}),
    ("policy_id", {"id": "1"}),
    ("why_code", {"why": "A B"}),
    ("gateway_name", {"api": {"gateway": "x y"}}),
    ("route_id", {"api": {"route": "x y"}}),
    ("method", {"api": {"method": "post"}}),
    ("hard_blocks_only", {"action": "observe", "hard": True}),
    ("expires_order", {"expires": "2001-01-01T00:00:00Z"}),
    ("another_approver", {"source": {"kind": "analyst", "name": "kim"}, "approved_by": "kim"}),
    ("rate_required", {"action": "throttle"}),
    ("rate_throttles_only", {"rate": {"limit": 1, "per_seconds": 1}}),
    ("evidence_shape", {"evidence": DEEP}),
    ("evidence_json", {"evidence": {"a": object()}}),
    ("evidence_bytes", {"evidence": {"a": "x" * 9000}}),
    ("lifetime", {"expires": "2036-05-01T10:00:00Z"}),
    ("second_person", {"subject": {}}),
    ("protected_network", {"source": FDS, "subject": {"ip": "10.1.2.3"}}),
    ("protected_subject", {"source": FDS, "subject": {"user": "u-batch"}}),
    ("address", {"subject": {"ip": "1.2.3"}}),
    ("prefix_number", {"subject": {"ip": "192.0.2.0/x"}}),
    ("prefix_most", {"subject": {"ip": "192.0.2.0/33"}}),
    ("mapped", {"subject": {"ip": "::ffff:0:0/90"}}),
    ("host_bits", {"subject": {"ip": "192.0.2.5/24"}}),
    ("path_segments", {"api": {"path": "/a" * 40}}),
    ("path_length", {"api": {"path": "/" + "a" * 600}}),
    ("path_characters", {"api": {"path": "a"}}),
    ("path_empty", {"api": {"path": "/a//b"}}),
    ("path_escape", {"api": {"path": "/%2f"}}),
    ("path_twice", {"api": {"path": "/{a}/{a}"}}),
    ("path_variable", {"api": {"path": "/x{a}"}}),
    ("path_rest", {"api": {"path": "/**/a"}}),
    ("path_dots", {"api": {"path": "/../a"}}),
]


def codes(caught: PolicyInvalid) -> set[str]:
    found = set()
    for problem in caught.problems:
        message = problem.message
        assert isinstance(message, Fault), problem
        assert message == FAULTS[message.code].format(**message.values)
        found.add(message.code)
    return found


@pytest.mark.parametrize(("code", "changes"), CASES, ids=[code for code, _ in CASES])
def test_what_is_wrong_is_named_by_a_code(code: str, changes: dict[str, Any]) -> None:
    rules = Rules(protected=parse_protected({"users": ["u-batch"]}))
    with pytest.raises(PolicyInvalid) as caught:
        parse_policy(document(**changes), rules=rules)
    assert code in codes(caught.value)


def test_what_the_service_sets_nobody_else_does() -> None:
    asked = {"action": "block", "reason": "r", "version": 7, "expires": "2026-05-01T11:00:00Z"}
    source = Source(kind=SourceKind.ANALYST, name="kim")
    with pytest.raises(PolicyInvalid) as caught:
        parse_new_policy(asked, policy_id=policy_id(1), source=source, now_ms=T0)
    assert "set_by_service" in codes(caught.value)


def test_list_of_protected_networks_is_a_list() -> None:
    with pytest.raises(PolicyInvalid) as caught:
        parse_protected({"networks": "203.0.113.0/24"})
    assert codes(caught.value) == {"texts"}


def test_no_fault_of_the_table_is_one_that_cannot_happen() -> None:
    assert {code for code, _ in CASES} | {"set_by_service", "texts"} == FAULTS.keys()


def test_fault_there_is_not_cannot_be_told() -> None:
    with pytest.raises(KeyError):
        fault("no_such")
    with pytest.raises(KeyError):
        fault("text")
