"""Tools hear who is signed in from the gateway and from nobody else, in a form that means one person only."""

from __future__ import annotations

import quopri
from typing import Any
from urllib.parse import unquote

import pytest
from haetae_edge.config.values import ArgumentError
from haetae_edge.filters.oidc_session import OidcSession
from haetae_edge.staff.presets import PRESETS, IdleExempt, NameUnusable
from haetae_edge.staff.presets.model import exact, listed, percent, quoted_printable
from hypothesis import given
from hypothesis import strategies as st

from tests.edge.staff.staff_office import COOKIE, SCRIPT, staff_world
from tests.simulator.upstream import ok

OWN = b"Origin: https://tool.test\r\n"


async def told(preset: str, *sent: bytes, identity: str | None = None, **badge: Any) -> list[tuple[bytes, bytes]]:
    """The fields that a tool got beside those of every request."""
    door = OidcSession(preset=preset, identity=identity)  # type: ignore[arg-type]  # as the loader checks it
    async with staff_world(door, signed_in=True, **badge) as staff:
        answer = await staff.ask(b"GET /app", SCRIPT, COOKIE, *sent)
        assert answer.status == 200, answer
        usual = (
            b"sec-fetch-",
            b"x-forwarded-for",
            b"x-forwarded-host",
            b"x-forwarded-port",
            b"x-forwarded-proto",
            b"forwarded",
            b"via",
            b"host",
        )
        return [pair for pair in staff.edge.upstream.only.fields if not pair[0].startswith(usual)]


async def test_grafana_hears_name_address_and_groups_always() -> None:
    assert await told("grafana", username="지민", name="김 지민", groups=frozenset({"sre", "운영"})) == [
        (b"x-webauth-user", b"=EC=A7=80=EB=AF=BC"),
        (b"x-webauth-name", b"=EA=B9=80 =EC=A7=80=EB=AF=BC"),
        (b"x-webauth-email", b"mina@example.org"),
        (b"x-webauth-groups", b"sre,=EC=9A=B4=EC=98=81"),
    ]
    assert (b"x-webauth-groups", b"") in await told("grafana", groups=frozenset())


async def test_elasticsearch_and_kibana_run_as_the_person() -> None:
    for preset in ("kibana", "elasticsearch"):
        assert await told(preset) == [(b"es-security-runas-user", b"mina")]


async def test_generic_tool_hears_nothing_unless_it_is_asked_for() -> None:
    assert await told("generic") == []
    assert await told("generic", identity="headers", username="a%b") == [
        (b"x-forwarded-user", b"a%25b"),
        (b"x-forwarded-preferred-username", b"a%25b"),
        (b"x-forwarded-email", b"mina@example.org"),
        (b"x-forwarded-groups", b"sre,staff"),
    ]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "name",
    [
        b"Authorization",
        b"X-WEBAUTH-USER",
        b"X-Webauth-Role",
        b"X_WEBAUTH_GROUPS",
        b"X-WEBAUTH.Name",
        b"es-security-runas-user",
        b"es_security_runas_user",
        b"es-secondary-authorization",
        b"ES-Client-Authentication",
        b"X-Forwarded-User",
        b"X_Forwarded_Groups",
        b"X-JWT-Assertion",
        b"X-Passport",
        b"Remote-User",
    ],
)
async def test_word_of_a_caller_about_who_is_calling_reaches_no_tool(preset: str, name: bytes) -> None:
    fields = await told(preset, name + b": planted\r\n")
    assert all(value != b"planted" for _, value in fields)


async def test_host_and_origin_arrive_as_the_browser_sent_them() -> None:
    async with staff_world(OidcSession(preset="grafana"), signed_in=True) as staff:
        assert (await staff.ask(b"POST /api/save", SCRIPT, OWN, COOKIE, b"kbn-xsrf: 1\r\n", body=b"{}")).status == 200
        arrived = staff.edge.upstream.only
        assert arrived.values(b"host") == [b"tool.test"]
        assert arrived.values(b"origin") == [b"https://tool.test"]
        assert arrived.values(b"kbn-xsrf") == [b"1"]


@pytest.mark.parametrize(
    ("preset", "badge"),
    [
        ("kibana", {"username": "지민"}),
        ("kibana", {"username": " mina"}),
        ("kibana", {"username": None}),
        ("kibana", {"username": "a\r\nx: y"}),
        ("grafana", {"username": None}),
        ("grafana", {"username": "a" * 300}),
        ("grafana", {"username": "  "}),
        ("grafana", {"groups": frozenset(f"group-{n:04}" for n in range(1000))}),
    ],
)
async def test_person_whom_a_tool_cannot_be_told_unchanged_is_refused(preset: str, badge: dict[str, Any]) -> None:
    async with staff_world(OidcSession(preset=preset), signed_in=True, **badge) as staff:
        assert (await staff.ask(b"GET /app", SCRIPT, COOKIE)).problem() == "not-permitted"
        assert staff.edge.upstream.requests == []


async def test_assertion_is_demanded_where_the_route_promises_one() -> None:
    async with staff_world(OidcSession(preset="grafana", identity="assertion"), signed_in=True) as staff:
        assert (await staff.ask(b"GET /app", SCRIPT, COOKIE)).problem() == "identity-unavailable"
        assert staff.edge.upstream.requests == []
    with pytest.raises(ArgumentError, match="nothing that kibana can verify"):
        OidcSession(preset="kibana", identity="assertion")


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        (OWN, True),
        (b"Origin: https://ui.test\r\nSec-Fetch-Site: cross-site\r\n", True),
        (b"Sec-Fetch-Site: same-origin\r\n", True),
        (b"Origin: https://tool.test:8443\r\n", False),
        (b"Origin: http://tool.test\r\n", False),
        (b"Origin: https://evil.test\r\n", False),
        (b"Origin: https://evil.test\r\nSec-Fetch-Site: same-origin\r\n", False),
        (b"Origin: null\r\n", False),
        (b"Sec-Fetch-Site: cross-site\r\n", False),
        (b"Sec-Fetch-Site: same-site\r\n", False),
        (b"", False),
    ],
)
async def test_changes_come_from_the_tools_own_pages_and_listed_origins_only(fields: bytes, allowed: bool) -> None:
    door = OidcSession(preset="pinpoint", allowed_origins=("https://ui.test",))
    async with staff_world(door, signed_in=True) as staff:
        for method in (b"POST", b"PUT", b"PATCH", b"DELETE"):
            answer = await staff.ask(method + b" /api/admin/x", fields, COOKIE)
            assert answer.status == (200 if allowed else 403)
        assert (await staff.ask(b"GET /api/x", fields, COOKIE)).status == 200
        assert len(staff.edge.upstream.requests) == (5 if allowed else 1)


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        (b"", True),
        (b"Sec-Fetch-Site: same-origin\r\n", True),
        (OWN, True),
        (b"Origin: https://ui.test\r\nSec-Fetch-Site: same-site\r\n", True),
        (b"Origin: https://evil.tool.test\r\nSec-Fetch-Site: same-site\r\n", False),
        (b"Origin: https://evil.tool.test\r\n", False),
        (b"Origin: null\r\n", False),
        (b"Sec-Fetch-Site: same-site\r\n", False),
        (b"Sec-Fetch-Site: cross-site\r\n", False),
    ],
)
@pytest.mark.parametrize("accept", [b"text/event-stream", b"application/json, Text/Event-Stream;q=0.5"])
async def test_event_stream_opens_for_the_tools_own_pages_and_listed_origins_only(
    accept: bytes, fields: bytes, allowed: bool
) -> None:
    door = OidcSession(allowed_origins=("https://ui.test",))
    async with staff_world(door, signed_in=True) as staff:
        answer = await staff.ask(b"GET /events", b"Accept: %b\r\n" % accept, fields, COOKIE)
        assert (answer.status, len(staff.edge.upstream.requests)) == ((200, 1) if allowed else (403, 0))


@pytest.mark.parametrize("origin", [b"https://evil.tool.test", b"null", b"https://ui.test", b"https://tool.test"])
@pytest.mark.parametrize("kind", [b"Text/Event-Stream; charset=utf-8", b"application/json"])
async def test_stream_that_was_asked_for_as_anything_is_not_readable_for_a_foreign_page_whatever_the_tool_allows(
    origin: bytes, kind: bytes
) -> None:
    door = OidcSession(allowed_origins=("https://ui.test",))
    async with staff_world(door, signed_in=True) as staff:
        leave = (b"Access-Control-Allow-Origin: " + origin, b"Access-Control-Allow-Credentials: true")
        staff.edge.upstream.on("/tail", ok(b"data: 1\n\n", b"Content-Type: " + kind, *leave))
        sent = b"Accept: */*\r\nSec-Fetch-Site: same-site\r\nOrigin: %b\r\n" % origin
        answer = await staff.ask(b"GET /tail", sent, COOKIE)
        assert answer.status == 200
        told = [name for name, _ in answer.fields if name.startswith(b"access-control-")]
        foreign = origin in (b"https://evil.tool.test", b"null")
        assert bool(told) is not (foreign and kind != b"application/json")


@pytest.mark.parametrize(
    ("preset", "line", "field", "activity"),
    [
        ("kibana", b"GET /api/x", b"", True),
        ("kibana", b"GET /api/x", b"kbn-system-request: true\r\n", False),
        ("kibana", b"GET /api/x", b"kbn-system-api: true\r\n", False),
        ("grafana", b"GET /api/live/ws", b"", False),
        ("grafana", b"GET /api/frontend-metrics", b"", False),
        ("grafana", b"GET /api/dashboards/x", b"", True),
        ("pinpoint", b"GET /api/log/hostGroups/a/tail", b"", False),
        ("generic", b"GET /events", b"Accept: text/event-stream\r\n", False),
        ("generic", b"GET /poll/1", b"", False),
        ("generic", b"GET /poll", b"X-Poll: 2\r\n", True),
    ],
)
async def test_polling_does_not_keep_a_session_alive(preset: str, line: bytes, field: bytes, activity: bool) -> None:
    own = (IdleExempt(path="/poll/{id}"), IdleExempt(header="X-Poll", value="1"))
    async with staff_world(OidcSession(preset=preset, idle_exempt=own), signed_in=True) as staff:
        assert (await staff.ask(line, COOKIE, field)).status == 200
        assert staff.office.loads == [activity]


@given(st.text(max_size=60))
def test_encoded_names_decode_to_the_name_and_stand_in_a_header(name: str) -> None:
    trimmed = name.strip()
    for encoded, decoded in (
        (quoted_printable(name), quopri.decodestring(quoted_printable(name)).decode()),
        (percent(trimmed), unquote(percent(trimmed).decode())),
    ):
        assert encoded.isascii()
        assert encoded.decode().isprintable()
        assert decoded == trimmed
    try:
        assert exact(name) == name.encode("ascii")
    except NameUnusable:
        assert not (name.isascii() and name.isprintable() and name and name == name.strip())


@given(st.sets(st.text(max_size=20), max_size=8))
def test_list_of_groups_never_reads_as_groups_that_nobody_has(groups: set[str]) -> None:
    read = {unquote(item) for item in listed(groups, percent).decode().split(",")} - {""}
    assert read <= {group.strip(" ") for group in groups}
