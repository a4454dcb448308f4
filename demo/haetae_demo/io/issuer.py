"""The token issuer: access tokens for devices that prove possession of their key.

- ``GET /.well-known/oauth-authorization-server``: metadata (RFC 8414).
- ``GET /jwks.json``: the key set, with keys that will sign soon and keys whose tokens still live.
- ``POST /token``: the JWT bearer grant (RFC 7523) with an assertion signed by the device key; answers and
errors in
  the form of RFC 6749 section 5.
- ``POST /admin/rotate``: a new signing key, published before it signs; needs the service token.

Rules kept: the user of a token is whoever the identity service says the device belongs to; an assertion works
once; tokens are bound to the device key. Who the device is comes from the identity service on every request.
"""

import hmac
import secrets
import time
from collections.abc import Callable

import aiohttp
from aiohttp import web
from haetae_crypto.jwk import PublicJwk
from haetae_crypto.strict_json import read_json_object

from haetae_demo.assertions import TOKEN_REQUEST_TYPE, unverified_subject, verify_statement
from haetae_demo.directory import read_device_key
from haetae_demo.errors import (
    AssertionInvalid,
    CredentialsInvalid,
    NotFound,
    RequestInvalid,
    Unreachable,
)
from haetae_demo.fields import MAX_BODY_BYTES, Fields
from haetae_demo.io.serving import application, body_fields, json_response
from haetae_demo.issuer_keys import IssuerKeys
from haetae_demo.once import OnceTable
from haetae_demo.tokens import CLIENT_ID, TokenTerms, issue_access_token, requested_scopes, server_metadata

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEFAULT_LEAD = 60
_FORM = frozenset({"grant_type", "assertion", "scope", "client_id", "resource"})


class IdentityClient:
    """Asks the identity service whose a device key is. ``session`` belongs to the caller."""

    def __init__(self, session: aiohttp.ClientSession, *, url: str, service_token: str) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {service_token}"}

    async def active_device(self, keyid: str) -> tuple[PublicJwk, str]:
        """The device's public key and its user.

        Raises:
            NotFound: unknown, disabled, or without a user.
            Unreachable: the identity service gave no usable answer.
        """
        # `keyid` is unverified: only the characters of our own ids may enter the URL.
        if not all(char.isalnum() or char in "_-" for char in keyid) or not keyid.isascii():
            raise NotFound("there is no such device")
        record = await self._fetch(keyid)
        user = record.get("user_id")
        jwk = record.get("public_key")
        if record.get("status") != "active" or not isinstance(user, str):
            raise NotFound("there is no such device")
        if not isinstance(jwk, dict):
            raise Unreachable("the identity service answered something else")
        try:
            return read_device_key(jwk), user
        except RequestInvalid as error:
            raise Unreachable("the identity service answered something else") from error

    async def _fetch(self, keyid: str) -> dict[str, object]:
        timeout = aiohttp.ClientTimeout(total=2)
        try:
            async with self._session.get(
                f"{self._url}/v1/devices/{keyid}",
                headers=self._headers,
                allow_redirects=False,
                timeout=timeout,
            ) as answer:
                if answer.status == 404:
                    raise NotFound("there is no such device")
                if answer.status != 200:
                    raise Unreachable("the identity service refused")
                body = await answer.content.read(MAX_BODY_BYTES + 1)
                while len(body) <= MAX_BODY_BYTES and (more := await answer.content.read(MAX_BODY_BYTES)):
                    body += more
                return read_json_object(body, max_bytes=MAX_BODY_BYTES)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unreachable("the identity service does not answer") from error


class IssuerService:
    """The HTTP face of the issuer.

    Args:
        keys: the signing keys.
        terms: what tokens say; ``issuer`` is this service's base URL.
        identity: whose a device is.
        service_token: what ``/admin/rotate`` wants.
        clock: Unix seconds.
    """

    def __init__(
        self,
        *,
        keys: IssuerKeys,
        terms: TokenTerms,
        identity: IdentityClient,
        service_token: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._terms = terms
        self._identity = identity
        self._service_token = service_token.encode()
        self._clock = clock
        self._once = OnceTable()

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = application()
        app.router.add_get("/.well-known/oauth-authorization-server", self._metadata)
        app.router.add_get("/jwks.json", self._jwks)
        app.router.add_post("/token", self._token)
        app.router.add_post("/admin/rotate", self._rotate)
        return app

    async def _metadata(self, _: web.Request) -> web.Response:
        return json_response(server_metadata(issuer=self._terms.issuer))

    async def _jwks(self, _: web.Request) -> web.Response:
        return json_response(self._keys.jwks(now=self._clock()))

    async def _rotate(self, request: web.Request) -> web.Response:
        offered = request.headers.get("Authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(offered, b"Bearer " + self._service_token):
            raise CredentialsInvalid("this service token is not known")
        lead = DEFAULT_LEAD
        if request.can_read_body:
            fields = await body_fields(request)
            lead = fields.integer("lead", least=0, most=86_400)
            fields.done()
        key = self._keys.rotate(now=self._clock(), lead=lead)
        return json_response({"kid": key.kid, "sign_from": int(key.sign_from)}, status=201)

    async def _token(self, request: web.Request) -> web.Response:
        try:
            form = await _form(request)
            return await self._grant(form)
        except RequestInvalid as refusal:
            return _oauth_error(400, "invalid_request", str(refusal))
        except (AssertionInvalid, NotFound) as refusal:
            return _oauth_error(400, "invalid_grant", str(refusal))

    async def _grant(self, form: Fields) -> web.Response:
        if form.text("grant_type") != GRANT:
            return _oauth_error(400, "unsupported_grant_type", f"use {GRANT}")
        assertion = form.text("assertion", most=4096)
        if form.optional_text("client_id") not in (None, CLIENT_ID):
            return _oauth_error(400, "invalid_client", f"the client is {CLIENT_ID}")
        if form.optional_text("resource") not in (None, self._terms.audience):
            # RFC 8707 section 2
            return _oauth_error(400, "invalid_target", f"the resource is {self._terms.audience}")
        try:
            scopes = requested_scopes(form.optional_text("scope", most=1000))
        except RequestInvalid as refusal:
            return _oauth_error(400, "invalid_scope", str(refusal))
        keyid = unverified_subject(assertion)
        key, user = await self._identity.active_device(keyid)
        now = self._clock()
        statement = verify_statement(
            assertion,
            key=key,
            statement_type=TOKEN_REQUEST_TYPE,
            audience=f"{self._terms.issuer}/token",
            now=now,
        )
        self._once.claim(keyid, statement.jti, until=statement.expires, now=now)
        token = issue_access_token(
            keys=self._keys,
            terms=self._terms,
            sub=user,
            scopes=scopes,
            jkt=key.thumbprint,
            jti=secrets.token_urlsafe(16),
            now=now,
        )
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": self._terms.lifetime}
        return json_response({**answer, "scope": " ".join(sorted(scopes))})


async def _form(request: web.Request) -> Fields:
    """The form of a token request (RFC 6749 section 3.2): nothing twice, empty is absent, others ignored."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise RequestInvalid("the body must be application/x-www-form-urlencoded")
    try:
        pairs = [(name, value) for name, value in (await request.post()).items() if value]
    except ValueError as error:
        raise RequestInvalid("the form does not read") from error
    known = [(name, value) for name, value in pairs if name in _FORM]
    members: dict[str, object] = dict(known)
    if len(members) != len(known):
        raise RequestInvalid("a parameter was sent twice")
    return Fields(members)


def _oauth_error(status: int, error: str, description: str) -> web.Response:
    """RFC 6749 section 5.2."""
    return json_response({"error": error, "error_description": description}, status=status)
