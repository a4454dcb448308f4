"""Reading what people ask for quickly: whatever is read quickly is what careful reading says, or is left to it."""

from typing import Any

import pytest
from haetae_policy.asked import read_asked
from haetae_policy.errors import PolicyInvalid
from haetae_policy.model import Action, Mode, Policy, Source, SourceKind, Subject
from haetae_policy.network import parse_network
from haetae_policy.parse import parse_new_policy
from haetae_policy.protected import Protected
from haetae_policy.rules import Rules
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.policy_strategies import policy_id

NOW_MS = 1_777_629_600_123  # 2026-05-01T10:00:00Z and a little
USUAL: dict[str, Any] = {
    "subject": {"user": "u-1029"},
    "api": {"route": "transfer"},
    "action": "block",
    "reason": "credential stuffing",
    "expires": "2026-05-01T11:00:00Z",
}
MEMBERS: dict[str, list[Any]] = {
    "subject": [
        *(None, {}, {"user": "u"}, {"user": None}, {"user": ""}, {"user": " u"}, {"user": "u\n"}, {"user": "é"}),
        *({"user": "u" * 257}, {"user": 5}, {"device": "d", "session": "s"}, {"ip": "203.0.113.7"}, {"x": "y"}),
        *({"ip": "203.0.113.7/24"}, {"ip": 5}, {"untrusted": True, "ip": "2001:db8::/48"}, {"untrusted": 1}),
        *({"account": "a" * 256, "client": "ja4|ua|hdr"}, {"ip": "10.0.0.0/8"}, [], "u"),
    ],
    "api": [
        *(None, {}, {"route": None}, {"path": "/a/**"}, {"path": "a"}, {"method": "get"}, {"method": "GET"}),
        *({"x": 1}, {"gateway": "-"}, []),
    ],
    "action": ["observe", "allow", "throttle", "challenge", "block", "BLOCK", 5, None],
    "mode": ["enforce", "shadow", "off", None],
    "hard": [True, False, None, 1, "yes"],
    "reason": ["r", "", " ", "r ", "a\tb", "é", "\u202e", "r" * 501, None, 5],
    "why": ["r1", "R1", "", "w" * 65, None, 3],
    "ticket": ["FR-1", "", " x", "t" * 65, None],
    "expires": ["2026-05-01T10:00:00Z", "2026-05-01T10:00:01Z", "2027-05-01T10:00:00Z", "2026-02-31T10:00:00Z", "x", 5],
    "rate": [None, {"limit": 5, "per_seconds": 10}],
    "evidence": [None, {}, {"a": 1}],
    "approved_by": ["lee", "kim", None],
    "id": [policy_id(1)],
    "version": [2],
    "x": [1],
}
RULES = Rules(protected=Protected(networks=(parse_network("10.0.0.0/8"),)))
changes = st.dictionaries(st.sampled_from(sorted(MEMBERS)), st.integers(0, 30), max_size=4)


def altered(numbers: dict[str, int]) -> dict[str, Any]:
    return USUAL | {name: MEMBERS[name][number % len(MEMBERS[name])] for name, number in numbers.items()}


def quickly(document: dict[str, Any], source: Source) -> Policy | None:
    return read_asked(document, policy_id=policy_id(7), source=source, now_ms=NOW_MS, rules=RULES)


def carefully(document: dict[str, Any], source: Source) -> Policy:
    return parse_new_policy(document, policy_id=policy_id(7), source=source, now_ms=NOW_MS, rules=RULES)


@given(changes, st.sampled_from(SourceKind))
def test_what_is_read_quickly_is_what_careful_reading_says(numbers: dict[str, int], kind: SourceKind) -> None:
    document, source = altered(numbers), Source(kind, "kim")
    quick = quickly(document, source)
    if quick is not None:
        careful = carefully(document, source)
        assert quick == careful
        assert quick.to_json() == careful.to_json()


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_each_member_alone_is_read_quickly_as_carefully(name: str) -> None:
    for value in MEMBERS[name]:
        for kind in SourceKind:
            source = Source(kind, "kim")
            quick = quickly(USUAL | {name: value}, source)
            if quick is not None:
                assert quick == carefully(USUAL | {name: value}, source)


def test_usual_document_is_read_quickly() -> None:
    policy = quickly(USUAL, Source(SourceKind.ANALYST, "kim"))
    assert policy is not None
    assert (policy.action, policy.mode, policy.subject) == (Action.BLOCK, Mode.ENFORCE, Subject(user="u-1029"))


@pytest.mark.parametrize(
    "document",
    [
        USUAL | {"subject": {}},
        USUAL | {"subject": None},
        USUAL | {"subject": {"user": None}},
        {name: value for name, value in USUAL.items() if name != "subject"},
        USUAL | {"subject": {"ip": "0.0.0.0/0"}},
    ],
)
def test_policy_for_everyone_is_read_carefully_and_needs_a_second_person(
    document: dict[str, Any],
) -> None:
    source = Source(SourceKind.ANALYST, "kim")
    assert quickly(document, source) is None
    with pytest.raises(PolicyInvalid, match=r"approved_by|second"):
        carefully(document, source)


def test_machine_that_names_a_protected_network_is_left_to_careful_reading_which_refuses() -> None:
    document, source = USUAL | {"subject": {"ip": "10.1.2.3"}}, Source(SourceKind.FDS, "r4")
    assert quickly(document, source) is None
    with pytest.raises(PolicyInvalid):
        carefully(document, source)
