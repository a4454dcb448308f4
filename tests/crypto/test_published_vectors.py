"""Published numbers: RFC 8188, RFC 8032, RFC 5869, RFC 9530, the X-Wing draft, and HPKE against another library.

Those of RFC 7638 and RFC 8037 are in `test_jwk.py`, of RFC 9421 in `test_message_signature_vectors.py`, the first
ones of RFC 8032 and RFC 5869 in `test_signature_primitives.py` and `test_body.py`.
"""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from haetae_crypto.b64url import b64url_decode
from haetae_crypto.body import NEED_DATA, BodyDecryptor, open_body, seal_body
from haetae_crypto.content_key import content_key_info, open_content_key
from haetae_crypto.digest import content_digest, verify_content_digest
from haetae_crypto.errors import BodyUndecryptable, SignatureInvalid
from haetae_crypto.gateway_keys import CLASSIC, HYBRID, GatewayKeyPair, new_gateway_ring
from haetae_crypto.keys import hkdf_expand, hkdf_extract
from haetae_crypto.signature_algorithms import verify_ed25519
from haetae_crypto.signing_keys import SigningKey
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey

WALRUS = b"I am the walrus"
RFC_8188_1_KEY = b64url_decode("yqdlZ-tYemfogSmv7Ws5PQ")
RFC_8188_1 = b64url_decode("I1BsxtFttlv3u_Oo94xnmwAAEAAA-NAVub2qFgBEuQKRapoZu-IxkIva3MEB1PD-ly8Thjg")
RFC_8188_2_KEY = b64url_decode("BO3ZVPxUlnLORbVGMpbT1Q")
RFC_8188_2 = b64url_decode(
    "uNCkWiNYzKTnBN9ji3-qWAAAABkCYTHOG8chz_gnvgOqdGYovxyjuqRyJFjEDyoF1Fvkj6hQPdPHI51OEUKEpgz3SsLWIqS_uA"
)


def test_rfc_8188_section_3_1_opens_and_is_reproduced_bit_for_bit() -> None:
    assert open_body(RFC_8188_1_KEY, RFC_8188_1) == WALRUS
    assert seal_body(RFC_8188_1_KEY, WALRUS, salt=RFC_8188_1[:16], record_size=4096) == RFC_8188_1


def test_rfc_8188_section_3_2_opens_in_pieces_once_its_key_id_is_left_out() -> None:
    """The example names its key `a1` inside the message; the profile wants an empty key id. The records hang on
    salt and position only, so without the name they are the same.
    """
    header, records = RFC_8188_2[:20], RFC_8188_2[23:]
    assert RFC_8188_2[16:23] == b"\x00\x00\x00\x19\x02a1"
    machine = BodyDecryptor(RFC_8188_2_KEY)
    machine.feed(header + b"\x00" + records)
    machine.finish()
    # Two records of 25 bytes; the first one carries one byte of padding (RFC 8188 section 3.2).
    assert [machine.next_event(), machine.next_event()] == [WALRUS[:7], WALRUS[7:]]
    machine = BodyDecryptor(RFC_8188_2_KEY)
    machine.feed(header + b"\x00" + records[:24])
    assert machine.next_event() is NEED_DATA


def test_rfc_8188_section_3_2_as_published_is_refused_because_it_names_a_key() -> None:
    with pytest.raises(BodyUndecryptable):
        open_body(RFC_8188_2_KEY, RFC_8188_2)


RFC_8032 = {
    "test-2": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    "test-3": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
}


@pytest.mark.parametrize("name", RFC_8032)
def test_rfc_8032_section_7_1_is_reproduced_and_holds_for_its_message_only(name: str) -> None:
    seed, public, message, signature = (bytes.fromhex(part) for part in RFC_8032[name])
    key = SigningKey.from_seed(seed)
    assert key.public.raw_ed25519() == public
    assert key.sign(message) == signature
    verify_ed25519(public, message, signature)
    with pytest.raises(SignatureInvalid):
        verify_ed25519(public, message + b"\x00", signature)


@pytest.mark.parametrize(
    ("input_key", "salt", "info", "pseudorandom_key", "first_block"),
    [
        (
            bytes(range(0x50)),
            bytes(range(0x60, 0xB0)),
            bytes(range(0xB0, 0x100)),
            "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c",
        ),
        (
            b"\x0b" * 22,
            b"",
            b"",
            "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d",
        ),
    ],
    ids=["A.2", "A.3"],
)
def test_rfc_5869_extract_and_the_first_block_of_expand(
    input_key: bytes, salt: bytes, info: bytes, pseudorandom_key: str, first_block: str
) -> None:
    """Both cases go on beyond 32 bytes of output; one block is all the channel derives, and all we offer."""
    extracted = hkdf_extract(salt, input_key)
    assert extracted.hex() == pseudorandom_key
    assert hkdf_expand(extracted, info, 32).hex() == first_block


# RFC 9530 appendices A and B. All texts of that document end with a line feed.
HELLO = b'{"hello": "world"}\n'
BROTLI_HELLO = b"\x0b\x09\x80" + HELLO + b"\x03"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (HELLO, "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"),
        (HELLO[10:], "sha-256=:jjcgBDWNAtbYUXI37CVG3gRuGOAjaaDRGpIUFsdyepQ=:"),
        (BROTLI_HELLO, "sha-256=:d435Qo+nKZ+gLcUHn7GQtQ72hiBVAgqoLsZnZPiTGPk=:"),
        (b'{"title": "New Title"}\n', "sha-256=:mEkdbO7Srd9LIOegftO0aBX+VPTVz7/CSHes2Z27gc4=:"),
    ],
    ids=["whole", "range", "brotli", "title"],
)
def test_rfc_9530_digests_are_made_and_hold_for_their_content_only(content: bytes, field: str) -> None:
    assert content_digest(content) == field
    verify_content_digest([field], content)
    with pytest.raises(SignatureInvalid):
        verify_content_digest([field], content.removesuffix(b"\n") + b" ")


def test_rfc_9530_sha_512_digest_holds_and_so_does_the_pair() -> None:
    sha512 = "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:"
    verify_content_digest([sha512], HELLO)
    verify_content_digest([content_digest(HELLO), sha512], HELLO)
    with pytest.raises(SignatureInvalid):
        verify_content_digest([content_digest(HELLO[:-1]), sha512], HELLO[:-1])


def test_x_wing_seed_of_the_draft_expands_to_its_public_key() -> None:
    """draft-connolly-cfrg-xwing-kem, first vector; compared by the first 32 of its 1216 bytes."""
    seed = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
    pair = GatewayKeyPair.from_seed(seed, kid="draft", kem=HYBRID)
    assert pair.public.raw[:32].hex() == "e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5"


NOW = 1_763_800_000
CONTENT_KEY = bytes(range(32, 64))
PLAINTEXT = NOW.to_bytes(8, "big") + CONTENT_KEY
INFO = content_key_info(kid="gw1", keyid="dev1")
SUITE = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES128_GCM)
SEALED_BY_US = (
    "OJYMhh9JBfFUQtH6G0VOJ6m7khklorM1kvBjvkKeYVFmDMqWRh4QnfhvDb/3pOUTWSPbjOP6RaQirOEj3pHPyfT6yZUbBbXPeBzQ8fekTmD8"
    "pNVsfWgm8Q=="
)
SEALED_BY_PEER = (
    "dCjrHuclTlXoiYV8Qxc68a1+O75SbPvWe8KweeHSdV8G0Ar8Db7oDJqwMRwz+zY5ayt9s1J4tEWXiNHTjK/h/Mc7sEZsmlFrBzv4Ewmbt2pi"
    "wCmtTpWCww=="
)


@pytest.mark.parametrize("recorded", [SEALED_BY_US, SEALED_BY_PEER], ids=["by-us", "by-pyhpke"])
def test_recorded_content_keys_open_here_and_in_an_independent_hpke(recorded: str) -> None:
    """RFC 9180 with a fixed recipient key and `enc || ct` written down once.

    The published base-mode vectors cannot be run through our HPKE: the library below it is single-shot without
    additional data, and the first encryption of every one of those vectors has some. So the same two recorded
    ciphertexts, one made here and one by pyhpke, must open in both.
    """
    sealed = base64.b64decode(recorded)
    ring = new_gateway_ring(bytes(range(32)), kid="gw1", now=NOW, kem=CLASSIC)
    assert ring.active(now=NOW).key.open(sealed, info=INFO) == PLAINTEXT
    assert open_content_key(f':{recorded}:;kid="gw1";v=1', ring=ring, keyid="dev1", now=NOW).secret == CONTENT_KEY
    private = KEMKey.from_pyca_cryptography_key(X25519PrivateKey.from_private_bytes(bytes(range(32))))
    assert SUITE.create_recipient_context(sealed[:32], private, info=INFO).open(sealed[32:]) == PLAINTEXT


def test_recorded_content_key_follows_the_key_schedule_of_rfc_9180_written_out() -> None:
    """Sections 4.1 and 5.1 with HKDF alone, so that the steps a client must program are pinned by numbers."""
    sealed = base64.b64decode(SEALED_BY_US)
    scalar = X25519PrivateKey.from_private_bytes(bytes(range(32)))
    own, enc = scalar.public_key().public_bytes_raw(), sealed[:32]
    shared = scalar.exchange(X25519PublicKey.from_public_bytes(enc))
    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x01"

    def extract(salt: bytes, suite_id: bytes, label: bytes, value: bytes) -> bytes:
        return hkdf_extract(salt or bytes(32), b"HPKE-v1" + suite_id + label + value)

    def expand(secret: bytes, suite_id: bytes, label: bytes, info: bytes, size: int) -> bytes:
        return hkdf_expand(secret, size.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + info, size)

    kem_shared = expand(extract(b"", kem, b"eae_prk", shared), kem, b"shared_secret", enc + own, 32)
    context = b"\x00" + extract(b"", suite, b"psk_id_hash", b"") + extract(b"", suite, b"info_hash", INFO)
    secret = extract(kem_shared, suite, b"secret", b"")
    key, nonce = expand(secret, suite, b"key", context, 16), expand(secret, suite, b"base_nonce", context, 12)
    assert AESGCM(key).decrypt(nonce, sealed[32:], None) == PLAINTEXT
