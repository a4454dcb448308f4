"""No return address, Host or forwarded header sends a browser anywhere but to the configured origin."""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin, urlsplit

import pytest
from haetae_edge.staff.origins import parse_web_origin
from haetae_edge.staff.return_address import safe_return
from hypothesis import given
from hypothesis import strategies as st

from tests.edge.staff.staff_office import COOKIE, PAGE, SCRIPT, SignInStale, staff_world

EVIL = [
    "//evil.test",
    "///evil.test",
    "/\\evil.test",
    "\\\\evil.test",
    "/\t/evil.test",
    "/\n/evil.test",
    "https://evil.test/",
    "https:evil.test",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.test",
    "@evil.test",
    " //evil.test",
    "/%0d%0aSet-Cookie:x=1",
    "/a/../../.haetae/logout",
    "/.haetae/login?to=/x",
    "/%2ehaetae/login",
    "/.haetae",
    "/a\u00a0b",
    "/a b",
    "/a\x00",
    "/" + "a" * 2000,
    "",
]


@pytest.mark.parametrize("address", EVIL)
def test_address_that_could_lead_elsewhere_becomes_the_start(address: str) -> None:
    assert safe_return(address) == "/"


@pytest.mark.parametrize(
    "address", ["/", "/app/kibana?_g=(x:1)&a=%20", "/a/b/", "/d/abc?orgId=1&from=now-1h", "/.haetaex"]
)
def test_address_of_the_tool_is_kept_to_the_letter(address: str) -> None:
    assert safe_return(address) == address


@given(st.text(max_size=40) | st.from_regex(re.compile(r"[/\\.:@a\t\n%2fF?#]{0,12}"), fullmatch=True))
def test_whatever_is_kept_stays_within_the_origin(address: str) -> None:
    kept = safe_return(address)
    assert kept.startswith("/")
    assert urlsplit(urljoin("https://tool.test/x", kept)).netloc == "tool.test"
    assert not any(c in kept for c in "\\\r\n\t #")


@pytest.mark.parametrize("address", EVIL)
async def test_sign_in_does_not_come_back_elsewhere_whatever_the_address_asks(address: str) -> None:
    async with staff_world() as staff:
        line = b"GET /.haetae/login?to=" + quote(address, safe="").encode()
        answer = await staff.ask(line, PAGE)
        if answer.status == 200:
            assert staff.office.begun[0]["return_to"] == "/"
            assert b"evil" not in answer.body
        else:
            assert answer.status == 400


@pytest.mark.parametrize("address", ["//evil.test", "https://evil.test/", "/\\evil.test"])
async def test_address_that_comes_back_from_the_store_is_not_believed_either(address: str) -> None:
    async with staff_world() as staff:
        staff.office.returns_to = address
        page = await staff.ask(b"GET /.haetae/callback?code=c&state=st-1", PAGE)
        assert b'data-to="/"' in page.body
        assert b"evil" not in page.body
        staff.office.refusal = SignInStale(address)
        stale = await staff.ask(b"GET /.haetae/callback?code=c&state=st-1", PAGE)
        assert (stale.status, stale.value(b"location")) == (302, b"/")


@pytest.mark.parametrize(
    "fields",
    [
        b"X-Forwarded-Host: evil.test\r\n",
        b"Forwarded: host=evil.test;proto=http\r\n",
        b"X-Original-Host: evil.test\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 8\r\n",
        b"X-Original-URL: //evil.test\r\nX-Rewrite-URL: //evil.test\r\nReferer: https://evil.test/\r\n",
    ],
)
async def test_forwarded_fields_of_a_stranger_change_no_address(fields: bytes) -> None:
    async with staff_world(signed_in=True) as staff:
        page = await staff.ask(b"GET /.haetae/login?to=/x", PAGE, fields)
        assert page.status == 200
        assert staff.office.begun[0]["redirect_uri"] == "https://tool.test/.haetae/callback"
        assert b"evil" not in page.body
        out = await staff.ask(b"POST /.haetae/logout", PAGE, fields, COOKIE, b"Origin: https://tool.test\r\n")
        assert out.value(b"location").endswith(b"post_logout_redirect_uri=https://tool.test/.haetae/signed-out")


@pytest.mark.parametrize("host", [b"evil.test", b"tool.test.evil.test", b"tool.test:8443", b"tool.test.", b"127.0.0.1"])
async def test_host_that_is_not_configured_is_nobodys(host: bytes) -> None:
    async with staff_world(signed_in=True) as staff:
        for line in (
            b"GET /.haetae/login?to=/x",
            b"GET /.haetae/callback?code=c&state=s",
            b"GET /app",
            b"GET /.haetae/",
        ):
            answer = await staff.ask(line, SCRIPT, COOKIE, host=host)
            assert answer.problem() == "misdirected"
        assert staff.office.begun == staff.office.finished == []
        assert staff.edge.upstream.requests == []


async def test_forwarded_host_of_a_trusted_proxy_counts_only_when_it_is_configured() -> None:
    async with staff_world(trusted=("127.0.0.0/8",)) as staff:
        evil = await staff.ask(b"GET /.haetae/login?to=/x", SCRIPT, b"X-Forwarded-Host: evil.test\r\n")
        assert evil.status in (403, 421)
        page = await staff.ask(
            b"GET /.haetae/login?to=/x", PAGE, b"X-Forwarded-Host: other.test\r\nX-Forwarded-Proto: https\r\n"
        )
        assert page.status == 200
        assert [asked["redirect_uri"] for asked in staff.office.begun] == ["https://other.test/.haetae/callback"]


@pytest.mark.parametrize(
    "text",
    [
        "https://a.test/",
        "https://a.test/x",
        "ftp://a.test",
        "https://u@a.test",
        "https://a b",
        "a.test",
        "https://",
        "https://ä.test",
    ],
)
def test_what_is_no_origin_is_refused_when_the_configuration_is_read(text: str) -> None:
    with pytest.raises(ValueError, match="write an origin"):
        parse_web_origin(text)
