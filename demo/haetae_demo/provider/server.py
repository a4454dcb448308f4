"""The authorization server: Authlib's, without a web framework. Plain values in, :class:`Answer` out.

Rules kept: no I/O; the clock is an argument; a parameter that comes twice is refused (RFC 6749 section 3.1);
every answer to a client's redirect address names its issuer (RFC 9207). Pages are made elsewhere.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidRequestError, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator

from haetae_demo.provider.book import Authenticated, Book, Token, hashed
from haetae_demo.provider.clients import Client
from haetae_demo.provider.grants import (
    CodeGrant,
    CredentialsGrant,
    IdToken,
    Introspection,
    RefreshedIdToken,
    RefreshGrant,
    Revocation,
    S256Only,
)
from haetae_demo.provider.ring import KeyRing
from haetae_demo.provider.terms import Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to send. ``location`` is set for redirects."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]
    location: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it came: form parameters for POST, else those of the query."""

    method: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]


class _Request(OAuth2Request):
    def __init__(self, asked: Asked) -> None:
        # Authlib wants https or loopback; who may reach this server is decided where it binds.
        super().__init__(asked.method, "https://provider.invalid/", headers=dict(asked.headers))
        self.parameters = dict(asked.parameters)
        self.payload = BasicOAuth2Payload(self.parameters)

    @property
    def form(self) -> Any:
        return self.parameters

    @property
    def args(self) -> Any:
        return self.parameters


class Server(AuthorizationServer):
    """All protocol endpoints.

    Args:
        clients: by client id.
        terms: names and lifetimes.
        ring: signing keys.
        book: what is remembered.
        clock: Unix seconds.
    """

    def __init__(
        self,
        *,
        clients: Mapping[str, Client],
        terms: Terms,
        ring: KeyRing,
        book: Book,
        clock: Callable[[], float],
    ) -> None:
        super().__init__()
        self.clients = clients
        self.terms = terms
        self.ring = ring
        self.book = book
        self.now = clock
        generator = BearerTokenGenerator(
            self._access_token,
            refresh_token_generator=lambda **_: secrets.token_urlsafe(32),
            expires_generator=lambda client, grant_type: terms.access,
        )
        self.register_token_generator("default", generator)
        self.register_grant(CodeGrant, [S256Only(), IdToken(self)])
        self.register_grant(RefreshGrant, [RefreshedIdToken(self)])
        self.register_grant(CredentialsGrant)
        self.register_endpoint(Introspection)
        self.register_endpoint(Revocation)

    # -- What Authlib asks of a framework -------------------------------------------------------------

    def query_client(self, client_id: str) -> Any:
        """The client, or None."""
        return self.clients.get(client_id)

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: Asked | OAuth2Request) -> OAuth2Request:
        """Wrap once."""
        return request if isinstance(request, OAuth2Request) else _Request(request)

    def create_json_request(self, request: object) -> NoReturn:
        """No endpoint of ours takes JSON."""
        raise InvalidRequestError("send a form")

    def handle_response(self, status: int, body: Any, headers: Any) -> Answer:
        """Authlib's answer as a value."""
        pairs = tuple((str(name), str(value)) for name, value in headers)
        location = dict(pairs).get("Location")
        if location is not None:
            named = add_params_to_uri(location, [("iss", self.terms.issuer)])
            rest = tuple(pair for pair in pairs if pair[0] != "Location")
            return Answer(status=303, body=b"", headers=rest, location=named)
        data = orjson.dumps(body) if isinstance(body, dict) else str(body).encode()
        return Answer(status=status, body=data, headers=pairs)

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        """Record what was issued, tied to the code it grew from."""
        now = self.now()
        who = request.user if isinstance(request.user, Authenticated) else None
        grown_from = request.authorization_code or request.refresh_token
        family = grown_from.family if grown_from else secrets.token_urlsafe(16)
        lives = {"access": ("access_token", self.terms.access), "refresh": ("refresh_token", self.terms.refresh)}
        for kind, (member, seconds) in lives.items():
            if member in token:
                record = Token(
                    kind=kind,
                    client=request.client,
                    scope=token.get("scope", ""),
                    who=who,
                    family=family,
                    issued=int(now),
                    expires=now + seconds,
                )
                self.book.tokens.put(hashed(token[member]), record, now=now)

    def validate_requested_scope(self, scope: str | None) -> None:
        """Scopes a client may not have are left out, not refused (RFC 6749 section 3.3)."""

    # -- What the service calls -----------------------------------------------------------------------

    def consent(self, asked: Asked, *, who: Authenticated | None) -> Any:
        """A checked authorization request; its ``prompt`` says whether a page is needed.

        Raises:
            OAuth2Error: refused; :meth:`refusal` makes the answer.
        """
        return self.get_consent_grant(asked, end_user=who)  # type: ignore[no-untyped-call]

    def grant_code(self, grant: Any, *, who: Authenticated) -> Answer:
        """Send the browser back with a code."""
        answer: Any = self.create_authorization_response(grant.request, grant_user=who, grant=grant)
        return _answered(answer)

    def refusal(self, asked: Asked, error: OAuth2Error) -> Answer:
        """The answer to a refused authorization request: to the client if its address is good, else to us."""
        answer: Any = self.handle_error_response(self.create_oauth2_request(asked), error)
        return _answered(answer)

    def token(self, asked: Asked) -> Answer:
        """RFC 6749 section 3.2."""
        answer: Any = self.create_token_response(asked)
        return _unstored(answer)

    def endpoint(self, name: str, asked: Asked) -> Answer:
        """``introspection`` or ``revocation``."""
        return _unstored(self.create_endpoint_response(name, asked))  # type: ignore[no-untyped-call]

    def user_info(self, token: str) -> dict[str, object] | None:
        """OpenID Connect Core section 5.3; None for a token that does not open it."""
        record = self.book.tokens.get(hashed(token), now=self.now())
        if record is None or record.kind != "access" or record.who is None:
            return None
        scopes = frozenset(record.scope.split())
        return record.who.person.claims(scopes) if "openid" in scopes else None

    def _access_token(self, *, client: Any, user: Authenticated | None, scope: str, grant_type: str) -> str:
        if not client.jwt:
            return secrets.token_urlsafe(32)
        now = int(self.now())
        claims: dict[str, object] = {
            "iss": self.terms.issuer,
            "sub": user.person.subject if user else client.client_id,
            "aud": client.audience,
            "client_id": client.client_id,
            "scope": scope,
            "iat": now,
            "exp": now + self.terms.access,
            "jti": secrets.token_urlsafe(16),
        }
        if user is not None:
            claims |= {"auth_time": user.auth_time, "acr": user.acr, "groups": list(user.person.groups)}
        return self.ring.sign(claims, typ="at+jwt", now=now)


def _answered(answer: Any) -> Answer:
    if not isinstance(answer, Answer):
        raise TypeError("Authlib answered around handle_response")
    return answer


def _unstored(answer: Answer) -> Answer:
    """RFC 6749 section 5.1: no cache keeps it."""
    kept = tuple(pair for pair in answer.headers if pair[0].lower() not in ("cache-control", "pragma"))
    return Answer(status=answer.status, body=answer.body, headers=(*kept, ("Cache-Control", "no-store")))
