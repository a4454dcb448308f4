"""Compact JWS: what verifies, and the many spellings that do not."""

import json

import pytest
from haetae_crypto.b64url import b64url_decode, b64url_encode
from haetae_crypto.errors import JwsInvalid, KeyFormatInvalid
from haetae_crypto.jwk import parse_public_jwk
from haetae_crypto.jws import find_among, sign_compact, verify_compact
from haetae_crypto.signing_keys import SigningKey
from hypothesis import given
from hypothesis import strategies as st

KEY = SigningKey.from_seed(bytes(range(32)), kid="k1")
OTHER = SigningKey.from_seed(bytes(32), kid="k2")
FIND = find_among({"k1": KEY.public})
TYP = "passport+jwt"
TOKEN = sign_compact(b'{"sub":"u1"}', key=KEY, typ=TYP)


def with_header(header: object) -> str:
    signing_input = b64url_encode(json.dumps(header).encode()) + "." + TOKEN.split(".")[1]
    return f"{signing_input}.{b64url_encode(KEY.sign(signing_input.encode()))}"


def test_rfc_8037_signature_is_reproduced() -> None:
    # RFC 8037 appendix A.4: the same key, header and payload give the published signature.
    seed = b64url_decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
    signing_input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    expected = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    assert b64url_encode(SigningKey.from_seed(seed).sign(signing_input)) == expected


def test_signed_payload_comes_back_with_the_key_id() -> None:
    verified = verify_compact(TOKEN, typ=TYP, find_key=FIND)
    assert (verified.kid, verified.typ, verified.payload) == ("k1", TYP, b'{"sub":"u1"}')


@pytest.mark.parametrize(
    "token",
    [
        "",
        "..",
        TOKEN + "=",
        TOKEN + ".",
        TOKEN[:-1],
        " " + TOKEN,
        TOKEN + "\n",
        TOKEN.replace(".", ".."),
        TOKEN.rsplit(".", 1)[0] + ".",
        TOKEN.replace("e", "é", 1),
        sign_compact(b"{}", key=OTHER, typ=TYP),
        sign_compact(b"{}", key=SigningKey.from_seed(bytes(32), kid="k1"), typ=TYP),
        sign_compact(b"{}", key=KEY, typ="JWT"),
        with_header({"alg": "none", "kid": "k1", "typ": TYP}),
        with_header({"alg": "HS256", "kid": "k1", "typ": TYP}),
        with_header({"alg": "eddsa", "kid": "k1", "typ": TYP}),
        with_header({"alg": "EdDSA", "kid": "k1"}),
        with_header({"alg": "EdDSA", "kid": ["k1"], "typ": TYP}),
        with_header({"alg": "EdDSA", "kid": "../k1", "typ": TYP}),
        with_header({"alg": "EdDSA", "kid": "k1", "typ": TYP.upper()}),
        with_header({"alg": "EdDSA", "kid": "k1", "typ": TYP, "crit": ["exp"]}),
        with_header({"alg": "EdDSA", "kid": "k1", "typ": TYP, "jwk": OTHER.public.to_dict()}),
        with_header(["EdDSA"]),
        TOKEN + "A" * 20_000,
    ],
)
def test_token_of_another_spelling_type_algorithm_or_key_is_refused(token: str) -> None:
    with pytest.raises(JwsInvalid):
        verify_compact(token, typ=TYP, find_key=FIND)


def test_header_in_another_json_spelling_still_verifies() -> None:
    token = with_header({"typ": TYP, "kid": "k1", "alg": "EdDSA"})
    assert verify_compact(token, typ=TYP, find_key=FIND).kid == "k1"


@given(st.integers(0, len(TOKEN) - 1), st.integers(0, 6))
def test_any_one_bit_change_of_a_token_is_refused(position: int, bit: int) -> None:
    changed = TOKEN[:position] + chr(ord(TOKEN[position]) ^ (1 << bit)) + TOKEN[position + 1 :]
    with pytest.raises(JwsInvalid):
        verify_compact(changed, typ=TYP, find_key=FIND)


@given(st.text(max_size=60) | st.text(alphabet="eyJ.-_AQ=", max_size=200))
def test_any_text_is_refused_with_the_declared_error(token: str) -> None:
    with pytest.raises(JwsInvalid):
        verify_compact(token, typ=TYP, find_key=FIND)


def test_only_ed25519_keys_can_be_trusted_for_jws() -> None:
    p256 = {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }
    with pytest.raises(KeyFormatInvalid):
        find_among({"k": parse_public_jwk(p256)})
