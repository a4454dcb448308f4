"""Encrypted bodies (RFC 8188): peers, chunkings, and everything that must not open."""

import http_ece
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from haetae_crypto.body import (
    END,
    HEADER_BYTES,
    NEED_DATA,
    BodyDecryptor,
    BodyEncryptor,
    BodyLimits,
    open_body,
    seal_body,
)
from haetae_crypto.errors import BodyUndecryptable
from haetae_crypto.keys import hkdf_expand, hkdf_extract, request_key, response_key
from hypothesis import given
from hypothesis import strategies as st

KEY = bytes(range(32))
SALT = bytes(range(100, 116))
TEXT = b"the quick brown fox jumps over the lazy dog " * 9


def open_in_pieces(body: bytes, sizes: list[int], limits: BodyLimits | None = None) -> bytes:
    """Feed `body` cut at the given sizes (cyclic) and collect the plaintext up to END."""
    machine = BodyDecryptor(KEY, limits=limits or BodyLimits())
    out, at, turn = [], 0, 0
    while True:
        event = machine.next_event()
        if isinstance(event, bytes):
            assert event
            out.append(event)
        elif event is END:
            return b"".join(out)
        elif at < len(body):
            step = sizes[turn % len(sizes)]
            machine.feed(body[at : at + step])
            at, turn = at + step, turn + 1
        else:
            machine.finish()


def records_of(plain_records: list[bytes], record_size: int) -> bytes:
    """A body with hand-made record plaintexts, delimiters and padding included."""
    prk = hkdf_extract(SALT, KEY)
    key = hkdf_expand(prk, b"Content-Encoding: aes128gcm\x00", 16)
    base = int.from_bytes(hkdf_expand(prk, b"Content-Encoding: nonce\x00", 12), "big")
    sealed = [
        AESGCM(key).encrypt((base ^ index).to_bytes(12, "big"), record, None)
        for index, record in enumerate(plain_records)
    ]
    return SALT + record_size.to_bytes(4, "big") + b"\x00" + b"".join(sealed)


def test_hkdf_equals_rfc_5869_case_1() -> None:
    prk = hkdf_extract(bytes(range(13)), b"\x0b" * 22)
    assert prk.hex() == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    okm = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
    assert hkdf_expand(prk, bytes(range(0xF0, 0xFA)), 32).hex() == okm
    with pytest.raises(ValueError):
        hkdf_expand(prk, b"", 33)


def test_request_and_response_keys_differ_for_every_nonce() -> None:
    keys = {request_key(KEY), response_key(KEY, nonce="a" * 16), response_key(KEY, nonce="b" * 16), KEY}
    assert len(keys) == 4


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 4078, 4079, 4080, 8158, 8159, 10_000])
@pytest.mark.parametrize("record_size", [25, 4096])
def test_an_independent_implementation_opens_what_we_seal_and_the_reverse(size: int, record_size: int) -> None:
    text = bytes(index % 251 for index in range(size))
    sealed = seal_body(KEY, text, salt=SALT, record_size=record_size)
    assert http_ece.decrypt(sealed, key=KEY) == text
    theirs = http_ece.encrypt(text, salt=SALT, key=KEY, rs=record_size, keyid="")
    if not text:
        # The peer writes no record at all for an empty text; RFC 8188 asks for a last record.
        assert len(theirs) == HEADER_BYTES
        return
    assert open_body(KEY, theirs) == text
    assert open_in_pieces(theirs, [19]) == text


@given(
    text=st.binary(max_size=300),
    record_size=st.integers(18, 120),
    cuts=st.lists(st.integers(1, 90), min_size=1, max_size=6),
)
def test_any_chunking_of_any_body_gives_the_same_plaintext(text: bytes, record_size: int, cuts: list[int]) -> None:
    encryptor = BodyEncryptor(KEY, salt=SALT, record_size=record_size)
    sealed, at, turn = b"", 0, 0
    while at < len(text):
        step = cuts[turn % len(cuts)]
        sealed += encryptor.feed(text[at : at + step])
        at, turn = at + step, turn + 1
    sealed += encryptor.finish()
    assert sealed == seal_body(KEY, text, salt=SALT, record_size=record_size)
    assert open_in_pieces(sealed, cuts) == text
    assert open_body(KEY, sealed) == text


def test_flushed_data_opens_before_the_body_ends() -> None:
    encryptor = BodyEncryptor(KEY, salt=SALT, record_size=64)
    machine = BodyDecryptor(KEY)
    machine.feed(encryptor.flush())
    assert machine.next_event() is NEED_DATA
    machine.feed(encryptor.feed(b"data: 1\n\n") + encryptor.flush())
    assert machine.next_event() == b"data: 1\n\n"
    assert machine.next_event() is NEED_DATA
    assert encryptor.flush() == b""
    machine.feed(encryptor.finish())
    machine.finish()
    assert machine.next_event() is END


def test_decryptor_holds_less_than_one_record_between_feeds() -> None:
    sealed = seal_body(KEY, b"x" * 5000, salt=SALT, record_size=128)
    machine = BodyDecryptor(KEY)
    for byte in sealed:
        machine.feed(bytes([byte]))
        while isinstance(machine.next_event(), bytes):
            pass
        assert len(machine._buffer) <= 128


@given(bit=st.integers(0, 8 * (HEADER_BYTES + 3 * 40) - 1))
def test_any_one_bit_change_of_a_body_is_refused(bit: int) -> None:
    sealed = seal_body(KEY, b"y" * (23 * 3), salt=SALT, record_size=40)
    changed = (int.from_bytes(sealed, "big") ^ (1 << bit)).to_bytes(len(sealed), "big")
    with pytest.raises(BodyUndecryptable):
        open_body(KEY, changed)
    with pytest.raises(BodyUndecryptable):
        open_in_pieces(changed, [33])


@given(st.binary(max_size=200), st.integers(1, 60))
def test_any_bytes_are_refused_with_the_declared_error(body: bytes, step: int) -> None:
    with pytest.raises(BodyUndecryptable):
        open_body(KEY, body)
    with pytest.raises(BodyUndecryptable):
        open_in_pieces(body, [step])


@pytest.mark.parametrize("length", range(len(seal_body(KEY, TEXT[:60], salt=SALT, record_size=40))))
def test_body_cut_at_any_byte_is_refused(length: int) -> None:
    body = seal_body(KEY, TEXT[:60], salt=SALT, record_size=40)[:length]
    with pytest.raises(BodyUndecryptable):
        open_body(KEY, body)
    with pytest.raises(BodyUndecryptable):
        open_in_pieces(body, [7])


FULL = b"a" * 23 + b"\x01"


@pytest.mark.parametrize(
    "records",
    [
        [],
        [FULL],
        [FULL, FULL],
        [b"short\x01"],
        [b"short\x01", b"end\x02"],
        [b"a" * 23 + b"\x02", b"more\x02"],
        [b"end\x02", b"end\x02"],
        [FULL, b""],
        [bytes(24)],
        [b"a" * 23 + b"\x03"],
        [b"a\x03"],
        [FULL, b"a" * 24 + b"\x02"],
    ],
    ids=lambda records: f"{len(records)}-records",
)
def test_missing_early_wrong_or_doubled_last_record_is_refused(records: list[bytes]) -> None:
    body = records_of(records, 40)
    with pytest.raises(BodyUndecryptable):
        open_body(KEY, body)
    with pytest.raises(BodyUndecryptable):
        open_in_pieces(body, [11])


@pytest.mark.parametrize(
    "records",
    [[b"\x02"], [FULL, b"\x02"], [b"a\x01" + bytes(22), b"b\x02" + bytes(5)], [b"\x01" + bytes(23), b"c\x02"]],
)
def test_padding_and_an_empty_last_record_are_fine(records: list[bytes]) -> None:
    body = records_of(records, 40)
    expected = b"".join(record.rstrip(b"\x00")[:-1] for record in records)
    assert open_body(KEY, body) == expected == open_in_pieces(body, [5])


def test_records_in_another_order_are_refused() -> None:
    body = seal_body(KEY, b"a" * 23 + b"b" * 23 + b"c", salt=SALT, record_size=40)
    first, second = body[21:61], body[61:101]
    with pytest.raises(BodyUndecryptable):
        open_body(KEY, body[:21] + second + first + body[101:])


def test_tag_cut_short_is_refused_at_every_length() -> None:
    body = seal_body(KEY, b"secret", salt=SALT)
    for missing in range(1, 17):
        with pytest.raises(BodyUndecryptable):
            open_body(KEY, body[:-missing])


def test_key_id_inside_the_body_is_refused() -> None:
    theirs = http_ece.encrypt(b"text", salt=SALT, key=KEY, keyid="a1")
    with pytest.raises(BodyUndecryptable):
        open_body(KEY, theirs)
    with pytest.raises(BodyUndecryptable):
        open_in_pieces(theirs, [64])


@pytest.mark.parametrize("record_size", [0, 17, 65_537, 2**32 - 1])
def test_record_size_outside_the_limits_is_refused(record_size: int) -> None:
    body = records_of([b"x\x02"], record_size)
    with pytest.raises(BodyUndecryptable):
        open_body(KEY, body)
    with pytest.raises(BodyUndecryptable):
        open_in_pieces(body, [64])
    with pytest.raises(ValueError):
        seal_body(KEY, b"x", salt=SALT, record_size=record_size)


def test_limits_are_the_callers() -> None:
    body = seal_body(KEY, b"x", salt=SALT, record_size=100)
    assert open_body(KEY, body, limits=BodyLimits(100, 100)) == b"x"
    with pytest.raises(BodyUndecryptable):
        open_body(KEY, body, limits=BodyLimits(101, 200))
    with pytest.raises(ValueError):
        BodyLimits(17, 100)
    with pytest.raises(ValueError):
        BodyLimits(200, 100)


def test_decryptor_stays_refused_after_the_first_fault() -> None:
    machine = BodyDecryptor(KEY)
    machine.feed(bytes(200))
    machine.finish()
    with pytest.raises(BodyUndecryptable):
        machine.next_event()
    with pytest.raises(BodyUndecryptable):
        machine.next_event()
    with pytest.raises(BodyUndecryptable):
        machine.feed(b"")


def test_refusal_never_says_why() -> None:
    texts = set()
    for body in (b"", bytes(60), seal_body(KEY, b"x", salt=SALT)[:-1], records_of([b"x\x01"], 40)):
        with pytest.raises(BodyUndecryptable) as refusal:
            open_body(KEY, body)
        texts.add(str(refusal.value))
    assert len(texts) == 1


def test_finished_encryptor_and_short_salt_are_refused() -> None:
    encryptor = BodyEncryptor(KEY, salt=SALT)
    encryptor.finish()
    with pytest.raises(ValueError):
        encryptor.finish()
    with pytest.raises(ValueError):
        BodyEncryptor(KEY, salt=SALT[:-1])
