"""Proofs of possession (RFC 9449): the standard's example, another implementation's proofs, and every forgery."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from haetae_crypto.jwk import public_jwk_of
from haetae_oidc import (
    DpopInvalid,
    DpopNonceRequired,
    DpopNonces,
    DpopPolicy,
    DpopProof,
    SettingsInvalid,
    verify_dpop_proof,
)
from haetae_oidc.dpop import access_token_hash, normal_uri
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.oidc.forge import NOW, b64, ec_key, ed_key, rsa_key, sign

URI = "https://api.example/orders/7"
TOKEN = "access.token.text"
POLICY = DpopPolicy()
# RFC 9449 section 7.1, figure 13, and section 4.3's token hash for it.
RFC_PROOF = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQy"
    "VVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJl"
    "MWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhd"
    "CI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOpt"
    "xRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
RFC_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
RFC_TIME = 1_562_262_618
RFC_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def jwk(key: EllipticCurvePrivateKey | None = None) -> dict[str, str]:
    return dict(public_jwk_of((key or ec_key()).public_key()).members)


def claims(**changes: object) -> dict[str, object]:
    good: dict[str, object] = {
        "htm": "GET",
        "htu": URI,
        "iat": NOW,
        "jti": "p-1",
        "ath": access_token_hash(TOKEN),
    }
    return {name: value for name, value in (good | changes).items() if value is not ...}


def proof(body: dict[str, object] | None = None, *, alg: str = "ES256", **head: object) -> str:
    """A correctly signed proof over whatever it is given; a header member of `...` is left out."""
    header: dict[str, object] = {"typ": "dpop+jwt", "alg": alg, "jwk": jwk()} | head
    header = {name: value for name, value in header.items() if value is not ...}
    signing_input = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(body or claims()).encode())}"
    return f"{signing_input}.{b64(sign('ES256', signing_input.encode(), ec_key()))}"


def verify(text: str, *, method: str = "GET", uri: str = URI, now: float = NOW, **more: Any) -> DpopProof:
    return verify_dpop_proof(text, method=method, uri=uri, access_token=TOKEN, policy=POLICY, now=now, **more)


def test_the_standards_own_example_is_accepted_with_its_thumbprint() -> None:
    found = verify_dpop_proof(
        RFC_PROOF,
        method="GET",
        uri="https://resource.example.org/protectedresource",
        access_token=RFC_TOKEN,
        policy=POLICY,
        now=RFC_TIME,
    )
    assert found == DpopProof(thumbprint=RFC_THUMBPRINT, token_id="e1j3V_bKic8-LAEB", issued_at=RFC_TIME)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"method": "POST"}, "dpop-method"),
        ({"uri": "https://resource.example.org/other"}, "dpop-uri"),
        ({"access_token": RFC_TOKEN + "x"}, "dpop-access-token"),
        ({"now": RFC_TIME + POLICY.max_age + 1}, "dpop-time"),
        ({"now": RFC_TIME - POLICY.leeway - 1}, "dpop-time"),
    ],
)
def test_the_standards_example_is_refused_for_any_other_request(change: dict[str, Any], reason: str) -> None:
    good: dict[str, Any] = {
        "method": "GET",
        "uri": "https://resource.example.org/protectedresource",
        "access_token": RFC_TOKEN,
        "now": RFC_TIME,
    }
    with pytest.raises(DpopInvalid) as caught:
        verify_dpop_proof(RFC_PROOF, policy=POLICY, **(good | change))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("alg", "key"),
    [
        ("ES256", ECKey.generate_key("P-256")),
        ("Ed25519", OKPKey.generate_key("Ed25519")),
        ("PS256", RSAKey.generate_key(2048)),
        ("RS256", RSAKey.generate_key(2048)),
    ],
)
def test_proof_made_by_another_implementation_is_accepted(alg: str, key: ECKey | OKPKey | RSAKey) -> None:
    header = {"typ": "dpop+jwt", "alg": alg, "jwk": key.as_dict(private=False)}
    text = jwt.encode(header, dict(claims()), key, algorithms=[alg])
    assert verify(text).thumbprint == key.thumbprint()


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ({"typ": "jwt"}, "dpop-type"),
        ({"typ": ...}, "dpop-type"),
        ({"alg": "none"}, "dpop-algorithm"),
        ({"alg": "HS256"}, "dpop-algorithm"),
        ({"alg": "RS256"}, "dpop-algorithm"),
        ({"jwk": ...}, "dpop-key"),
        ({"jwk": "text"}, "dpop-key"),
        ({"jwk": jwk() | {"d": "AAAA"}}, "dpop-key"),
        ({"jwk": {"kty": "oct", "k": "AAAA"}}, "dpop-key"),
        ({"jwk": jwk() | {"x": jwk()["y"]}}, "dpop-key"),
        ({"crit": ["exp"]}, "dpop-malformed"),
    ],
)
def test_proof_with_another_header_is_refused(head: dict[str, Any], reason: str) -> None:
    with pytest.raises(DpopInvalid) as caught:
        verify(proof(**head))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"htm": "POST"}, "dpop-method"),
        ({"htm": "get"}, "dpop-method"),
        ({"htm": ...}, "dpop-method"),
        ({"htu": "https://api.example/orders/8"}, "dpop-uri"),
        ({"htu": "http://api.example/orders/7"}, "dpop-uri"),
        ({"htu": "https://api.example:8443/orders/7"}, "dpop-uri"),
        ({"htu": "https://u@api.example/orders/7"}, "dpop-uri"),
        ({"htu": "https://api.example/x/../orders/7"}, "dpop-uri"),
        ({"htu": "/orders/7"}, "dpop-uri"),
        ({"htu": 7}, "dpop-uri"),
        ({"htu": ...}, "dpop-uri"),
        ({"iat": NOW - 61}, "dpop-time"),
        ({"iat": NOW + 6}, "dpop-time"),
        ({"iat": str(NOW)}, "dpop-claim-iat"),
        ({"iat": True}, "dpop-claim-iat"),
        ({"iat": NOW + 0.5}, "dpop-claim-iat"),
        ({"iat": ...}, "dpop-claim-iat"),
        ({"ath": access_token_hash("another")}, "dpop-access-token"),
        ({"ath": ...}, "dpop-access-token"),
        ({"jti": ...}, "dpop-claim-jti"),
        ({"jti": ""}, "dpop-claim-jti"),
        ({"jti": "x" * 257}, "dpop-claim-jti"),
        ({"nonce": 1}, "dpop-claim-nonce"),
    ],
)
def test_proof_with_another_claim_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(DpopInvalid) as caught:
        verify(proof(claims(**change)))
    assert caught.value.reason == reason


def test_proof_signed_by_another_key_than_its_own_is_refused() -> None:
    other = dict(public_jwk_of(ed_key().public_key()).members)
    with pytest.raises(DpopInvalid):
        verify(proof(jwk=other))
    with pytest.raises(DpopInvalid):
        verify(proof(jwk=dict(public_jwk_of(rsa_key().public_key()).members), alg="RS256"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("HTTPS://API.Example:443/orders/7?x=1#y", URI),
        ("https://api.example/%6frders/7", URI),
        ("https://api.example/a%2fb", "https://api.example/a%2Fb"),
        ("http://api.example:80", "http://api.example/"),
        ("https://[2001:DB8::1]:8443/a", "https://[2001:db8::1]:8443/a"),
    ],
)
def test_spellings_of_one_uri_are_one(written: str, meant: str) -> None:
    assert normal_uri(written) == meant


def test_nonce_holds_in_its_window_and_the_next_at_every_worker_and_nowhere_else() -> None:
    here, there, stranger = DpopNonces(bytes(32)), DpopNonces(bytes(32)), DpopNonces(bytes([1]) * 32)
    window = NOW - NOW % 120
    nonce = here.current(now=window)
    there.require(nonce, now=window)
    there.require(nonce, now=window + 239)
    for bad, now in ((nonce, window + 240), (nonce, window - 1), (None, window), ("", window), (nonce + "A", window)):
        with pytest.raises(DpopNonceRequired):
            there.require(bad, now=now)
    with pytest.raises(DpopNonceRequired):
        stranger.require(nonce, now=window)


def test_proof_without_the_servers_nonce_asks_for_it_and_with_it_passes() -> None:
    nonces = DpopNonces(bytes(32))
    with pytest.raises(DpopNonceRequired):
        verify(proof(), nonces=nonces)
    verify(proof(claims(nonce=nonces.current(now=NOW))), nonces=nonces)


def test_what_is_wrong_beside_the_nonce_is_said_instead_of_asking_for_one() -> None:
    with pytest.raises(DpopInvalid) as caught:
        verify(proof(claims(htm="PUT")), nonces=DpopNonces(bytes(32)))
    assert not isinstance(caught.value, DpopNonceRequired)


@pytest.mark.parametrize(
    "settings",
    [
        {"algorithms": frozenset()},
        {"algorithms": frozenset({"HS256"})},
        {"max_age": 0},
        {"leeway": 61},
        {"max_chars": 1},
    ],
)
def test_unsafe_policy_cannot_be_made(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsInvalid):
        DpopPolicy(**settings)


@given(st.text(max_size=300))
def test_any_text_is_refused_with_the_declared_error(text: str) -> None:
    with pytest.raises(DpopInvalid):
        verify(text)


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_altering_any_character_of_a_proof_refuses_it(at: int, value: int) -> None:
    good = proof()
    index = at % len(good)
    altered = good[:index] + chr(value) + good[index + 1 :]
    if altered != good:
        with pytest.raises(DpopInvalid):
            verify(altered)


@given(st.text(alphabet="abz%/.-~2Ff?#:@[]", max_size=30))
def test_normal_form_of_a_uri_is_its_own_normal_form(path: str) -> None:
    try:
        once = normal_uri("https://api.example/" + path)
    except DpopInvalid:
        return
    assert normal_uri(once) == once


def test_hash_of_the_token_is_that_of_the_standard() -> None:
    assert access_token_hash(RFC_TOKEN) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
