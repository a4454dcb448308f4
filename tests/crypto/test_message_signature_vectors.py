"""The test cases of RFC 9421: sections 2.4 and B.2.1 to B.2.6, and the transformed messages of B.4.

Signatures by algorithms that the channel does not use (RSA-PSS, HMAC) are checked here over the base that the general
part builds, so every published digit counts: a base that differs in one byte verifies nothing.
"""

import base64
import hashlib
import hmac
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA512
from haetae_crypto.app_channel import DeviceKey
from haetae_crypto.b64url import b64url_decode
from haetae_crypto.components import Message, signature_base
from haetae_crypto.digest import verify_content_digest
from haetae_crypto.errors import SignatureInvalid
from haetae_crypto.jwk import parse_private_jwk
from haetae_crypto.message_signature import UnverifiedMessageSignature, parse_signatures, sign_message, verify_message
from haetae_crypto.signing_keys import SigningKey
from haetae_crypto.structured import Item

HELLO = b'{"hello": "world"}'
REQUEST = Message(
    method="POST",
    scheme="https",
    authority="example.com",
    path="/foo",
    query="param=Value&Pet=dog",
    request_target="/foo?param=Value&Pet=dog",
    fields={
        "host": ["example.com"],
        "date": ["Tue, 20 Apr 2021 02:07:55 GMT"],
        "content-type": ["application/json"],
        "content-digest": [
            "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
        ],
        "content-length": ["18"],
    },
)
GOOD_DOG = b'{"message": "good dog"}'
RESPONSE = Message(
    status=200,
    fields={
        "date": ["Tue, 20 Apr 2021 02:07:56 GMT"],
        "content-type": ["application/json"],
        "content-digest": [
            "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:"
        ],
        "content-length": ["23"],
    },
)
BUSY = b'{"busy": true, "message": "Your call is very important to us"}'
BUSY_RESPONSE = Message(
    status=503,
    request=REQUEST,
    fields={
        "date": ["Tue, 20 Apr 2021 02:07:56 GMT"],
        "content-type": ["application/json"],
        "content-length": ["62"],
        "content-digest": [
            "sha-512=:0Y6iCBzGg5rZtoXS95Ijz03mslf6KAMCloESHObfwnHJDbkkWWQz6PhhU9kxsTbARtY2PTBOzq24uJFpHsMuAg==:"
        ],
    },
)

# B.1.2, B.1.3, B.1.4 and B.1.5
RSA_PSS_KEY = rsa.RSAPublicNumbers(
    e=65_537,
    n=int.from_bytes(
        b64url_decode(
            "r4tmm3r20Wd_PbqvP1s2-QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct-Lh1GH45x28Rw3Ry53mm-oAXjyQ86OnDkZ5N8lYbg"
            "gD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHqgDsznjPFmTOtCEcN2Z1FpWgchwuYLPL-Wokqltd11nqqzi-bJ9cvSKADYdUA"
            "AN5WUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4aOT9v6d-nb4bnNkQVklLQ3fVAvJm-xdDOp9L"
            "CNCN48V2pnDOkFV6-U9nV5oyc6XI2w"
        ),
        "big",
    ),
).public_key()
ECC_P256_KEY = DeviceKey.from_jwk(
    "test-key-ecc-p256",
    "ecdsa-p256-sha256",
    {
        "kty": "EC",
        "crv": "P-256",
        "x": "qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA",
        "y": "Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0",
    },
)
ED25519_JWK = {
    "kty": "OKP",
    "crv": "Ed25519",
    "kid": "test-key-ed25519",
    "d": "n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU",
    "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs",
}
ED25519_KEY = SigningKey.from_secret_dict("test-key-ed25519", ED25519_JWK)
SHARED_SECRET = base64.b64decode(
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
)


def verify_rsa_pss(base: bytes, signature: bytes) -> None:
    """Section 3.3.1: MGF1 with SHA-512, 64 bytes of salt. Raises InvalidSignature."""
    RSA_PSS_KEY.verify(signature, base, padding.PSS(mgf=padding.MGF1(SHA512()), salt_length=64), SHA512())


def received(parameters_text: str, signature: str) -> UnverifiedMessageSignature:
    return parse_signatures([f"sig={parameters_text}"], [f"sig=:{signature}:"])[0]


def base_of(signature: UnverifiedMessageSignature, message: Message) -> str:
    return signature_base(signature.components, signature.parameters_text, message).decode("ascii")


def test_digests_of_the_test_messages_hold() -> None:
    verify_content_digest(REQUEST.fields["content-digest"], HELLO)
    verify_content_digest(RESPONSE.fields["content-digest"], GOOD_DOG)
    verify_content_digest(BUSY_RESPONSE.fields["content-digest"], BUSY)


def test_b_2_1_minimal_signature_with_rsa_pss() -> None:
    found = received(
        '();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"',
        "d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA"
        "7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0m"
        "KZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO"
        "5Nyt8C8ssinQ98Xw9Q==",
    )
    assert base_of(found, REQUEST) == (
        '"@signature-params": ();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"'
    )
    verify_message(found, REQUEST, verify_rsa_pss)


def test_b_2_2_selective_components_with_a_query_parameter_and_rsa_pss() -> None:
    found = received(
        '("@authority" "content-digest" "@query-param";name="Pet")'
        ';created=1618884473;keyid="test-key-rsa-pss";tag="header-example"',
        "LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+EC"
        "xCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7C"
        "l+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQ"
        "l3/XaVe4bXTugEjHSw==",
    )
    assert base_of(found, REQUEST) == (
        '"@authority": example.com\n'
        '"content-digest": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTH'
        "WXvJwew==:\n"
        '"@query-param";name="Pet": dog\n'
        '"@signature-params": ("@authority" "content-digest" "@query-param";name="Pet")'
        ';created=1618884473;keyid="test-key-rsa-pss";tag="header-example"'
    )
    verify_message(found, REQUEST, verify_rsa_pss)


def test_b_2_3_full_coverage_with_rsa_pss() -> None:
    found = received(
        '("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length")'
        ';created=1618884473;keyid="test-key-rsa-pss"',
        "bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38"
        "K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCo"
        "C1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FU"
        "o5fTIztsDZKEgM4cUA==",
    )
    verify_message(found, REQUEST, verify_rsa_pss)
    assert '\n"@query": ?param=Value&Pet=dog\n' in base_of(found, REQUEST)


def test_b_2_4_signed_response_with_ecdsa_p256() -> None:
    found = received(
        '("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256"',
        "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==",
    )
    verify_message(found, RESPONSE, ECC_P256_KEY.verify)
    with pytest.raises(SignatureInvalid):
        verify_message(found, replace(RESPONSE, status=201), ECC_P256_KEY.verify)


def test_b_2_5_shared_secret() -> None:
    found = received(
        '("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"',
        "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
    )
    assert hmac.digest(SHARED_SECRET, base_of(found, REQUEST).encode(), hashlib.sha256) == found.signature


ED25519_COMPONENTS: list[Item] = [
    (name, {}) for name in ("date", "@method", "@path", "@authority", "content-type", "content-length")
]
ED25519_SIGNATURE = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="


def test_b_2_6_ed25519_is_verified_and_reproduced() -> None:
    key = DeviceKey.from_jwk("test-key-ed25519", "ed25519", ED25519_KEY.public.to_dict())
    fields = sign_message(
        REQUEST,
        components=ED25519_COMPONENTS,
        parameters={"created": 1_618_884_473, "keyid": "test-key-ed25519"},
        label="sig-b26",
        sign=ED25519_KEY.sign,
    )
    assert fields == (
        (
            'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
            ';created=1618884473;keyid="test-key-ed25519"'
        ),
        f"sig-b26=:{ED25519_SIGNATURE}:",
    )
    found = parse_signatures([fields[0]], [fields[1]])[0]
    verify_message(found, REQUEST, key.verify)
    for changed in (replace(REQUEST, method="PUT"), replace(REQUEST, path="/fo"), replace(REQUEST, authority="a.test")):
        with pytest.raises(SignatureInvalid):
            verify_message(found, changed, key.verify)


def test_b_1_4_private_and_public_members_belong_together() -> None:
    assert parse_private_jwk(ED25519_JWK).public.members["x"] == ED25519_JWK["x"]


def test_section_2_4_response_bound_to_its_request() -> None:
    found = received(
        '("@status" "content-digest" "content-type" "@authority";req "@method";req "@path";req "content-digest";req)'
        ';created=1618884479;keyid="test-key-ecc-p256"',
        "dMT/A/76ehrdBTD/2Xx8QuKV6FoyzEP/I9hdzKN8LQJLNgzU4W767HK05rx1i8meNQQgQPgQp8wq2ive3tV5Ag==",
    )
    verify_message(found, BUSY_RESPONSE, ECC_P256_KEY.verify)
    with pytest.raises(SignatureInvalid):
        verify_message(found, replace(BUSY_RESPONSE, request=replace(REQUEST, path="/bar")), ECC_P256_KEY.verify)


# B.4: the signed message and what intermediaries may make of it.
DEMO = Message(
    method="GET",
    authority="example.org",
    path="/demo",
    query="name1=Value1&Name2=value2",
    fields={"accept": ["application/json", "*/*"], "date": ["Fri, 15 Jul 2022 14:24:55 GMT"]},
)
DEMO_SIGNATURE = received(
    '("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"',
    "ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==",
)
DEMO_KEY = DeviceKey.from_jwk("test-key-ed25519", "ed25519", ED25519_KEY.public.to_dict())


@pytest.mark.parametrize(
    "transformed",
    [
        DEMO,
        replace(DEMO, query="name1=Value1&Name2=value2&param=added"),
        replace(DEMO, fields={**DEMO.fields, "accept-language": ["en-US,en;q=0.5"]}),
        replace(DEMO, fields={"accept": ["application/json, */*"]}),
        replace(DEMO, fields={"accept": ["  application/json", "*/*  "]}),
    ],
    ids=["as-signed", "query-added", "field-added", "lines-joined-date-gone", "spaces-around"],
)
def test_b_4_signature_survives_what_it_does_not_cover(transformed: Message) -> None:
    verify_message(DEMO_SIGNATURE, transformed, DEMO_KEY.verify)


@pytest.mark.parametrize(
    "transformed",
    [
        replace(DEMO, method="POST"),
        replace(DEMO, authority="example.com"),
        replace(DEMO, fields={"accept": ["*/*", "application/json"]}),
    ],
    ids=["method", "authority", "order-of-lines"],
)
def test_b_4_signature_breaks_when_covered_values_change(transformed: Message) -> None:
    with pytest.raises(SignatureInvalid):
        verify_message(DEMO_SIGNATURE, transformed, DEMO_KEY.verify)
