"""The header's spellings, the refusals, and the inspection for people."""

import json

import pytest
from haetae_passport import (
    PassportError,
    PassportInvalid,
    PassportKeysUnavailable,
    PassportMissing,
    inspect_passport,
    is_passport_header,
    refusal_for,
    without_passport,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.passport.world import NOW, POLICY, mint, published


@pytest.mark.parametrize("name", ["X-Passport", "x-passport", "X_PASSPORT", "x_Passport", "X.Passport", "X Passport"])
def test_every_spelling_a_server_could_take_for_the_header_is_known(name: str) -> None:
    assert is_passport_header(name)
    assert is_passport_header(name.encode())


@pytest.mark.parametrize(
    "name", ["X-Passport-Id", "Passport", "X-Passpor", "XX-Passport", "", "X-Pa\u017fport", "X0Passport"]
)
def test_other_headers_are_left_alone(name: str) -> None:
    assert not is_passport_header(name)


def test_copies_are_removed_and_the_order_of_the_rest_stays() -> None:
    lines = [("a", "1"), ("X_Passport", "x"), ("b", "2"), ("x-PASSPORT", "y"), ("a", "3")]
    assert without_passport(lines) == [("a", "1"), ("b", "2"), ("a", "3")]
    assert without_passport([(b"x-passport", b"y"), (b"a", b"1")]) == [(b"a", b"1")]


@given(st.text(max_size=14) | st.binary(max_size=14))
def test_any_name_gets_an_answer_that_agrees_with_the_cgi_mapping(name: str | bytes) -> None:
    text = name if isinstance(name, str) else name.decode("latin-1")
    if is_passport_header(name):
        assert len(text) == 10
    if text.lower().replace("_", "-") == "x-passport":
        assert is_passport_header(name)


@pytest.mark.parametrize(
    ("error", "status", "code", "name", "value"),
    [
        (PassportMissing("x"), 401, "passport-missing", "WWW-Authenticate", 'Passport realm="svc"'),
        (
            PassportInvalid("expired"),
            401,
            "passport-invalid",
            "WWW-Authenticate",
            'Passport realm="svc", error="invalid_token"',
        ),
        (PassportKeysUnavailable(retry_after=1.2), 503, "passport-keys-unavailable", "Retry-After", "2"),
        (PassportKeysUnavailable(retry_after=0), 503, "passport-keys-unavailable", "Retry-After", "1"),
    ],
)
def test_refusal_says_whose_fault_it_is_and_not_why(
    error: PassportError, status: int, code: str, name: str, value: str
) -> None:
    refusal = refusal_for(error, audience='s"v\\c\r\n')
    assert refusal.status == status
    assert dict(refusal.headers)[name] == value
    assert dict(refusal.headers)["Content-Type"] == "application/problem+json"
    problem = json.loads(refusal.body)
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, "about:blank")
    assert set(problem) == {"type", "title", "status", "code"}


def test_inspection_verifies_with_keys_and_policy() -> None:
    report = inspect_passport(f" X-Passport: {mint()}\n", now=NOW + 10, keys=published(), policy=POLICY)
    assert report.passport is not None
    assert report.passport.subject == "u-1029"
    text = "\n".join(report.lines())
    assert text.startswith("verdict  valid")
    assert "in 50 s" in text
    assert "10 s ago" in text


@pytest.mark.parametrize(("now", "problem"), [(NOW + 100, "expired"), (NOW - 100, "issued-in-the-future")])
def test_inspection_names_the_rule_that_failed_and_still_shows_the_claims(now: int, problem: str) -> None:
    report = inspect_passport(mint(), now=now, keys=published(), policy=POLICY)
    assert (report.passport, report.problem) == (None, problem)
    assert "NOT VERIFIED" in report.lines()[0]
    assert any(line.startswith("sub ") for line in report.lines())


def test_inspection_without_keys_believes_nothing() -> None:
    report = inspect_passport(mint(), now=NOW)
    assert report.passport is None
    assert "NOT VERIFIED" in report.lines()[0]


def test_inspection_of_garbage_says_so() -> None:
    report = inspect_passport("garbage", now=NOW, keys=published(), policy=POLICY)
    assert report.unverified_claims is None
    assert len(report.lines()) == 1


def test_inspection_never_sends_control_characters_to_a_terminal() -> None:
    report = inspect_passport(mint(user={"x\x1b[31m": "\u009b31m\u202e\x07"}), now=NOW)
    assert all(line.isprintable() for line in report.lines())


@given(st.text(max_size=80))
def test_inspection_of_any_text_is_a_report(text: str) -> None:
    assert inspect_passport(text, now=NOW, keys=published(), policy=POLICY).passport is None
