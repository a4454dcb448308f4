"""``/logout``: ending a sign-in here and at every client (OpenID Connect RP-Initiated Logout 1.0).

Rules kept: only an ID token of the sign-in itself ends it without asking; everybody else sees a page that asks;
the browser goes only to addresses registered for the client; clients are told before the browser leaves.
"""

from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from aiohttp import web
from authlib.common.urls import add_params_to_uri

from haetae_demo.errors import CredentialsInvalid, RequestInvalid
from haetae_demo.provider import pages
from haetae_demo.provider.book import SignIn, hashed
from haetae_demo.provider.clients import Client
from haetae_demo.provider.io.back_channel import BackChannel
from haetae_demo.provider.io.requests import (
    FORM_COOKIE,
    SIGN_IN_COOKIE,
    Forms,
    asked_of,
    html,
    parameters_of,
    remember,
)
from haetae_demo.provider.server import Server


class SigningOut:
    """The end-session endpoint and its page."""

    def __init__(self, server: Server, *, forms: Forms, back_channel: BackChannel, clock: Callable[[], float]) -> None:
        self._server = server
        self._forms = forms
        self._back_channel = back_channel
        self._clock = clock

    async def logout(self, request: web.Request) -> web.Response:
        """GET and POST by clients, POST by our own page."""
        asked = dict((await asked_of(request)).parameters)
        about = asked.get("request", "")
        confirmed = request.method == "POST" and "csrf" in asked and self._forms.holds(request, asked)
        wish = parameters_of(about) if "csrf" in asked else asked
        client, sid = self._hinted(wish)
        target = self._target(client, wish)
        sign_in = self._current(request)
        if sign_in is not None and not confirmed and sid != sign_in.sid:
            return self._ask(request, wish, sign_in, target)
        if sign_in is not None:
            await self.end(sign_in)
        return self._left(request, wish, target)

    async def end(self, sign_in: SignIn) -> Mapping[str, int | None]:
        """End a sign-in, its tokens, and tell its clients; gives their answers."""
        self._server.book.end_sign_in(sign_in.sid)
        clients = [self._server.clients[name] for name in sorted(sign_in.clients) if name in self._server.clients]
        return await self._back_channel.tell(clients, sign_in)

    def _current(self, request: web.Request) -> SignIn | None:
        return self._server.book.sign_ins.get(hashed(request.cookies.get(SIGN_IN_COOKIE, "")), now=self._clock())

    def _hinted(self, wish: Mapping[str, str]) -> tuple[Client | None, str | None]:
        """The client that sent the browser, and the sign-in it proved to know."""
        named = wish.get("client_id")
        hint = wish.get("id_token_hint")
        if hint is None:
            return (self._server.clients.get(named) if named else None), None
        now = self._clock()
        try:
            claims = self._server.ring.open(hint, issuer=self._server.terms.issuer, now=now)
        except CredentialsInvalid as error:
            raise RequestInvalid("id_token_hint was not issued here") from error
        audience = str(claims.get("aud"))
        if named is not None and named != audience:
            raise RequestInvalid("client_id is not the one of id_token_hint")
        sid = claims.get("sid")
        return self._server.clients.get(audience), sid if isinstance(sid, str) else None

    @staticmethod
    def _target(client: Client | None, wish: Mapping[str, str]) -> str | None:
        target = wish.get("post_logout_redirect_uri")
        if target is None:
            return None
        if client is None or target not in client.post_logout_uris:
            raise RequestInvalid("post_logout_redirect_uri is not registered for this client")
        state = wish.get("state")
        return str(add_params_to_uri(target, [("state", state)])) if state else target

    def _ask(self, request: web.Request, wish: Mapping[str, str], sign_in: SignIn, target: str | None) -> web.Response:
        kept = {name: wish[name] for name in ("client_id", "post_logout_redirect_uri", "state") if name in wish}
        about = urlencode(kept)
        page, cookie = self._forms.page(request, about=about, locales=wish.get("ui_locales"))
        response = html(pages.sign_out(page, name=sign_in.person.name), leads_to=target)
        remember(response, FORM_COOKIE, cookie, seconds=3600)
        return response

    def _left(self, request: web.Request, wish: Mapping[str, str], target: str | None) -> web.Response:
        if target is not None:
            headers = {"Location": target, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
            response = web.Response(status=303, headers=headers)
        else:
            page, _ = self._forms.page(request, about="", locales=wish.get("ui_locales"))
            response = html(pages.message(page, title="signed_out", text="signed_out_text"))
        response.del_cookie(SIGN_IN_COOKIE, path="/")
        return response
