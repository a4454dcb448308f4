"""Whom no machine may block: one strict list, checked by all that a subject would match."""

from typing import Any

import pytest
from haetae_policy.errors import PolicyInvalid
from haetae_policy.model import Subject
from haetae_policy.network import parse_network
from haetae_policy.protected import MAX_LISTED, NOBODY, Protected, parse_protected
from hypothesis import given
from hypothesis import strategies as st

LISTED = parse_protected(
    {"networks": ["203.0.113.16/28", "2001:db8::/48"], "users": ["u-batch"], "devices": ["d-1"], "clients": ["c"]}
)
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20), st.lists, max_leaves=4)
NAMES = st.sampled_from(("networks", "users", "devices", "accounts", "clients", "sessions", ""))


def broken(subject: Subject, listed: Protected = LISTED) -> list[str]:
    return [problem.field for problem in listed.problems(subject)]


@pytest.mark.parametrize("text", ["203.0.113.17", "203.0.113.16/29", "203.0.113.0/24", "0.0.0.0/0", "2001:db8::1"])
def test_network_that_holds_or_touches_a_protected_one_is_refused(text: str) -> None:
    assert set(broken(Subject(ip=parse_network(text)))) == {"subject.ip"}


@pytest.mark.parametrize("text", ["10.9.9.9", "100.64.0.1", "0.1.2.3", "169.254.169.254", "::1", "fd00::1"])
def test_what_is_never_public_is_protected_without_being_listed(text: str) -> None:
    assert broken(Subject(ip=parse_network(text)), NOBODY) == ["subject.ip"]


@pytest.mark.parametrize(
    ("subject", "fields"),
    [
        (Subject(user="u-batch"), ["subject.user"]),
        (Subject(user="u-batch", ip=parse_network("198.51.100.1")), ["subject.user"]),
        (Subject(user="u-1", device="d-1"), ["subject.device"]),
        (Subject(client="c", untrusted=True), ["subject.client"]),
        (Subject(user="d-1", device="u-batch"), []),
        (Subject(user="u-1", ip=parse_network("203.0.113.32/28")), []),
    ],
)
def test_named_subject_is_protected_as_the_kind_it_was_listed_as(subject: Subject, fields: list[str]) -> None:
    assert broken(subject) == fields


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (None, "policy"),
        (["203.0.113.0/24"], "policy"),
        ({"network": ["203.0.113.0/24"]}, "network"),
        ({"networks": "203.0.113.0/24"}, "networks"),
        ({"networks": ["203.0.113.5/24"]}, "networks.0"),
        ({"networks": ["203.0.113.0/24", "partner.example"]}, "networks.1"),
        ({"users": [7]}, "users"),
        ({"users": [""]}, "users"),
        ({"users": ["u"] * (MAX_LISTED + 1)}, "users"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_list_that_was_written_wrongly_is_an_error_and_never_protects_nobody(document: Any, field: str) -> None:
    with pytest.raises(PolicyInvalid) as caught:
        parse_protected(document)
    assert [problem.field for problem in caught.value.problems] == [field]


def test_empty_places_are_no_names() -> None:
    assert parse_protected({"networks": None, "users": []}) == NOBODY


@given(st.dictionaries(NAMES, VALUES) | VALUES)
def test_whatever_is_written_is_read_whole_or_refused(document: Any) -> None:
    try:
        read = parse_protected(document)
    except PolicyInvalid:
        return
    named = sum(len(set(document.get(name) or [])) for name in ("users", "devices", "accounts", "clients"))
    assert (len(read.networks), len(read.subjects)) == (len(document.get("networks") or []), named)
