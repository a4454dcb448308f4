"""A token is sent in one way (RFC 6750 section 2): two would let us and the upstream pick different ones.

The gateway takes tokens from the Authorization header only. Beside one there, `access_token` in the query or in a form
is refused. A form is read for that, up to a bound; a form that is longer, or in a coding we cannot read, is refused.
"""

from __future__ import annotations

from typing import Final

from haetae_oidc import BearerMalformed

from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange
from haetae_edge.querystring import parameters
from haetae_edge.request import Request

MAX_FORM_BYTES: Final = 64 * 1024
_NAME: Final = "access_token"
_FORM: Final = "application/x-www-form-urlencoded"


def refuse_second_token(request: Request) -> None:
    """Raises BearerMalformed when the query holds a token, too. Call it when the header holds one."""
    query = request.target.query
    if query and _holds_token(query):
        raise BearerMalformed("access_token in the query beside Authorization")


async def refuse_token_in_form(exchange: Exchange) -> None:
    """The same for a form. Runs after the body was opened, and reads it whole."""
    request = exchange.request
    if exchange.body is None or not request.values.get(b"authorization"):
        return
    kind = (request.header(b"content-type") or "").partition(";")[0].strip(" \t").lower()
    if kind != _FORM:
        return
    if any(name == b"content-encoding" and value.lower() != b"identity" for name, value in exchange.fields):
        raise Refusal("token-ambiguous", reason="form-coding")
    if not isinstance(exchange.body, bytes):
        exchange.body = await exchange.body.read_all(MAX_FORM_BYTES)
    # Bytes beyond ASCII are no part of any name that matters here; Latin-1 reads all of them.
    if _holds_token(exchange.body.decode("latin-1")):
        raise Refusal("token-ambiguous", reason="token-in-form")


def _holds_token(text: str) -> bool:
    try:
        return any(item.name is None or item.name == _NAME for item in parameters(text))
    except ValueError:
        return True
