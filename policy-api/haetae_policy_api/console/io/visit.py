"""One request of a person to the console: who, in which language, and the answers a page can give.

Rules kept: every answer carries the same guards (no foreign content, no frames, no sniffing, not stored); templates
escape everything; a refusal is a page, too, or a piece of one when the page asked for a piece.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request
from haetae_policy.errors import PolicyError
from jinja2 import DictLoader, Environment, StrictUndefined
from starlette.responses import RedirectResponse, Response

from haetae_policy_api.console.access import NEEDS, may, require_person
from haetae_policy_api.console.cases import by_campaign, can_be_judged, numbers, wants_second
from haetae_policy_api.console.forgery import check_origin, check_token, page_token
from haetae_policy_api.console.forms import LASTS, MAX_BYTES, Form, read_form
from haetae_policy_api.console.io.assets import Assets
from haetae_policy_api.console.io.casebook import Casebook
from haetae_policy_api.console.io.shared import Shared
from haetae_policy_api.console.texts import LANGUAGES, Texts, choose_language
from haetae_policy_api.console.words import measure, named, number, pretty, title, what, when, who
from haetae_policy_api.errors import ApiProblem, TooLarge, problem_of
from haetae_policy_api.faults import said
from haetae_policy_api.io.identify import Identify
from haetae_policy_api.roles import Caller
from haetae_policy_api.service.context import Context

CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types default"
)
GUARDS: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
    "Vary": "Accept-Language, Cookie, HX-Request",
}
LANGUAGE_COOKIE: Final = "haetae-console-language"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What all requests share."""

    context: Context
    identify: Identify
    casebook: Casebook
    assets: Assets
    environment: Environment
    shared: Shared
    clock: Callable[[], float] = time.time


def make_environment(assets: Assets) -> Environment:
    """Return the templates: everything is escaped, an unknown name is an error."""
    environment = Environment(
        loader=DictLoader(dict(assets.templates)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "when": when,
        "pretty": pretty,
        "number": number,
        "measures": numbers,
        "campaigns": by_campaign,
    }
    environment.tests["judgeable"] = can_be_judged
    environment.globals["offered_lasts"] = LASTS
    environment.globals["wants_second"] = wants_second
    environment.globals["asset"] = lambda name: f"/static/{name}?v={assets.static[name].digest}"
    return environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request of a person who may make it. `form` is what was sent; empty for reading."""

    desk: Desk
    request: Request
    caller: Caller
    t: Texts
    now_ms: int
    key: bytes
    form: Form

    @property
    def context(self) -> Context:
        """The application layer's context."""
        return self.desk.context

    def query(self, name: str, *, most: int = 256) -> str:
        """Return a parameter of the address, cut and trimmed; empty when it is absent."""
        return self.request.query_params.get(name, "")[:most].strip()

    def render(self, template: str, **data: Any) -> str:
        """Return a template filled in."""
        names = {
            "t": self.t,
            "caller": self.caller,
            "now_ms": self.now_ms,
            "path": self.request.url.path,
            "may": partial(may, self.caller),
            "who": partial(who, t=self.t),
            "what": partial(what, t=self.t),
            "title": partial(title, t=self.t),
            "named": partial(named, t=self.t),
            "measure": partial(measure, t=self.t),
            "token": page_token(self.key, self.caller.name, now_ms=self.now_ms),
            "switch": [(language, self._in(language)) for language in LANGUAGES],
        }
        return self.desk.environment.get_template(template).render(names | data)

    def _in(self, language: str) -> str:
        """Return the address of this page in another language."""
        kept = [(name, text) for name, text in self.request.query_params.multi_items() if name != "lang"]
        return f"{self.request.url.path}?{urlencode([*kept, ('lang', language)])}"

    @property
    def wants_piece(self) -> bool:
        """Whether a page asked, to fill a part of itself."""
        return "hx-request" in self.request.headers

    def page(
        self, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **data: Any
    ) -> Response:
        """Return a page or a piece of one."""
        return Response(self.render(template, **data), status, {**GUARDS, **(headers or {})}, media_type="text/html")

    def go(self, path: str) -> Response:
        """Return the way to the page that shows what a change did."""
        return RedirectResponse(path, 303, GUARDS)

    def refused(self, problem: ApiProblem) -> Response:
        """Return a refusal as a page; a page that asked for a piece gets a piece."""
        template = "_problem.html" if self.wants_piece else "problem.html"
        return self.page(template, status=problem.status, headers=problem.headers, problem=problem)


Handler = Callable[[Visit], Awaitable[Response]]


def served(desk: Desk, operation: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a page; raises KeyError at start for an operation without a role."""
    NEEDS[operation]

    async def endpoint(request: Request) -> Response:
        lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        t = _texts(desk, request)
        visit = None
        try:
            caller = await desk.identify(lines)
            now_ms = int(desk.clock() * 1000)
            visit = Visit(
                desk=desk,
                request=request,
                caller=caller,
                t=t,
                now_ms=now_ms,
                key=await desk.casebook.key(),
                form=Form({}),
            )
            require_person(caller, operation)
            if request.method == "POST":
                visit = await _with_form(visit)
            response = await handler(visit)
        except ApiProblem as problem:
            response = _refused(desk, t, visit, problem)
        except PolicyError as error:
            response = _refused(desk, t, visit, problem_of(error))
        return _keep_language(request, response, t)

    return endpoint


async def _with_form(visit: Visit) -> Visit:
    request = visit.request
    check_origin(request.headers, origins=visit.context.settings.origins)
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > MAX_BYTES:
            raise TooLarge(said("form_large"))
    form = read_form(raw)
    check_token(visit.key, visit.caller.name, form.get("token"), now_ms=visit.now_ms)
    return Visit(
        desk=visit.desk, request=request, caller=visit.caller, t=visit.t, now_ms=visit.now_ms, key=visit.key, form=form
    )


def _refused(desk: Desk, t: Texts, visit: Visit | None, problem: ApiProblem) -> Response:
    if visit is not None and visit.caller.role is not None:
        return visit.refused(problem)
    body = desk.environment.get_template("outside.html").render(t=t, problem=problem)
    return Response(body, problem.status, {**GUARDS, **problem.headers}, media_type="text/html")


def _texts(desk: Desk, request: Request) -> Texts:
    language = choose_language(
        request.query_params.get("lang"),
        request.cookies.get(LANGUAGE_COOKIE),
        request.headers.get("accept-language", ""),
    )
    return desk.assets.texts[language]


def _keep_language(request: Request, response: Response, t: Texts) -> Response:
    if request.query_params.get("lang") == t.language:
        response.set_cookie(LANGUAGE_COOKIE, t.language, max_age=31_536_000, samesite="lax", httponly=True)
    return response


def texts_of(items: Mapping[str, str]) -> dict[str, str]:
    """Return the entries that are not empty."""
    return {name: text for name, text in items.items() if text}
