"""Statements signed by a device key: only the right key, type, audience, time and spelling will do."""

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from haetae_crypto.b64url import b64url_encode
from haetae_crypto.jwk import PrivateJwk, ed25519_private_from_seed, private_jwk_of
from haetae_demo.assertions import (
    ENROL_TYPE,
    TOKEN_REQUEST_TYPE,
    StatementType,
    sign_statement,
    unverified_subject,
    verify_statement,
)
from haetae_demo.errors import AssertionInvalid, CapacityReached
from haetae_demo.once import OnceTable
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_763_800_000.0
ED = ed25519_private_from_seed(bytes(range(32)))
EC = private_jwk_of(ec.derive_private_key(12345, ec.SECP256R1()))


def make(key: PrivateJwk = ED, *, kind: StatementType = ENROL_TYPE, audience: str = "svc", now: float = NOW) -> str:
    return sign_statement(key, statement_type=kind, audience=audience, now=now, jti="0123456789")


def check(token: str, key: PrivateJwk = ED, *, now: float = NOW) -> None:
    verify_statement(token, key=key.public, statement_type=ENROL_TYPE, audience="svc", now=now)


@pytest.mark.parametrize("key", [ED, EC], ids=["ed25519", "p256"])
def test_statement_of_the_device_key_holds(key: PrivateJwk) -> None:
    statement = verify_statement(make(key), key=key.public, statement_type=ENROL_TYPE, audience="svc", now=NOW + 10)
    assert statement.jti == "0123456789"
    assert statement.expires == NOW + 65


def test_statement_of_another_key_is_refused() -> None:
    with pytest.raises(AssertionInvalid):
        check(make(ed25519_private_from_seed(bytes(32))))
    with pytest.raises(AssertionInvalid):
        check(make(EC))


def test_statement_of_another_type_or_for_another_service_is_refused() -> None:
    with pytest.raises(AssertionInvalid, match="type"):
        check(make(kind=TOKEN_REQUEST_TYPE))
    with pytest.raises(AssertionInvalid):
        check(make(audience="other"))


@pytest.mark.parametrize("offset", [-6, 66])
def test_statement_outside_its_time_is_refused(offset: int) -> None:
    with pytest.raises(AssertionInvalid, match="too"):
        check(make(), now=NOW + offset)


def test_statement_with_padding_added_is_refused() -> None:
    with pytest.raises(AssertionInvalid):
        check(make() + "=")


@pytest.mark.parametrize(
    "change",
    [
        {"exp": int(NOW) + 61},
        {"exp": str(int(NOW) + 60)},
        {"iat": True},
        {"jti": ""},
        {"aud": ["svc", "x"]},
        {"exp": None},
    ],
)
def test_statement_with_wrong_claims_is_refused(change: dict[str, object]) -> None:
    claims = {"aud": "svc", "iat": int(NOW), "exp": int(NOW) + 60, "jti": "0123456789"} | change
    body = b64url_encode(json.dumps(claims).encode())
    head = b64url_encode(json.dumps({"alg": "EdDSA", "typ": ENROL_TYPE}).encode())
    signature = b64url_encode(ED.key.sign(f"{head}.{body}".encode()))  # type: ignore[call-arg]
    with pytest.raises(AssertionInvalid):
        check(f"{head}.{body}.{signature}")


def test_unsigned_and_hmac_statements_are_refused() -> None:
    claims = {"aud": "svc", "iat": int(NOW), "exp": int(NOW) + 60, "jti": "0123456789"}
    with pytest.raises(AssertionInvalid):
        check(jwt.encode(claims, "", algorithm="none", headers={"typ": ENROL_TYPE}))
    with pytest.raises(AssertionInvalid):
        check(jwt.encode(claims, ED.public.members["x"], algorithm="HS256", headers={"typ": ENROL_TYPE}))


def test_subject_must_also_be_the_issuer() -> None:
    claims = {"iss": "dev_a", "sub": "dev_b"}
    token = sign_statement(ED, statement_type=ENROL_TYPE, audience="a", now=NOW, jti="0123456789", claims=claims)
    with pytest.raises(AssertionInvalid):
        unverified_subject(token)


@given(st.text(max_size=100))
def test_any_text_is_a_statement_or_the_declared_error(text: str) -> None:
    with pytest.raises(AssertionInvalid):
        check(text)


def test_claimed_statement_is_refused_until_it_has_run_out() -> None:
    once = OnceTable(most=2)
    once.claim("k", "a", until=10, now=0)
    with pytest.raises(AssertionInvalid):
        once.claim("k", "a", until=10, now=10)
    once.claim("other", "a", until=20, now=10)
    with pytest.raises(CapacityReached):
        once.claim("k", "b", until=10, now=10)
    once.claim("k", "a", until=30, now=10.5)
