"""What a token service may say, and what is believed of it (RFC 7662)."""

import json
from contextlib import suppress
from typing import Any

import pytest
from haetae_oidc import AccessToken, IntrospectionPolicy, IntrospectionUnavailable, SettingsInvalid, TokenInvalid
from haetae_oidc.introspection import (
    MAX_ANSWER_BYTES,
    IntrospectionMemory,
    check_introspected,
    read_introspection_answer,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.oidc.forge import AUDIENCE, ISSUER, NOW

POLICY = IntrospectionPolicy(endpoint="https://login.example/introspect", issuer=ISSUER, audience=AUDIENCE)


def answer(**changes: object) -> dict[str, object]:
    good: dict[str, object] = {
        "active": True,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "u-1",
        "client_id": "pages",
        "scope": "read write",
        "exp": NOW + 300,
        "iat": NOW,
    }
    return {name: value for name, value in (good | changes).items() if value is not ...}


def read(body: object, *, status: int = 200, kind: str = "application/json", coding: str = "") -> AccessToken | None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_introspection_answer(status=status, content_type=kind, content_encoding=coding, body=raw, policy=POLICY)


def token(**changes: object) -> AccessToken:
    found = read(answer(**changes))
    assert found is not None
    return found


def test_active_answer_becomes_a_token_with_its_scopes() -> None:
    found = token()
    assert (found.subject, found.client_id, found.scopes) == ("u-1", "pages", frozenset({"read", "write"}))


def test_inactive_answer_is_no_token() -> None:
    assert read({"active": False}) is None
    assert read(answer(active=False)) is None


@pytest.mark.parametrize(
    "kind",
    [
        {"token_use": "refresh_token"},
        {"token_use": "id"},
        {"token_use": None},
        {"token_type": "refresh_token"},
        {"token_type": ["Bearer"]},
        {"token_type": "Bearer", "token_use": "refresh_token"},
        {"typ": "Refresh"},
        {"typ": "Offline"},
        {"typ": "ID"},
        {"typ": "logout+jwt"},
    ],
)
def test_active_token_of_another_kind_is_no_access_token(kind: dict[str, object]) -> None:
    with pytest.raises(TokenInvalid) as caught:
        read(answer(**kind))
    assert caught.value.reason == "type"


@pytest.mark.parametrize(
    "kind",
    [
        {"token_type": "Bearer"},
        {"token_type": "DPoP"},
        {"token_type": "access_token"},
        {"token_use": "access_token", "token_type": "Bearer"},
        {"typ": "Bearer"},
        {"typ": "at+jwt"},
        {"typ": "application/at+JWT"},
    ],
)
def test_token_that_is_called_an_access_token_in_any_of_the_usual_words_is_one(kind: dict[str, object]) -> None:
    assert token(**kind).subject == "u-1"


@pytest.mark.parametrize("active", ["true", 1, 1.0, None, [True], {}, ...])
def test_only_the_json_values_true_and_false_are_an_answer(active: object) -> None:
    with pytest.raises(IntrospectionUnavailable):
        read(answer(active=active))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://other.example"}, "issuer"),
        ({"aud": "https://other.example"}, "audience"),
        ({"aud": ...}, "claim-aud"),
        ({"exp": ...}, "claim-exp"),
        ({"exp": str(NOW)}, "claim-exp"),
        ({"sub": ..., "client_id": ...}, "claim-sub"),
        ({"sub": 7}, "claim-sub"),
        ({"scope": ["read"]}, "claim-scope"),
        ({"scope": "read  write"}, "claim-scope"),
        ({"cnf": {"unknown": "x"}}, "claim-cnf"),
        ({"cnf": "x"}, "claim-cnf"),
        ({"client_id": 7}, "claim-client_id"),
    ],
)
def test_active_token_that_is_not_for_us_or_unclear_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(TokenInvalid) as caught:
        read(answer(**changes))
    assert caught.value.reason == reason


def test_members_that_the_standard_leaves_out_are_filled_in_safely() -> None:
    found = token(iss=..., iat=..., sub=...)
    assert (found.issuer, found.subject) == (ISSUER, "pages")
    assert found.acts_for_itself


@pytest.mark.parametrize(
    ("changes", "now", "reason"),
    [
        ({}, NOW + 300, "expired"),
        ({"nbf": NOW + 31}, NOW, "not-yet-valid"),
        ({"iat": NOW + 31}, NOW, "issued-in-the-future"),
    ],
)
def test_token_out_of_its_time_is_refused_though_called_active(
    changes: dict[str, object], now: float, reason: str
) -> None:
    with pytest.raises(TokenInvalid) as caught:
        check_introspected(token(**changes), POLICY, now=now)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "more",
    [
        {"status": 500},
        {"status": 401},
        {"status": 302},
        {"kind": "text/html"},
        {"kind": "application/jwt"},
        {"coding": "gzip"},
        {"body": b"{"},
        {"body": b"[]"},
        {"body": b'{"active":true,"active":false}'},
        {"body": b" " * (MAX_ANSWER_BYTES + 1)},
    ],
)
def test_what_is_not_an_answer_says_nothing_of_the_token(more: dict[str, Any]) -> None:
    with pytest.raises(IntrospectionUnavailable):
        read(more.pop("body", answer()), **more)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_document_ends_in_an_answer_or_a_declared_error(document: object) -> None:
    with suppress(IntrospectionUnavailable, TokenInvalid):
        assert read(document) is None


@given(st.dictionaries(st.sampled_from(sorted(answer())), st.none() | st.booleans() | st.integers() | st.text()))
def test_any_value_of_any_member_ends_in_a_token_for_us_or_a_declared_error(changes: dict[str, object]) -> None:
    try:
        found = read(answer(**changes))
    except (IntrospectionUnavailable, TokenInvalid):
        return
    assert found is None or (found.issuer == ISSUER and AUDIENCE in found.audience)


def test_answers_of_two_endpoints_on_one_token_are_two_answers() -> None:
    other = IntrospectionPolicy(endpoint="https://two.example/introspect", issuer=ISSUER, audience=AUDIENCE)
    assert POLICY.key_of("t") != other.key_of("t")
    assert POLICY.key_of("a") != POLICY.key_of("b")


def test_answer_is_remembered_for_the_policys_time_and_never_past_its_end() -> None:
    memory = IntrospectionMemory(10)
    long, short = token(), token(exp=NOW + 10)
    memory.remember(b"long", long, POLICY, now=NOW)
    memory.remember(b"short", short, POLICY, now=NOW)
    assert memory.recall(b"short", now=NOW + 9) is short
    assert memory.recall(b"short", now=NOW + 10) is None
    assert memory.recall(b"long", now=NOW + 29) is long
    assert memory.recall(b"long", now=NOW + 30) is None


def test_no_is_remembered_shorter_and_does_not_push_out_yes() -> None:
    memory = IntrospectionMemory(2)
    memory.remember(b"yes", token(), POLICY, now=NOW)
    for number in range(50):
        memory.remember(b"no-%d" % number, None, POLICY, now=NOW)
    assert memory.recall(b"yes", now=NOW) is not None
    assert len(memory) == 3
    with pytest.raises(TokenInvalid):
        memory.recall(b"no-49", now=NOW + 4)
    assert memory.recall(b"no-49", now=NOW + 5) is None
    assert memory.recall(b"no-0", now=NOW) is None


def test_policy_on_a_user_or_client_drops_what_is_remembered_of_their_tokens() -> None:
    memory = IntrospectionMemory(10)
    memory.remember(b"one", token(), POLICY, now=NOW)
    memory.remember(b"two", token(sub="u-2"), POLICY, now=NOW)
    memory.forget_user("u-1")
    assert memory.recall(b"one", now=NOW) is None
    assert memory.recall(b"two", now=NOW) is not None
    memory.forget_user("pages")
    assert len(memory) == 0


@pytest.mark.parametrize("settings", [{"issuer": ""}, {"audience": ""}, {"leeway": 301}, {"remember": 301.0}])
def test_unsafe_introspection_policy_cannot_be_made(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsInvalid):
        IntrospectionPolicy(**({"endpoint": "e", "issuer": "i", "audience": "a"} | settings))
