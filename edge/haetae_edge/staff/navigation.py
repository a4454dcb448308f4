"""Who asks: a person whose browser opens a page, or a script, a stream, a socket. The answers differ.

Only a page that a person opens is sent to sign in. A script that gets a redirect to another origin sees a network error
and loses what it wanted to send; it gets 401 and says so. `Sec-Fetch-*` (set by browsers, out of reach of scripts)
decides where it is there; else a GET that prefers HTML and bears no mark of a script.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

from haetae_edge.request import Request

_SCRIPT_MARKS: Final = (b"x-requested-with", b"kbn-xsrf", b"kbn-version", b"x-grafana-org-id")


class Asker(Enum):
    """What an answer is for."""

    PAGE = "page"
    SCRIPT = "script"
    SOCKET = "socket"


def asker(request: Request, *, is_api: Callable[[str], bool] | None = None) -> Asker:
    """The decision, from the request alone. `is_api` knows paths of the tool at which there are no pages."""
    if is_socket(request):
        return Asker.SOCKET
    if request.method != "GET" or request.has_body:
        return Asker.SCRIPT
    mode = single(request, b"sec-fetch-mode")
    if mode is not None:
        target = single(request, b"sec-fetch-dest")
        return Asker.PAGE if mode == b"navigate" and target in (None, b"document") else Asker.SCRIPT
    if any(mark in request.values for mark in _SCRIPT_MARKS) or (is_api is not None and is_api(request.path)):
        return Asker.SCRIPT
    return Asker.PAGE if _prefers_html(request) else Asker.SCRIPT


def is_socket(request: Request) -> bool:
    """Whether the connection is to become another protocol's: a WebSocket."""
    return b"upgrade" in request.options or b"upgrade" in request.values


def wants_events(request: Request) -> bool:
    """Whether it opens an event stream, as `EventSource` does."""
    return request.method == "GET" and any(
        item.partition(b";")[0].strip(b" \t").lower() == b"text/event-stream"
        for line in request.values.get(b"accept", ())
        for item in line.split(b",")
    )


def is_form_page(request: Request) -> bool:
    """Whether the answer to this POST is shown to a person: a form was sent, not a script's call."""
    mode = single(request, b"sec-fetch-mode")
    return mode == b"navigate" if mode is not None else _prefers_html(request)


def single(request: Request, name: bytes) -> bytes | None:
    """The value of a field in lower case; one that occurs twice is as good as odd."""
    values = request.values.get(name)
    if values is None:
        return None
    return values[0].strip(b" \t").lower() if len(values) == 1 else b"?"


def _prefers_html(request: Request) -> bool:
    """Whether `Accept` names HTML itself; `*/*`, which scripts and tools send, is not enough."""
    for line in request.values.get(b"accept", ()):
        for item in line.split(b","):
            media, _, parameters = item.partition(b";")
            weight = parameters.replace(b" ", b"").replace(b"\t", b"").lower()
            if media.strip(b" \t").lower() in (b"text/html", b"application/xhtml+xml") and weight not in (
                b"q=0",
                b"q=0.0",
                b"q=0.00",
                b"q=0.000",
            ):
                return True
    return False
