"""JSON Web Keys: what is read, what is refused, and the thumbprint of RFC 7638."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from haetae_crypto.b64url import b64url_decode, b64url_encode
from haetae_crypto.errors import KeyFormatInvalid
from haetae_crypto.jwk import parse_private_jwk, parse_public_jwk, private_jwk_of, public_jwk_of
from haetae_crypto.strict_json import canonical_json, read_json_object
from hypothesis import given
from hypothesis import strategies as st

# RFC 8037 appendix A.1 and A.3
ED_PRIVATE = {
    "kty": "OKP",
    "crv": "Ed25519",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
ED_PUBLIC = {name: value for name, value in ED_PRIVATE.items() if name != "d"}
# RFC 7638 section 3.1
RSA_PUBLIC = {
    "kty": "RSA",
    "n": (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJE"
        "CPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q"
        "vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6"
        "WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    ),
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}


def ec_public() -> dict[str, str]:
    return public_jwk_of(ec.derive_private_key(7, ec.SECP256R1()).public_key()).to_dict()


def test_thumbprints_equal_the_published_ones() -> None:
    assert parse_public_jwk(RSA_PUBLIC).thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert parse_public_jwk(ED_PUBLIC).thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_thumbprint_ignores_labels() -> None:
    labelled = ED_PUBLIC | {"kid": "a", "alg": "EdDSA", "use": "sig", "x5u": "https://nowhere.invalid/"}
    assert parse_public_jwk(labelled).thumbprint == parse_public_jwk(ED_PUBLIC).thumbprint


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "oct", "k": "AAAA"},
        {"kty": "okp"},
        {"crv": "Ed448"},
        {"crv": "X25519"},
        {"x": None},
        {"x": ED_PUBLIC["x"] + "="},
        {"x": ED_PUBLIC["x"][:-1] + "p"},
        {"x": ED_PUBLIC["x"][:-1]},
        {"x": " " + ED_PUBLIC["x"]},
        {"x": b64url_encode(bytes(31))},
        {"x": b64url_encode(b"\x01" + bytes(31))},
        {"x": b64url_encode(bytes(32))},
        {"x": b64url_encode(b"\xec" + b"\xff" * 30 + b"\x7f")},
        {"x": b64url_encode(b"\xee" + b"\xff" * 30 + b"\x7f")},
        {"d": ED_PRIVATE["d"]},
        {"alg": "ES256"},
        {"alg": "none"},
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"kid": 7},
        {"kid": ""},
        {"kid": "k" * 257},
    ],
)
def test_public_key_outside_the_rules_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(KeyFormatInvalid):
        parse_public_jwk(ED_PUBLIC | change)


@pytest.mark.parametrize(
    "change",
    [
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"y": b64url_encode(bytes(32))},
        {"x": b64url_encode(bytes(32)), "y": b64url_encode(bytes(32))},
        {"x": b64url_encode(b"\xff" * 32)},
        {"y": b64url_encode(bytes(33))},
        {"d": b64url_encode(bytes(31) + b"\x07")},
    ],
)
def test_point_off_the_curve_or_of_another_length_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(KeyFormatInvalid):
        parse_public_jwk(ec_public() | change)


@pytest.mark.parametrize(
    "change",
    [
        {"e": "AA"},
        {"e": "AQ"},
        {"e": "AAEAAQ"},
        {"n": b64url_encode(bytes([0]) + b64url_decode(RSA_PUBLIC["n"]))},
        {"n": b64url_encode(b"\xff" * 128)},
        {"n": b64url_encode(b"\xff" * 1025)},
        {"alg": "HS256"},
        {"p": "AQ"},
    ],
)
def test_rsa_key_that_is_small_or_not_canonical_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(KeyFormatInvalid):
        parse_public_jwk(RSA_PUBLIC | change)


def test_private_rsa_keys_are_not_used() -> None:
    with pytest.raises(KeyFormatInvalid):
        parse_private_jwk(RSA_PUBLIC | {"d": b64url_encode(bytes(31) + b"\x07")})


@pytest.mark.parametrize("kind", ["OKP", "EC"])
def test_private_key_survives_a_round_trip_and_hides_its_secret(kind: str) -> None:
    private = private_jwk_of(
        Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        if kind == "OKP"
        else ec.derive_private_key(99, ec.SECP256R1()),
        kid="mine",
    )
    written = private.to_secret_dict()
    again = parse_private_jwk(read_json_object(json.dumps(written)))
    assert again.to_secret_dict() == written
    assert again.public == private.public
    assert written["d"] not in repr(private)
    assert "d" not in again.public.to_dict()


def test_private_key_with_the_public_half_of_another_is_refused() -> None:
    other = private_jwk_of(Ed25519PrivateKey.from_private_bytes(bytes(32))).public.to_dict()
    with pytest.raises(KeyFormatInvalid):
        parse_private_jwk(ED_PRIVATE | {"x": other["x"]})


@pytest.mark.parametrize("scalar", [0, 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551])
def test_private_scalar_out_of_range_is_refused(scalar: int) -> None:
    with pytest.raises(KeyFormatInvalid):
        parse_private_jwk(ec_public() | {"d": b64url_encode(scalar.to_bytes(32, "big"))})


def test_other_curves_and_small_rsa_keys_are_refused_as_objects() -> None:
    with pytest.raises(KeyFormatInvalid):
        public_jwk_of(ec.generate_private_key(ec.SECP384R1()).public_key())
    with pytest.raises(KeyFormatInvalid):
        public_jwk_of(rsa.RSAPublicNumbers(e=65537, n=(1 << 1023) + 1).public_key())


@given(st.binary(max_size=64))
def test_base64url_round_trip(data: bytes) -> None:
    text = b64url_encode(data)
    assert "=" not in text
    assert b64url_decode(text) == data


@given(st.text(alphabet="AQgwB-_+/= \n\u0661zé", max_size=12))
def test_every_base64url_text_is_the_only_one_of_its_bytes(text: str) -> None:
    try:
        data = b64url_decode(text)
    except ValueError:
        return
    assert b64url_encode(data) == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops", "d"]),
        json_values | st.sampled_from(["OKP", "EC", "RSA", "Ed25519", "P-256", "AQAB", ED_PUBLIC["x"]]),
    )
)
def test_any_object_is_a_key_or_the_declared_error(jwk: dict[str, Any]) -> None:
    for parse in (parse_public_jwk, parse_private_jwk):
        try:
            parse(jwk)
        except KeyFormatInvalid:
            continue


@given(st.dictionaries(st.text(max_size=6), json_values, max_size=5))
def test_canonical_json_reads_back_equal_and_is_stable(value: dict[str, Any]) -> None:
    try:
        text = canonical_json(value)
    except ValueError:
        return
    assert read_json_object(text) == value
    assert canonical_json(read_json_object(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"1",
        b"",
        b"{}{}",
        b'{"a":1,"a":1}',
        b'{"b":{"a":1,"a":2}}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":9007199254740992}',
        b'{"a":[[9007199254740992]]}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"a":"\xff"}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' + b"9" * 5_000 + b"}",
        b" " * (1 << 20) + b"{}",
    ],
)
def test_json_that_readers_disagree_about_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        read_json_object(text)


def test_canonical_json_sorts_as_rfc_8785_does() -> None:
    # RFC 8785 section 3.2.3, without its control and line-separator members
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    text = canonical_json(dict.fromkeys(names, 0)).decode()
    assert list(json.loads(text)) == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    with pytest.raises(ValueError):
        canonical_json({"a": 1.5})
    with pytest.raises(ValueError):
        canonical_json({1: 1})
