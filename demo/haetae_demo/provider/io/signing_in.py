"""The pages of signing in: which one comes next, and what follows a good answer.

Rules kept: the authorization request is checked again at every step, since it travels through the browser;
passwords are checked in threads, few at a time, so that nobody else waits; a person who signs in anew gets
another cookie (no fixation); ``prompt=none`` never shows a page.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from authlib.oauth2.rfc6749 import OAuth2Error
from authlib.oidc.core.errors import InteractionRequiredError

from haetae_demo.errors import RequestInvalid
from haetae_demo.provider import pages
from haetae_demo.provider.attempts import Attempts
from haetae_demo.provider.book import Authenticated, OneTimeCode, SignIn, hashed
from haetae_demo.provider.io.requests import (
    FORM_COOKIE,
    SIGN_IN_COOKIE,
    Forms,
    asked_of,
    form_of,
    html,
    parameters_of,
    remember,
    sent,
)
from haetae_demo.provider.people import People
from haetae_demo.provider.server import Asked, Server

CODE_SECONDS = 300
MAX_TRIES = 5
_THREADS = 2


class SigningIn:
    """``/authorize``, ``/sign-in`` and ``/one-time-code``."""

    def __init__(self, server: Server, *, people: People, forms: Forms, clock: Callable[[], float]) -> None:
        self._server = server
        self._people = people
        self._forms = forms
        self._clock = clock
        self._attempts = Attempts()
        self._hashing = asyncio.Semaphore(_THREADS)

    def current(self, request: web.Request) -> SignIn | None:
        """Who is signed in with this browser."""
        return self._server.book.sign_ins.get(hashed(request.cookies.get(SIGN_IN_COOKIE, "")), now=self._clock())

    async def authorize(self, request: web.Request) -> web.Response:
        """The authorization endpoint (OpenID Connect Core section 3.1.2)."""
        asked = await asked_of(request)
        if request.method == "POST":
            # The pages carry the request as a query: bring both forms of asking together.
            asked = Asked(method="GET", parameters=asked.parameters, headers=asked.headers)
        sign_in = self.current(request)
        if sign_in is not None and self._too_old(asked, sign_in):
            sign_in = None
        try:
            grant = self._server.consent(asked, who=Authenticated.of(sign_in) if sign_in else None)
            if sign_in is None or grant.prompt in ("login", "select_account"):
                return self._ask_password(request, asked, grant, username=asked.parameters.get("login_hint", ""))
            if self._lacks_second_step(asked, sign_in):
                if asked.parameters.get("prompt") == "none":
                    raise InteractionRequiredError(redirect_uri=grant.redirect_uri, state=asked.parameters.get("state"))
                return self._ask_code(request, asked, grant, sign_in)
        except OAuth2Error as error:
            return self._refused(request, asked, error)
        return self._granted(grant, sign_in)

    async def password(self, request: web.Request) -> web.Response:
        """The sign-in form's answer."""
        form = await form_of(request)
        asked = _carried(form, request)
        try:
            grant = self._server.consent(asked, who=None)
        except OAuth2Error as error:
            return self._refused(request, asked, error)
        username = form.get("username", "")[:100].strip().lower()
        if not self._forms.holds(request, form):
            return self._ask_password(request, asked, grant, username=username, error="expired")
        now = self._clock()
        if self._attempts.must_wait(username, now=now):
            return self._ask_password(request, asked, grant, username=username, error="wait")
        async with self._hashing:
            person = await asyncio.to_thread(self._people.check, username, form.get("password", ""))
        if person is None:
            self._attempts.failed(username, now=now)
            return self._ask_password(request, asked, grant, username=username, error="wrong")
        self._attempts.succeeded(username)
        before = self.current(request)
        seconds = self._server.terms.sign_in
        sign_in = SignIn(sid=secrets.token_urlsafe(16), person=person, auth_time=int(now), expires=now + seconds)
        if before is not None and before.person == person:
            # The same sign-in, renewed: clients that know its name hear of its end.
            sign_in.sid, sign_in.clients = before.sid, before.clients
        self._server.book.sign_ins.remove(hashed(request.cookies.get(SIGN_IN_COOKIE, "")))
        cookie = secrets.token_urlsafe(32)
        self._server.book.sign_ins.put(hashed(cookie), sign_in, now=now)
        if self._lacks_second_step(asked, sign_in):
            response = self._ask_code(request, asked, grant, sign_in)
        else:
            response = self._granted(grant, sign_in)
        remember(response, SIGN_IN_COOKIE, cookie, seconds=seconds)
        return response

    async def one_time_code(self, request: web.Request) -> web.Response:
        """The second step's answer."""
        form = await form_of(request)
        asked = _carried(form, request)
        sign_in = self.current(request)
        try:
            grant = self._server.consent(asked, who=None)
        except OAuth2Error as error:
            return self._refused(request, asked, error)
        if sign_in is None:
            return self._ask_password(request, asked, grant, error="expired")
        step = sign_in.second_step
        now = self._clock()
        if step is None or step.expires <= now or not self._forms.holds(request, form):
            return self._ask_code(request, asked, grant, sign_in, error="expired")
        step.tries += 1
        if not secrets.compare_digest(step.code, form.get("code", "").encode("ascii", "replace").decode()):
            return self._ask_code(request, asked, grant, sign_in, error="wrong_code")
        sign_in.second_step = None
        sign_in.amr = ("pwd", "otp", "mfa")
        sign_in.auth_time = int(now)
        return self._granted(grant, sign_in)

    def _too_old(self, asked: Asked, sign_in: SignIn) -> bool:
        text = asked.parameters.get("max_age")
        if text is None:
            return False
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise RequestInvalid("max_age must be a number of seconds")
        return int(text) == 0 or self._clock() - sign_in.auth_time > int(text)

    @staticmethod
    def _lacks_second_step(asked: Asked, sign_in: SignIn) -> bool:
        return "mfa" in asked.parameters.get("acr_values", "").split() and sign_in.acr != "mfa"

    def _granted(self, grant: Any, sign_in: SignIn) -> web.Response:
        sign_in.clients.add(grant.request.client.client_id)
        return sent(self._server.grant_code(grant, who=Authenticated.of(sign_in)))

    def _ask_password(
        self, request: web.Request, asked: Asked, grant: Any, *, username: str = "", error: str | None = None
    ) -> web.Response:
        if asked.parameters.get("prompt") == "none":
            raise RequestInvalid("prompt=none shows no page")
        page, cookie = self._page(request, asked)
        client = grant.request.client.client_id
        text = pages.sign_in(page, application=client, username=username[:100], error=error)
        return self._shown(text, grant, cookie, failed=error is not None)

    def _ask_code(
        self, request: web.Request, asked: Asked, grant: Any, sign_in: SignIn, *, error: str | None = None
    ) -> web.Response:
        step, now = sign_in.second_step, self._clock()
        if step is None or step.expires <= now or step.tries >= MAX_TRIES:
            step = OneTimeCode(code=f"{secrets.randbelow(1_000_000):06}", expires=now + CODE_SECONDS)
            sign_in.second_step = step
        page, cookie = self._page(request, asked)
        text = pages.second_step(page, name=sign_in.person.name, code=step.code, error=error)
        return self._shown(text, grant, cookie, failed=error is not None)

    def _page(self, request: web.Request, asked: Asked) -> tuple[pages.Page, str]:
        about = urlencode(asked.parameters)
        return self._forms.page(request, about=about, locales=asked.parameters.get("ui_locales"))

    def _shown(self, text: str, grant: Any, cookie: str, *, failed: bool) -> web.Response:
        response = html(text, status=403 if failed else 200, leads_to=grant.redirect_uri)
        remember(response, FORM_COOKIE, cookie, seconds=3600)
        return response

    def _refused(self, request: web.Request, asked: Asked, error: OAuth2Error) -> web.Response:
        answer = self._server.refusal(asked, error)
        if answer.location is not None:
            return sent(answer)
        # Core 3.1.2.6: nobody is sent to an address that was not registered.
        page, _ = self._forms.page(request, about="", locales=asked.parameters.get("ui_locales"))
        reason = {"reason": str(error.description or error.error)}
        return html(pages.message(page, title="refused", text="refused_text", values=reason), status=400)


def _carried(form: dict[str, str], request: web.Request) -> Asked:
    return Asked(method="GET", parameters=parameters_of(form.get("request", "")), headers=request.headers)
