"""The general part of RFC 9421: components, bases, and an independent implementation in both directions."""

from types import SimpleNamespace

import pytest
from freezegun import freeze_time
from haetae_crypto.components import Message, component_value, signature_base
from haetae_crypto.errors import SignatureInvalid
from haetae_crypto.message_signature import parse_signatures, sign_message, verify_message
from haetae_crypto.signature_algorithms import verify_ed25519
from haetae_crypto.signing_keys import SigningKey
from haetae_crypto.structured import Item
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, MappingKeyResolver, algorithms
from hypothesis import given
from hypothesis import strategies as st

KEY = SigningKey.from_seed(b"\x33" * 32, kid="k")
REQUEST = Message(
    method="POST",
    scheme="https",
    authority="www.example.com",
    path="/path",
    query="param=value&foo=bar&baz=batman&qux=&dup=1&dup=2&sp=a+b&pct=%2e%20%7e",
    request_target="/path?param=value",
    fields={
        "host": ["www.example.com"],
        "x-ows": ["  Leading and trailing.   "],
        "x-fold": ["Obsolete\r\n    line folding."],
        "cache-control": ["max-age=60", "    must-revalidate"],
        "x-empty": [""],
        "example-dict": ["  a=1,    b=2;x=1;y=2,   c=(a   b   c), d"],
        "x-bytes": ["caf\xe9", "b, c"],
    },
    structured={"example-dict": "dictionary", "x-item": "item"},
)
RESPONSE = Message(status=503, fields={"content-length": ["62"]}, request=REQUEST)


def verify(base: bytes, signature: bytes) -> None:
    verify_ed25519(KEY.public.raw_ed25519(), base, signature)


@pytest.mark.parametrize(
    ("name", "parameters", "value"),
    [
        ("@method", {}, "POST"),
        ("@scheme", {}, "https"),
        ("@authority", {}, "www.example.com"),
        ("@path", {}, "/path"),
        ("@request-target", {}, "/path?param=value"),
        ("@query-param", {"name": "baz"}, "batman"),
        ("@query-param", {"name": "qux"}, ""),
        ("@query-param", {"name": "sp"}, "a%20b"),
        ("@query-param", {"name": "pct"}, ".%20%7E"),
        ("x-ows", {}, "Leading and trailing."),
        ("x-fold", {}, "Obsolete line folding."),
        ("cache-control", {}, "max-age=60, must-revalidate"),
        ("x-empty", {}, ""),
        ("example-dict", {"sf": True}, "a=1, b=2;x=1;y=2, c=(a b c), d"),
        ("example-dict", {"key": "a"}, "1"),
        ("example-dict", {"key": "b"}, "2;x=1;y=2"),
        ("example-dict", {"key": "c"}, "(a b c)"),
        ("example-dict", {"key": "d"}, "?1"),
        ("cache-control", {"bs": True}, ":bWF4LWFnZT02MA==:, :bXVzdC1yZXZhbGlkYXRl:"),
        ("x-bytes", {"bs": True}, ":Y2Fm6Q==:, :YiwgYw==:"),
    ],
)
def test_component_has_the_value_of_section_2(name: str, parameters: dict[str, object], value: str) -> None:
    assert component_value(name, parameters, REQUEST) == value
    assert component_value(name, parameters | {"req": True}, RESPONSE) == value


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("x-absent", {}),
        ("@unknown", {}),
        ("@status", {}),
        ("@method", {"sf": True}),
        ("@method", {"req": True}),
        ("@query-param", {}),
        ("@query-param", {"name": "dup"}),
        ("@query-param", {"name": "none"}),
        ("@query-param", {"name": "baz", "sf": True}),
        ("x-ows", {"sf": True}),
        ("x-ows", {"name": "a"}),
        ("x-ows", {"key": "a"}),
        ("x-ows", {"tr": True}),
        ("x-ows", {"other": True}),
        ("x-ows", {"bs": 1}),
        ("example-dict", {"key": "none"}),
        ("example-dict", {"key": True}),
        ("example-dict", {"bs": True, "sf": True}),
        ("example-dict", {"bs": True, "key": "a"}),
    ],
)
def test_component_without_a_value_is_an_error(name: str, parameters: dict[str, object]) -> None:
    with pytest.raises(SignatureInvalid):
        component_value(name, parameters, REQUEST)


def test_response_components() -> None:
    assert component_value("@status", {}, RESPONSE) == "503"
    for name in ("@method", "@path", "@query"):
        with pytest.raises(SignatureInvalid):
            component_value(name, {}, RESPONSE)
    with pytest.raises(SignatureInvalid):
        component_value("@method", {"req": True}, Message(status=200))


def test_target_uri_and_empty_path() -> None:
    assert component_value("@target-uri", {}, REQUEST).startswith("https://www.example.com/path?param=value&")
    bare = Message(method="GET", scheme="https", authority="a.example", path="")
    assert component_value("@target-uri", {}, bare) == "https://a.example/"
    assert component_value("@path", {}, bare) == "/"
    assert component_value("@query", {}, bare) == "?"
    with pytest.raises(SignatureInvalid):
        component_value("@target-uri", {}, Message(method="GET"))


def test_structured_field_that_does_not_parse_is_an_error() -> None:
    message = Message(
        method="GET", fields={"d": ["a=("], "x-item": ["1"]}, structured={"d": "dictionary", "x-item": "item"}
    )
    for name, parameters in (("d", {"sf": True}), ("d", {"key": "a"}), ("x-item", {"key": "a"})):
        with pytest.raises(SignatureInvalid):
            component_value(name, parameters, message)


def test_own_signature_verifies_and_binds_every_component() -> None:
    components = [("@method", {}), ("@query-param", {"name": "baz"}), ("example-dict", {"key": "b"})]
    fields = sign_message(
        REQUEST, components=components, parameters={"created": 1, "keyid": "k"}, label="s", sign=KEY.sign
    )
    assert fields[0] == 's=("@method" "@query-param";name="baz" "example-dict";key="b");created=1;keyid="k"'
    signature = parse_signatures([fields[0]], [fields[1]])[0]
    verify_message(signature, REQUEST, verify)
    changed = Message(method="POST", query=REQUEST.query, fields={**REQUEST.fields, "example-dict": ["b=3"]})
    with pytest.raises(SignatureInvalid):
        verify_message(signature, changed, verify)


@pytest.mark.parametrize(
    ("components", "parameters"),
    [
        ([("@method", {}), ("@method", {})], {}),
        ([("example-dict", {"sf": True, "key": "a"}), ("example-dict", {"key": "a", "sf": True})], {}),
        ([("@signature-params", {})], {}),
        ([("X-Upper", {})], {}),
        ([("", {})], {}),
        ([(1, {})], {}),
        ([("x", {})] * 65, {}),
        ([], {"created": True}),
        ([], {"created": "1"}),
        ([], {"expires": 1.5}),
        ([], {"nonce": 1}),
        ([], {"keyid": "caf\xe9"}),
    ],
)
def test_signer_refuses_what_a_verifier_must_refuse(
    components: list[tuple[object, dict[str, object]]], parameters: dict[str, object]
) -> None:
    with pytest.raises(SignatureInvalid):
        sign_message(REQUEST, components=components, parameters=parameters, label="s", sign=KEY.sign)


@pytest.mark.parametrize(
    ("inputs", "signatures"),
    [
        ([], []),
        ([""], [""]),
        (["a=()"], ["b=:AA==:"]),
        (["a=(), b=()"], ["a=:AA==:"]),
        (["a=()"], ["a=:AA==:, b=:AA==:"]),
        (["a=()", "a=()"], ["a=:AA==:"]),
        (["a=1"], ["a=:AA==:"]),
        (["a=()"], ["a=1"]),
        (["a=(b)"], ["a=:AA==:"]),
        (["a=()"], ["a=(:AA==:)"]),
        (['a=();created="1"'], ["a=:AA==:"]),
        (["a=();tag=1"], ["a=:AA==:"]),
        (["a=();x=1;x=2"], ["a=:AA==:"]),
        (["é=()"], ["é=:AA==:"]),
        ([", ".join(f"a{index}=()" for index in range(9))], [", ".join(f"a{index}=:AA==:" for index in range(9))]),
    ],
)
def test_fields_that_do_not_belong_together_are_refused(inputs: list[str], signatures: list[str]) -> None:
    with pytest.raises(SignatureInvalid):
        parse_signatures(inputs, signatures)


@given(st.text(max_size=60), st.text(alphabet='a=();:",? 1A@\\-.*%', max_size=60))
def test_any_text_gives_signatures_or_the_declared_error(noise: str, grammar: str) -> None:
    for pair in ((noise, grammar), (grammar, noise), (grammar, "a=:AA==:")):
        try:
            found = parse_signatures([pair[0]], [pair[1]])
        except SignatureInvalid:
            continue
        assert found


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=8), max_size=3), st.text(max_size=20))
def test_any_field_values_give_a_base_or_the_declared_error(fields: dict[str, str], query: str) -> None:
    message = Message(method="GET", query=query, fields={name.lower(): [value] for name, value in fields.items()})
    components: list[Item] = [(name, {}) for name in [*message.fields, "@query"]]
    try:
        base = signature_base(components, "()", message)
    except SignatureInvalid:
        return
    assert base.count(b"\n") == len(components)
    assert base.isascii()


def peer_message() -> SimpleNamespace:
    headers = {"Host": "bank.example", "Content-Type": "application/json", "X-A": "1"}
    return SimpleNamespace(method="POST", url="https://bank.example/v1/x?a=1&b=%20", headers=headers)


PEER_KEYS = MappingKeyResolver(public_keys={"k": KEY.public.key}, private_keys={"k": KEY.jwk.key})
OUR_VIEW = Message(
    method="POST",
    scheme="https",
    authority="bank.example",
    path="/v1/x",
    query="a=1&b=%20",
    fields={"content-type": ["application/json"], "x-a": ["1"]},
)
COMPONENTS = ("@method", "@authority", "@path", "@query", "@target-uri", "content-type", "x-a")


@freeze_time("2025-11-22 08:26:40")
def test_an_independent_implementation_verifies_what_we_sign() -> None:
    message = peer_message()
    message.headers["Signature-Input"], message.headers["Signature"] = sign_message(
        OUR_VIEW,
        components=[(name, {}) for name in COMPONENTS],
        parameters={"created": 1_763_800_000, "keyid": "k", "alg": "ed25519", "tag": "haetae-app"},
        label="app",
        sign=KEY.sign,
    )
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=PEER_KEYS)
    assert verifier.verify(message, expect_tag="haetae-app")[0].label == "app"


@freeze_time("2025-11-22 08:26:40")
def test_we_verify_what_an_independent_implementation_signs() -> None:
    message = peer_message()
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=PEER_KEYS)
    signer.sign(message, key_id="k", tag="haetae-app", covered_component_ids=COMPONENTS)
    found = parse_signatures([message.headers["Signature-Input"]], [message.headers["Signature"]])[0]
    assert found.unverified_parameters["tag"] == "haetae-app"
    verify_message(found, OUR_VIEW, verify)
