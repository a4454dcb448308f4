"""The gateway's own endpoints: what each answers to whom, what it refuses, and that no upstream ever sees them."""

from __future__ import annotations

import json
import re

import pytest
from haetae_edge.filters.oidc_session import OidcSession
from haetae_edge.staff.pages import Pages, Tool
from haetae_edge.staff.requirement import Requirement
from haetae_edge.staff.tools import ToolRoute

from tests.edge.staff.staff_office import (
    COOKIE,
    ORIGIN,
    PAGE,
    SCRIPT,
    TICKET,
    DependencyUnavailable,
    SignInRefused,
    StoreUnavailable,
    staff_world,
)

OWN = b"Origin: https://tool.test\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


async def test_login_page_keeps_the_fragment_under_its_state_and_leads_to_the_provider() -> None:
    async with staff_world() as staff:
        answer = await staff.ask(b"GET /.haetae/login?to=/d/abc%3ForgId%3D1", PAGE)
        text = answer.body.decode()
        nonce = re.search(r"script-src 'nonce-([^']+)'", answer.value(b"content-security-policy").decode())
        assert nonce is not None
        assert f'<script nonce="{nonce[1]}"' in text
        assert 'data-to="https://op.test/authorize?state=st-1&amp;x=%22%3E"' in text
        assert 'data-state="st-1"' in text
        assert answer.value(b"referrer-policy") == b"no-referrer"
        assert answer.value(b"x-frame-options") == b"DENY"
        assert answer.values(b"set-cookie") == [
            b"__Host-haetae-login=browser-1; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"
        ]
        assert staff.office.begun[0]["return_to"] == "/d/abc?orgId=1"
        assert staff.edge.upstream.requests == []


async def test_each_page_has_a_nonce_of_its_own() -> None:
    async with staff_world() as staff:
        policies = {(await staff.ask(b"GET /.haetae/logout", PAGE)).value(b"content-security-policy") for _ in range(3)}
        assert len(policies) == 3


async def test_who_is_signed_in_already_goes_straight_back_unless_more_is_demanded() -> None:
    async with staff_world(OidcSession(acr=("mfa",)), signed_in=True) as staff:
        answer = await staff.ask(b"GET /.haetae/login?to=/x", PAGE, COOKIE)
        assert (answer.status, answer.value(b"location")) == (302, b"/x")
        assert (await staff.ask(b"GET /.haetae/login?to=/x&for=everything", PAGE, COOKIE)).status == 200


@pytest.mark.parametrize(
    "fields",
    [
        b"Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n",
        b"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n",
        b"Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n",
    ],
)
async def test_sign_in_does_not_start_in_a_frame_an_image_or_a_script(fields: bytes) -> None:
    async with staff_world() as staff:
        assert (await staff.ask(b"GET /.haetae/login?to=/x", fields)).status == 403
        assert staff.office.begun == []


async def test_callback_gives_the_ticket_and_a_page_that_restores_the_fragment() -> None:
    async with staff_world() as staff:
        line = b"GET /.haetae/callback?code=c-1&state=st-1&iss=https%3A%2F%2Fop.test"
        answer = await staff.ask(line, PAGE, b"Cookie: __Host-haetae-login=b-1; __Host-haetae-session=old.old\r\n")
        assert answer.status == 200
        assert b'data-to="/back"' in answer.body
        assert answer.values(b"set-cookie") == [
            b"__Host-haetae-session=id-1.secret-1; Path=/; Secure; HttpOnly; SameSite=Lax"
        ]
        asked = staff.office.finished[0]
        assert asked["params"] == {"code": ["c-1"], "state": ["st-1"], "iss": ["https://op.test"]}
        assert (asked["browser"], asked["previous_ticket"]) == ("b-1", "old.old")
        assert asked["redirect_uri"] == ORIGIN + "/.haetae/callback"
        assert staff.edge.upstream.requests == []


async def test_every_copy_of_a_parameter_reaches_the_one_who_judges_them() -> None:
    async with staff_world() as staff:
        await staff.ask(b"GET /.haetae/callback?code=a&code=b&state=st-1", PAGE)
        assert staff.office.finished[0]["params"]["code"] == ["a", "b"]
        assert (await staff.ask(b"GET /.haetae/callback?code=%ff&state=s", PAGE)).status == 400
        assert len(staff.office.finished) == 1


@pytest.mark.parametrize(
    ("trouble", "status"),
    [(SignInRefused("nonce"), 400), (StoreUnavailable(), 503), (DependencyUnavailable(), 503)],
)
@pytest.mark.parametrize("line", [b"GET /.haetae/callback?code=c&state=s", b"GET /.haetae/login?to=/x"])
async def test_sign_in_that_fails_is_a_page_with_a_way_on_and_takes_no_cookie(
    trouble: Exception, status: int, line: bytes
) -> None:
    async with staff_world() as staff:
        staff.office.refusal = trouble
        answer = await staff.ask(line, PAGE)
        assert answer.status == (429 if b"login" in line and status == 400 else status)
        assert b"ref-1" in answer.body
        assert b"nonce<" not in answer.body
        assert answer.values(b"set-cookie") == []


async def test_sign_out_by_address_asks_and_changes_nothing() -> None:
    async with staff_world(signed_in=True) as staff:
        answer = await staff.ask(b"GET /.haetae/logout", PAGE, COOKIE)
        assert b'method="post" action="/.haetae/logout"' in answer.body
        assert answer.values(b"set-cookie") == []
        assert staff.office.ended == []


async def test_sign_out_ends_the_session_first_and_goes_to_the_provider() -> None:
    async with staff_world(signed_in=True) as staff:
        answer = await staff.ask(b"POST /.haetae/logout", PAGE, OWN, COOKIE, FORM, body=b"a=b")
        assert answer.status == 303
        assert answer.value(b"location").startswith(b"https://op.test/end?")
        assert b"Max-Age=0" in answer.value(b"set-cookie")
        assert staff.office.ended == [TICKET]
        assert (await staff.ask(b"GET /app", SCRIPT, COOKIE)).status == 401


async def test_form_of_a_page_without_referrers_signs_out() -> None:
    async with staff_world(signed_in=True) as staff:
        fields = b"Origin: null\r\nSec-Fetch-Site: same-origin\r\n"
        assert (await staff.ask(b"POST /.haetae/logout", PAGE, fields, COOKIE)).status == 303
        assert staff.office.ended == [TICKET]


async def test_script_that_signs_out_is_told_where_to_go() -> None:
    async with staff_world(signed_in=True) as staff:
        answer = await staff.ask(b"POST /.haetae/logout", SCRIPT, OWN, COOKIE)
        assert json.loads(answer.body)["logout_url"].startswith("https://op.test/end?")
        assert b"Max-Age=0" in answer.value(b"set-cookie")


@pytest.mark.parametrize(
    "fields",
    [
        b"Origin: https://evil.test\r\n",
        b"Origin: https://evil.test\r\nSec-Fetch-Site: cross-site\r\n",
        b"Origin: null\r\nSec-Fetch-Site: cross-site\r\n",
        b"Origin: null\r\n",
        b"Sec-Fetch-Site: same-site\r\n",
        b"",
    ],
)
async def test_other_sites_cannot_sign_anybody_out(fields: bytes) -> None:
    async with staff_world(signed_in=True) as staff:
        answer = await staff.ask(b"POST /.haetae/logout", b"Sec-Fetch-Mode: navigate\r\n", fields, COOKIE)
        assert answer.status == 403
        assert answer.values(b"set-cookie") == []
        assert staff.office.ended == []


async def test_sign_out_without_a_session_is_being_signed_out_and_without_a_store_it_is_not() -> None:
    async with staff_world() as staff:
        answer = await staff.ask(b"POST /.haetae/logout", PAGE, OWN, COOKIE)
        assert answer.value(b"location") == b"https://tool.test/.haetae/signed-out"
        staff.office.down = StoreUnavailable
        answer = await staff.ask(b"POST /.haetae/logout", PAGE, OWN, COOKIE)
        assert (answer.status, answer.values(b"set-cookie")) == (503, [])


@pytest.mark.parametrize(
    ("fields", "body", "status"),
    [
        (FORM, b"logout_token=good", 200),
        (FORM.replace(b"\r\n", b"; charset=UTF-8\r\n"), b"logout_token=good&x=1", 200),
        (FORM, b"logout_token=bad", 400),
        (FORM, b"logout_token=good&logout_token=good", 400),
        (FORM, b"logout_token=", 400),
        (FORM, b"logout_token=%ff", 400),
        (FORM, b"\xff\xfe", 400),
        (FORM, b"", 400),
        (b"Content-Type: application/json\r\n", b"logout_token=good", 400),
        (b"", b"logout_token=good", 400),
    ],
)
async def test_back_channel_logout_is_answered_as_the_specification_says(
    fields: bytes, body: bytes, status: int
) -> None:
    async with staff_world() as staff:
        answer = await staff.ask(b"POST /.haetae/back-channel-logout", fields, body=body, host=b"127.0.0.1:8081")
        assert answer.status == status
        assert answer.value(b"cache-control") == b"no-store"
        assert answer.value(b"content-type") == b"application/json"
        assert ("error" in json.loads(answer.body)) == (status == 400)
        assert staff.office.logout_tokens == (["good"] if status == 200 else [])


async def test_back_channel_logout_fails_aloud_when_the_store_is_away_and_refuses_what_is_too_large() -> None:
    async with staff_world() as staff:
        staff.office.down = StoreUnavailable
        answer = await staff.ask(b"POST /.haetae/back-channel-logout", FORM, body=b"logout_token=good")
        assert (answer.status, json.loads(answer.body)) == (400, {"error": "temporarily_unavailable"})
        huge = b"logout_token=" + b"a" * 20_000
        assert (await staff.ask(b"POST /.haetae/back-channel-logout", FORM, body=huge)).status == 413


async def test_session_says_who_and_until_when_and_is_no_activity() -> None:
    async with staff_world(signed_in=True) as staff:
        answer = await staff.ask(b"GET /.haetae/session", SCRIPT, COOKIE)
        document = json.loads(answer.body)
        assert (document["username"], document["groups"]) == ("mina", ["sre", "staff"])
        assert document["ends"] > document["ends_if_idle"]
        assert answer.value(b"cache-control") == b"no-store"
        assert staff.office.loads == [False]
        assert (await staff.ask(b"GET /.haetae/session", SCRIPT)).status == 401


TOOLS = {
    "a": ToolRoute(
        requirement=Requirement(groups=frozenset({"sre"})),
        entry=Tool(url="https://a.test", title="<b>Logs</b>", description='"x"'),
    ),
    "b": ToolRoute(
        requirement=Requirement(groups=frozenset({"dba"})),
        entry=Tool(url="https://b.test", title="Secret", description=""),
    ),
    "c": ToolRoute(requirement=Requirement(), entry=None),
}


@pytest.mark.parametrize("line", [b"GET /.haetae/", b"GET /"])
async def test_landing_page_lists_what_this_person_may_open_and_nothing_else(line: bytes) -> None:
    async with staff_world(signed_in=True, tools=TOOLS, portal=ORIGIN) as staff:
        text = (await staff.ask(line, PAGE, COOKIE)).body.decode()
        assert 'href="https://a.test/"' in text
        assert "&lt;b&gt;Logs&lt;/b&gt;" in text
        assert "Secret" not in text
        assert "Mina 김" in text
        assert staff.edge.upstream.requests == []


async def test_landing_page_sends_strangers_to_sign_in_and_back() -> None:
    async with staff_world(tools=TOOLS) as staff:
        answer = await staff.ask(b"GET /.haetae/", PAGE)
        assert (answer.status, answer.value(b"location")) == (302, b"/.haetae/login?to=/.haetae/")
        assert (await staff.ask(b"GET /.haetae/login?to=/.haetae/", PAGE)).status == 200
        assert staff.office.begun[0]["return_to"] == "/.haetae/"


@pytest.mark.parametrize(
    "line",
    [b"GET /.haetae/unknown", b"POST /.haetae/login", b"GET /.haetae/back-channel-logout", b"PUT /.haetae/session"],
)
async def test_what_is_no_endpoint_is_404_and_never_the_tools(line: bytes) -> None:
    async with staff_world(signed_in=True) as staff:
        assert (await staff.ask(line, SCRIPT, COOKIE, OWN)).status == 404
        assert staff.edge.upstream.requests == []


def test_nothing_that_is_shown_becomes_markup() -> None:
    pages = Pages(nonce=b"0123456789abcdef", language="en")
    evil = "\"'><script>alert(1)</script>"
    tool = Tool(url="https://a.test", title=evil, description=evil)
    made = [
        pages.landing(name=evil, tools=[tool]),
        pages.leave(to="https://op.test/?" + evil, state=evil),
        pages.come_back(to="/" + evil, state=evil),
        pages.problem(status=400, code="unknown", title=evil, reference=evil, again="/" + evil),
    ]
    for page in made:
        assert isinstance(page.body, bytes)
        assert b"<script>alert" not in page.body
        assert b"\"'>" not in page.body
