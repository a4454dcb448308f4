"""The app's side against the gateway's side: what one prepares, the other reads, and the reverse."""

import itertools

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from haetae_crypto.app_channel import DeviceKey, check_window, parse_app_signature, verify_app_signature
from haetae_crypto.body import END, open_body, seal_body
from haetae_crypto.client import AppClient, PreparedRequest
from haetae_crypto.content_key import ContentKey, ContentKeyOpener
from haetae_crypto.digest import verify_content_digest
from haetae_crypto.errors import BodyUndecryptable, KeyFormatInvalid, SignatureInvalid
from haetae_crypto.gateway_keys import CLASSIC, new_gateway_ring
from haetae_crypto.jwk import private_jwk_of
from haetae_crypto.replay import Window
from hypothesis import given
from hypothesis import strategies as st

from tests.crypto.app_requests import DEVICE, DEVICE_KEY, NOW, request_of

RING = new_gateway_ring(b"\x09" * 32, kid="g1", now=NOW - 1000, kem=CLASSIC)
GATEWAY_KEY = RING.active(now=NOW).key.public
URL = "https://Bank.Example:443/v1/transfers?a=1"
AES = [("Content-Encoding", "aes128gcm")]


def make_client(*, encrypted: bool = True) -> AppClient:
    counter = itertools.count()
    return AppClient(
        keyid="dev_7Qx",
        device_key=DEVICE.jwk,
        gateway_key=GATEWAY_KEY if encrypted else None,
        random_bytes=lambda size: next(counter).to_bytes(size, "big"),
    )


def content_key_of(prepared: PreparedRequest) -> ContentKey:
    header = dict(prepared.headers)["haetae-key"]
    return ContentKeyOpener(RING).open(header, keyid="dev_7Qx", now=NOW)


def test_gateway_verifies_and_opens_what_the_app_prepared() -> None:
    prepared = make_client().prepare(
        "POST", URL, now=NOW, headers=[("Content-Type", "application/json")], body=b'{"to":"bob"}', token="t.o.k"
    )
    request = request_of(prepared)
    unverified = parse_app_signature(request)
    check_window(unverified, now=NOW, window=Window())
    verified = verify_app_signature(unverified, DEVICE_KEY)
    assert {"content-digest", "content-type", "content-encoding", "haetae-key", "authorization"} <= set(
        verified.covered
    )
    assert verified.nonce == prepared.nonce
    assert prepared.body is not None
    verify_content_digest(request.field_lines("content-digest"), prepared.body)
    assert open_body(content_key_of(prepared).request_key, prepared.body) == b'{"to":"bob"}'
    assert (prepared.scheme, prepared.authority, prepared.target) == ("https", "bank.example", "/v1/transfers?a=1")
    assert request.fields["accept-encoding"] == ["aes128gcm"]


def test_p256_app_and_plain_app_are_read_too() -> None:
    private = private_jwk_of(ec.derive_private_key(3, ec.SECP256R1()))
    client = AppClient(keyid="dev_p", device_key=private, gateway_key=None, random_bytes=bytes)
    prepared = client.prepare("PUT", URL, now=NOW, body=b"plain")
    key = DeviceKey.from_jwk("dev_p", "ecdsa-p256-sha256", private.public.to_dict())
    verify_app_signature(parse_app_signature(request_of(prepared)), key)
    assert prepared.body == b"plain"
    assert not {"haetae-key", "content-encoding"} & set(dict(prepared.headers))


def test_request_without_body_has_no_digest_but_asks_for_an_encrypted_answer() -> None:
    prepared = make_client().prepare("GET", "http://bank.example:80", now=NOW)
    verify_app_signature(parse_app_signature(request_of(prepared)), DEVICE_KEY)
    assert prepared.body is None
    assert (prepared.authority, prepared.target) == ("bank.example", "/")
    assert "content-digest" not in dict(prepared.headers)
    assert "haetae-key" in dict(prepared.headers)


def test_every_prepared_request_has_its_own_nonce_and_salt_but_one_content_key() -> None:
    client = make_client()
    first, second = (client.prepare("POST", URL, now=NOW, body=b"same") for _ in range(2))
    assert first.nonce != second.nonce
    assert first.body != second.body
    assert dict(first.headers)["haetae-key"] == dict(second.headers)["haetae-key"]


def test_content_key_is_sealed_anew_before_it_is_too_old() -> None:
    client = make_client()
    first = dict(client.prepare("GET", URL, now=NOW).headers)["haetae-key"]
    assert dict(client.prepare("GET", URL, now=NOW + 839).headers)["haetae-key"] == first
    assert dict(client.prepare("GET", URL, now=NOW + 840).headers)["haetae-key"] != first


def test_answer_opens_whole_and_streamed_and_only_with_its_own_nonce() -> None:
    client = make_client()
    prepared, other = client.prepare("GET", URL, now=NOW), client.prepare("GET", URL, now=NOW)
    key = content_key_of(prepared).response_key(nonce=prepared.nonce)
    answer = seal_body(key, b"balance 7", salt=bytes(16))
    opened = prepared.opener.open(200, AES, answer)
    assert (opened.body, opened.encrypted) == (b"balance 7", True)
    stream = prepared.opener.streaming(200, AES)
    assert stream is not None
    stream.feed(answer)
    stream.finish()
    assert [stream.next_event(), stream.next_event()] == [b"balance 7", END]
    with pytest.raises(BodyUndecryptable):
        other.opener.open(200, AES, answer)


def test_answer_is_not_sealed_with_the_request_key() -> None:
    prepared = make_client().prepare("GET", URL, now=NOW)
    answer = seal_body(content_key_of(prepared).request_key, b"echo", salt=bytes(16))
    with pytest.raises(BodyUndecryptable):
        prepared.opener.open(200, AES, answer)


@pytest.mark.parametrize(
    ("status", "headers", "accepted"),
    [
        (200, [], False),
        (302, [], False),
        (200, [("content-encoding", "gzip")], False),
        (400, [], True),
        (503, [("content-encoding", "gzip")], True),
        (400, [("content-encoding", "aes128gcm, gzip")], False),
        (400, [("content-encoding", "aes128gcm"), ("content-encoding", "gzip")], False),
        (204, [], True),
        (304, [], True),
    ],
)
def test_plain_answer_is_accepted_only_as_a_refusal(
    status: int, headers: list[tuple[str, str]], accepted: bool
) -> None:
    prepared = make_client().prepare("GET", URL, now=NOW)
    if accepted:
        assert prepared.opener.open(status, headers, b"").encrypted is False
    else:
        with pytest.raises(BodyUndecryptable):
            prepared.opener.open(status, headers, b"plain")


def test_head_has_no_body_and_plain_client_refuses_what_it_cannot_open() -> None:
    assert make_client().prepare("HEAD", URL, now=NOW).opener.open(200, AES, b"").body == b""
    plain = make_client(encrypted=False).prepare("GET", URL, now=NOW)
    assert plain.opener.open(200, [], b"ok").body == b"ok"
    with pytest.raises(BodyUndecryptable):
        plain.opener.open(200, AES, b"x")


def test_client_corrects_its_clock_from_the_gateways_date() -> None:
    client = make_client()
    wrong = NOW - 3600.0
    client.prepare("GET", URL, now=wrong)
    assert client.learn_from("clock-skew", [("Date", "Sat, 22 Nov 2025 08:26:40 GMT")], now=wrong)
    prepared = client.prepare("GET", URL, now=wrong)
    check_window(parse_app_signature(request_of(prepared)), now=NOW, window=Window())
    assert content_key_of(prepared).created == NOW


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("date", "soon")],
        [("date", "")],
        [("date", "Sat, 22 Nov 2025 08:26:40 GMT")] * 2,
        [("date", "Sat, 22 Nov 2036 08:26:40 GMT")],
        [("date", "Sat, 22 Nov 99999999999 08:26:40 GMT")],
    ],
    ids=["none", "words", "empty", "two", "far", "absurd"],
)
def test_date_that_cannot_be_believed_changes_nothing(headers: list[tuple[str, str]]) -> None:
    client = make_client()
    assert not client.learn_from("clock-skew", headers, now=NOW)
    assert client.clock_offset == 0.0


def test_refused_content_key_is_dropped_and_a_new_gateway_key_is_used() -> None:
    client = make_client()
    first = dict(client.prepare("GET", URL, now=NOW).headers)["haetae-key"]
    assert client.learn_from("content-key-invalid", [], now=NOW)
    assert dict(client.prepare("GET", URL, now=NOW).headers)["haetae-key"] != first
    ring = new_gateway_ring(b"\x0a" * 32, kid="g2", now=NOW, kem=CLASSIC)
    client.use_gateway_key(ring.active(now=NOW).key.public)
    assert 'kid="g2"' in dict(client.prepare("GET", URL, now=NOW).headers)["haetae-key"]


@pytest.mark.parametrize("code", ["signature-invalid", "replayed", "blocked", ""])
def test_other_refusals_are_no_reason_to_try_again(code: str) -> None:
    assert not make_client().learn_from(code, [("date", "Sat, 22 Nov 2025 08:26:40 GMT")], now=NOW)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/v1/x",
        "ftp://bank.example/",
        "https://",
        "https:///x",
        "https://me@bank.example/",
        "https://bank.example/#top",
        "https://bank.example/a b",
        "https://bank.example/é",
        "https://bank.example/\r\nHost: x",
        "https://bank.example\\@evil.example/",
    ],
)
def test_url_that_two_readers_could_see_differently_is_refused(url: str) -> None:
    with pytest.raises(SignatureInvalid):
        make_client().prepare("GET", url, now=NOW)


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "x")],
        [("Content-Encoding", "gzip")],
        [("Content-Length", "1")],
        [("Signature", "x")],
        [("X-A", "1"), ("x-a", "2")],
        [("X-A", "1\r\nX-B: 2")],
        [("X A", "1")],
        [("", "1")],
        [("X-A", "é")],
    ],
)
def test_header_that_belongs_to_the_channel_or_breaks_it_is_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(SignatureInvalid):
        make_client().prepare("GET", URL, now=NOW, headers=headers)


def test_token_that_breaks_the_line_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        make_client().prepare("GET", URL, now=NOW, token="a\r\nX: y")


def test_malformed_device_key_id_is_refused() -> None:
    with pytest.raises(KeyFormatInvalid):
        AppClient(keyid="../x", device_key=DEVICE.jwk, gateway_key=None, random_bytes=bytes)


@given(
    path=st.text(alphabet="abc/%2F.~-_:;=&+,!'()*[]|\\^`{}\"<>", max_size=20),
    query=st.none() | st.text(alphabet='a=&?%/+[]\\"', max_size=12),
    body=st.none() | st.binary(max_size=60),
)
def test_any_prepared_request_verifies_with_the_same_bytes(path: str, query: str | None, body: bytes | None) -> None:
    target = f"/{path}" + ("" if query is None else f"?{query}")
    prepared = make_client().prepare("POST", f"https://bank.example{target}", now=NOW, body=body)
    assert prepared.target == target
    request = request_of(prepared)
    verify_app_signature(parse_app_signature(request), DEVICE_KEY)
    request.path += "x"
    with pytest.raises(SignatureInvalid):
        verify_app_signature(parse_app_signature(request), DEVICE_KEY)
