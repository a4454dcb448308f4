"""Header fields across the gateway: what passes unchanged, what never passes, what the gateway says itself."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
from haetae_edge.exchange import Exchange
from haetae_edge.filter import BuildContext, Phase, Steps

from tests.simulator.upstream import ok
from tests.simulator.world import world

GET = b"GET /a HTTP/1.1\r\nHost: api.test\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePassport:
    """States who is calling, as the gateway's own filters do."""

    phase: ClassVar[Phase] = Phase.INJECT
    shortcut: ClassVar[tuple[str, ...]] = ()

    def build(self, context: BuildContext) -> Steps:
        """One step that sets the field."""

        def step(exchange: Exchange) -> None:
            exchange.set_field(b"x-passport", b"ours")

        return Steps(request=((Phase.INJECT, step),))


async def test_plain_request_reaches_the_upstream_exactly_so() -> None:
    async with world() as edge:
        await edge.client.ask(GET + b"User-Agent: app/1\r\nX-Custom:  two words \t\r\nCookie: a=1; b=2\r\n\r\n")
        assert edge.upstream.only.head == (
            b"GET /a HTTP/1.1\r\n"
            b"host: 127.0.0.1:%d\r\n"
            b"forwarded: for=127.0.0.1;host=api.test;proto=http\r\n"
            b"x-forwarded-for: 127.0.0.1\r\n"
            b"x-forwarded-host: api.test\r\n"
            b"x-forwarded-port: 80\r\n"
            b"x-forwarded-proto: http\r\n"
            b"user-agent: app/1\r\n"
            b"x-custom: two words\r\n"
            b"cookie: a=1; b=2\r\n"
            b"via: 1.1 haetae-test\r\n"
            b"\r\n" % edge.upstream.port
        )
        await edge.next_is_answered()


NOT_ASCII = {
    "Latin-1 letter": b"X-Role: adm\xe9in\r\n",
    "lone continuation byte": b"X-Role: adm\xffin\r\n",
    "no-break space around": b"X-Role: \xa0admin\xa0\r\n",
    "UTF-8": "X-Role: é\r\n".encode(),
    "in a cookie": "Cookie: \u00a0__Host-sid=x\r\n".encode(),
}


@pytest.mark.parametrize("line", NOT_ASCII.values(), ids=NOT_ASCII.keys())
async def test_field_value_above_ascii_is_refused_not_repaired(line: bytes) -> None:
    async with world() as edge:
        await edge.client.send(GET + line + b"\r\n")
        await edge.refused("request-ambiguous", 400, closes=False)
        assert edge.upstream.requests == []
        await edge.next_is_answered()


SINGLETONS = [
    b"Authorization",
    b"Content-Type",
    b"Content-Encoding",
    b"Content-Digest",
    b"Haetae-Key",
    b"Origin",
    b"Expect",
]


@pytest.mark.parametrize("name", SINGLETONS)
async def test_field_that_occurs_once_is_refused_when_it_occurs_twice(name: bytes) -> None:
    async with world() as edge:
        await edge.client.send(GET + name + b": x\r\n" + name.lower() + b": y\r\n\r\n")
        answer = await edge.client.answer()
        assert answer.problem() in ("request-ambiguous", "request-malformed")
        assert edge.upstream.requests == []


async def test_repeated_list_fields_pass_in_order() -> None:
    async with world() as edge:
        await edge.client.ask(GET + b"X-A: 1\r\nAccept: a\r\nX-A: 2\r\nAccept: b\r\n\r\n")
        assert edge.upstream.only.values(b"x-a") == [b"1", b"2"]
        assert edge.upstream.only.values(b"accept") == [b"a", b"b"]


FORGED = [
    b"X-Passport",
    b"x-passport",
    b"X_Passport",
    b"X-PASSPORT",
    b"x_PASSPORT",
    b"X-Forwarded-Client-Cert",
    b"X_Forwarded-Client_Cert",
    b"Client-Cert",
    b"Client_Cert_Chain",
    b"X-Remote-User",
    b"Remote_User",
    b"X-Auth-Request-Email",
    b"es-security-runas-user",
    b"X-Real-IP",
    b"X_Real_IP",
    b"True-Client-IP",
    b"X-Original-URL",
    b"X-Rewrite-URL",
    b"X-HTTP-Method-Override",
    b"X_HTTP_Method_Override",
    b"Keep-Alive",
    b"Proxy-Connection",
    b"Proxy-Authorization",
    b"TE",
    b"Trailer",
    b"Upgrade",
    b"HTTP2-Settings",
    b"X-Original-URI",
    b"X-Accel-Redirect",
    b"X-Sendfile",
    b"CF-Connecting-IP",
    b"Fastly-Client-IP",
    b"X-Originating-IP",
    b"X-Remote-IP",
    b"X-Remote-Addr",
    b"X-SSL-Client-Cert",
    b"X-SSL-Client-S-DN",
    b"X-SSL-Client-DN",
    b"SSL-Client-Cert",
    b"X-Client-Cert",
    b"X-Amzn-Oidc-Data",
    b"X-Amzn-Oidc-Identity",
    b"X-Amzn-Oidc-Accesstoken",
    b"X-Goog-IAP-JWT-Assertion",
    b"X-Goog-Authenticated-User-Email",
    b"X-Goog-Authenticated-User-ID",
    b"X-MS-Client-Principal",
    b"X-MS-Client-Principal-ID",
    b"X-MS-Client-Principal-Name",
    b"X-User-Id",
    b"X-User-Name",
    b"X-User-Email",
    b"X-User-Roles",
    b"X-Authenticated-User",
    b"X-Envoy-External-Address",
    b"X-Envoy-Original-Path",
    b"X-Envoy-Internal",
    b"Proxy",
    b"X_User_Id",
    b"X.User.Id",
    b"X.Passport",
    b"x.real_ip",
    b"SSL_CLIENT_CERT",
    b"Remote.User",
    b"Close",
]


@pytest.mark.parametrize("name", FORGED)
async def test_what_only_a_gateway_may_say_never_passes_in_any_spelling(name: bytes) -> None:
    async with world() as edge:
        assert (await edge.client.ask(GET + name + b": forged\r\n\r\n")).status == 200
        assert b"forged" not in edge.upstream.only.head
        await edge.next_is_answered()


@pytest.mark.parametrize("name", [b"X_Custom", b"x-my_header", b"X.Y", b"!#$%&'*+-.^_`|~"])
async def test_other_names_pass_as_they_are(name: bytes) -> None:
    async with world() as edge:
        await edge.client.ask(GET + name + b": kept\r\n\r\n")
        assert edge.upstream.only.values(name.lower()) == [b"kept"]


@pytest.mark.parametrize("forged", [b"X-Passport", b"X_Passport", b"X.Passport"])
async def test_forged_passport_is_replaced_by_ours(forged: bytes) -> None:
    async with world(filters=(StatePassport(),)) as edge:
        await edge.client.ask(GET + forged + b": forged\r\n\r\n")
        assert edge.upstream.only.values(b"x-passport") == [b"ours"]
        assert b"forged" not in edge.upstream.only.head


async def test_connection_cannot_name_our_passport_away() -> None:
    async with world(filters=(StatePassport(),)) as edge:
        await edge.client.ask(GET + b"Connection: x-passport, x_passport\r\n\r\n")
        assert edge.upstream.only.values(b"x-passport") == [b"ours"]


NOMINATED = [b"x-custom", b"Authorization", b"host", b"cookie", b"Content-Type", b"x-forwarded-for", b"Idempotency-Key"]


@pytest.mark.parametrize("name", NOMINATED)
@pytest.mark.parametrize(
    "line", [b"Connection: %b", b"Connection: keep-alive, %b", b"Connection: te\r\nConnection: %b"]
)
async def test_connection_that_names_a_field_which_is_here_is_refused(name: bytes, line: bytes) -> None:
    fields = (
        b"X-Custom: a\r\nAuthorization: b\r\nCookie: c=1\r\nContent-Type: text/plain\r\nX-Forwarded-For: 10.0.0.1\r\n"
    )
    async with world() as edge:
        await edge.client.send(GET + fields + b"idempotency-key: 7\r\n" + line % name + b"\r\n\r\n")
        await edge.refused("request-ambiguous", 400, closes=False)
        assert edge.upstream.requests == []
        await edge.next_is_answered()


async def test_connection_may_name_hop_by_hop_fields_and_what_is_not_here() -> None:
    fields = b"Connection: te, keep-alive, close, x-absent, via\r\nTE: trailers\r\nKeep-Alive: 5\r\nClose: x\r\n"
    fields += b"X-Other: end\r\n"
    async with world() as edge:
        assert (await edge.client.ask(GET + fields + b"\r\n")).status == 200
        names = {name for name, _ in edge.upstream.only.fields}
        assert not names & {b"connection", b"te", b"keep-alive", b"close"}
        assert edge.upstream.only.values(b"x-other") == [b"end"]
        assert edge.upstream.only.values(b"via") == [b"1.1 haetae-test"]


SPOOFED = (
    b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Proto: https\r\n"
    b"X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil\r\nForwarded: for=6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\n"
    b"X-Forwarded-Server: evil\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Uri: /evil\r\nX-Forwarded-Method: PUT\r\n"
)


async def test_forwarding_fields_of_an_untrusted_peer_are_dropped() -> None:
    async with world() as edge:
        await edge.client.ask(GET + SPOOFED + b"\r\n")
        head = edge.upstream.only.head
        assert b"6.6.6.6" not in head
        assert b"evil" not in head
        assert edge.upstream.only.values(b"x-forwarded-for") == [b"127.0.0.1"]
        assert edge.upstream.only.values(b"x-forwarded-proto") == [b"http"]
        await edge.next_is_answered()


WALKS = {
    "one hop": (b"203.0.113.9", b"203.0.113.9"),
    "client spoofed the left": (b"6.6.6.6, 203.0.113.9", b"203.0.113.9"),
    "two trusted hops": (b"6.6.6.6, 203.0.113.9, 10.1.1.1", b"203.0.113.9"),
    "all trusted": (b"10.0.0.1, 10.0.0.2", b"10.0.0.1"),
    "IPv4-mapped": (b"::ffff:203.0.113.9", b"203.0.113.9"),
    "IPv4-mapped trusted": (b"203.0.113.9, ::ffff:10.1.1.1", b"203.0.113.9"),
    "junk at the right": (b"203.0.113.9, unknown", b"127.0.0.1"),
    "junk beyond a trusted hop": (b"203.0.113.9, _secret, 10.1.1.1", b"10.1.1.1"),
    "empty entry": (b"203.0.113.9,,10.1.1.1", b"10.1.1.1"),
    "empty": (b"", b"127.0.0.1"),
    "zone id": (b"fe80::1%eth0", b"127.0.0.1"),
    "with a port": (b"203.0.113.9:80", b"127.0.0.1"),
    "leading zeros": (b"203.0.113.009", b"127.0.0.1"),
    "a number": (b"3405803785", b"127.0.0.1"),
    "IPv6": (b"2001:DB8:0::1", b"2001:db8::1"),
}


@pytest.mark.parametrize(("chain", "client"), WALKS.values(), ids=WALKS.keys())
async def test_client_behind_trusted_proxies_is_the_first_other_address_from_the_right(
    chain: bytes, client: bytes
) -> None:
    async with world(trusted=("127.0.0.0/8", "10.0.0.0/8")) as edge:
        await edge.client.ask(GET + b"X-Forwarded-For: " + chain + b"\r\n\r\n")
        arrived = edge.upstream.only
        assert arrived.values(b"x-forwarded-for") == [client]
        node = b'"[' + client + b']"' if b":" in client else client
        assert arrived.values(b"forwarded") == [b"for=" + node + b";host=api.test;proto=http"]


async def test_several_lines_of_forwarded_for_are_one_list() -> None:
    async with world(trusted=("127.0.0.0/8", "10.0.0.0/8")) as edge:
        await edge.client.ask(GET + b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n")
        assert edge.upstream.only.values(b"x-forwarded-for") == [b"203.0.113.9"]


async def test_trusted_proxy_says_what_host_and_scheme_the_client_used() -> None:
    async with world(trusted=("127.0.0.1/32",)) as edge:
        await edge.client.ask(GET + b"X-Forwarded-Host: Shop.Test:443\r\nX-Forwarded-Proto: https\r\n\r\n")
        arrived = edge.upstream.only
        assert arrived.values(b"x-forwarded-host") == [b"shop.test"]
        assert arrived.values(b"x-forwarded-proto") == [b"https"]
        assert arrived.values(b"x-forwarded-port") == [b"443"]


@pytest.mark.parametrize("scheme", [b"ftp", b"https,http", b"HTTPS", b""])
async def test_scheme_that_is_none_is_not_believed(scheme: bytes) -> None:
    async with world(trusted=("127.0.0.1/32",)) as edge:
        await edge.client.ask(GET + b"X-Forwarded-Proto: " + scheme + b"\r\n\r\n")
        assert edge.upstream.only.values(b"x-forwarded-proto") == [b"http"]


@pytest.mark.parametrize("host", [b"a b", b"evil@test", b"a,b", b"x:99999"])
async def test_invalid_host_of_a_trusted_proxy_is_refused(host: bytes) -> None:
    async with world(trusted=("127.0.0.1/32",)) as edge:
        await edge.client.send(GET + b"X-Forwarded-Host: " + host + b"\r\n\r\n")
        await edge.refused("request-malformed", 400, closes=True)


@pytest.mark.parametrize("lines", [(b"a.test", b"b.test"), (b"a.test", b"a.test")], ids=["two hosts", "one twice"])
async def test_several_hosts_of_a_trusted_proxy_are_refused(lines: tuple[bytes, bytes]) -> None:
    async with world(trusted=("127.0.0.1/32",)) as edge:
        await edge.client.send(GET + b"".join(b"X-Forwarded-Host: %b\r\n" % line for line in lines) + b"\r\n")
        await edge.refused("request-ambiguous", 400, closes=False)
        assert edge.upstream.requests == []


async def test_several_forwarded_hosts_of_anybody_else_mean_nothing() -> None:
    async with world() as edge:
        await edge.client.ask(GET + b"X-Forwarded-Host: a.test\r\nX-Forwarded-Host: b.test\r\n\r\n")
        assert edge.upstream.only.values(b"x-forwarded-host") == [b"api.test"]


async def test_via_grows_at_its_end() -> None:
    async with world() as edge:
        await edge.client.ask(GET + b"Via: 1.0 fred, 1.1 p.example.net (Apache/1.1)\r\n\r\n")
        assert edge.upstream.only.values(b"via") == [b"1.0 fred, 1.1 p.example.net (Apache/1.1)", b"1.1 haetae-test"]


@pytest.mark.parametrize("via", [b"1.1 haetae-test", b"1.0 fred, 1.1 haetae-test", b"1.1 haetae-test (x), 1.1 y"])
async def test_request_that_comes_back_is_a_loop(via: bytes) -> None:
    async with world() as edge:
        await edge.client.send(GET + b"Via: " + via + b"\r\n\r\n")
        await edge.refused("loop-detected", 508, closes=False)
        assert edge.upstream.requests == []
        await edge.next_is_answered()


@pytest.mark.parametrize("via", [b"1.1 haetae-test-eu", b"1.1 x (haetae-test)", b"haetae-test"])
async def test_another_hop_with_a_similar_name_is_no_loop(via: bytes) -> None:
    async with world() as edge:
        assert (await edge.client.ask(GET + b"Via: " + via + b"\r\n\r\n")).status == 200


async def test_hop_by_hop_fields_of_the_answer_stay_at_the_hop() -> None:
    lines = (
        b"Connection: X-Internal",
        b"Connection: x-other",
        b"Keep-Alive: timeout=5",
        b"X-Internal: 1",
        b"X-Other: 1",
        b"Proxy-Authenticate: Basic",
        b"Upgrade: h2c",
        b"Trailer: x",
        b"X-End: kept",
        b"Set-Cookie: a=1",
        b"Set-Cookie: b=2",
    )
    async with world() as edge:
        edge.upstream.on("/a", ok(b"body", *lines))
        answer = await edge.client.ask(GET + b"\r\n")
        names = {name for name, _ in answer.fields}
        assert names == {b"x-end", b"set-cookie", b"content-length", b"date"}
        assert answer.values(b"set-cookie") == [b"a=1", b"b=2"]
        await edge.next_is_answered()


OURS = [
    b"X-Passport",
    b"x_passport",
    b"X.Passport",
    b"X-Forwarded-User",
    b"X-Forwarded-For",
    b"X_User_Id",
    b"Forwarded",
]


@pytest.mark.parametrize("name", [*OURS, b"Haetae-Key", b"haetae_anything", b"X-Accel-Redirect", b"Remote-User"])
async def test_answer_that_echoes_what_only_a_gateway_states_does_not_reach_the_client(name: bytes) -> None:
    async with world() as edge:
        edge.upstream.on("/a", ok(b"body", name + b": minted", b"X-Haetae: kept", b"X-Usage: kept"))
        answer = await edge.client.ask(GET + b"\r\n")
        assert [field for field, _ in answer.fields if field not in (b"content-length", b"date")] == [
            b"x-haetae",
            b"x-usage",
        ]
        await edge.next_is_answered()


async def test_answer_fields_above_ascii_are_dropped_and_the_reason_is_ours() -> None:
    async with world() as edge:
        answer = b"HTTP/1.1 200 G\xfct\r\nX-Bad: caf\xe9\r\nX-Good: ok\r\nContent-Length: 2\r\n\r\nhi"
        edge.upstream.on("/a", answer)
        got = await edge.client.ask(GET + b"\r\n")
        assert (got.reason, got.values(b"x-bad"), got.values(b"x-good")) == (b"OK", [], [b"ok"])
        await edge.next_is_answered()


async def test_date_of_the_upstream_is_kept_and_one_is_added_when_it_gave_none() -> None:
    async with world() as edge:
        edge.upstream.on("/a", ok(b"x", b"Date: Mon, 01 Jan 2024 00:00:00 GMT"))
        assert (await edge.client.ask(GET + b"\r\n")).value(b"date") == b"Mon, 01 Jan 2024 00:00:00 GMT"
        assert (await edge.client.ask(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n")).value(b"date").endswith(b"GMT")
