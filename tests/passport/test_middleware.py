"""Services behind the gate: a Starlette and an aiohttp application, real sockets, real keys, real outages."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp import ClientSession, ClientTimeout, web
from haetae_crypto.jwks import JwksTimes
from haetae_crypto.keyring import KeyState
from haetae_crypto.signing_keys import SigningRing
from haetae_passport import PassportMinter, jwks_document
from haetae_passport.io.aiohttp import PASSPORT, guard_with_passport
from haetae_passport.io.asgi import AsgiApp, Message, PassportMiddleware, Scope
from haetae_passport.io.gate import PassportGate
from haetae_passport.io.jwks import PassportKeys
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.passport.jwks_server import JwksServer, bad_answers, jwks_server
from tests.passport.world import ISSUER, NOW, VERIFIER, mint, ring

Lines = list[tuple[str, str]]
DOCUMENT = jwks_document(ring(), now=NOW)
ROTATION: list[SigningRing] = [
    ring((1, KeyState.ACTIVE)),
    ring((1, KeyState.ACTIVE), (2, KeyState.NEXT)),
    ring((1, KeyState.VERIFY_ONLY), (2, KeyState.ACTIVE)),
    ring((1, KeyState.RETIRED), (2, KeyState.ACTIVE), (3, KeyState.NEXT)),
    ring((2, KeyState.VERIFY_ONLY), (3, KeyState.ACTIVE)),
]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: dict[str, object]


Call = Callable[[Lines, str], Awaitable[Answer]]
ServiceFactory = Callable[[PassportGate], AbstractAsyncContextManager[Call]]


@asynccontextmanager
async def aiohttp_service(gate: PassportGate) -> AsyncIterator[Call]:
    """A real aiohttp server; its handlers answer whom they serve."""

    async def whoami(request: web.Request) -> web.Response:
        return web.json_response({"sub": request[PASSPORT].subject})

    async def health(request: web.Request) -> web.Response:
        return web.json_response({"guarded": PASSPORT in request})

    app = web.Application()
    app.router.add_get("/whoami", whoami)
    app.router.add_get("/health", health)
    guard_with_passport(app, gate=gate, open_paths=frozenset({"/health"}))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with ClientSession(timeout=ClientTimeout(total=20)) as session:

        async def call(lines: Lines, path: str) -> Answer:
            async with session.get(base + path, headers=lines) as answer:
                body = await answer.read()
                return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, json.loads(body))

        try:
            yield call
        finally:
            await runner.cleanup()


async def _starlette_whoami(request: Request) -> JSONResponse:
    return JSONResponse({"sub": request.state.passport.subject})


async def _starlette_health(request: Request) -> JSONResponse:
    return JSONResponse({"guarded": "haetae.passport" in request.scope})


async def _starlette_socket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_json({"sub": socket.state.passport.subject})
    await socket.close()


def starlette_app() -> Starlette:
    return Starlette(
        routes=[
            Route("/whoami", _starlette_whoami),
            Route("/health", _starlette_health),
            WebSocketRoute("/ws", _starlette_socket),
        ]
    )


async def run_asgi(app: AsgiApp, scope: Scope, *incoming: Message) -> list[Message]:
    """Runs one connection of an ASGI application to its end; gives what it sent."""
    inbox, sent = list(incoming), list[Message]()

    async def receive() -> Message:
        return inbox.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def scope_of(kind: str, lines: Lines, path: str, **more: object) -> Scope:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in lines]
    return {
        "type": kind, "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": path,
        "raw_path": path.encode(), "query_string": b"", "headers": headers, "scheme": "http", "root_path": "",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "subprotocols": [], **more,
    }  # fmt: skip


@asynccontextmanager
async def starlette_service(gate: PassportGate) -> AsyncIterator[Call]:
    """A real Starlette application behind the middleware, driven by the ASGI protocol."""
    app = PassportMiddleware(starlette_app(), gate=gate, open_paths=frozenset({"/health"}))

    async def call(lines: Lines, path: str) -> Answer:
        sent = await run_asgi(
            app, scope_of("http", lines, path), {"type": "http.request", "body": b"", "more_body": False}
        )
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        body = b"".join(message.get("body", b"") for message in sent[1:])
        assert int(headers["content-length"]) == len(body)
        return Answer(sent[0]["status"], headers, json.loads(body))

    try:
        yield call
    finally:
        await gate.keys.aclose()


@pytest.fixture
async def server() -> AsyncIterator[JwksServer]:
    async with jwks_server(DOCUMENT) as running:
        yield running


@pytest.fixture(params=[aiohttp_service, starlette_service], ids=["aiohttp", "starlette"])
def service(request: pytest.FixtureRequest) -> ServiceFactory:
    factory: ServiceFactory = request.param
    return factory


def gate(server: JwksServer, *, times: JwksTimes | None = None, fetch_seconds: float = 5.0) -> PassportGate:
    keys = PassportKeys(server.url, loopback_http=True, times=times, fetch_seconds=fetch_seconds)
    return PassportGate(verifier=VERIFIER, keys=keys, clock=lambda: NOW + 1.0)


def carrying(token: str, name: str = "X-Passport") -> Lines:
    return [(name, token)]


async def test_handler_is_told_whom_it_serves(service: ServiceFactory, server: JwksServer) -> None:
    async with service(gate(server)) as call:
        answers = await asyncio.gather(*(call(carrying(mint()), "/whoami") for _ in range(20)))
        assert [(answer.status, answer.body) for answer in answers] == [(200, {"sub": "u-1029"})] * 20
        assert server.hits == 1


async def test_request_without_passport_is_refused_even_for_unknown_paths(
    service: ServiceFactory, server: JwksServer
) -> None:
    async with service(gate(server)) as call:
        for path in ("/whoami", "/nowhere", "/health/", "/Health"):
            answer = await call([], path)
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == 'Passport realm="transfer-service"'
            assert answer.headers["content-type"].startswith("application/problem+json")
            assert answer.body["code"] == "passport-missing"


async def test_listed_path_is_open_and_its_handler_gets_no_passport(
    service: ServiceFactory, server: JwksServer
) -> None:
    async with service(gate(server)) as call:
        assert (await call([], "/health")).body == {"guarded": False}


async def test_bad_passport_is_refused_without_saying_why(service: ServiceFactory, server: JwksServer) -> None:
    async with service(gate(server)) as call:
        for token in (mint(now=NOW - 100), mint(audience="other"), mint() + "=", "x", ""):
            answer = await call(carrying(token), "/whoami")
            assert (answer.status, answer.body["code"]) == (401, "passport-invalid")
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]
            assert set(answer.body) == {"type", "title", "status", "code"}


@pytest.mark.parametrize(
    "lines",
    [
        carrying(mint()) + carrying(mint()),
        carrying(mint()) + carrying("x", "X_Passport"),
        carrying(mint(), "X_Passport"),
        carrying(mint(), "x.passport"),
    ],
    ids=["twice", "second-spelling", "underscore", "dot"],
)
async def test_request_that_could_be_read_as_carrying_two_passports_is_refused(
    service: ServiceFactory, server: JwksServer, lines: Lines
) -> None:
    async with service(gate(server)) as call:
        assert (await call(lines, "/whoami")).status == 401


async def test_rotation_of_keys_refuses_no_request(service: ServiceFactory, server: JwksServer) -> None:
    soon = JwksTimes(fresh=0.001, stale=0.001, keep=60, retry_first=0.001, retry_most=0.001)
    minter = PassportMinter(issuer=ISSUER, ring=ROTATION[0])
    async with service(gate(server, times=soon)) as call:
        for now_ring, next_ring in zip(ROTATION, ROTATION[1:] + ROTATION[-1:], strict=True):
            server.document = jwks_document(now_ring, now=NOW)
            minter.use_ring(now_ring)
            for _ in range(5):
                assert (await call(carrying(mint(minter=minter)), "/whoami")).status == 200
            server.document = jwks_document(next_ring, now=NOW)
            assert (await call(carrying(mint(minter=minter)), "/whoami")).status == 200


async def test_key_never_published_before_is_learnt_from_the_first_passport(
    service: ServiceFactory, server: JwksServer
) -> None:
    async with service(gate(server)) as call:
        assert (await call(carrying(mint()), "/whoami")).status == 200
        server.document = jwks_document(ROTATION[2], now=NOW)
        fresh = mint(minter=PassportMinter(issuer=ISSUER, ring=ROTATION[2]))
        assert (await call(carrying(fresh), "/whoami")).status == 200
        unknown = mint(minter=PassportMinter(issuer=ISSUER, ring=ROTATION[4]))
        for _ in range(5):
            answer = await call(carrying(unknown), "/whoami")
            assert (answer.status, answer.body["code"]) == (401, "passport-invalid")
        assert server.hits == 2  # the second unknown key id came within the cooldown


@pytest.mark.parametrize("lie", bad_answers(b"{}"))
async def test_cold_service_whose_gateway_lies_answers_503(
    service: ServiceFactory, server: JwksServer, lie: str
) -> None:
    server.answer = bad_answers(DOCUMENT)[lie]
    async with service(gate(server)) as call:
        answer = await call(carrying(mint()), "/whoami")
        assert (answer.status, answer.body["code"]) == (503, "passport-keys-unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert "www-authenticate" not in answer.headers


async def test_cold_service_whose_gateway_is_silent_answers_503_in_bounded_time(
    service: ServiceFactory, server: JwksServer
) -> None:
    server.open_gate.clear()
    async with service(gate(server, fetch_seconds=0.05)) as call:
        assert (await call(carrying(mint()), "/whoami")).status == 503


async def test_cold_service_whose_gateway_is_gone_answers_503(service: ServiceFactory) -> None:
    async with jwks_server(DOCUMENT) as gone:
        pass
    async with service(gate(gone)) as call:
        assert (await call(carrying(mint()), "/whoami")).status == 503


async def test_cold_service_recovers_when_its_gateway_does(service: ServiceFactory, server: JwksServer) -> None:
    server.answer = bad_answers(DOCUMENT)["server error"]
    async with service(gate(server, times=JwksTimes(retry_first=0.001, retry_most=0.001))) as call:
        assert (await call(carrying(mint()), "/whoami")).status == 503
        server.answer = None
        while (answer := await call(carrying(mint()), "/whoami")).status == 503:
            pass
        assert answer.status == 200


async def test_warm_service_keeps_serving_while_the_gateway_is_away(
    service: ServiceFactory, server: JwksServer
) -> None:
    # So short that each request finds its keys old and each failed fetch already due again.
    soon = JwksTimes(fresh=1e-9, stale=1e-9, keep=60, retry_first=1e-9, retry_most=1e-9)
    async with service(gate(server, times=soon)) as call:
        assert (await call(carrying(mint()), "/whoami")).status == 200
        for answer in bad_answers(DOCUMENT).values():
            server.answer = answer
            assert (await call(carrying(mint()), "/whoami")).status == 200


async def test_websocket_carries_its_passport_to_the_handler(server: JwksServer) -> None:
    guard = gate(server)
    app = PassportMiddleware(starlette_app(), gate=guard)
    sent = await run_asgi(app, scope_of("websocket", carrying(mint()), "/ws"), {"type": "websocket.connect"})
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert json.loads(sent[1]["text"]) == {"sub": "u-1029"}


async def test_websocket_without_passport_is_refused_before_the_handler(server: JwksServer) -> None:
    app = PassportMiddleware(starlette_app(), gate=gate(server), open_paths=frozenset({"/ws"}))
    connect = {"type": "websocket.connect"}
    assert await run_asgi(app, scope_of("websocket", [], "/ws"), connect) == [{"type": "websocket.close", "code": 1008}]
    denial: dict[str, object] = {"websocket.http.response": {}}
    sent = await run_asgi(app, scope_of("websocket", [], "/ws", extensions=denial), connect)
    assert [message["type"] for message in sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert sent[0]["status"] == 401


async def test_unknown_kind_of_connection_is_not_passed_through(server: JwksServer) -> None:
    app = PassportMiddleware(starlette_app(), gate=gate(server))
    with pytest.raises(ValueError, match="webtransport"):
        await run_asgi(app, {"type": "webtransport"})


async def test_starting_the_application_fetches_the_keys_ahead_of_the_first_request(server: JwksServer) -> None:
    guard = gate(server)
    app = PassportMiddleware(starlette_app(), gate=guard)
    stop, inbox, sent = asyncio.Event(), iter(["lifespan.startup", "lifespan.shutdown"]), list[Message]()

    async def receive() -> Message:
        kind = next(inbox)
        if kind == "lifespan.shutdown":
            await stop.wait()
        return {"type": kind}

    async def send(message: Message) -> None:
        sent.append(message)

    life = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send))
    await server.wait_for_hits(1)
    stop.set()
    await life
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
