"""Which pages may make a browser act with a person's session: those of the tool's own origin, and the listed ones.

`Sec-Fetch-Site` says it without doubt where it is sent (a page without referrers has `Origin: null` on its own forms);
`Origin` is the older word for it. Whoever says neither while changing something is refused: a browser always says one.
Opening an event stream is held to the same pages: what a tool says about CORS must not give a foreign page one. There
neither word is no foreign page either, for older browsers say nothing to their own origin. A page may ask for a stream
without naming its type, so what a tool answers with a stream loses its leave for foreign origins, too.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from haetae_edge.errors import Refusal
from haetae_edge.exchange import Fields
from haetae_edge.headers import is_event_stream, is_safe_value
from haetae_edge.request import Request
from haetae_edge.staff.navigation import single, wants_events
from haetae_edge.target import parse_authority

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def parse_web_origin(text: str) -> str:
    """`https://host[:port]` as browsers write it: lower case, no default port. Raises ValueError."""
    if not text.isascii() or not is_safe_value(text.encode("ascii")):
        raise ValueError("write an origin such as `https://kibana.example.org`")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or text != f"{parts.scheme}://{parts.netloc}":
        raise ValueError("write an origin such as `https://kibana.example.org`: no path, no slash at the end")
    try:
        authority = parse_authority(parts.netloc, scheme=parts.scheme)
    except Refusal:
        raise ValueError("write an origin such as `https://kibana.example.org:8443`") from None
    return f"{parts.scheme}://{authority.value}"


def check_origin(request: Request, *, own: str, allowed: frozenset[str]) -> None:
    """Refuse what a foreign page makes a browser do. `own` is the tool's origin.

    Upgrades are checked like changes: a WebSocket is not held back by CORS (RFC 6455 section 10.2). So are event
    streams. Raises Refusal("foreign-origin").
    """
    upgrade = b"upgrade" in request.options
    events = not upgrade and wants_events(request)
    if request.method in _SAFE and not upgrade and not events:
        return
    origin = allowed_origin(request, allowed | {own})
    if origin is not None:
        return
    if upgrade:
        raise Refusal("foreign-origin", reason="origin")
    site = single(request, b"sec-fetch-site")
    if events and site is None and b"origin" not in request.values:
        return
    stated = request.values.get(b"origin", [b"null"])
    if site not in (b"same-origin", b"none") or stated != [b"null"]:
        raise Refusal("foreign-origin", reason="origin" if b"origin" in request.values else "fetch-site")


def without_leave(fields: Fields, request: Request, *, own: str, allowed: frozenset[str]) -> Fields:
    """The fields of a tool's answer; of an event stream to a foreign origin those without what CORS would allow."""
    if b"origin" not in request.values or not is_event_stream(fields):
        return fields
    if allowed_origin(request, allowed | {own}) is not None:
        return fields
    return [pair for pair in fields if not pair[0].startswith(b"access-control-")]


def allowed_origin(request: Request, allowed: frozenset[str]) -> str | None:
    """The `Origin` of a request if it is one of these."""
    values = request.values.get(b"origin", ())
    if len(values) != 1:
        return None
    origin = values[0].decode("ascii").lower()
    return origin if origin in allowed else None
