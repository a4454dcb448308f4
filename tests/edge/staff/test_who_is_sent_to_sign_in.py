"""A page goes to the sign-in; scripts, streams and sockets are told 401; nobody is signed out by a fault."""

from __future__ import annotations

import json
from typing import Any

import pytest
from haetae_edge.filters.oidc_session import OidcSession

from tests.edge.staff.staff_office import COOKIE, PAGE, SCRIPT, StoreUnavailable, staff_world

UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
OWN = b"Origin: https://tool.test\r\n"
HTML = b"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n"


@pytest.mark.parametrize(
    ("line", "fields", "sent"),
    [
        (b"GET /app?x=1", PAGE, True),
        (b"GET /app?x=1", HTML, True),
        (b"GET /app?x=1", b"", False),
        (b"GET /app?x=1", b"Accept: */*\r\n", False),
        (b"GET /app?x=1", b"Accept: text/html;q=0, application/json\r\n", False),
        (b"GET /app?x=1", SCRIPT + HTML, False),
        (b"GET /app?x=1", b"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n" + HTML, False),
        (b"GET /app?x=1", b"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Mode: cors\r\n" + HTML, False),
        (b"GET /app?x=1", HTML + b"X-Requested-With: XMLHttpRequest\r\n", False),
        (b"GET /app?x=1", b"Accept: text/event-stream\r\n", False),
        (b"GET /app?x=1", UPGRADE + OWN + HTML, False),
        (b"HEAD /app?x=1", PAGE, False),
        (b"POST /app?x=1", PAGE + OWN, False),
        (b"DELETE /app?x=1", HTML + OWN, False),
        (b"OPTIONS /app?x=1", HTML, False),
    ],
)
async def test_only_a_page_that_a_person_opens_is_sent_to_sign_in(line: bytes, fields: bytes, sent: bool) -> None:
    async with staff_world() as staff:
        answer = await staff.ask(line, fields)
        assert staff.edge.upstream.requests == []
        assert answer.value(b"cache-control") == b"no-store"
        if sent:
            assert answer.status == 302
            assert answer.value(b"location") == b"/.haetae/login?to=/app%3Fx%3D1"
        else:
            assert answer.status == 401
            assert answer.values(b"location") == []
            assert answer.value(b"www-authenticate").startswith(b"Cookie ")
        assert answer.values(b"set-cookie") == []


async def test_script_without_a_session_is_told_where_to_sign_in() -> None:
    async with staff_world() as staff:
        answer = await staff.ask(b"POST /api/save", SCRIPT, b"Origin: https://tool.test\r\n", body=b"{}")
        document = json.loads(answer.body)
        assert (answer.status, document["code"], document["login_url"]) == (
            401,
            "login-required",
            "https://tool.test/.haetae/login?to=/",
        )
        assert document["ref"]
        assert answer.values(b"access-control-allow-origin") == []


@pytest.mark.parametrize(
    ("origin", "echoed"), [(b"https://ui.test", True), (b"https://evil.test", False), (b"null", False)]
)
async def test_only_an_allowed_origin_may_read_the_refusal(origin: bytes, echoed: bool) -> None:
    async with staff_world(OidcSession(allowed_origins=("https://ui.test",))) as staff:
        answer = await staff.ask(b"GET /api/x", b"Sec-Fetch-Mode: cors\r\nOrigin: " + origin + b"\r\n")
        assert answer.status == 401
        assert answer.values(b"access-control-allow-origin") == ([origin] if echoed else [])
        assert answer.values(b"access-control-allow-credentials") == ([b"true"] if echoed else [])


@pytest.mark.parametrize("fields", [PAGE, SCRIPT, UPGRADE + OWN], ids=["page", "script", "socket"])
async def test_store_that_does_not_answer_is_503_and_the_cookie_stays(fields: bytes) -> None:
    async with staff_world(signed_in=True) as staff:
        staff.office.down = StoreUnavailable
        answer = await staff.ask(b"GET /app", fields, COOKIE)
        assert answer.status == 503
        assert int(answer.value(b"retry-after")) > 0
        assert answer.values(b"set-cookie") == []
        assert (b"text/html; charset=utf-8" in answer.values(b"content-type")) == (fields == PAGE)
        staff.office.down = None
        async with staff.edge.gateway.client() as another:
            request = b"GET /next HTTP/1.1\r\nHost: tool.test\r\n" + SCRIPT + COOKIE + b"\r\n"
            assert (await another.ask(request)).status == 200


async def test_refusal_of_a_page_is_a_page_in_the_persons_language_with_its_reference() -> None:
    async with staff_world(OidcSession(groups=("approvers",)), signed_in=True) as staff:
        answer = await staff.ask(b"GET /app", PAGE, COOKIE, b"Accept-Language: ko-KR,ko;q=0.9,en;q=0.5\r\n")
        text = answer.body.decode()
        assert answer.status == 403
        assert 'lang="ko"' in text
        assert "이 도구를 열 권한이 없습니다." in text
        assert "ref-1" in text
        assert b"frame-ancestors 'none'" in answer.value(b"content-security-policy")
        assert staff.edge.upstream.requests == []


async def test_refused_socket_of_a_tool_that_reconnects_at_once_has_to_wait() -> None:
    async with staff_world(OidcSession(preset="pinpoint")) as staff:
        assert (await staff.ask(b"GET /api/agent/activeThread", UPGRADE, OWN)).status == 401
        assert staff.office.calmed == 1
    async with staff_world(OidcSession(preset="pinpoint")) as staff:
        staff.office.calms = False
        assert (await staff.ask(b"GET /api/agent/activeThread", UPGRADE, OWN)).status == 429
    async with staff_world(OidcSession(preset="kibana")) as staff:
        assert (await staff.ask(b"GET /x", UPGRADE, OWN)).status == 401
        assert staff.office.calmed == 0


@pytest.mark.parametrize(
    ("door", "badge", "status"),
    [
        (OidcSession(groups=("sre", "dba")), {}, 200),
        (OidcSession(groups=("dba",)), {}, 403),
        (OidcSession(claims={"dept": ("risk",)}), {"claims": {"dept": ["risk", "x"]}}, 200),
        (OidcSession(claims={"dept": ("risk",)}), {"claims": {"dept": "fraud"}}, 403),
        (OidcSession(claims={"dept": ("risk",)}), {"claims": {"dept": {"risk": 1}}}, 403),
        (OidcSession(claims={"dept": ("risk",)}), {}, 403),
        (OidcSession(acr=("mfa",)), {"acr": "mfa"}, 200),
        (OidcSession(acr=("mfa",)), {"acr": "pwd"}, 401),
        (OidcSession(max_auth_age=300), {"auth_time": None}, 401),
        (OidcSession(max_auth_age=300), {"auth_time": 1}, 401),
        (OidcSession(max_auth_age=300), {"auth_time": 2**40}, 200),
    ],
)
async def test_what_a_route_demands_of_a_session_is_kept(door: OidcSession, badge: dict[str, Any], status: int) -> None:
    async with staff_world(door, signed_in=True, **badge) as staff:
        assert (await staff.ask(b"GET /app", SCRIPT, COOKIE)).status == status
        assert len(staff.edge.upstream.requests) == (status == 200)


async def test_step_up_asks_the_provider_for_what_the_route_demands_and_nothing_from_the_address() -> None:
    door = OidcSession(acr=("mfa",), max_auth_age=300)
    async with staff_world(door, signed_in=True, acr="pwd") as staff:
        answer = await staff.ask(b"GET /pay", PAGE, COOKIE)
        login = answer.value(b"location")
        assert login == b"/.haetae/login?to=/pay&for=everything"
        page = await staff.ask(b"GET " + login + b"&acr=none&max_age=99999", PAGE, COOKIE)
        assert page.status == 200
        asked = staff.office.begun[0]
        assert (asked["acr"], asked["max_age"], asked["return_to"]) == (("mfa",), 300, "/pay")
