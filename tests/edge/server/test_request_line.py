"""The request line and Host: one reading of what is asked of whom, and a refusal for everything else."""

import pytest
from haetae_edge.predicates.path import Path

from tests.simulator.gateway import RouteUnderTest, gateway
from tests.simulator.upstream import recording_upstream
from tests.simulator.world import world

HOST = b"Host: api.test\r\n"

MALFORMED = {
    "authority-form": b"GET api.test:80 HTTP/1.1\r\n" + HOST,
    "asterisk-form": b"OPTIONS * HTTP/1.1\r\n" + HOST,
    "asterisk-form of GET": b"GET * HTTP/1.1\r\n" + HOST,
    "no slash": b"GET a HTTP/1.1\r\n" + HOST,
    "another scheme": b"GET ftp://api.test/a HTTP/1.1\r\n" + HOST,
    "HTTP/0.9": b"GET /a\r\n" + HOST,
    "HTTP/0.9 spelled out": b"GET /a HTTP/0.9\r\n" + HOST,
    "HTTP/1.2": b"GET /a HTTP/1.2\r\n" + HOST,
    "HTTP/2.0": b"GET /a HTTP/2.0\r\n" + HOST,
    "HTTP/11": b"GET /a HTTP/11\r\n" + HOST,
    "RTSP/1.0": b"GET /a RTSP/1.0\r\n" + HOST,
    "RTSP/1.1": b"GET /a RTSP/1.1\r\n" + HOST,
    "ICE/1.1": b"GET /a ICE/1.1\r\n" + HOST,
    "ICE/1.0": b"GET /a ICE/1.0\r\n" + HOST,
    "lower-case protocol": b"GET /a http/1.1\r\n" + HOST,
    "lower-case method": b"get /a HTTP/1.1\r\n" + HOST,
    "unknown method": b"STEAL /a HTTP/1.1\r\n" + HOST,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "space in the target": b"GET /a b HTTP/1.1\r\n" + HOST,
    "tab between method and target": b"GET\t/a HTTP/1.1\r\n" + HOST,
    "space before the method": b" GET /a HTTP/1.1\r\n" + HOST,
    "NUL in the target": b"GET /a\x00b HTTP/1.1\r\n" + HOST,
    "control character in the target": b"GET /a\x01b HTTP/1.1\r\n" + HOST,
    "no Host": b"GET /a HTTP/1.1\r\n",
    "no Host in HTTP/1.0": b"GET /a HTTP/1.0\r\n",
    "two Hosts": b"GET /a HTTP/1.1\r\nHost: api.test\r\nHost: other.test\r\n",
    "two Hosts that agree": b"GET /a HTTP/1.1\r\nHost: api.test\r\nHost: api.test\r\n",
    "absolute-form and an invalid Host": b"GET http://other.test/a HTTP/1.1\r\nHost: a b\r\n",
    "absolute-form with a user": b"GET http://api.test@evil.test/a HTTP/1.1\r\n" + HOST,
    "absolute-form with a backslash": b"GET http://api.test\\evil.test/a HTTP/1.1\r\n" + HOST,
    "absolute-form without authority": b"GET http:///a HTTP/1.1\r\n" + HOST,
}

BAD_HOSTS = {
    "empty": b"",
    "space": b"a b",
    "user": b"user@api.test",
    "path": b"api.test/a",
    "quote": b'api"test',
    "comma": b"api.test,other.test",
    "port 99999": b"api.test:99999",
    "port 0": b"api.test:0",
    "port with a sign": b"api.test:+80",
    "two ports": b"api.test:80:80",
    "port alone": b":80",
    "underscore": b"api_test",
    "percent": b"api%2etest",
    "two dots": b"api..test",
    "open bracket": b"[::1",
    "bracketed name": b"[api.test]",
    "zone id": b"[fe80::1%25eth0]",
    "bare IPv6": b"2001:db8::1",
    "300 characters": b"a" * 300,
    "fragment": b"api.test#",
    "question mark": b"api.test?x",
}


@pytest.mark.parametrize("head", MALFORMED.values(), ids=MALFORMED.keys())
async def test_request_line_or_host_of_another_form_is_refused(head: bytes) -> None:
    async with world() as edge:
        await edge.client.send(head + b"\r\n")
        await edge.refused("request-malformed", 400, closes=True)
        assert edge.upstream.requests == []


@pytest.mark.parametrize("host", BAD_HOSTS.values(), ids=BAD_HOSTS.keys())
async def test_invalid_host_is_refused(host: bytes) -> None:
    async with world() as edge:
        await edge.client.send(b"GET /a HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        await edge.refused("request-malformed", 400, closes=True)
        assert edge.upstream.requests == []


@pytest.mark.parametrize("method", [b"TRACE", b"PROPFIND", b"LINK", b"PURGE", b"SEARCH"])
async def test_method_outside_the_list_is_not_supported_and_never_reflected(method: bytes) -> None:
    async with world() as edge:
        await edge.client.send(method + b" /a HTTP/1.1\r\n" + HOST + b"Cookie: secret=1\r\n\r\n")
        answer = await edge.refused("method-not-supported", 501, closes=True)
        assert b"secret" not in answer.body
        assert edge.upstream.requests == []


async def test_connect_opens_no_tunnel() -> None:
    async with world() as edge:
        await edge.client.send(b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\nGET /a HTTP/1.1\r\n\r\n")
        await edge.refused("method-not-supported", 501, closes=True)
        assert edge.upstream.requests == []


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"])
async def test_supported_method_is_forwarded_as_it_is(method: bytes) -> None:
    async with world() as edge:
        answer = await edge.client.ask(method + b" /a HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.body == b"answer to " + method + b" /a"
        await edge.next_is_answered()


ABSOLUTE = {
    "path and query": (b"http://other.test/a?x=1", b"GET /a?x=1 HTTP/1.1"),
    "upper-case scheme": (b"HTTP://other.test/a", b"GET /a HTTP/1.1"),
    "https": (b"https://other.test/a", b"GET /a HTTP/1.1"),
    "no path": (b"http://other.test", b"GET / HTTP/1.1"),
    "no path but a query": (b"http://other.test?x=/y", b"GET /?x=/y HTTP/1.1"),
    "default port": (b"http://OTHER.test:80/a", b"GET /a HTTP/1.1"),
}


@pytest.mark.parametrize(("target", "line"), ABSOLUTE.values(), ids=ABSOLUTE.keys())
async def test_authority_of_an_absolute_target_replaces_host(target: bytes, line: bytes) -> None:
    async with world() as edge:
        answer = await edge.client.ask(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.status == 200
        assert edge.upstream.only.line == line
        assert edge.upstream.only.values(b"x-forwarded-host") == [b"other.test"]
        assert edge.upstream.only.values(b"host") == [b"127.0.0.1:%d" % edge.upstream.port]


GOOD_HOSTS = {
    "upper case": (b"API.Test", b"api.test", b"80"),
    "default port": (b"api.test:80", b"api.test", b"80"),
    "empty port": (b"api.test:", b"api.test", b"80"),
    "another port": (b"api.test:8443", b"api.test:8443", b"8443"),
    "IPv4": (b"127.0.0.1:1", b"127.0.0.1:1", b"1"),
    "IPv6": (b"[::1]", b"[::1]", b"80"),
    "long IPv6": (b"[2001:DB8:0:0::1]:81", b"[2001:db8::1]:81", b"81"),
}


@pytest.mark.parametrize(("host", "authority", "port"), GOOD_HOSTS.values(), ids=GOOD_HOSTS.keys())
async def test_upstream_learns_the_host_in_one_spelling(host: bytes, authority: bytes, port: bytes) -> None:
    async with world() as edge:
        await edge.client.ask(b"GET /a HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        assert edge.upstream.only.values(b"x-forwarded-host") == [authority]
        assert edge.upstream.only.values(b"x-forwarded-port") == [port]
        assert len(edge.upstream.only.values(b"forwarded")) == 1


AMBIGUOUS_TARGETS = {
    "encoded slash": b"/a%2fb",
    "encoded slash in upper case": b"/a%2Fb",
    "encoded backslash": b"/a%5cb",
    "encoded NUL": b"/a%00",
    "encoded line end": b"/a%0d%0ab",
    "encoded semicolon": b"/a%3bb",
    "encoded dot segment": b"/%2e%2e/a",
    "half encoded dot segment": b"/.%2e/a",
    "encoded single dot": b"/a/%2e/b",
    "dot segment with an encoded slash": b"/..%2fa",
    "dot segment": b"/a/../b",
    "dot segment at the end": b"/a/..",
    "single dot": b"/a/./b",
    "single dot at the end": b"/a/.",
    "two slashes": b"//a",
    "two slashes inside": b"/a//b",
    "two slashes at the end": b"/a//",
    "matrix parameter": b"/a;x=1/b",
    "backslash": b"/a\\b",
    "encoded twice": b"/a%252fb",
    "encoded percent before hex": b"/a%2541",
    "broken escape": b"/a%2",
    "broken escape inside": b"/a%zzb",
    "percent alone": b"/a%",
    "overlong UTF-8": b"/%c0%af",
    "no UTF-8": b"/%ff",
    "raw byte above ASCII": b"/caf\xe9",
    "raw UTF-8": "/é".encode(),
    "quote": b'/a"b',
    "angle": b"/a<b>",
    "pipe": b"/a|b",
    "fragment": b"/a#b",
    "fragment in the query": b"/a?x#b",
    "backslash in the query": b"/a?x\\y",
    "broken escape in the query": b"/a?x=%z1",
    "raw byte in the query": b"/a?x=\xe9",
}


@pytest.mark.parametrize("target", AMBIGUOUS_TARGETS.values(), ids=AMBIGUOUS_TARGETS.keys())
async def test_target_that_two_readers_could_take_differently_is_refused(target: bytes) -> None:
    async with world() as edge:
        await edge.client.send(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        answer = await edge.client.answer()
        assert (answer.status, answer.problem()) in ((400, "request-ambiguous"), (400, "request-malformed"))
        assert edge.upstream.requests == []
        if answer.says_close:
            await edge.client.closed()
        else:
            await edge.next_is_answered()


TARGETS_KEPT = {
    "empty query": b"/a?",
    "no query": b"/a",
    "trailing slash": b"/a/",
    "root": b"/",
    "escapes in the query": b"/a?x=%2f%00%2e%2e&y=../..;//",
    "plus and space escape": b"/a?x=1+2%203",
    "brackets in the query": b"/a?x[]=1&y={z}|^`",
    "escape in the path": b"/%61bc",
    "lower-case escape": b"/a%c3%a9",
    "upper-case escape": b"/a%C3%A9",
    "sub-delims": b"/a!$&'()*+,=:@-._~",
    "escaped space": b"/a%20b",
    "escaped percent": b"/100%25",
    "question mark in the query": b"/a?b?c",
    "dots in a name": b"/a/..b/.c/...",
}


@pytest.mark.parametrize("target", TARGETS_KEPT.values(), ids=TARGETS_KEPT.keys())
async def test_path_and_query_reach_the_upstream_byte_for_byte(target: bytes) -> None:
    async with world() as edge:
        await edge.client.ask(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert edge.upstream.only.line == b"GET " + target + b" HTTP/1.1"
        await edge.next_is_answered()


async def test_route_is_chosen_by_the_decoded_path_and_the_raw_one_is_sent() -> None:
    async with recording_upstream() as admin, recording_upstream() as rest:
        routes = (
            RouteUnderTest(id="admin", port=admin.port, predicates=(Path(patterns=("/admin/**",)),)),
            RouteUnderTest(id="rest", port=rest.port, order=1),
        )
        async with gateway(*routes) as running, running.client() as client:
            await client.ask(b"GET /%61dmin/%EC%82%AC HTTP/1.1\r\n" + HOST + b"\r\n")
            assert admin.only.line == b"GET /%61dmin/%EC%82%AC HTTP/1.1"
            assert rest.requests == []


async def test_path_without_a_route_is_not_found() -> None:
    async with recording_upstream() as upstream:
        route = RouteUnderTest(port=upstream.port, predicates=(Path(patterns=("/only",)),))
        async with gateway(route) as running, running.client() as client:
            answer = await client.ask(b"GET /other HTTP/1.1\r\n" + HOST + b"\r\n")
            assert (answer.status, answer.problem()) == (404, "route-not-found")
            assert (await client.ask(b"GET /only HTTP/1.1\r\n" + HOST + b"\r\n")).status == 200


@pytest.mark.parametrize("length", [8001, 12_000, 17_000, 100_000])
async def test_too_long_target_is_414(length: int) -> None:
    async with world() as edge:
        await edge.client.send(b"GET /" + b"a" * (length - 1) + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        await edge.refused("uri-too-long", 414, closes=True)
        assert edge.upstream.requests == []


async def test_target_of_exactly_the_limit_is_forwarded() -> None:
    async with world() as edge:
        target = b"/" + b"a" * 7999
        assert (await edge.client.ask(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")).status == 200
        assert edge.upstream.only.line == b"GET " + target + b" HTTP/1.1"
