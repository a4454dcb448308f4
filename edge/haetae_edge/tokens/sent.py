"""A token is sent in one way (RFC 6750 section 2): two would let us and the upstream pick different ones.

The gateway takes tokens from the Authorization header only. Beside one there, `access_token` in the query or in a form
is refused. A form is read for that, up to a bound; a form that is longer, or in a coding we cannot read, is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from haetae_oidc import BearerMalformed

from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange, RequestBody
from haetae_edge.querystring import parameters
from haetae_edge.request import Request

MAX_FORM_BYTES: Final = 64 * 1024
_NAME: Final = "access_token"
_FORM: Final = "application/x-www-form-urlencoded"


def refuse_second_token(request: Request) -> None:
    """Raises BearerMalformed when the query holds a token, too. Call it when the header holds one."""
    query = request.target.query
    # The name can only hide behind percent signs and plus signs; most queries have neither and not the name.
    if query and (_NAME in query or "%" in query or "+" in query) and _holds_token(query):
        raise BearerMalformed("access_token in the query beside Authorization")


def refuse_token_in_form(exchange: Exchange) -> Awaitable[None] | None:
    """The same for a form. Runs after the body was opened, and reads it whole."""
    if exchange.body is None or not exchange.request.values.get(b"authorization"):
        return None
    return _refuse_in_form(exchange, exchange.body)


async def _refuse_in_form(exchange: Exchange, body: bytes | RequestBody) -> None:
    request = exchange.request
    kind = (request.header(b"content-type") or "").partition(";")[0].strip(" \t").lower()
    if kind != _FORM:
        return
    if any(name == b"content-encoding" and value.lower() != b"identity" for name, value in exchange.fields):
        raise Refusal("token-ambiguous", reason="form-coding")
    if not isinstance(body, bytes):
        body = exchange.body = await body.read_all(MAX_FORM_BYTES)
    # Bytes beyond ASCII are no part of any name that matters here; Latin-1 reads all of them.
    if _holds_token(body.decode("latin-1")):
        raise Refusal("token-ambiguous", reason="token-in-form")


def _holds_token(text: str) -> bool:
    try:
        return any(item.name is None or item.name == _NAME for item in parameters(text))
    except ValueError:
        return True
