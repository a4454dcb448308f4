"""The demo OpenID provider over HTTP. DEVELOPMENT ONLY: its people and passwords are public.

- ``/authorize``, ``/sign-in``, ``/one-time-code``, ``/logout``: what browsers see.
- ``/token``, ``/introspect``, ``/revoke``, ``/userinfo``: what clients call.
- ``/.well-known/openid-configuration``, ``/jwks.json``: what both read.
- ``POST /dev/rotate-keys``, ``POST /dev/end-user``: what tests and demos do, with the service token.

Rules kept: no cache keeps an answer with a secret; bodies are bounded; a slow token endpoint is simulated before
anything is claimed, as a slow network would be. Keeps everything in memory.
"""

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources

import aiohttp
from aiohttp import web

from haetae_demo.errors import CredentialsInvalid, NotFound
from haetae_demo.io.serving import application, body_fields, json_response
from haetae_demo.provider import pages
from haetae_demo.provider.book import Book
from haetae_demo.provider.clients import Client
from haetae_demo.provider.io.back_channel import BackChannel
from haetae_demo.provider.io.requests import Forms, asked_of, html, sent
from haetae_demo.provider.io.signing_in import SigningIn
from haetae_demo.provider.io.signing_out import SigningOut
from haetae_demo.provider.people import People
from haetae_demo.provider.ring import KeyRing
from haetae_demo.provider.server import Server
from haetae_demo.provider.terms import SCOPES, Terms, discovery


@dataclass(slots=True, kw_only=True)
class Conditions:
    """What a test or a demo can make worse. ``token_delay`` in seconds."""

    token_delay: float = 0.0


class ProviderService:
    """All of it.

    Args:
        clients: by client id.
        people: who can sign in.
        terms: names and lifetimes; ``issuer`` is this service's base URL.
        service_token: what ``/dev/`` wants.
        session: for back-channel logout; belongs to the caller.
        algorithm: what tokens are signed with.
        conditions: may be changed while running.
        clock: Unix seconds.
    """

    def __init__(
        self,
        *,
        clients: Mapping[str, Client],
        people: People,
        terms: Terms,
        service_token: str,
        session: aiohttp.ClientSession,
        algorithm: str = "RS256",
        conditions: Conditions | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.conditions = conditions or Conditions()
        self._clock = clock
        self._terms = terms
        self._service_token = service_token.encode()
        self.ring = KeyRing(algorithm=algorithm, now=clock(), retain=terms.longest)
        self.server = Server(clients=clients, terms=terms, ring=self.ring, book=Book(), clock=clock)
        self._forms = Forms(secret=secrets.token_bytes(32))
        self._signing_in = SigningIn(self.server, people=people, forms=self._forms, clock=clock)
        back_channel = BackChannel(session, issuer=terms.issuer, ring=self.ring, clock=clock)
        self._signing_out = SigningOut(self.server, forms=self._forms, back_channel=back_channel, clock=clock)
        asked = {scope for client in clients.values() for scope in client.scopes}
        self._scopes = (*SCOPES, *sorted(asked - set(SCOPES)))
        self._style = resources.files("haetae_demo").joinpath("provider", "assets", "style.css").read_bytes()

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = application()
        routes = app.router
        routes.add_get("/", self._welcome)
        routes.add_get("/style.css", self._css)
        routes.add_get("/.well-known/openid-configuration", self._discovery)
        routes.add_get("/.well-known/oauth-authorization-server", self._discovery)
        routes.add_get("/jwks.json", self._jwks)
        for method in ("GET", "POST"):
            routes.add_route(method, "/authorize", self._signing_in.authorize)
            routes.add_route(method, "/logout", self._signing_out.logout)
            routes.add_route(method, "/userinfo", self._user_info)
        routes.add_post("/sign-in", self._signing_in.password)
        routes.add_post("/one-time-code", self._signing_in.one_time_code)
        routes.add_post("/token", self._token)
        routes.add_post("/introspect", self._introspect)
        routes.add_post("/revoke", self._revoke)
        routes.add_post("/dev/rotate-keys", self._rotate)
        routes.add_post("/dev/end-user", self._end_user)
        return app

    async def rotate_every(self, seconds: float, *, lead: int) -> None:
        """Rotate keys for ever."""
        while True:
            await asyncio.sleep(seconds)
            self.ring.rotate(now=self._clock(), lead=lead)

    async def _welcome(self, request: web.Request) -> web.Response:
        page, _ = self._forms.page(request, about="")
        return html(pages.message(page, title="welcome", text="welcome_text"))

    async def _css(self, _: web.Request) -> web.Response:
        return web.Response(body=self._style, content_type="text/css", headers={"Cache-Control": "max-age=300"})

    async def _discovery(self, _: web.Request) -> web.Response:
        return json_response(discovery(self._terms, algorithm=self.ring.algorithm, scopes=self._scopes))

    async def _jwks(self, _: web.Request) -> web.Response:
        return json_response(self.ring.jwks(now=self._clock()))

    async def _token(self, request: web.Request) -> web.Response:
        asked = await asked_of(request)
        if self.conditions.token_delay:
            await asyncio.sleep(self.conditions.token_delay)
        return sent(self.server.token(asked))

    async def _introspect(self, request: web.Request) -> web.Response:
        return sent(self.server.endpoint("introspection", await asked_of(request)))

    async def _revoke(self, request: web.Request) -> web.Response:
        return sent(self.server.endpoint("revocation", await asked_of(request)))

    async def _user_info(self, request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        known = self.server.user_info(token.strip()) if scheme.lower() == "bearer" else None
        if known is None:
            raise CredentialsInvalid("this access token does not open UserInfo")
        return json_response(known)

    async def _rotate(self, request: web.Request) -> web.Response:
        self._serve_only_us(request)
        lead = 0
        if request.can_read_body:
            fields = await body_fields(request)
            lead = fields.integer("lead", least=0, most=86_400)
            fields.done()
        key = self.ring.rotate(now=self._clock(), lead=lead)
        return json_response({"kid": key.kid, "sign_from": int(key.sign_from)}, status=201)

    async def _end_user(self, request: web.Request) -> web.Response:
        """End every sign-in of one person, as an administrator would."""
        self._serve_only_us(request)
        fields = await body_fields(request)
        subject = fields.text("subject")
        fields.done()
        found = self.server.book.sign_ins.find(lambda kept: kept.person.subject == subject, now=self._clock())
        if not found:
            raise NotFound("this person is not signed in")
        told = [await self._signing_out.end(sign_in) for sign_in in found]
        return json_response({"ended": len(found), "told": told})

    def _serve_only_us(self, request: web.Request) -> None:
        offered = request.headers.get("Authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(offered, b"Bearer " + self._service_token):
            raise CredentialsInvalid("this service token is not known")
