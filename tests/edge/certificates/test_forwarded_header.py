"""`X-Forwarded-Client-Cert`: one certificate or a declared error, and never a word of what stands beside it."""

import contextlib
import json
import urllib.parse

import pytest
from haetae_edge.xfcc import Element, XfccInvalid, parse_xfcc
from hypothesis import given
from hypothesis import strategies as st

from tests.edge.certificates.authority import Authority, dns, uri

LEAF = Authority().issue(uri("spiffe://td/ns/app"), dns("app.test"))
QUOTED = urllib.parse.quote(LEAF.pem.decode(), safe="")
TEXT = LEAF.xfcc().decode()
OTHER = Authority("other").issue(uri("spiffe://td/admin"))


def refused(*lines: bytes) -> str:
    with pytest.raises(XfccInvalid) as failed:
        parse_xfcc(lines)
    return failed.value.reason


def test_certificate_of_the_only_element_is_read() -> None:
    assert parse_xfcc([LEAF.xfcc()]) == Element(("spiffe://td/edge",), LEAF.der)


def test_raw_names_beside_the_certificate_change_nothing() -> None:
    extra = ';Subject="CN=a\\"b\\;c,O=x";URI=spiffe://td/ns/app;URI=spiffe://td/admin;DNS=low.test;DNS='
    assert parse_xfcc([LEAF.xfcc(extra)]) == parse_xfcc([LEAF.xfcc()])


def test_json_form_is_read_like_the_text() -> None:
    document = [{"Hash": LEAF.hash, "Cert": QUOTED, "URI": ["spiffe://td/x", "y"], "By": "spiffe://td/edge"}]
    assert parse_xfcc([json.dumps(document).encode()]) == parse_xfcc([LEAF.xfcc()])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "size"),
        (TEXT + "," + TEXT, "elements"),
        (TEXT + ";DNS=a,By=x", "elements"),
        (TEXT + f";Hash={OTHER.hash}", "duplicate"),
        (TEXT + ";CERT=x", "duplicate"),
        (TEXT + ";By=spiffe://td/other", "order"),
        (TEXT + ";", "pair"),
        (TEXT + ";Colour=red", "key"),
        (TEXT + ';DNS=a"b', "separator"),
        (TEXT + ';Subject="open', "unterminated-quote"),
        (TEXT + ';Subject="a"b', "separator"),
        (TEXT.replace(LEAF.hash, OTHER.hash), "hash"),
        (TEXT.replace(LEAF.hash, LEAF.hash.upper()), "hash"),
        (f"Hash={LEAF.hash}", "incomplete"),
        (f"URI=spiffe://td/admin;DNS=admin;Hash={LEAF.hash}", "incomplete"),
        (f'Cert="{QUOTED}"', "incomplete"),
        (f'Hash={LEAF.hash};Cert="%zz"', "cert-encoding"),
        (f'Hash={LEAF.hash};Cert="{QUOTED}{QUOTED}"', "cert-encoding"),
        ("[]", "elements"),
        ("{}", "elements"),
        ('[{"Hash": 1}]', "json"),
        ("[1]", "json"),
        ("[" * 10_000, "json"),
        (f'[{{"Hash": "{LEAF.hash}", "hash": "{LEAF.hash}", "Cert": "{QUOTED}"}}]', "duplicate"),
        (f'[{{"Hash": "{LEAF.hash}", "Hash": "{LEAF.hash}", "Cert": "{QUOTED}"}}]', "duplicate"),
    ],
    # Certificates are new in every process: names of tests must not be.
    ids=lambda text: text[:4],
)
def test_anything_else_is_refused(value: str, reason: str) -> None:
    assert refused(value.encode()) == reason


def test_second_line_is_refused() -> None:
    assert refused(LEAF.xfcc(), LEAF.xfcc()) == "lines"
    assert refused() == "lines"


def test_oversize_value_is_refused_before_it_is_read() -> None:
    assert refused(LEAF.xfcc(";DNS=" + "a" * 70_000)) == "size"


def test_bytes_that_are_no_visible_ascii_are_refused() -> None:
    assert refused(LEAF.xfcc(";DNS=\x00")) == "control-character"
    assert refused(LEAF.xfcc() + b";DNS=\xff") == "not-ascii"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200))
def test_any_name_beside_the_certificate_leaves_it_alone_or_is_refused(name: str) -> None:
    with contextlib.suppress(XfccInvalid):
        assert parse_xfcc([LEAF.xfcc(f";URI={name};DNS={name}")]).der == LEAF.der


@given(st.binary(max_size=300) | st.text('[]{}":,;=\\ByHashCert', max_size=60).map(str.encode))
def test_any_value_is_read_or_refused_with_the_declared_error(value: bytes) -> None:
    with contextlib.suppress(XfccInvalid):
        raise AssertionError(parse_xfcc([value]))


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=100))
def test_subject_escaped_as_envoy_does_is_passed_over_whatever_it_says(subject: str) -> None:
    escaped = subject.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_xfcc([LEAF.xfcc(f';Subject="{escaped}";URI=x')]).der == LEAF.der
