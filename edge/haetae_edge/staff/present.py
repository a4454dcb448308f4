"""How a refusal looks to who asked: a page for a person, the way to the sign-in, or a problem document for a script.

The pipeline has made the problem document already; this gives it its form. A script of an allowed origin may read it.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import orjson

from haetae_edge.exchange import Exchange, Response
from haetae_edge.staff.navigation import Asker, asker, is_form_page
from haetae_edge.staff.origins import allowed_origin
from haetae_edge.staff.pages import Pages
from haetae_edge.staff.return_address import START, safe_return
from haetae_edge.staff.words import language_of

LOGIN_PATH = "/.haetae/login"
_KEPT = frozenset({b"retry-after", b"www-authenticate", b"clear-site-data"})
_AGAIN = frozenset({"sessions-unavailable", "sign-in-unavailable", "login-invalid"})


def pages_for(exchange: Exchange, nonce: bytes) -> Pages:
    """Pages in the language of this request."""
    return Pages(nonce=nonce, language=language_of(exchange.request.values.get(b"accept-language", ())))


def login_path(return_to: str, *, route: str | None) -> str:
    """Where to sign in and come back. `route` names a route whose demands the sign-in has to meet."""
    demands = f"&for={quote(route, safe='')}" if route is not None else ""
    return f"{LOGIN_PATH}?to={quote(return_to, safe='/')}{demands}"


def redirect(status: int, location: str, *fields: tuple[bytes, bytes]) -> Response:
    """An empty answer that leads elsewhere; nobody may keep it."""
    return Response(
        status=status,
        fields=[
            (b"location", location.encode("ascii")),
            (b"cache-control", b"no-store"),
            (b"referrer-policy", b"no-referrer"),
            *fields,
        ],
        body=b"",
    )


class Presenter:
    """The form of refusals at one place. `leads` gives the path to sign in at; `origin` the tool's own, if known."""

    def __init__(
        self,
        *,
        random_bytes: Callable[[int], bytes],
        allowed: frozenset[str],
        is_api: Callable[[str], bool] | None = None,
    ) -> None:
        self._random_bytes = random_bytes
        self._allowed = allowed
        self._is_api = is_api

    def present(self, exchange: Exchange, response: Response, *, login: str, origin: str | None) -> None:
        """Give `response`, which carries a problem, its form."""
        problem = response.problem
        if problem is None:
            return
        request = exchange.request
        who = asker(request, is_api=self._is_api)
        person = who is Asker.PAGE or (request.method == "POST" and self._is_form(exchange))
        if problem.code == "login-required" and who is Asker.PAGE:
            response.fields = []
            self._take(response, redirect(302, login, (b"vary", b"Cookie, Accept, Sec-Fetch-Mode")))
        elif person:
            again: str | None = None
            if problem.code == "login-required":
                again = login
            elif problem.code in _AGAIN or response.status in (502, 503, 504):
                again = return_to(exchange)
            page = pages_for(exchange, self._random_bytes(16)).problem(
                status=response.status,
                code=problem.code,
                title=problem.title,
                reference=exchange.facts.reference or "",
                again=again,
            )
            self._take(response, page)
        else:
            self._speak(exchange, response, login=login, origin=origin)

    def _is_form(self, exchange: Exchange) -> bool:
        return is_form_page(exchange.request)

    def _take(self, response: Response, other: Response) -> None:
        response.fields = [*other.fields, *(pair for pair in response.fields if pair[0] in _KEPT)]
        response.status, response.body = other.status, other.body

    def _speak(self, exchange: Exchange, response: Response, *, login: str, origin: str | None) -> None:
        problem = response.problem
        if problem is not None and problem.code == "login-required" and isinstance(response.body, bytes):
            document = orjson.loads(response.body)
            address = f"{origin}{login}" if origin is not None else login
            document["detail"] = f"Your session has ended. Sign in again at {address}"
            document["login_url"] = address
            response.body = orjson.dumps(document)
        response.fields.append((b"vary", b"Origin, Cookie, Accept, Sec-Fetch-Mode"))
        readable = allowed_origin(exchange.request, self._allowed)
        if readable is not None:
            response.fields.append((b"access-control-allow-origin", readable.encode("ascii")))
            response.fields.append((b"access-control-allow-credentials", b"true"))


def return_to(exchange: Exchange, *, never: Callable[[str], bool] | None = None) -> str:
    """Where this request wanted to go, as a place to come back to; `never` knows pages that are none."""
    request = exchange.request
    if request.method != "GET" or (never is not None and never(request.path)):
        return START
    return safe_return(request.target.line.decode("ascii"))
