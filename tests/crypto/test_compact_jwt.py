"""Reading a compact JWT: one spelling, bounded, and nothing followed that the token points to."""

import json
from base64 import urlsafe_b64encode
from contextlib import suppress

import pytest
from haetae_crypto.compact_jwt import MAX_HEADER_CHARS, read_unverified_jwt
from haetae_crypto.errors import JwsInvalid
from hypothesis import given
from hypothesis import strategies as st


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def token(header: object, claims: bytes = b"{}", signature: bytes = b"signature") -> str:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return f"{b64(raw)}.{b64(claims)}.{b64(signature)}"


def test_parts_are_given_back_as_they_were_signed() -> None:
    text = token({"alg": "ES256", "typ": "Application/AT+JWT", "kid": "k"}, b'{"a":1}')
    jwt = read_unverified_jwt(text, max_chars=8000)
    assert jwt.unverified_header.alg == "ES256"
    assert jwt.unverified_header.typ == "at+jwt"
    assert jwt.unverified_header.kid == "k"
    assert jwt.signing_input.decode() == text.rpartition(".")[0]
    assert jwt.signature == b"signature"
    assert jwt.read_unverified_claims() == {"a": 1}


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "ES256", "crit": ["exp"]},
        {"alg": "ES256", "crit": []},
        {"alg": "ES256", "b64": False, "crit": ["b64"]},
        {"alg": "ES256", "b64": True},
        {"alg": "ES256", "zip": "DEF"},
        {"alg": "ES256", "cty": "JWT"},
        {"alg": "dir", "enc": "A128GCM"},
        {"alg": ["ES256"]},
        {"alg": None},
        {"alg": ""},
        {"typ": "at+jwt"},
        {"alg": "ES256", "kid": 7},
        {"alg": "ES256", "kid": ""},
        {"alg": "ES256", "kid": "k" * 300},
        {"alg": "ES256", "typ": ["at+jwt"]},
        ["ES256"],
        b'{"alg":"none","alg":"ES256"}',
        b'\xef\xbb\xbf{"alg":"ES256"}',
        '{"alg":"ES256"}'.encode("utf-16"),
        b'{"alg":"ES256","x":NaN}',
        b'{"alg":"ES256"} {}',
        b'{"alg":"ES256","kid":"\\ud800"}',
        json.dumps({"alg": "ES256", "x": "y" * MAX_HEADER_CHARS}).encode(),
        b'{"alg":"ES256","x":' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)
def test_header_outside_the_rules_is_refused(header: object) -> None:
    if isinstance(header, bytes) and header.endswith(b"]}"):
        header = header[:-1] + b"x}"  # depth alone may parse; the broken end must be an error, not a crash
    with pytest.raises(JwsInvalid):
        read_unverified_jwt(token(header), max_chars=8000)


GOOD = token({"alg": "ES256"}, signature=b"0123456789")  # ends in a character with spare bits


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "a.b", GOOD + "=", GOOD + ".", GOOD + ".x.y", GOOD + "\n", " " + GOOD, GOOD[:-1] +
        "\u00e9", GOOD.replace(".", "=.", 1), GOOD + "\ud800", GOOD[:-1] + "+", "." + GOOD.split(".", 1)[1],
        GOOD[:-1] + "R", GOOD + "AAA",
    ],
)  # fmt: skip
def test_other_spelling_of_a_token_is_refused(text: str) -> None:
    with pytest.raises(JwsInvalid):
        read_unverified_jwt(text, max_chars=8000)


def test_token_over_the_limit_is_refused_before_it_is_read() -> None:
    read_unverified_jwt(GOOD, max_chars=len(GOOD))
    with pytest.raises(JwsInvalid, match="longer"):
        read_unverified_jwt(GOOD, max_chars=len(GOOD) - 1)


@pytest.mark.parametrize(
    "claims",
    [b"", b"[]", b'{"sub":"a","sub":"b"}', b'{"a":{"b":1,"b":2}}', b'\xef\xbb\xbf{}', b'{"a":Infinity}',
     '{"a":1}'.encode("utf-16"), b'{"a":9007199254740993}', b'{"a":"\\udfff"}', b'{"a":"\xff"}', b"null"],
)  # fmt: skip
def test_ambiguous_claims_are_refused(claims: bytes) -> None:
    jwt = read_unverified_jwt(token({"alg": "ES256"}, claims), max_chars=8000)
    with pytest.raises(JwsInvalid):
        jwt.read_unverified_claims()


@given(st.text(max_size=200) | st.text(alphabet="AQgw.-_=aZ09", max_size=60))
def test_any_text_is_a_token_or_the_declared_error(text: str) -> None:
    with suppress(JwsInvalid):
        read_unverified_jwt(text, max_chars=100)


@given(st.binary(max_size=120), st.binary(max_size=120), st.binary(max_size=80))
def test_any_segments_are_a_token_or_the_declared_error(header: bytes, claims: bytes, signature: bytes) -> None:
    with suppress(JwsInvalid):
        read_unverified_jwt(token(header, claims, signature), max_chars=8000).read_unverified_claims()


@given(st.integers(0, len(GOOD) - 1), st.characters())
def test_one_changed_character_never_gives_the_same_token(index: int, char: str) -> None:
    changed = GOOD[:index] + char + GOOD[index + 1 :]
    if changed == GOOD:
        return
    original = read_unverified_jwt(GOOD, max_chars=8000)
    try:
        jwt = read_unverified_jwt(changed, max_chars=8000)
    except JwsInvalid:
        return
    assert (jwt.signing_input, jwt.signature) != (original.signing_input, original.signature)
