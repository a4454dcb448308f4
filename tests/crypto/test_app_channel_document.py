"""The worked example of `docs/app-channel.md`: recomputed from its inputs, found there to the letter, and accepted.

Only the sealed content key is written down rather than made: HPKE draws fresh randomness for each. It must open.
"""

import base64
from pathlib import Path

import pytest
from haetae_crypto.app_channel import (
    DeviceKey,
    allowed_components,
    app_signature_base,
    check_window,
    parse_app_signature,
    verify_app_signature,
)
from haetae_crypto.b64url import b64url_encode
from haetae_crypto.body import open_body, seal_body
from haetae_crypto.content_key import content_key_info, open_content_key
from haetae_crypto.digest import content_digest, verify_content_digest
from haetae_crypto.errors import BodyUndecryptable, ContentKeyInvalid, SignatureInvalid
from haetae_crypto.gateway_keys import CLASSIC, new_gateway_ring
from haetae_crypto.keys import hkdf_expand, hkdf_extract, request_key, response_key
from haetae_crypto.message_signature import format_signature
from haetae_crypto.replay import Window
from haetae_crypto.signing_keys import SigningKey

from tests.crypto.app_requests import FakeRequest

DOCUMENT = Path(__file__).parents[2] / "docs" / "app-channel.md"
KEYID, KID, CREATED = "dev_7Qx2", "app-example", 1_763_800_000
DEVICE = SigningKey.from_seed(bytes(range(0x20)), kid=KEYID)
RING = new_gateway_ring(bytes(range(0x20, 0x40)), kid=KID, now=CREATED, kem=CLASSIC)
CONTENT_KEY = bytes(range(0x40, 0x60))
REQUEST_SALT, RESPONSE_SALT = bytes(range(0x60, 0x70)), bytes(range(0x70, 0x80))
NONCE = b64url_encode(bytes(range(0x80, 0x90)))
PLAIN = b'{"to":"u-1001","amount":10}'
ANSWER = b'{"id":"tr-1","state":"done"}'
SEALED = (
    "RjTr37jzqfS4H4zxLr356x84z6vJZbuWFxBioXmfOlUfTaAlZR6QJrkUQZ08+2HbB1jzsw8+3fV5E6x+"
    "cmhCNYzgpOgfqjq9U2nvIBk5lghyAs6ombdk1g=="
)
HAETAE_KEY = f':{SEALED}:;kid="{KID}";v=1'
BODY = seal_body(request_key(CONTENT_KEY), PLAIN, salt=REQUEST_SALT)
SEALED_ANSWER = seal_body(response_key(CONTENT_KEY, nonce=NONCE), ANSWER, salt=RESPONSE_SALT)
COVERED = (
    *("@method", "@authority", "@path", "@query"),
    *("content-digest", "content-type", "content-encoding", "haetae-key", "authorization"),
)
PARAMETERS = f';created={CREATED};expires={CREATED + 20};nonce="{NONCE}";keyid="{KEYID}";alg="ed25519";tag="haetae-app"'


def unsigned() -> FakeRequest:
    fields = {
        "accept-encoding": "aes128gcm",
        "authorization": "Bearer example-access-token",
        "content-digest": content_digest(BODY),
        "content-encoding": "aes128gcm",
        "content-type": "application/json",
        "haetae-key": HAETAE_KEY,
    }
    return FakeRequest(
        authority="app.haetae.test",
        path="/api/v1/transfers",
        query="dry=1",
        fields={name: [value] for name, value in fields.items()},
    )


def signed() -> FakeRequest:
    request = unsigned()
    covered = allowed_components([(name, {}) for name in COVERED])
    text = covered.text + PARAMETERS
    signature_input, signature = format_signature("app", text, DEVICE.sign(app_signature_base(request, covered, text)))
    request.fields |= {"signature-input": [signature_input], "signature": [signature]}
    return request


def wrapped(data: bytes) -> str:
    text = data.hex()
    return "\n".join(text[at : at + 64] for at in range(0, len(text), 64))


def blocks() -> dict[str, str]:
    """Every block of the example, by what it shows."""
    request = signed()
    prk = hkdf_extract(REQUEST_SALT, request_key(CONTENT_KEY))
    head = ["POST /api/v1/transfers?dry=1 HTTP/1.1", "Host: app.haetae.test"]
    head += [f"{name.title()}: {lines[0]}" for name, lines in request.fields.items()]
    head.append(f"Content-Length: {len(BODY)}")
    public = DEVICE.public
    return {
        "inputs": "\n".join(
            [
                f"device key, Ed25519 seed   {bytes(range(0x20)).hex()}",
                f"  public JWK x             {public.members['x']}",
                f"  thumbprint (cnf.jkt)     {public.thumbprint}",
                f"gateway key, X25519 secret {bytes(range(0x20, 0x40)).hex()}",
                f"  public_key               {b64url_encode(RING.active(now=CREATED).key.public.raw)}",
                f"content key CK             {CONTENT_KEY.hex()}",
                f"salt of the request body   {REQUEST_SALT.hex()}",
                f"salt of the answer         {RESPONSE_SALT.hex()}",
                f"nonce                      {NONCE}",
                f"plaintext of the request   {PLAIN.decode()}",
                f"plaintext of the answer    {ANSWER.decode()}",
            ]
        ),
        "content key": "\n".join(
            [
                "info",
                wrapped(content_key_info(kid=KID, keyid=KEYID)),
                "plaintext",
                wrapped(CREATED.to_bytes(8, "big") + CONTENT_KEY),
                "enc || ct, base64",
                SEALED,
            ]
        ),
        "request keys": "\n".join(
            [
                f"IKM_req  {request_key(CONTENT_KEY).hex()}",
                f"CEK      {hkdf_expand(prk, b'Content-Encoding: aes128gcm' + bytes(1), 16).hex()}",
                f"NONCE    {hkdf_expand(prk, b'Content-Encoding: nonce' + bytes(1), 12).hex()}",
            ]
        ),
        "request body": wrapped(BODY),
        "base": parse_app_signature(request).base.decode("ascii"),
        "head": "\n".join(head),
        "answer": f"IKM_res  {response_key(CONTENT_KEY, nonce=NONCE).hex()}\nbody\n{wrapped(SEALED_ANSWER)}",
    }


@pytest.mark.parametrize("name", blocks())
def test_document_shows_exactly_what_the_code_computes(name: str) -> None:
    assert f"```text\n{blocks()[name]}\n```\n" in DOCUMENT.read_text(encoding="utf-8")


def test_gateway_accepts_the_example_and_opens_it() -> None:
    request = signed()
    unverified = parse_app_signature(request)
    check_window(unverified, now=CREATED + 1, window=Window())
    verify_content_digest(request.fields["content-digest"], BODY)
    verified = verify_app_signature(unverified, DeviceKey.from_jwk(KEYID, "ed25519", DEVICE.public.to_dict()))
    assert verified.covered == COVERED
    key = open_content_key(HAETAE_KEY, ring=RING, keyid=verified.keyid, now=CREATED + 1)
    assert open_body(key.request_key, BODY) == PLAIN
    assert open_body(key.response_key(nonce=verified.nonce), SEALED_ANSWER) == ANSWER


def test_no_part_of_the_example_stands_alone() -> None:
    with pytest.raises(ContentKeyInvalid):
        open_content_key(HAETAE_KEY, ring=RING, keyid="dev_other", now=CREATED)
    with pytest.raises(BodyUndecryptable):
        open_body(request_key(CONTENT_KEY), SEALED_ANSWER)
    key = DeviceKey.from_jwk(KEYID, "ed25519", DEVICE.public.to_dict())
    for name in COVERED[4:]:
        changed = signed()
        changed.fields[name] = [changed.fields[name][0] + "x"]
        with pytest.raises(SignatureInvalid):
            verify_app_signature(parse_app_signature(changed), key)
    assert base64.b64decode(SEALED)[:32] != RING.active(now=CREATED).key.public.raw
