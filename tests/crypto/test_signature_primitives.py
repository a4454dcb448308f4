"""Ed25519 and ECDSA P-256: published numbers and the forgeries that a careless verifier lets through."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from haetae_crypto.errors import SignatureInvalid
from haetae_crypto.jwk import P256_ORDER
from haetae_crypto.signature_algorithms import (
    expand_ed25519_seed,
    sign_ed25519,
    sign_p256,
    verify_ed25519,
    verify_p256,
)
from haetae_crypto.signing_keys import SigningKey
from hypothesis import given
from hypothesis import strategies as st

ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
SEED = bytes(range(32))
PUBLIC = SigningKey.from_seed(SEED).public.raw_ed25519()
MESSAGE = b"transfer 10 to bob"
SIGNATURE = sign_ed25519(expand_ed25519_seed(SEED), MESSAGE)

# Points of small order in canonical and non-canonical encodings: with them as the key, S = 0 would verify.
SMALL_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    b"\xec" + b"\xff" * 30 + b"\x7f",
    b"\xed" + b"\xff" * 30 + b"\x7f",
    b"\xee" + b"\xff" * 30 + b"\x7f",
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
]

P256_KEY = ec.derive_private_key(0xC0FFEE, ec.SECP256R1())
P256_PUBLIC = P256_KEY.public_key()
P256_SIGNATURE = sign_p256(P256_KEY, MESSAGE)


def test_rfc_8032_test_1_is_reproduced() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    expected = (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
        "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    key = SigningKey.from_seed(seed)
    assert key.public.raw_ed25519().hex() == public
    assert key.sign(b"").hex() == expected
    verify_ed25519(bytes.fromhex(public), b"", bytes.fromhex(expected))


def test_ed25519_signature_with_s_plus_the_group_order_is_refused() -> None:
    shifted = int.from_bytes(SIGNATURE[32:], "little") + ED25519_ORDER
    verify_ed25519(PUBLIC, MESSAGE, SIGNATURE)
    with pytest.raises(SignatureInvalid):
        verify_ed25519(PUBLIC, MESSAGE, SIGNATURE[:32] + shifted.to_bytes(32, "little"))


@pytest.mark.parametrize("point", SMALL_ORDER, ids=lambda point: point.hex()[:8])
def test_ed25519_small_order_key_or_commitment_verifies_nothing(point: bytes) -> None:
    for commitment in [*SMALL_ORDER, SIGNATURE[:32]]:
        with pytest.raises(SignatureInvalid):
            verify_ed25519(point, MESSAGE, commitment + bytes(32))
    with pytest.raises(SignatureInvalid):
        verify_ed25519(PUBLIC, MESSAGE, point + bytes(32))


@pytest.mark.parametrize("signature", [b"", SIGNATURE[:-1], SIGNATURE + b"\x00", bytes(64), b"\xff" * 64])
def test_ed25519_signature_of_another_size_or_without_content_is_refused(signature: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        verify_ed25519(PUBLIC, MESSAGE, signature)


def test_ed25519_key_of_another_size_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        verify_ed25519(PUBLIC[:-1], MESSAGE, SIGNATURE)


@given(st.integers(0, 64 * 8 - 1))
def test_any_one_bit_change_of_a_signature_is_refused(bit: int) -> None:
    mask = 1 << bit
    ed25519 = (int.from_bytes(SIGNATURE, "big") ^ mask).to_bytes(64, "big")
    with pytest.raises(SignatureInvalid):
        verify_ed25519(PUBLIC, MESSAGE, ed25519)
    p256 = (int.from_bytes(P256_SIGNATURE, "big") ^ mask).to_bytes(64, "big")
    with pytest.raises(SignatureInvalid):
        verify_p256(P256_PUBLIC, MESSAGE, p256)


@given(st.binary(max_size=80))
def test_any_bytes_as_signature_are_refused(signature: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        verify_ed25519(PUBLIC, MESSAGE, signature)
    with pytest.raises(SignatureInvalid):
        verify_p256(P256_PUBLIC, MESSAGE, signature)


R, S = P256_SIGNATURE[:32], P256_SIGNATURE[32:]
ORDER = P256_ORDER.to_bytes(32, "big")


@pytest.mark.parametrize(
    "signature",
    [
        bytes(32) + S,
        R + bytes(32),
        bytes(64),
        ORDER + S,
        R + ORDER,
        b"\xff" * 32 + S,
        R + b"\xff" * 32,
        bytes(31) + b"\x01" + bytes(31) + b"\x01",
        P256_SIGNATURE[:-1],
        P256_SIGNATURE + b"\x00",
        b"\x00" + R + b"\x00" + S,
        P256_KEY.sign(MESSAGE, ec.ECDSA(SHA256())),
        b"",
    ],
    ids=[
        "r-zero",
        "s-zero",
        "both-zero",
        "r-order",
        "s-order",
        "r-large",
        "s-large",
        "both-one",
        "short",
        "long",
        "66-bytes",
        "der",
        "empty",
    ],
)
def test_p256_signature_out_of_range_of_another_size_or_in_der_is_refused(signature: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        verify_p256(P256_PUBLIC, MESSAGE, signature)


def test_p256_signature_verifies_only_its_message_and_key() -> None:
    verify_p256(P256_PUBLIC, MESSAGE, P256_SIGNATURE)
    with pytest.raises(SignatureInvalid):
        verify_p256(P256_PUBLIC, MESSAGE + b"!", P256_SIGNATURE)
    with pytest.raises(SignatureInvalid):
        verify_p256(ec.derive_private_key(5, ec.SECP256R1()).public_key(), MESSAGE, P256_SIGNATURE)
