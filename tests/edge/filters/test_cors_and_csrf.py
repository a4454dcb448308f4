"""What pages of other origins may ask of a gateway, and what is done to their requests."""

import pytest
from haetae_edge.config.values import ArgumentError
from haetae_edge.filter import Filter
from haetae_edge.filters.add_response_header import AddResponseHeader
from haetae_edge.filters.block import Block
from haetae_edge.filters.cors import Cors
from haetae_edge.filters.csrf import Csrf
from haetae_edge.filters.verify_jwt import VerifyJwt
from haetae_edge.predicates.method import Method
from haetae_edge.predicates.path import Path
from haetae_edge.tokens.origins import parse_origin_pattern, parse_origin_text
from haetae_policy import Action, Api, Record, Subject, parse_network
from hypothesis import given
from hypothesis import strategies as st

from tests.edge.tokens.gate import NOW, Gate, gate
from tests.simulator.client import Answer
from tests.simulator.gateway import RouteUnderTest, gateway
from tests.simulator.policies import MemoryPolicies
from tests.simulator.upstream import ok, recording_upstream
from tests.simulator.world import World, world

APP = "https://app.example.org"
CORS = Cors(
    allowed_origins=(APP,),
    allowed_origin_patterns=("https://*.pages.example.org",),
    allowed_methods=("GET", "POST"),
    allowed_headers=("Authorization", "X-App"),
    exposed_headers=("X-Total",),
    allow_credentials=True,
)


async def ask(edge: World | Gate, *fields: str, method: str = "GET", target: str = "/orders") -> Answer:
    running = (edge.edge if isinstance(edge, Gate) else edge).gateway
    head = f"{method} {target} HTTP/1.1\r\nHost: api.test\r\n" + "".join(f"{line}\r\n" for line in fields) + "\r\n"
    async with running.client() as client:
        await client.send(head.encode())
        return await client.answer(method)


def preflight(origin: str = APP, method: str = "POST", *headers: str) -> tuple[str, ...]:
    asked = (f"Access-Control-Request-Headers: {', '.join(headers)}",) if headers else ()
    return (f"Origin: {origin}", f"Access-Control-Request-Method: {method}", *asked)


async def test_preflight_is_answered_before_authentication_and_never_reaches_the_upstream() -> None:
    async with gate(CORS, VerifyJwt()) as g:
        answer = await ask(g, *preflight(APP, "POST", "x-app", "content-type"), method="OPTIONS")
        assert (answer.status, answer.body) == (204, b"")
        assert answer.value(b"access-control-allow-origin") == APP.encode()
        assert answer.value(b"access-control-allow-credentials") == b"true"
        assert answer.value(b"access-control-allow-methods") == b"GET, POST"
        assert answer.value(b"access-control-allow-headers") == b"x-app, content-type"
        assert answer.value(b"access-control-max-age") == b"600"
        assert b"Origin" in answer.values(b"vary")
        assert g.edge.upstream.requests == []


@pytest.mark.parametrize(
    ("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 403), ("DELETE", 403), ("OPTIONS", 403)]
)
async def test_named_origin_calls_by_the_allowed_methods_only_also_without_a_preflight(
    method: str, status: int
) -> None:
    async with world(filters=(Cors(allowed_origins=(APP,), allowed_methods=("GET",)), Csrf())) as edge:
        edge.upstream.on("/orders", ok(b""))
        assert (await ask(edge, f"Origin: {APP}", method=method)).status == status
        assert (await ask(edge, "Origin: http://api.test", method="POST")).status == 200


async def test_preflight_from_a_blocked_address_is_refused_and_says_nothing_of_the_route() -> None:
    policies = MemoryPolicies()
    async with gate(CORS, Block(), VerifyJwt(), policies=policies) as g:
        assert (await ask(g, *preflight(APP, "POST"), method="OPTIONS")).status == 204
        everyone = Subject(ip=parse_network("127.0.0.0/8"))
        policies.put(Record(pid=1, ver=1, exp_ms=(NOW + 60) * 1000, action=Action.BLOCK, subject=everyone, api=Api()))
        answer = await ask(g, *preflight(APP, "POST"), method="OPTIONS")
        assert (answer.status, answer.problem()) == (403, "blocked")
        assert answer.values(b"access-control-allow-methods") == []


async def test_preflight_is_not_answered_while_the_policies_are_not_known() -> None:
    async with gate(CORS, Block(), VerifyJwt(), policies=MemoryPolicies(loaded=False)) as g:
        answer = await ask(g, *preflight(APP, "POST"), method="OPTIONS")
        assert (answer.status, answer.problem()) == (503, "policies-unavailable")


@pytest.mark.parametrize(
    "asked",
    [
        preflight("https://evil.example"),
        preflight("null"),
        preflight(APP + ".evil.example"),
        preflight("http://app.example.org"),
        preflight(APP + ":8443"),
        preflight(APP, "DELETE"),
        preflight(APP, "post"),
        preflight(APP, "POST", "x-other"),
        preflight(APP, "POST", "bad name"),
        preflight(APP, "POST", *(f"x-{number}" for number in range(65))),
    ],
)
async def test_preflight_for_what_is_not_allowed_is_refused(asked: tuple[str, ...]) -> None:
    async with world(filters=(CORS,)) as edge:
        answer = await ask(edge, *asked, method="OPTIONS")
        assert (answer.status, answer.problem()) == (403, "foreign-origin")
        assert answer.values(b"access-control-allow-headers") == []


async def test_preflight_is_answered_by_the_route_of_the_call_it_asks_about() -> None:
    async with recording_upstream() as upstream:
        only_post = RouteUnderTest(
            port=upstream.port,
            id="transfers",
            predicates=(Path(patterns=("/transfers",)), Method(methods=("POST",))),
            filters=(Cors(allowed_origins=(APP,), allowed_methods=("POST",)),),
            order=1,
        )
        rest = RouteUnderTest(port=upstream.port, filters=(AddResponseHeader(name="X-Rest", value="1"),), order=2)
        async with gateway(only_post, rest) as running, running.client() as client:
            head = b"OPTIONS /transfers HTTP/1.1\r\nHost: api.test\r\nOrigin: https://app.example.org\r\n"
            answer = await client.ask(head + b"Access-Control-Request-Method: POST\r\n\r\n", method="OPTIONS")
            assert (answer.status, answer.values(b"x-rest")) == (204, [])
            answer = await client.ask(head + b"Access-Control-Request-Method: GET\r\n\r\n", method="OPTIONS")
            assert (answer.status, answer.values(b"x-rest")) == (200, [b"1"])
            answer = await client.ask(head + b"\r\n", method="OPTIONS")
            assert answer.values(b"x-rest") == [b"1"]


async def test_page_of_an_allowed_origin_may_read_and_the_upstreams_own_words_give_way() -> None:
    async with world(filters=(CORS,)) as edge:
        theirs = (b"Access-Control-Allow-Origin: *", b"Access-Control-Allow-Headers: *", b"Vary: Accept")
        edge.upstream.on("/orders", ok(b"list", *theirs))
        answer = await ask(edge, f"Origin: {APP}")
        assert answer.body == b"list"
        assert answer.value(b"access-control-allow-origin") == APP.encode()
        assert answer.values(b"access-control-allow-headers") == []
        assert answer.value(b"access-control-expose-headers") == b"X-Total"
        assert answer.values(b"vary") == [b"Accept", b"Origin"]


async def test_answers_to_nobody_in_particular_vary_by_origin_too_and_name_none() -> None:
    async with world(filters=(CORS,)) as edge:
        answer = await ask(edge)
        assert answer.status == 200
        assert answer.values(b"access-control-allow-origin") == []
        assert answer.values(b"vary") == [b"Origin"]


async def test_page_can_read_why_it_was_refused() -> None:
    async with gate(CORS, VerifyJwt()) as g:
        answer = await ask(g, f"Origin: {APP}")
        assert (answer.status, answer.problem()) == (401, "token-invalid")
        assert answer.value(b"access-control-allow-origin") == APP.encode()


async def test_call_of_a_foreign_page_is_refused_and_its_browser_shown_nothing() -> None:
    async with world(filters=(CORS,)) as edge:
        answer = await ask(edge, "Origin: https://evil.example", method="POST")
        assert (answer.status, answer.problem()) == (403, "foreign-origin")
        assert answer.values(b"access-control-allow-origin") == []
        assert edge.upstream.requests == []


async def test_gateways_own_page_is_not_cross_origin() -> None:
    async with world(filters=(CORS,)) as edge:
        assert (await ask(edge, "Origin: http://api.test")).status == 200


async def test_anyone_means_a_star_and_no_credentials() -> None:
    async with world(filters=(Cors(allowed_origins=("*",)),)) as edge:
        answer = await ask(edge, "Origin: https://anything.example")
        assert answer.value(b"access-control-allow-origin") == b"*"
        assert answer.values(b"access-control-allow-credentials") == []


@pytest.mark.parametrize(
    ("origin", "passes"),
    [
        ("https://a.pages.example.org", True),
        ("https://a.b.pages.example.org", True),
        ("https://pages.example.org", False),
        ("https://evilpages.example.org", False),
        ("https://a.pages.example.org:8443", False),
        ("http://a.pages.example.org", False),
        ("https://a.pages.example.org.evil.example", False),
        ("https://evil.example/.pages.example.org", False),
        ("https://-.pages.example.org", False),
        ("https://A.pages.example.org", False),
    ],
)
async def test_pattern_takes_whole_labels_at_the_left_only(origin: str, passes: bool) -> None:
    async with world(filters=(CORS,)) as edge:
        assert (await ask(edge, f"Origin: {origin}")).status == (200 if passes else 403)


@given(st.text(alphabet="abz.-:/@*?#[]", max_size=20))
def test_nothing_matches_a_pattern_but_labels_before_its_host(text: str) -> None:
    pattern = parse_origin_pattern("https://*.example.org")
    if pattern.fullmatch(f"https://{text}example.org"):
        assert text.endswith(".")
        assert set(text) <= set("abz.-")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"allowed_origins": ("*",), "allow_credentials": True},
        {"allowed_origins": ("*", APP)},
        {"allowed_origins": ("https://app.example.org/",)},
        {"allowed_origins": ("https://App.example.org",)},
        {"allowed_origins": ("https://app.example.org:443",)},
        {"allowed_origins": ("null",)},
        {"allowed_origins": ("https://*.example.org",)},
        {"allowed_origin_patterns": ("*",)},
        {"allowed_origin_patterns": ("https://*",)},
        {"allowed_origin_patterns": ("https://*.org",)},
        {"allowed_origin_patterns": ("https://a.*.example.org",)},
        {"allowed_origin_patterns": ("https://*example.org",)},
        {"allowed_origins": (APP,), "allowed_methods": ("get",)},
        {"allowed_origins": (APP,), "allowed_methods": ()},
        {"allowed_origins": (APP,), "allowed_headers": ("*",)},
        {"allowed_origins": (APP,), "exposed_headers": ("*",)},
        {"allowed_origins": (APP,), "max_age": 8 * 86400.0},
    ],
)
def test_cors_that_would_let_too_much_through_is_a_configuration_error(arguments: dict[str, object]) -> None:
    with pytest.raises(ArgumentError):
        Cors(**arguments)  # type: ignore[arg-type] # each case is one mistake


def test_origin_is_written_as_browsers_send_it() -> None:
    assert parse_origin_text("http://localhost:3000") == "http://localhost:3000"
    for text in ("localhost:3000", "http://", "http://a b", "http://a:0x1", "ftp://a"):
        with pytest.raises(ValueError):
            parse_origin_text(text)


# -- Csrf --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "fields", "passes"),
    [
        ("GET", ("Origin: https://evil.example", "Sec-Fetch-Site: cross-site"), True),
        ("POST", ("Origin: http://api.test", "Sec-Fetch-Site: same-origin"), True),
        ("POST", ("Origin: http://api.test",), True),
        ("POST", ("Origin: https://partner.example", "Sec-Fetch-Site: cross-site"), True),
        ("POST", ("Sec-Fetch-Site: same-origin",), True),
        ("POST", ("Sec-Fetch-Site: none",), True),
        ("POST", ("Sec-Fetch-Site: same-site",), False),
        ("POST", ("Sec-Fetch-Site: cross-site",), False),
        ("POST", ("Origin: http://api.test", "Sec-Fetch-Site: cross-site"), False),
        ("POST", ("Origin: null",), False),
        ("POST", ("Origin: https://evil.example", "Sec-Fetch-Site: same-origin"), False),
        ("POST", ("Origin: https://api.test",), False),
        ("POST", ("Origin: http://api.test:81",), False),
        ("DELETE", ("Origin: https://evil.example",), False),
        ("PUT", (), False),
        ("GET", ("Origin: https://evil.example", "Connection: Upgrade", "Upgrade: websocket"), False),
    ],
)
async def test_only_named_pages_change_something(method: str, fields: tuple[str, ...], passes: bool) -> None:
    async with world(filters=(Csrf(allowed_origins=("https://partner.example",)),)) as edge:
        answer = await ask(edge, *fields, method=method)
        assert answer.status == (200 if passes else 403)
        assert len(edge.upstream.requests) == int(passes)


async def test_program_that_is_no_browser_passes_where_the_route_says_so() -> None:
    async with world(filters=(Csrf(on_missing="allow"),)) as edge:
        assert (await ask(edge, method="POST")).status == 200
        assert (await ask(edge, "Origin: https://evil.example", method="POST")).status == 403


@pytest.mark.parametrize(
    ("cors", "status"),
    [
        (Cors(allowed_origins=(APP,), allowed_methods=("POST",)), 200),
        (Cors(allowed_origins=("*",), allowed_methods=("POST",)), 403),
    ],
)
async def test_origin_that_cors_names_may_change_something_but_a_star_names_nobody(cors: Filter, status: int) -> None:
    async with world(filters=(cors, Csrf())) as edge:
        assert (await ask(edge, f"Origin: {APP}", method="POST")).status == status
