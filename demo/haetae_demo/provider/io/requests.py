"""Reading the provider's requests, and answering with pages.

Rules kept: a parameter that comes twice is refused (RFC 6749 section 3.1); bounds on number and size; forms of
pages carry a token tied to the browser and to what they were made for; pages forbid scripts, frames and foreign
resources. ``form-action`` names where the form's redirect leads, because browsers hold redirects to it.
"""

import hashlib
import hmac
import secrets
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from multidict import CIMultiDict

from haetae_demo.errors import RequestInvalid
from haetae_demo.provider.pages import Page, language_of
from haetae_demo.provider.server import Answer, Asked

MAX_PARAMETERS = 40
MAX_QUERY = 8_000
MAX_FORM = 32_000
FORM_COOKIE = "haetae_demo_form"
SIGN_IN_COOKIE = "haetae_demo_sign_in"


def parameters_of(text: str, *, most: int = MAX_QUERY) -> dict[str, str]:
    """A query string or form; empty values count as absent.

    Raises:
        RequestInvalid: too long, too many, or one of them twice.
    """
    if len(text) > most:
        raise RequestInvalid("the request is too long")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict")
    except ValueError as error:
        raise RequestInvalid("the parameters do not read") from error
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise RequestInvalid("a parameter was sent twice")
        found[name] = value
    return {name: value for name, value in found.items() if value}


async def form_of(request: web.Request) -> dict[str, str]:
    """The parameters of a form.

    Raises:
        RequestInvalid: not a form, or as :func:`parameters_of`.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise RequestInvalid("the body must be application/x-www-form-urlencoded")
    body = await request.read()
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError as error:
        raise RequestInvalid("the form does not read") from error
    return parameters_of(text, most=MAX_FORM)


async def asked_of(request: web.Request) -> Asked:
    """The request as the authorization server takes it.

    Raises:
        RequestInvalid: as :func:`form_of`.
    """
    post = request.method == "POST"
    parameters = await form_of(request) if post else parameters_of(request.query_string)
    return Asked(method=request.method, parameters=parameters, headers=request.headers)


class Forms:
    """Tokens against forged forms, tied to a cookie and to the content of the form."""

    def __init__(self, *, secret: bytes) -> None:
        self._secret = secret

    def page(self, request: web.Request, *, about: str, locales: str | None = None) -> tuple[Page, str]:
        """The page's facts, and the form cookie to set."""
        cookie = request.cookies.get(FORM_COOKIE, "")
        if len(cookie) != 22:
            cookie = secrets.token_urlsafe(16)
        language = language_of(request.headers.get("Accept-Language", ""), locales)
        return Page(language=language, csrf=self._token(cookie, about), request=about), cookie

    def holds(self, request: web.Request, form: dict[str, str]) -> bool:
        """Whether the form is ours, for this browser, unchanged, and sent by our own page."""
        cookie = request.cookies.get(FORM_COOKIE, "")
        expected = self._token(cookie, form.get("request", ""))
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return False
        return bool(cookie) and hmac.compare_digest(expected.encode(), form.get("csrf", "").encode())

    def _token(self, cookie: str, about: str) -> str:
        return hmac.new(self._secret, f"{cookie}\n{about}".encode(), hashlib.sha256).hexdigest()


def html(text: str, *, status: int = 200, leads_to: str | None = None) -> web.Response:
    """A page. ``leads_to`` is the address its form ends at."""
    targets = "'self'"
    if leads_to is not None:
        parts = urlsplit(leads_to)
        targets += f" {parts.scheme}://{parts.netloc}"
    policy = f"default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action {targets}"
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)


def sent(answer: Answer) -> web.Response:
    """An answer of the authorization server."""
    headers = CIMultiDict(answer.headers)
    if answer.location is not None:
        headers.update({"Location": answer.location, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
    return web.Response(status=answer.status, body=answer.body, headers=headers)


def remember(response: web.StreamResponse, name: str, value: str, *, seconds: int) -> None:
    """Set a cookie for our own pages."""
    response.set_cookie(name, value, max_age=seconds, path="/", httponly=True, samesite="Lax")
