"""Remembered tokens: fast, but never beyond their time, their keys or a revocation."""

import json

import pytest
from haetae_crypto.jwks import JwkSet, parse_jwks
from haetae_oidc import AccessTokenVerifier, KeyUnknown, TokenInvalid, TokenPolicy
from haetae_oidc.jwt_signature import verify_jwt_signature

from tests.oidc.forge import AUDIENCE, ISSUER, NOW, Keys, claims, ed_key, header, issuer_keys, token

POLICY = TokenPolicy(issuer=ISSUER, audience=AUDIENCE, algorithms=frozenset({"ES256", "EdDSA"}))


@pytest.fixture
def keys() -> Keys:
    return Keys(issuer_keys())


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The signing inputs whose signature was checked for real."""
    seen: list[bytes] = []
    real = verify_jwt_signature

    def counting(*args: object, signing_input: bytes, signature: bytes) -> None:
        seen.append(signing_input)
        real(*args, signing_input=signing_input, signature=signature)  # type: ignore[arg-type]

    monkeypatch.setattr("haetae_oidc.access_token.verify_jwt_signature", counting)
    return seen


def test_token_in_use_is_verified_once(keys: Keys, checks: list[bytes]) -> None:
    verifier, text = AccessTokenVerifier(POLICY, keys), token()
    first = verifier.verify(text, now=NOW)
    assert verifier.verify(text, now=NOW + 100) is first
    assert len(checks) == 1


def test_remembered_token_still_expires(keys: Keys) -> None:
    verifier, text = AccessTokenVerifier(POLICY, keys), token()
    verifier.verify(text, now=NOW)
    verifier.verify(text, now=NOW + 629)
    with pytest.raises(TokenInvalid, match="expired"):
        verifier.verify(text, now=NOW + 630)


def test_remembered_token_is_not_valid_when_the_clock_goes_back(keys: Keys) -> None:
    verifier, text = AccessTokenVerifier(POLICY, keys), token()
    verifier.verify(text, now=NOW)
    with pytest.raises(TokenInvalid, match="future"):
        verifier.verify(text, now=NOW - 31)


def test_known_token_with_another_signature_is_not_taken_from_memory(keys: Keys, checks: list[bytes]) -> None:
    verifier, text = AccessTokenVerifier(POLICY, keys), token()
    verifier.verify(text, now=NOW)
    signed, _, signature = text.rpartition(".")
    for forged in ("", "A" * 86, signature[::-1], signature + "=", signature[:-1]):
        with pytest.raises(TokenInvalid):
            verifier.verify(f"{signed}.{forged}", now=NOW)
    assert len(checks) > 1
    assert verifier.verify(text, now=NOW).subject == "u-1029"


def test_withdrawn_key_ends_the_tokens_it_verified(keys: Keys) -> None:
    verifier, text = AccessTokenVerifier(POLICY, keys), token()
    verifier.verify(text, now=NOW)
    without_ec = JwkSet(tuple(key for key in issuer_keys().keys if key.kid != "ec"))
    keys.current = without_ec
    with pytest.raises(KeyUnknown):
        verifier.verify(text, now=NOW)
    keys.current = None
    with pytest.raises(KeyUnknown):
        verifier.verify(text, now=NOW)


def test_key_replaced_under_the_same_id_ends_the_tokens_of_the_old_one(keys: Keys) -> None:
    verifier = AccessTokenVerifier(POLICY, keys)
    text = token(head=header(alg="EdDSA", kid="k"), key=ed_key())
    old = issuer_keys().keys[1].to_dict() | {"kid": "k"}
    keys.current = parse_jwks(json.dumps({"keys": [old]}).encode())
    verifier.verify(text, now=NOW)
    new = old | {"x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    keys.current = parse_jwks(json.dumps({"keys": [new]}).encode())
    with pytest.raises(TokenInvalid, match="signature"):
        verifier.verify(text, now=NOW)


def test_revocation_forgets_one_user_or_all(keys: Keys, checks: list[bytes]) -> None:
    verifier = AccessTokenVerifier(POLICY, keys)
    alice, bob = token(claims(sub="alice")), token(claims(sub="bob"))
    for text in (alice, bob, alice, bob):
        verifier.verify(text, now=NOW)
    assert len(checks) == 2
    verifier.forget_user("alice")
    verifier.forget_user("nobody")
    for text in (alice, bob):
        verifier.verify(text, now=NOW)
    assert len(checks) == 3
    verifier.clear()
    for text in (alice, bob):
        verifier.verify(text, now=NOW)
    assert len(checks) == 5


def test_memory_is_bounded_and_drops_the_least_used(keys: Keys, checks: list[bytes]) -> None:
    verifier = AccessTokenVerifier(POLICY, keys, remembered=2)
    a, b, c = (token(claims(jti=name)) for name in "abc")
    for text in (a, b, a, c):
        verifier.verify(text, now=NOW)
    assert len(checks) == 3
    verifier.verify(a, now=NOW)
    assert len(checks) == 3
    verifier.verify(b, now=NOW)
    assert len(checks) == 4


def test_one_time_tokens_need_no_memory(keys: Keys, checks: list[bytes]) -> None:
    verifier, text = AccessTokenVerifier(POLICY, keys, remembered=0), token()
    verifier.verify(text, now=NOW)
    verifier.verify(text, now=NOW)
    assert len(checks) == 2


def test_expired_tokens_make_room(keys: Keys) -> None:
    verifier = AccessTokenVerifier(POLICY, keys)
    for number in range(10):
        verifier.verify(token(claims(jti=str(number))), now=NOW)
    late = claims(iat=NOW + 5000, exp=NOW + 5600)
    for number in range(5):
        verifier.verify(token(late | {"jti": f"late-{number}"}), now=NOW + 5000)
    assert len(verifier._memory) == 5


def test_refused_token_is_not_remembered(keys: Keys) -> None:
    verifier = AccessTokenVerifier(POLICY, keys)
    for _ in range(2):
        with pytest.raises(TokenInvalid, match="audience"):
            verifier.verify(token(claims(aud="other")), now=NOW)
    assert len(verifier._memory) == 0
