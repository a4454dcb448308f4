"""The signature profile: what a device must cover, and one accepted language for two ways of reading."""

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from haetae_crypto import app_channel
from haetae_crypto.app_channel import (
    DeviceKey,
    UnverifiedSignature,
    check_window,
    parse_app_signature,
    verify_app_signature,
)
from haetae_crypto.components import Message, signature_base
from haetae_crypto.errors import ClockSkew, KeyFormatInvalid, SignatureInvalid, SignatureMissing
from haetae_crypto.jwk import public_jwk_of
from haetae_crypto.message_signature import parse_signatures
from haetae_crypto.replay import Window
from haetae_crypto.signature_algorithms import sign_p256
from haetae_crypto.signing_keys import SigningKey
from hypothesis import given
from hypothesis import strategies as st

from tests.crypto.app_requests import (
    COVERED,
    DEVICE,
    DEVICE_KEY,
    NONCE,
    NOW,
    PARAMETERS,
    SIGNATURE,
    FakeRequest,
    signed_request,
)


def properly_signed(request: FakeRequest, key: SigningKey = DEVICE) -> FakeRequest:
    base = parse_app_signature(request).base
    request.fields["signature"] = [f"app=:{base64.b64encode(key.sign(base)).decode()}:"]
    return request


def test_signature_of_the_registered_device_verifies() -> None:
    verified = verify_app_signature(parse_app_signature(properly_signed(signed_request())), DEVICE_KEY)
    assert (verified.keyid, verified.nonce, verified.alg) == ("dev_7Qx", NONCE, "ed25519")
    assert (verified.created, verified.expires) == (NOW, NOW + 20)
    assert verified.thumbprint == DEVICE.public.thumbprint
    assert verified.covered[:2] == ("@method", "@authority")


def test_p256_device_verifies_too() -> None:
    private = ec.derive_private_key(77, ec.SECP256R1())
    jwk = public_jwk_of(private.public_key()).to_dict()
    key = DeviceKey.from_jwk("dev_7Qx", "ecdsa-p256-sha256", jwk)
    request = signed_request(parameters=PARAMETERS.replace("ed25519", "ecdsa-p256-sha256"))
    unverified = parse_app_signature(request)
    signature = sign_p256(private, unverified.base)
    assert verify_app_signature(replace(unverified, signature=signature), key).alg == "ecdsa-p256-sha256"


def test_base_is_the_one_rfc_9421_prescribes() -> None:
    base = parse_app_signature(signed_request()).base.decode()
    assert base.splitlines() == [
        '"@method": POST',
        '"@authority": bank.example',
        '"@path": /v1/transfers',
        '"@query": ?a=1',
        '"content-digest": sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:',
        '"content-type": application/json',
        '"content-encoding": aes128gcm',
        '"haetae-key": :AAAA:;kid="g1";v=1',
        '"authorization": Bearer token',
        f'"@signature-params": {COVERED}{PARAMETERS}',
    ]


@pytest.mark.parametrize(("query", "line"), [(None, "?"), ("", "?"), ("a=%20&b", "?a=%20&b")])
def test_query_line_keeps_the_bytes_of_the_target(query: str | None, line: str) -> None:
    request = signed_request()
    request.query = query
    assert f'\n"@query": {line}\n'.encode() in parse_app_signature(request).base


def change_field(name: str, *values: str) -> Callable[[FakeRequest], None]:
    def change(request: FakeRequest) -> None:
        request.fields[name] = list(values)

    return change


def change_attribute(name: str, value: object) -> Callable[[FakeRequest], None]:
    return lambda request: setattr(request, name, value)


@pytest.mark.parametrize(
    "change",
    [
        change_attribute("method", "PUT"),
        change_attribute("authority", "evil.example"),
        change_attribute("path", "/v1/transfers/"),
        change_attribute("path", "/v1/%74ransfers"),
        change_attribute("query", "a=2"),
        change_attribute("query", None),
        change_field("content-digest", "sha-256=:AAAA:"),
        change_field("content-type", "text/plain"),
        change_field("authorization", "Bearer other"),
        change_field("haetae-key", ':AAAB:;kid="g1";v=1'),
    ],
)
def test_change_of_a_covered_fact_breaks_the_signature(change: Callable[[FakeRequest], None]) -> None:
    request = properly_signed(signed_request())
    change(request)
    with pytest.raises(SignatureInvalid):
        verify_app_signature(parse_app_signature(request), DEVICE_KEY)


@pytest.mark.parametrize("name", ["content-digest", "content-type", "content-encoding", "haetae-key", "authorization"])
def test_required_field_left_uncovered_is_refused(name: str) -> None:
    with pytest.raises(SignatureInvalid):
        parse_app_signature(signed_request(COVERED.replace(f' "{name}"', "")))


@pytest.mark.parametrize("name", ["@method", "@authority", "@path", "@query"])
def test_required_derived_component_left_uncovered_is_refused(name: str) -> None:
    with pytest.raises(SignatureInvalid):
        parse_app_signature(signed_request(COVERED.replace(f'"{name}" ', "")))


@pytest.mark.parametrize("name", ["content-type", "content-encoding", "haetae-key", "authorization", "x-more"])
def test_covered_field_that_is_absent_or_doubled_is_refused(name: str) -> None:
    request = signed_request(COVERED.replace(")", ' "x-more")'))
    request.fields["x-more"] = ["1"]
    parse_app_signature(request)
    value = request.fields[name][0]
    request.fields[name] = [value, value]
    with pytest.raises(SignatureInvalid):
        parse_app_signature(request)
    del request.fields[name]
    with pytest.raises(SignatureInvalid):
        parse_app_signature(request)


def test_doubled_accept_field_is_joined() -> None:
    request = signed_request(COVERED.replace(")", ' "accept")'))
    request.fields["accept"] = ["a/b", " c/d "]
    assert b'"accept": a/b, c/d\n' in parse_app_signature(request).base


def test_request_without_body_needs_no_digest() -> None:
    request = signed_request('("@method" "@authority" "@path" "@query")')
    request.fields = {name: request.fields[name] for name in ("signature", "signature-input")}
    request.has_body = False
    assert parse_app_signature(request).covered == ("@method", "@authority", "@path", "@query")


@pytest.mark.parametrize(
    "covered",
    [
        COVERED.replace('"@method"', '"@METHOD"'),
        COVERED.replace('"@method"', '"@method" "@method"'),
        COVERED.replace('"content-type"', '"Content-Type"'),
        COVERED.replace('"content-type"', '"content-type";sf'),
        COVERED.replace('"content-digest"', '"content-digest";key="sha-256"'),
        COVERED.replace('"content-type"', '"content-type";bs'),
        COVERED.replace('"content-type"', '"content-type";req'),
        COVERED.replace('"content-type"', '"content-type";tr'),
        COVERED.replace('"@method"', '"@method" "@target-uri"'),
        COVERED.replace('"@method"', '"@method" "@status"'),
        COVERED.replace('"@method"', '"@method" "@unknown"'),
        COVERED.replace('"@method"', '"@method" "@query-param";name="a"'),
        COVERED.replace('"@method"', '"@method" "@signature-params"'),
        COVERED.replace('"@method"', '"@method" ""'),
        COVERED.replace('"@method"', '"@method" "a b"'),
        COVERED.replace('"@method"', "@method"),
        COVERED.replace('"@method"', '"@method" 1'),
        COVERED.replace(")", "".join(f' "x-{index}"' for index in range(40)) + ")"),
        COVERED[:-1],
        "",
        "()",
        "?1",
    ],
    ids=lambda covered: f"{len(covered)}-characters",
)
def test_component_list_outside_the_profile_is_refused(covered: str) -> None:
    request = signed_request(covered)
    request.fields |= {f"x-{index}": ["1"] for index in range(40)} | {"": ["1"], "a b": ["1"]}
    with pytest.raises(SignatureInvalid):
        parse_app_signature(request)


@pytest.mark.parametrize(
    "change",
    [
        (f";created={NOW}", ""),
        (f";expires={NOW + 20}", ""),
        (f';nonce="{NONCE}"', ""),
        (';keyid="dev_7Qx"', ""),
        (f"created={NOW}", f'created="{NOW}"'),
        (f"created={NOW}", f"created={NOW}.0"),
        (f"created={NOW}", "created"),
        (f"created={NOW}", f"created=@{NOW}"),
        (f"created={NOW}", "created=1000000000000000"),
        (NONCE, "short"),
        (NONCE, "n" * 65),
        (NONCE, NONCE + "="),
        (NONCE, NONCE + "+"),
        (NONCE, NONCE + " "),
        (f'"{NONCE}"', f":{NONCE}==:"),
        ('"dev_7Qx"', '""'),
        ('"dev_7Qx"', '"../7Qx"'),
        ('"dev_7Qx"', '"a/b"'),
        ('"dev_7Qx"', f'"{"d" * 129}"'),
        ('"dev_7Qx"', "dev_7Qx"),
        ('alg="ed25519"', "alg=ed25519"),
        ('alg="ed25519"', "alg=1"),
        (";alg", ";unknown=1;alg"),
        (f";created={NOW}", f";created={NOW};created={NOW}"),
        (";tag", ';tag="other";tag'),
        ('"haetae-app"', "haetae-app"),
    ],
)
def test_signature_parameter_outside_the_profile_is_refused(change: tuple[str, str]) -> None:
    parameters = PARAMETERS.replace(*change)
    assert parameters != PARAMETERS
    with pytest.raises(SignatureInvalid):
        parse_app_signature(signed_request(parameters=parameters))


def test_unsigned_request_is_told_apart_from_a_badly_signed_one() -> None:
    with pytest.raises(SignatureMissing):
        parse_app_signature(FakeRequest())
    with pytest.raises(SignatureMissing):
        parse_app_signature(signed_request(parameters=PARAMETERS.replace("haetae-app", "other")))
    for name in ("signature", "signature-input"):
        request = signed_request()
        del request.fields[name]
        with pytest.raises(SignatureInvalid) as refusal:
            parse_app_signature(request)
        assert not isinstance(refusal.value, SignatureMissing)


def with_second(input_member: str, signature_member: str) -> FakeRequest:
    request = signed_request()
    request.fields["signature-input"].append(input_member)
    request.fields["signature"].append(signature_member)
    return request


def test_signatures_with_other_tags_are_ignored_whatever_their_labels() -> None:
    request = with_second('proxy=("@method");created=1;tag="edge"', f"proxy={SIGNATURE}")
    assert parse_app_signature(request) == parse_app_signature(signed_request())
    renamed = signed_request()
    renamed.fields["signature-input"][0] = renamed.fields["signature-input"][0].replace("app=", "sig9=", 1)
    renamed.fields["signature"] = [f"sig9={SIGNATURE}"]
    assert parse_app_signature(renamed).signature == bytes(range(64))


@pytest.mark.parametrize(
    ("input_member", "signature_member"),
    [
        (f"two={COVERED}{PARAMETERS}", f"two={SIGNATURE}"),
        ('two=("@method");tag="other"', f"three={SIGNATURE}"),
        ('two=("@method");tag="other"', "two=1"),
        ("two=1", f"two={SIGNATURE}"),
        (f"app={COVERED}{PARAMETERS}", f"app={SIGNATURE}"),
        ('two=("@method");tag="other"', f"two={SIGNATURE};x=1"),
        ("!", f"two={SIGNATURE}"),
    ],
)
def test_second_signature_that_confuses_is_refused(input_member: str, signature_member: str) -> None:
    with pytest.raises(SignatureInvalid):
        parse_app_signature(with_second(input_member, signature_member))


@pytest.mark.parametrize(
    "value", ["Bearer caf\xe9", "Bearer a\nb", "Bearer a\r\nx: y", "Bearer \x00", "a\x7f", "\ud800"]
)
def test_covered_value_that_cannot_stand_on_one_ascii_line_is_refused(value: str) -> None:
    request = signed_request()
    request.fields["authorization"] = [value]
    with pytest.raises(SignatureInvalid):
        parse_app_signature(request)
    request = signed_request()
    request.path = value
    with pytest.raises(SignatureInvalid):
        parse_app_signature(request)


def test_key_of_another_id_algorithm_or_owner_does_not_verify() -> None:
    unverified = parse_app_signature(properly_signed(signed_request()))
    stranger = SigningKey.from_seed(b"\x22" * 32)
    private = ec.derive_private_key(77, ec.SECP256R1())
    for key in (
        DeviceKey.from_jwk("dev_7Qy", "ed25519", DEVICE.public.to_dict()),
        DeviceKey.from_jwk("dev_7Qx", "ed25519", stranger.public.to_dict()),
        DeviceKey.from_jwk("dev_7Qx", "ecdsa-p256-sha256", public_jwk_of(private.public_key()).to_dict()),
    ):
        with pytest.raises(SignatureInvalid):
            verify_app_signature(unverified, key)
    with pytest.raises(SignatureInvalid):
        verify_app_signature(replace(unverified, alg="ecdsa-p256-sha256"), DEVICE_KEY)
    verify_app_signature(replace(unverified, alg=None), DEVICE_KEY)


@pytest.mark.parametrize(
    ("keyid", "alg"),
    [("d", "hmac-sha256"), ("d", "ecdsa-p256-sha256"), ("d", "EdDSA"), ("", "ed25519"), ("..", "ed25519")],
)
def test_device_key_with_an_algorithm_or_id_that_does_not_fit_is_refused(keyid: str, alg: str) -> None:
    with pytest.raises(KeyFormatInvalid):
        DeviceKey.from_jwk(keyid, alg, DEVICE.public.to_dict())


@pytest.mark.parametrize(
    ("created", "expires", "now", "accepted"),
    [
        (0, 20, 0.0, True),
        (0, 20, -5.0, True),
        (0, 20, -5.1, False),
        (0, 20, 25.0, True),
        (0, 20, 25.1, False),
        (0, 30, 10.0, True),
        (0, 31, 10.0, False),
        (5, 5, 5.0, False),
        (20, 5, 10.0, False),
    ],
)
def test_window_accepts_exactly_what_the_page_says(created: int, expires: int, now: float, accepted: bool) -> None:
    signature = replace(parse_app_signature(signed_request()), created=NOW + created, expires=NOW + expires)
    if accepted:
        check_window(signature, now=NOW + now, window=Window())
    else:
        with pytest.raises(ClockSkew):
            check_window(signature, now=NOW + now, window=Window())


# Two ways of reading, one language.

PIECES = [
    *('"@method"', '"@path"', '"content-type"', '"x"', '"haetae-app"', '"'),
    *("app", "sig1", "created", "nonce", "keyid", "tag", "alg", "AAAA", "a=1"),
    *("1763800000", "01763800000", "-1", "0", "1.5", "?1", "@1"),
    *("=", "==", "(", ")", "()", " ", "  ", ";", "; ", ";sf", ",", ", ", ":", "*", "\\", "\t", "é"),
]


@st.composite
def mutated(draw: st.DrawFn, text: str) -> str:
    """`text` with up to three places cut, doubled or replaced by pieces of the grammar."""
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 12)))
        piece = draw(st.sampled_from(PIECES) | st.just(text[at:end] * 2) | st.text(max_size=3))
        text = text[:at] + piece + text[end:]
    return text


def outcome(read: Callable[[], UnverifiedSignature]) -> object:
    try:
        return read()
    except SignatureInvalid as refusal:
        return type(refusal)


@given(mutated(f"app={COVERED}{PARAMETERS}"), mutated(f"app={SIGNATURE}"))
def test_fast_and_general_reading_accept_the_same_language(input_text: str, signature_text: str) -> None:
    request = signed_request()
    request.fields["signature-input"] = [input_text]
    request.fields["signature"] = [signature_text]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app_channel, "_read_fast", lambda _input, _signature: None)
        general = outcome(lambda: parse_app_signature(request))
    assert outcome(lambda: parse_app_signature(request)) == general


@given(mutated(f"app={COVERED}{PARAMETERS}"))
def test_fast_reading_gives_the_base_of_the_general_core(input_text: str) -> None:
    request = signed_request()
    request.fields["signature-input"] = [input_text]
    try:
        ours = parse_app_signature(request)
    except SignatureInvalid:
        return
    message = Message(
        method=request.method,
        authority=request.authority,
        path=request.path,
        query=request.query,
        fields=request.fields,
    )
    found = parse_signatures([input_text], request.fields["signature"])[0]
    assert signature_base(found.components, found.parameters_text, message) == ours.base


def test_fast_reading_is_taken_for_the_spelling_clients_write() -> None:
    request = signed_request()
    lines = request.fields["signature-input"], request.fields["signature"]
    assert app_channel._read_fast(*lines) is not None
    spaced = [lines[0][0].replace('"@method" ', '"@method"  ')]
    assert app_channel._read_fast(spaced, lines[1]) is None
    request.fields["signature-input"] = spaced
    assert parse_app_signature(request) == parse_app_signature(signed_request())


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_in_the_fields_is_refused_with_the_declared_error(input_text: str, signature_text: str) -> None:
    request = signed_request()
    request.fields["signature-input"] = [input_text]
    request.fields["signature"] = [signature_text]
    with pytest.raises(SignatureInvalid):
        parse_app_signature(request)


def test_oversized_fields_are_refused() -> None:
    for name in ("signature-input", "signature"):
        request = signed_request()
        request.fields[name] = [request.fields[name][0] + " " * 9000]
        with pytest.raises(SignatureInvalid):
            parse_app_signature(request)
