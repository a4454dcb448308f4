"""The applications that may ask for tokens, read from a file.

Rules kept: redirect addresses match exactly (RFC 9700 section 2.1); every client is confidential; a client uses
only the grants and scopes written down for it; the file is read strictly. Holds secrets in memory and never
shows them.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from authlib.oauth2.rfc6749 import ClientMixin

from haetae_demo.errors import RequestInvalid, WorldInvalid
from haetae_demo.fields import Fields, parse_object

GRANTS = frozenset({"authorization_code", "refresh_token", "client_credentials"})
MAX_CLIENTS = 100
MAX_ADDRESSES = 64
MIN_SECRET = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Client(ClientMixin):
    """One application.

    ``audience`` is whom its access tokens are for; ``jwt`` says whether they are RFC 9068 tokens or opaque;
    ``introspects`` lets it ask about the tokens of others.
    """

    client_id: str
    secret: str = field(repr=False)
    grants: frozenset[str]
    scopes: frozenset[str]
    audience: str
    jwt: bool
    introspects: bool
    redirect_uris: tuple[str, ...]
    post_logout_uris: tuple[str, ...]
    back_channel_uri: str | None

    def get_client_id(self) -> str:
        """Its name."""
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        """Empty, which Authlib takes for none: the address must be said."""
        return ""

    def get_allowed_scope(self, scope: Any) -> str:
        """Those asked for that it may have; all of them, without ``openid``, when none were."""
        asked = frozenset(scope.split()) if scope else self.scopes - {"openid", "offline_access"}
        return " ".join(sorted(asked & self.scopes))

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Exact comparison."""
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        """Comparison in constant time."""
        return hmac.compare_digest(client_secret.encode(), self.secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Basic and form; never none."""
        return method in ("client_secret_basic", "client_secret_post") and bool(endpoint)

    def check_response_type(self, response_type: str) -> bool:
        """The code flow only."""
        return response_type == "code" and "authorization_code" in self.grants

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether it may use the grant."""
        return grant_type in self.grants


def parse_clients(raw: bytes) -> Mapping[str, Client]:
    """Read the file of clients.

    Raises:
        WorldInvalid: it does not read.
    """
    try:
        top = Fields(parse_object(raw))
        clients = [_client(row) for row in top.rows("clients", most=MAX_CLIENTS)]
        top.done()
    except RequestInvalid as error:
        raise WorldInvalid(f"the file of clients does not read: {error}") from error
    by_id = {client.client_id: client for client in clients}
    if len(by_id) != len(clients):
        raise WorldInvalid("the file of clients names one twice")
    return by_id


def _client(row: Fields) -> Client:
    back_channel = row.optional_text("back_channel_logout_uri", most=1000)
    client = Client(
        client_id=row.text("client_id"),
        secret=row.text("client_secret"),
        grants=frozenset(row.texts("grants", most=len(GRANTS))),
        scopes=frozenset(row.texts("scopes", most=64)),
        audience=row.optional_text("audience", most=1000) or "haetae-demo-api",
        jwt=_choice(row, "access_token", ("opaque", "jwt")) == "jwt",
        introspects=_choice(row, "introspects", ("no", "yes")) == "yes",
        redirect_uris=_addresses(row, "redirect_uris"),
        post_logout_uris=_addresses(row, "post_logout_redirect_uris"),
        back_channel_uri=_address(back_channel) if back_channel else None,
    )
    row.done()
    if not client.grants <= GRANTS:
        raise RequestInvalid("grants: knows only " + " ".join(sorted(GRANTS)))
    if len(client.secret) < MIN_SECRET:
        raise RequestInvalid(f"client_secret: must have at least {MIN_SECRET} characters")
    return client


def _choice(row: Fields, name: str, allowed: tuple[str, str]) -> str:
    """One of two words; the first when none is given."""
    found = row.optional_text(name) or allowed[0]
    if found not in allowed:
        raise RequestInvalid(f"{name}: must be {' or '.join(allowed)}")
    return found


def _addresses(row: Fields, name: str) -> tuple[str, ...]:
    return tuple(_address(each) for each in row.texts(name, most=MAX_ADDRESSES, longest=1000))


def _address(text: str) -> str:
    if not text.startswith(("http://", "https://")) or not text.isascii() or "#" in text:
        raise RequestInvalid("addresses must be absolute http or https URLs without a fragment")
    return text
