"""The Authorization header and its challenges."""

import re

import pytest
from haetae_oidc import (
    BearerMalformed,
    KeysUnavailable,
    OidcError,
    ScopeInsufficient,
    SettingsInvalid,
    TokenInvalid,
    bearer_challenge,
    parse_bearer,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("line", ["Bearer abc.def", "bearer abc.def", "BEARER   abc.def", "Bearer abc.def "])
def test_one_token_is_read_whatever_the_case_of_the_scheme(line: str) -> None:
    assert parse_bearer([line]) == "abc.def"


@pytest.mark.parametrize("lines", [[], ["Basic dXNlcjpwYXNz"], ["DPoP abc"], [""], ["Bearerabc"]])
def test_no_header_or_another_scheme_is_not_mine(lines: list[str]) -> None:
    assert parse_bearer(lines) is None


@pytest.mark.parametrize(
    "lines",
    [
        ["Bearer"], ["Bearer "], ["Bearer a b"], ["Bearer a,b"], ["Bearer a, Bearer b"], ["Bearer a\tb"],
        ["Bearer \ta"], ["Bearer a=b"], ["Bearer =a"], ["Bearer \u00e9"], ["Bearer a\n"], ['Bearer "a"'],
        ["Bearer a", "Bearer a"], ["Bearer a", "Basic b"], ["Basic a", "Basic b"], ["Bearer " + "a" * 8001],
        ["Bearer \u0130"], ["Bearer a\u00a0"],
    ],
)  # fmt: skip
def test_bearer_line_that_is_not_exactly_one_token_is_refused(lines: list[str]) -> None:
    with pytest.raises(BearerMalformed):
        parse_bearer(lines)


@given(st.lists(st.text(max_size=30) | st.text(max_size=20).map("Bearer ".__add__), max_size=3))
def test_any_lines_give_a_clean_token_or_none_or_the_declared_error(lines: list[str]) -> None:
    try:
        token = parse_bearer(lines)
    except BearerMalformed:
        return
    assert token is None or re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token)


@pytest.mark.parametrize(
    ("error", "status", "value"),
    [
        (None, 401, 'Bearer realm="api"'),
        (BearerMalformed("x"), 400, 'Bearer realm="api", error="invalid_request"'),
        (TokenInvalid("expired"), 401, 'Bearer realm="api", error="invalid_token"'),
        (
            ScopeInsufficient(frozenset({"b", "a"})),
            403,
            'Bearer realm="api", error="insufficient_scope", scope="a b"',
        ),
    ],
)
def test_challenge_names_the_error_code_of_rfc_6750_and_never_the_reason(
    error: OidcError | None, status: int, value: str
) -> None:
    challenge = bearer_challenge(error, realm="api")
    assert (challenge.status, challenge.www_authenticate) == (status, value)


def test_challenge_may_name_the_scopes_a_route_needs() -> None:
    assert bearer_challenge(None, realm="api", scopes=frozenset({"read"})).www_authenticate == (
        'Bearer realm="api", scope="read"'
    )


def test_realm_cannot_break_out_of_its_quotes() -> None:
    for realm in ('a"b', "a\\b", "a\r\nSet-Cookie: x", "\u00e9"):
        with pytest.raises(SettingsInvalid):
            bearer_challenge(None, realm=realm)


def test_missing_keys_are_not_the_callers_fault_and_get_no_challenge() -> None:
    with pytest.raises(SettingsInvalid):
        bearer_challenge(KeysUnavailable(retry_after=1), realm="api")
