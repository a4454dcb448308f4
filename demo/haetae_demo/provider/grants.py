"""The grants: Authlib's, told where codes, tokens and people are.

Rules kept: PKCE with S256 always (RFC 7636, RFC 9700 section 2.1.1); a code works once and its second use ends
what it gave; refresh tokens rotate, and one that comes twice ends its family. No I/O.
"""

import secrets
from typing import Any, Protocol

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Request
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, ClientCredentialsGrant, RefreshTokenGrant
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oidc.core.grants import OpenIDCode

from haetae_demo.provider.book import Authenticated, Book, Code, Token, hashed
from haetae_demo.provider.clients import Client
from haetae_demo.provider.ring import KeyRing
from haetae_demo.provider.terms import Terms

AUTH_METHODS = ["client_secret_basic", "client_secret_post"]


class Backing(Protocol):
    """What grants need of their server."""

    book: Book
    terms: Terms
    ring: KeyRing

    def now(self) -> float:
        """Unix seconds."""
        ...


class CodeGrant(AuthorizationCodeGrant):
    """RFC 6749 section 4.1."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    server: Backing

    def save_authorization_code(self, code: str, request: Any) -> None:
        """Keep the code with all that its redemption is checked against."""
        data = request.payload.data
        now = self.server.now()
        record = Code(
            client_id=request.client.client_id,
            redirect_uri=request.payload.redirect_uri,
            scope=request.scope,
            who=request.user,
            nonce=data.get("nonce"),
            code_challenge=data["code_challenge"],
            code_challenge_method=data["code_challenge_method"],
            family=secrets.token_urlsafe(16),
            expires=now + self.server.terms.code,
        )
        self.server.book.codes.put(hashed(code), record, now=now)

    def query_authorization_code(self, code: str, client: Any) -> Code | None:
        """The code, if it is live, this client's and unused."""
        record = self.server.book.codes.get(hashed(code), now=self.server.now())
        if record is None or record.client_id != client.client_id:
            return None
        if record.used:
            self.server.book.end_family(record.family)
            return None
        return record

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """Used up; kept to notice a second use."""
        authorization_code.used = True

    def authenticate_user(self, authorization_code: Code) -> Authenticated:
        """Who signed in."""
        return authorization_code.who


class RefreshGrant(RefreshTokenGrant):
    """RFC 6749 section 6, with rotation."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True
    server: Backing

    def authenticate_refresh_token(self, refresh_token: str) -> Any:
        """The token, if it is live and unused; a used one ends its family."""
        record = self.server.book.tokens.get(hashed(refresh_token), now=self.server.now())
        if record is None or record.kind != "refresh":
            return None
        if record.used:
            self.server.book.end_family(record.family)
            return None
        return record

    def authenticate_user(self, refresh_token: Token) -> Authenticated | None:
        """Who signed in, long ago."""
        return refresh_token.who

    def revoke_old_credential(self, refresh_token: Any) -> None:
        """Used up; kept to notice a second use."""
        refresh_token.used = True


class CredentialsGrant(ClientCredentialsGrant):
    """RFC 6749 section 4.4."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS


class S256Only(CodeChallenge):
    """PKCE that cannot be left out or weakened."""

    def __init__(self) -> None:
        super().__init__(required=True)
        self.SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        """Both parameters, always."""
        data = grant.request.payload.data
        if not data.get("code_challenge") or data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE with S256 is required")
        super().validate_code_challenge(grant, redirect_uri)


class IdToken(OpenIDCode):
    """ID tokens for codes and for refreshes (OpenID Connect Core sections 2, 3.1.3.6 and 12.2)."""

    def __init__(self, backing: Backing) -> None:
        super().__init__(require_nonce=False)
        self._backing = backing

    def exists_nonce(self, nonce: str, request: OAuth2Request) -> bool:
        """Replays are stopped by codes that work once; nonces are the client's to check."""
        return False

    def get_client_algorithm(self, client: Client) -> str:
        """One for all."""
        return self._backing.ring.algorithm

    def get_encode_header(self, client: Client) -> dict[str, str]:
        """Which key."""
        key = self._backing.ring.signing(now=self._backing.now())
        return {"alg": self._backing.ring.algorithm, "kid": key.kid}

    def resolve_client_private_key(self, client: Client) -> Any:
        """The key that signs now."""
        return self._backing.ring.signing(now=self._backing.now()).key

    def get_client_claims(self, client: Client) -> dict[str, object]:
        """Whose, for whom, for how long."""
        now = int(self._backing.now())
        return {
            "iss": self._backing.terms.issuer,
            "aud": client.client_id,
            "iat": now,
            "exp": now + self._backing.terms.id_token,
        }

    def generate_user_info(self, user: Authenticated, scope: str) -> Any:
        """The person as far as ``scope`` reaches, and the act of signing in."""
        act = {"sid": user.sid, "auth_time": user.auth_time, "acr": user.acr, "amr": list(user.amr)}
        return user.person.claims(frozenset(scope.split())) | act


class RefreshedIdToken(IdToken):
    """The same without the checks of an authorization request."""

    def __call__(self, grant: Any) -> None:
        """Hook into the refresh grant."""
        grant.register_hook("after_create_token_response", self.process_token)


class Introspection(IntrospectionEndpoint):
    """RFC 7662."""

    CLIENT_AUTH_METHODS = AUTH_METHODS
    server: Backing

    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
        """Live access tokens, and unused refresh tokens."""
        record = self.server.book.tokens.get(hashed(token_string), now=self.server.now())
        return None if record is None or record.used else record

    def check_permission(self, token: Token, client: Client, request: OAuth2Request) -> bool:
        """Gateways may ask about all access tokens, others about their own."""
        return (client.introspects and token.kind == "access") or token.check_client(client)

    def introspect_token(self, token: Token) -> dict[str, object]:
        """RFC 7662 section 2.2."""
        answer: dict[str, object] = {
            "active": True,
            "iss": self.server.terms.issuer,
            "client_id": token.client.client_id,
            "aud": token.client.audience,
            "scope": token.scope,
            "sub": token.who.person.subject if token.who else token.client.client_id,
            "iat": token.issued,
            "exp": int(token.expires),
        }
        if token.kind == "access":
            answer["token_type"] = "Bearer"
        if token.who is not None:
            answer["username"] = token.who.person.username
        return answer


class Revocation(RevocationEndpoint):
    """RFC 7009."""

    CLIENT_AUTH_METHODS = AUTH_METHODS
    server: Backing

    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
        """Of either kind; the hint is not needed."""
        return self.server.book.tokens.get(hashed(token_string), now=self.server.now())

    def revoke_token(self, token: Token, request: OAuth2Request) -> None:
        """A refresh token takes its family with it; an access token goes alone."""
        if token.kind == "refresh":
            self.server.book.end_family(token.family)
        else:
            self.server.book.tokens.remove(hashed(request.form["token"]))
