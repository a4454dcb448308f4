"""Live parts as server-sent events: the overview, and a change taking hold worker by worker.

Rules kept: the number of watchers is bounded; a stream ends after minutes, so that whoever lost their role loses it,
too (the browser comes back and is identified anew). A store that is away ends the stream; the browser comes back.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

from haetae_policy.errors import PolicyError
from starlette.responses import Response, StreamingResponse

from haetae_policy_api.console.io.visit import GUARDS, Visit
from haetae_policy_api.errors import Invalid
from haetae_policy_api.faults import said
from haetae_policy_api.service import listing

_LIFE_S: Final = 300
_OVERVIEW_S: Final = 2.0
_HOLD_S: Final = 0.1
_HOLD_LIFE_S: Final = 60
_HEADERS: Final = {**GUARDS, "X-Accel-Buffering": "no"}


async def watch_overview(visit: Visit) -> Response:
    """The live part of the overview, every two seconds when it changed."""
    return _stream(visit, _overview(visit))


async def watch_hold(visit: Visit) -> Response:
    """A change on its way to the workers, until it is in force on all of them."""
    seq, since = visit.request.path_params["seq"], visit.query("since")
    if not (since.isascii() and since.isdigit() and len(since) <= 15) or seq >= 2**53:
        raise Invalid(said("address_bad"))
    return _stream(visit, _hold(visit, seq, int(since)))


async def hold_data(visit: Visit, seq: int, since_ms: int, *, now_ms: int) -> dict[str, Any]:
    """Return on which workers a change is in force, and how long the last one took."""
    reached = await listing.convergence(visit.context, now_ms=now_ms)
    found = await listing.in_force(visit.context, seq, since_ms=since_ms, now_ms=now_ms)
    workers = [{**worker, "has": worker["seq"] >= seq} for worker in reached["workers"]]
    done = bool(workers) and all(worker["has"] for worker in workers)
    return {"workers": workers, "found": found, "done": done, "seq": seq}


def _stream(visit: Visit, events: AsyncIterator[bytes]) -> Response:
    visit.desk.shared.check_room()
    return StreamingResponse(events, 200, _HEADERS, media_type="text/event-stream")


async def _overview(visit: Visit) -> AsyncIterator[bytes]:
    ends, before = visit.desk.clock() + _LIFE_S, ""
    with visit.desk.shared.watching():
        while visit.desk.clock() < ends:
            now_ms = int(visit.desk.clock() * 1000)
            try:
                live = await visit.desk.shared.overview(visit.context, now_ms=now_ms)
            except PolicyError:
                return
            html = replace(visit, now_ms=now_ms).render("_live.html", live=live)
            if html != before:
                before = html
                yield event("live", html)
            else:
                yield b": still here\n\n"
            await asyncio.sleep(_OVERVIEW_S)


async def _hold(visit: Visit, seq: int, since_ms: int) -> AsyncIterator[bytes]:
    ends, before = visit.desk.clock() + _HOLD_LIFE_S, ""
    with visit.desk.shared.watching():
        while visit.desk.clock() < ends:
            now_ms = int(visit.desk.clock() * 1000)
            try:
                held = await hold_data(visit, seq, since_ms, now_ms=now_ms)
            except PolicyError:
                return
            html = replace(visit, now_ms=now_ms).render("_hold.html", held=held)
            if html != before:
                before = html
                yield event("hold", html)
            if held["done"]:
                break
            await asyncio.sleep(_HOLD_S)
    yield event("done", "")


def event(name: str, html: str) -> bytes:
    """Return one server-sent event; every line of the text is a line of data."""
    lines = "\n".join(f"data: {line}" for line in html.splitlines() or [""])
    return f"event: {name}\n{lines}\n\n".encode()
