"""What the gateway answers itself, on each tool's host under `/.haetae/`: signing in, signing out, who is signed in.

    GET  /.haetae/                      the tools this person may open
    GET  /.haetae/login                 to the provider (`to`: where to come back; `for`: the route whose demands count)
    GET  /.haetae/callback              back from the provider
    GET  /.haetae/logout                asks; POST signs out, here and at the provider
    GET  /.haetae/signed-out            after that
    GET  /.haetae/session               who, and until when (JSON); no activity
    POST /.haetae/back-channel-logout   the provider says that somebody signed out (Back-Channel Logout 1.0)

None of it reaches an upstream. Which host this is comes from the configuration, so no `Host` or `X-Forwarded-*` of a
request is ever part of a redirect; back-channel calls are signed and may use any host.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

import orjson

from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange, Response, Send, Step
from haetae_edge.querystring import parameters
from haetae_edge.request import Request
from haetae_edge.services import DependencyUnavailable, StoreUnavailable
from haetae_edge.staff.cookies import (
    LOGIN_COOKIE,
    SESSION_COOKIE,
    CookiesUnusable,
    clear_session,
    read_cookie,
    set_login,
    set_session,
)
from haetae_edge.staff.gate import StaffGate, shown_name
from haetae_edge.staff.logins import LoginRates
from haetae_edge.staff.navigation import is_form_page, single
from haetae_edge.staff.origins import check_origin
from haetae_edge.staff.ports import LogoutRefused, NoSession, SignInRefused, SignInStale
from haetae_edge.staff.present import Presenter, login_path, pages_for, redirect, return_to
from haetae_edge.staff.return_address import PREFIX, START, safe_return
from haetae_edge.staff.tools import Tools

CALLBACK_PATH: Final = "/.haetae/callback"
SIGNED_OUT_PATH: Final = "/.haetae/signed-out"
BACK_CHANNEL_PATH: Final = "/.haetae/back-channel-logout"
_MAX_FORM: Final = 16 * 1024
_NO_STORE: Final = (b"cache-control", b"no-store")
#: Cookies that cannot be read in one way came from elsewhere in the domain; this is the only way to be rid of them.
_CLEAR: Final = (b"clear-site-data", b'"cookies"')

_Handler = Callable[[Exchange, str], Awaitable[Response]]


class StaffEndpoints:
    """The endpoints of one worker. `guard` refuses what policies say of the address; `portal` is an origin or None."""

    def __init__(self, gate: StaffGate, tools: Tools, *, portal: str | None, guard: Step | None) -> None:
        self._gate = gate
        self._sign_in = gate.sign_in
        self._tools = tools
        self._portal = urlsplit(portal).netloc if portal is not None else None
        self._guard = guard
        self._rates = LoginRates()
        self._presenter = Presenter(random_bytes=gate.random_bytes, allowed=frozenset())
        self._handlers: dict[tuple[str, str], _Handler] = {
            ("GET", PREFIX): self._landing,
            ("GET", "/.haetae/login"): self._login,
            ("GET", CALLBACK_PATH): self._callback,
            ("GET", "/.haetae/logout"): self._ask,
            ("POST", "/.haetae/logout"): self._logout,
            ("GET", SIGNED_OUT_PATH): self._signed_out,
            ("GET", "/.haetae/session"): self._session,
        }

    def find(self, request: Request) -> Send | None:
        """The endpoint of a request; everything below the prefix is ours, known or not."""
        path = request.path
        if path.startswith(PREFIX) or path == PREFIX[:-1]:
            return self._serve
        if path == START and self._portal is not None and request.authority.value == self._portal:
            return self._serve
        return None

    async def _serve(self, exchange: Exchange) -> Response:
        request = exchange.request
        exchange.finish = self._finish
        if self._guard is not None:
            pending = self._guard(exchange)
            if pending is not None:
                await pending
        if (request.method, request.path) == ("POST", BACK_CHANNEL_PATH):
            return await self._back_channel(exchange)
        path = PREFIX if request.path in (START, PREFIX[:-1]) else request.path
        handler = self._handlers.get((request.method, path))
        if handler is None:
            raise Refusal("route-not-found", reason="no-endpoint")
        return await handler(exchange, self._gate.origin(request))

    def _finish(self, exchange: Exchange, response: Response) -> None:
        if exchange.request.path == BACK_CHANNEL_PATH:
            return
        origin = self._gate.origins.get(exchange.request.authority.value)
        here = PREFIX if exchange.request.path == PREFIX else return_to(exchange)
        self._presenter.present(exchange, response, login=login_path(here, route=None), origin=origin)

    # -- signing in --------------------------------------------------------------------------------------------------

    async def _login(self, exchange: Exchange, origin: str) -> Response:
        request = exchange.request
        _opened_by_a_person(request)
        given = _query(request)
        target = _only(given, "to")
        back = PREFIX if target == PREFIX else safe_return(target)
        route = _only(given, "for")
        if route is None and await self._is_signed_in(request):
            return redirect(302, back)
        self._rates.take(request, now=self._gate.clock())
        demands = self._tools.requirement(route)
        browser, unusable = _login_cookie(request)
        try:
            begun = await self._sign_in.begin(
                redirect_uri=origin + CALLBACK_PATH,
                return_to=back,
                browser=browser,
                acr=demands.acr,
                max_age=demands.max_auth_age,
                now=self._gate.clock(),
            )
        except StoreUnavailable:
            raise Refusal("sessions-unavailable", reason="session-store") from None
        except DependencyUnavailable:
            raise Refusal("sign-in-unavailable", reason="provider") from None
        except SignInRefused as error:
            raise Refusal("throttled", reason=error.reason) from None
        page = pages_for(exchange, self._gate.random_bytes(16)).leave(to=begun.location, state=begun.state)
        page.fields.append(set_login(begun.browser))
        if unusable:
            page.fields.append(_CLEAR)
        return page

    async def _is_signed_in(self, request: Request) -> bool:
        try:
            await self._gate.load(request, activity=False)
        except Refusal as refusal:
            if refusal.problem == "login-required":
                return False
            raise
        return True

    async def _callback(self, exchange: Exchange, origin: str) -> Response:
        request = exchange.request
        lines = request.values.get(b"cookie", ())
        try:
            browser = read_cookie(lines, LOGIN_COOKIE)
            previous = read_cookie(lines, SESSION_COOKIE)
        except CookiesUnusable as error:
            raise Refusal("login-invalid", reason=error.reason, headers=(_CLEAR,)) from None
        given = _query(request)
        try:
            finished = await self._sign_in.finish(
                params=given,
                redirect_uri=origin + CALLBACK_PATH,
                browser=browser,
                previous_ticket=previous,
                now=self._gate.clock(),
            )
        except SignInStale as stale:
            return redirect(302, _back(stale.return_to))
        except SignInRefused as error:
            raise Refusal("login-invalid", reason=error.reason) from None
        except StoreUnavailable:
            raise Refusal("sessions-unavailable", reason="session-store") from None
        except DependencyUnavailable:
            raise Refusal("sign-in-unavailable", reason="provider") from None
        exchange.caller.user, exchange.caller.auth = finished.session.subject, ("session",)
        pages = pages_for(exchange, self._gate.random_bytes(16))
        page = pages.come_back(to=_back(finished.return_to), state=_only(given, "state") or "")
        page.fields.append(set_session(finished.ticket))
        return page

    # -- signing out -------------------------------------------------------------------------------------------------

    async def _ask(self, exchange: Exchange, origin: str) -> Response:
        return pages_for(exchange, self._gate.random_bytes(16)).ask_sign_out()

    async def _signed_out(self, exchange: Exchange, origin: str) -> Response:
        return pages_for(exchange, self._gate.random_bytes(16)).signed_out()

    async def _logout(self, exchange: Exchange, origin: str) -> Response:
        request = exchange.request
        check_origin(request, own=origin, allowed=frozenset())
        await _read_form(exchange)
        elsewhere: str | None = None
        try:
            ticket = read_cookie(request.values.get(b"cookie", ()), SESSION_COOKIE)
            if ticket is not None:
                elsewhere = await self._sign_in.end(ticket, return_uri=origin + SIGNED_OUT_PATH, now=self._gate.clock())
        except (CookiesUnusable, NoSession):
            pass  # there is nothing to end: being signed out is what was asked for
        except StoreUnavailable:
            raise Refusal("sessions-unavailable", reason="session-store") from None
        location = elsewhere or origin + SIGNED_OUT_PATH
        if is_form_page(request):
            return redirect(303, location, clear_session())
        answer = _json(200, {"signed_out": True, "logout_url": location})
        answer.fields.append(clear_session())
        return answer

    async def _back_channel(self, exchange: Exchange) -> Response:
        """Section 2.8 of OpenID Connect Back-Channel Logout: 200, or 400 with an error; nobody keeps the answer."""
        try:
            token = _form_token(exchange.request, await _read_form(exchange))
            await self._sign_in.back_channel_logout(token, now=self._gate.clock())
        except LogoutRefused as error:
            exchange.facts.reason = error.reason
            return _json(400, {"error": "invalid_request", "error_description": error.reason})
        except (StoreUnavailable, DependencyUnavailable):
            exchange.facts.reason = "session-store"
            return _json(400, {"error": "temporarily_unavailable"})
        return _json(200, {})

    # -- who is signed in --------------------------------------------------------------------------------------------

    async def _session(self, exchange: Exchange, origin: str) -> Response:
        loaded = await self._gate.load(exchange.request, activity=False)
        session = loaded.session
        answer = _json(
            200,
            {
                "subject": session.subject,
                "name": session.name,
                "username": session.username,
                "email": session.email,
                "groups": sorted(session.groups),
                "ends": session.absolute_end,
                "ends_if_idle": session.idle_end,
                "logout_url": origin + "/.haetae/logout",
            },
        )
        return _with_ticket(answer, loaded.new_ticket)

    async def _landing(self, exchange: Exchange, origin: str) -> Response:
        loaded = await self._gate.load(exchange.request, activity=True)
        session = loaded.session
        exchange.caller.user, exchange.caller.session, exchange.caller.auth = session.subject, session.id, ("session",)
        pages = pages_for(exchange, self._gate.random_bytes(16))
        page = pages.landing(name=shown_name(session), tools=self._tools.open_to(session))
        return _with_ticket(page, loaded.new_ticket)


def _with_ticket(response: Response, ticket: str | None) -> Response:
    if ticket is not None:
        response.fields.append(set_session(ticket))
    return response


def _back(target: str | None) -> str:
    return PREFIX if target == PREFIX else safe_return(target)


def _json(status: int, document: dict[str, object]) -> Response:
    return Response(
        status=status,
        fields=[(b"content-type", b"application/json"), _NO_STORE, (b"x-content-type-options", b"nosniff")],
        body=orjson.dumps(document),
    )


def _opened_by_a_person(request: Request) -> None:
    """A sign-in starts in a page's own window, not in a frame, an image or a script."""
    mode, target = single(request, b"sec-fetch-mode"), single(request, b"sec-fetch-dest")
    if mode not in (None, b"navigate") or target not in (None, b"document"):
        raise Refusal("foreign-origin", reason="not-a-page")


def _login_cookie(request: Request) -> tuple[str | None, bool]:
    """What binds a sign-in to this browser, and whether there are cookies that cannot be used."""
    try:
        return read_cookie(request.values.get(b"cookie", ()), LOGIN_COOKIE), False
    except CookiesUnusable:
        return None, True


def _query(request: Request) -> dict[str, list[str]]:
    return _pairs(request.target.query or "")


def _pairs(text: str) -> dict[str, list[str]]:
    """Names and values of a query or form. Raises Refusal("input-invalid") for what does not decode."""
    given: dict[str, list[str]] = {}
    try:
        for item in parameters(text):
            if item.name is None or item.value is None:
                raise Refusal("input-invalid", reason="parameters")
            given.setdefault(item.name, []).append(item.value)
    except ValueError:
        raise Refusal("input-invalid", reason="parameters") from None
    return given


def _only(given: dict[str, list[str]], name: str) -> str | None:
    values = given.get(name, [])
    return values[0] if len(values) == 1 else None


async def _read_form(exchange: Exchange) -> bytes:
    body = exchange.body
    if body is None or isinstance(body, bytes):
        return body or b""
    return await body.read_all(_MAX_FORM)


def _form_token(request: Request, body: bytes) -> str:
    """The one `logout_token` of a form. Raises LogoutRefused."""
    kind = single(request, b"content-type") or b""
    if kind.partition(b";")[0].strip() != b"application/x-www-form-urlencoded":
        raise LogoutRefused("content-type")
    if not body.isascii():
        raise LogoutRefused("form")
    try:
        token = _only(_pairs(body.decode("ascii")), "logout_token")
    except Refusal:
        raise LogoutRefused("form") from None
    if not token:
        raise LogoutRefused("logout-token-missing")
    return token
