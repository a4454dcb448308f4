"""Content keys: HPKE against independent implementations, what binds a key, and how long it lives."""

import base64
import hashlib
import hmac
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from haetae_crypto.content_key import (
    ContentKeyOpener,
    content_key_info,
    open_content_key,
    parse_content_key_header,
    seal_content_key,
)
from haetae_crypto.errors import ContentKeyInvalid, KeyFormatInvalid
from haetae_crypto.gateway_keys import (
    CLASSIC,
    HYBRID,
    SUITES,
    GatewayKeyPair,
    GatewayPublicKey,
    GatewayRing,
    new_gateway_ring,
    next_gateway_entry,
)
from haetae_crypto.keys import request_key
from hypothesis import given
from hypothesis import strategies as st
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey

NOW = 1_763_800_000
CK = bytes(range(32))
DEVICE = "dev_7Qx"
RINGS = {kem: new_gateway_ring(b"\x07" * 32, kid=f"gw-{kem}", now=NOW, kem=kem) for kem in SUITES}


def public_of(ring: GatewayRing) -> GatewayPublicKey:
    return ring.active(now=NOW).key.public


def sealed(kem: str = HYBRID, *, created: int = NOW, keyid: str = DEVICE) -> str:
    return seal_content_key(CK, gateway_key=public_of(RINGS[kem]), keyid=keyid, created=created)


@pytest.mark.parametrize("kem", SUITES)
def test_gateway_opens_what_the_app_sealed(kem: str) -> None:
    opened = open_content_key(sealed(kem), ring=RINGS[kem], keyid=DEVICE, now=NOW + 1)
    assert (opened.kid, opened.created, opened.secret) == (f"gw-{kem}", NOW, CK)
    assert opened.request_key == request_key(CK)
    assert CK.hex() not in repr(opened)
    assert str(CK) not in repr(opened)


def test_info_is_exactly_the_published_one() -> None:
    assert content_key_info(kid="g1", keyid="d1") == b"haetae/app/1 content-key\x00g1\x00d1"


def test_an_independent_hpke_opens_what_we_seal_and_the_reverse() -> None:
    suite = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES128_GCM)
    pair = RINGS[CLASSIC].active(now=NOW).key
    private = KEMKey.from_pyca_cryptography_key(X25519PrivateKey.from_private_bytes(pair.seed))
    public = KEMKey.from_pyca_cryptography_key(X25519PublicKey.from_public_bytes(pair.public.raw))
    info = content_key_info(kid=pair.kid, keyid=DEVICE)

    ours = parse_content_key_header(sealed(CLASSIC)).sealed
    opened = suite.create_recipient_context(ours[:32], private, info=info).open(ours[32:])
    assert opened == NOW.to_bytes(8, "big") + CK

    enc, sender = suite.create_sender_context(public, info=info)
    theirs = base64.b64encode(enc + sender.seal(NOW.to_bytes(8, "big") + CK)).decode()
    value = f':{theirs}:;kid="{pair.kid}";v=1'
    assert open_content_key(value, ring=RINGS[CLASSIC], keyid=DEVICE, now=NOW).secret == CK


def x_wing_open(seed: bytes, sealed_bytes: bytes, info: bytes) -> bytes:
    """HPKE base mode with X-Wing, written from the standards alone (no HPKE library)."""
    expanded = hashlib.shake_256(seed).digest(96)
    scalar = X25519PrivateKey.from_private_bytes(expanded[64:])
    enc, ciphertext = sealed_bytes[:1120], sealed_bytes[1120:]
    lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).decapsulate(enc[:1088])
    elliptic = scalar.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
    own = scalar.public_key().public_bytes_raw()
    shared = hashlib.sha3_256(lattice + elliptic + enc[1088:] + own + b"\\.//^\\").digest()
    suite = b"HPKE" + (0x647A).to_bytes(2, "big") + b"\x00\x01\x00\x01"

    def extract(salt: bytes, label: bytes, value: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + value, "sha256")

    def expand(prk: bytes, label: bytes, context: bytes, size: int) -> bytes:
        labelled = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context
        return hmac.digest(prk, labelled + b"\x01", "sha256")[:size]

    context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")
    key, nonce = expand(secret, b"key", context, 16), expand(secret, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, ciphertext, None)


def test_hybrid_suite_is_x_wing_as_its_standards_describe_it() -> None:
    pair = RINGS[HYBRID].active(now=NOW).key
    ours = parse_content_key_header(sealed(HYBRID)).sealed
    info = content_key_info(kid=pair.kid, keyid=DEVICE)
    assert x_wing_open(pair.seed, ours, info) == NOW.to_bytes(8, "big") + CK


@pytest.mark.parametrize("kem", SUITES)
def test_sizes_are_those_of_the_suites_table(kem: str) -> None:
    suite, public = SUITES[kem], public_of(RINGS[kem])
    assert len(public.raw) == suite.public_bytes
    assert len(parse_content_key_header(sealed(kem)).sealed) == suite.enc_bytes + 40 + 16


@pytest.mark.parametrize("kem", SUITES)
def test_key_sealed_for_another_device_does_not_open(kem: str) -> None:
    with pytest.raises(ContentKeyInvalid):
        open_content_key(sealed(kem, keyid="dev_other"), ring=RINGS[kem], keyid=DEVICE, now=NOW)


def test_key_sealed_under_another_gateway_key_id_does_not_open() -> None:
    pair = RINGS[CLASSIC].active(now=NOW).key
    renamed = GatewayPublicKey.from_raw(kid="gw-other", kem=CLASSIC, raw=pair.public.raw)
    value = seal_content_key(CK, gateway_key=renamed, keyid=DEVICE, created=NOW)
    with pytest.raises(ContentKeyInvalid):
        open_content_key(value, ring=RINGS[CLASSIC], keyid=DEVICE, now=NOW)
    with pytest.raises(ContentKeyInvalid):
        open_content_key(value.replace("gw-other", pair.kid), ring=RINGS[CLASSIC], keyid=DEVICE, now=NOW)


@pytest.mark.parametrize(("age", "opens"), [(-6, False), (-5, True), (0, True), (905, True), (906, False)])
def test_key_opens_only_within_its_age(age: int, opens: bool) -> None:
    value = sealed(CLASSIC)
    opener = ContentKeyOpener(RINGS[CLASSIC])
    opener.open(value, keyid=DEVICE, now=NOW)
    for attempt in (
        partial(open_content_key, value, ring=RINGS[CLASSIC], keyid=DEVICE, now=NOW + age),
        partial(opener.open, value, keyid=DEVICE, now=NOW + age),
    ):
        if opens:
            assert attempt().secret == CK
        else:
            with pytest.raises(ContentKeyInvalid):
                attempt()


def test_remembered_key_is_still_bound_to_its_device() -> None:
    opener = ContentKeyOpener(RINGS[CLASSIC])
    value = sealed(CLASSIC)
    opener.open(value, keyid=DEVICE, now=NOW)
    with pytest.raises(ContentKeyInvalid):
        opener.open(value, keyid="dev_thief", now=NOW)
    with pytest.raises(ContentKeyInvalid):
        opener.open("\ud800", keyid=DEVICE, now=NOW)


def test_remembered_key_dies_with_its_gateway_key() -> None:
    opener = ContentKeyOpener(RINGS[CLASSIC])
    value = sealed(CLASSIC)
    first = opener.open(value, keyid=DEVICE, now=NOW)
    assert opener.open(value, keyid=DEVICE, now=NOW) is first
    opener.use_ring(RINGS[CLASSIC].retire("gw-X25519"))
    with pytest.raises(ContentKeyInvalid):
        opener.open(value, keyid=DEVICE, now=NOW)


def test_remembered_key_dies_when_the_gateway_key_has_ended() -> None:
    ring = new_gateway_ring(bytes(32), kid="short", now=NOW, kem=CLASSIC, life=100)
    value = seal_content_key(CK, gateway_key=public_of(ring), keyid=DEVICE, created=NOW)
    opener = ContentKeyOpener(ring)
    opener.open(value, keyid=DEVICE, now=NOW + 99)
    with pytest.raises(ContentKeyInvalid):
        opener.open(value, keyid=DEVICE, now=NOW + 100)
    assert len(opener) == 0


def test_memory_of_opened_keys_is_bounded_and_refusals_are_not_remembered() -> None:
    opener = ContentKeyOpener(RINGS[CLASSIC], max_entries=3)
    for index in range(8):
        opener.open(sealed(CLASSIC, keyid=f"dev_{index}"), keyid=f"dev_{index}", now=NOW)
        with pytest.raises(ContentKeyInvalid):
            opener.open(sealed(CLASSIC), keyid=f"dev_{index}", now=NOW)
    assert len(opener) == 3


def test_old_key_still_opens_after_a_rotation() -> None:
    ring = new_gateway_ring(bytes(32), kid="one", now=NOW, kem=CLASSIC)
    value = seal_content_key(CK, gateway_key=public_of(ring), keyid=DEVICE, created=NOW)
    ring = ring.rotate(next_gateway_entry(b"\x01" * 32, kid="two", now=NOW, lead=10), now=NOW)
    ring = ring.rotate(next_gateway_entry(b"\x02" * 32, kid="three", now=NOW + 10, lead=10), now=NOW + 10)
    assert ring.active(now=NOW + 10).kid == "two"
    assert open_content_key(value, ring=ring, keyid=DEVICE, now=NOW + 10).kid == "one"


GOOD = sealed(CLASSIC)
BYTES = GOOD.split(";")[0]


@pytest.mark.parametrize(
    "value",
    [
        "",
        BYTES,
        f'{BYTES};kid="gw-X25519"',
        f"{BYTES};v=1",
        f'{BYTES};kid="gw-X25519";v=2',
        f'{BYTES};kid="gw-X25519";v=1.0',
        f'{BYTES};kid="gw-X25519";v="1"',
        f'{BYTES};kid="gw-X25519";v',
        f"{BYTES};kid=gw-X25519;v=1",
        f'{BYTES};kid="gw-X25519";v=1;x=2',
        f'{BYTES};kid="no";kid="gw-X25519";v=1',
        f'{BYTES};kid="../gw";v=1',
        f'{BYTES};kid="";v=1',
        f'{BYTES};kid="unknown";v=1',
        f"{GOOD}, {GOOD}",
        f"{GOOD};",
        GOOD.replace(":", '"'),
        GOOD.replace("gw", "gé"),
        '::;kid="gw-X25519";v=1',
        ':AAAA:;kid="gw-X25519";v=1',
        f':{base64.b64encode(bytes(88)).decode()}:;kid="gw-X25519";v=1',
        f':{"A" * 4000}:;kid="gw-X25519";v=1',
    ],
    ids=lambda value: f"{len(value)}-characters",
)
def test_header_outside_its_form_is_refused(value: str) -> None:
    with pytest.raises(ContentKeyInvalid):
        open_content_key(value, ring=RINGS[CLASSIC], keyid=DEVICE, now=NOW)


def test_header_in_another_spelling_of_the_same_item_opens() -> None:
    value = f'{BYTES};  v=1; kid="gw-X25519"'
    assert open_content_key(value, ring=RINGS[CLASSIC], keyid=DEVICE, now=NOW).secret == CK


@given(st.integers(0, (32 + 40 + 16) * 8 - 1))
def test_any_one_bit_change_of_a_sealed_key_is_refused(bit: int) -> None:
    raw = parse_content_key_header(GOOD).sealed
    changed = (int.from_bytes(raw, "big") ^ (1 << bit)).to_bytes(len(raw), "big")
    with pytest.raises(ContentKeyInvalid):
        RINGS[CLASSIC].active(now=NOW).key.open(changed, info=content_key_info(kid="gw-X25519", keyid=DEVICE))


@given(st.text(alphabet=':;="kidv1 .A/+gwX25519-é?(),*', max_size=60) | st.text(max_size=40))
def test_any_text_as_header_is_parsed_or_refused(value: str) -> None:
    try:
        parsed = parse_content_key_header(value)
    except ContentKeyInvalid:
        return
    assert len(parsed.unverified_kid) <= 128


@pytest.mark.parametrize("plaintext", [b"", CK, NOW.to_bytes(8, "big") + CK + b"!", bytes(39)])
def test_plaintext_of_another_size_is_refused(plaintext: bytes) -> None:
    info = content_key_info(kid="gw-X25519", keyid=DEVICE)
    text = base64.b64encode(public_of(RINGS[CLASSIC]).seal(plaintext, info=info)).decode()
    with pytest.raises(ContentKeyInvalid):
        open_content_key(f':{text}:;kid="gw-X25519";v=1', ring=RINGS[CLASSIC], keyid=DEVICE, now=NOW)


def test_low_order_x25519_points_neither_seal_nor_open() -> None:
    low = [bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f", b"\xed" + b"\xff" * 30 + b"\x7f"]
    for point in low:
        with pytest.raises(KeyFormatInvalid):
            GatewayPublicKey.from_raw(kid="k", kem=CLASSIC, raw=point).seal(b"x", info=b"")
        with pytest.raises(ContentKeyInvalid):
            RINGS[CLASSIC].active(now=NOW).key.open(point + bytes(56), info=b"")


@pytest.mark.parametrize("kem", SUITES)
def test_gateway_key_survives_its_json_and_hides_its_secret(kem: str) -> None:
    pair = RINGS[kem].active(now=NOW).key
    again = GatewayKeyPair.from_secret_dict(pair.kid, pair.to_secret_dict())
    assert again.public.raw == pair.public.raw
    assert pair.to_secret_dict()["seed"] not in repr(pair)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"kem": "P-256", "seed": "AA"},
        {"kem": CLASSIC, "seed": "AA"},
        {"kem": CLASSIC, "seed": "*"},
        {"kem": 1, "seed": "AA"},
    ],
)
def test_gateway_key_of_another_form_is_refused(members: dict[str, object]) -> None:
    with pytest.raises(KeyFormatInvalid):
        GatewayKeyPair.from_secret_dict("k", members)


@pytest.mark.parametrize(("kem", "size"), [(CLASSIC, 31), (CLASSIC, 33), (HYBRID, 1215), (HYBRID, 32), ("none", 32)])
def test_public_key_of_another_size_or_kem_is_refused(kem: str, size: int) -> None:
    with pytest.raises(KeyFormatInvalid):
        GatewayPublicKey.from_raw(kid="k", kem=kem, raw=bytes(size))


def test_public_key_with_unreduced_lattice_coefficients_is_refused() -> None:
    with pytest.raises(KeyFormatInvalid):
        GatewayPublicKey.from_raw(kid="k", kem=HYBRID, raw=b"\xff" * 1216)
