"""One JSON object per request, in Elastic Common Schema names. Pure: an exchange in, bytes out.

No query strings, bodies, tokens, signatures or header values: what is written is listed here and nowhere else.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from haetae_edge.exchange import Exchange, Response
from haetae_edge.problems import Side

_MAX_PATH = 512


def log_line(
    *,
    gateway: str,
    revision: str,
    exchange: Exchange | None,
    peer: str,
    response: Response,
    seconds: float,
    sent: int,
    finished: float,
) -> bytes:
    """The line of one finished request, with its newline. `finished` is wall-clock seconds."""
    line: dict[str, Any] = {
        "event.outcome": "success" if response.status < 400 else "failure",
        "event.duration": int(seconds * 1e9),
        "http.response.status_code": response.status,
        "http.response.body.bytes": sent,
        "client.ip": peer,
    }
    if exchange is not None:
        _add_request(line, exchange)
        _add_facts(line, exchange)
    if response.problem is not None:
        side: Side = response.problem.side
        line["error.code"] = response.problem.code
        line["haetae.side"] = side.value
    second = int(finished)
    start = b'{"@timestamp":"%b.%03dZ",%b' % (
        _second(second),
        int((finished - second) * 1000),
        _common(gateway, revision),
    )
    return start + orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)[1:]


@lru_cache(maxsize=4)
def _second(second: int) -> bytes:
    """A second of wall-clock time in ISO 8601, UTC, without its end."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode("ascii")


@lru_cache(maxsize=16)
def _common(gateway: str, revision: str) -> bytes:
    """What every line of a gateway says, as the inside of a JSON object with a comma after it."""
    same = {
        "event.kind": "event",
        "event.category": "web",
        "service.name": gateway,
        "service.version": revision,
    }
    return orjson.dumps(same)[1:-1] + b","


def _add_request(line: dict[str, Any], exchange: Exchange) -> None:
    request = exchange.request
    line["http.request.method"] = request.method
    line["url.path"] = request.path[:_MAX_PATH]
    line["url.domain"] = request.authority.host
    line["client.ip"] = request.client.text
    if exchange.route is not None:
        line["haetae.route"] = exchange.route.id
    if exchange.trace is not None:
        line["trace.id"] = exchange.trace.trace_id
        line["span.id"] = exchange.trace.span_id


def _add_facts(line: dict[str, Any], exchange: Exchange) -> None:
    caller, facts = exchange.caller, exchange.facts
    if facts.upstream is not None:
        line["destination.address"] = facts.upstream
    if caller.auth == () and facts.reason is None and not facts.observed:
        return
    known = (
        ("user.id", caller.user),
        ("device.id", caller.device),
        ("haetae.key_id", caller.key_id),
        ("haetae.client", caller.client_id),
        ("haetae.service", caller.service),
        ("haetae.session", caller.session),
        ("haetae.auth", list(caller.auth) or None),
        ("haetae.reason", facts.reason),
        ("haetae.reference", facts.reference),
        ("haetae.signature", facts.signature),
        ("haetae.nonce", facts.nonce),
        ("haetae.body", facts.body),
        ("haetae.policy.id", facts.policy),
        ("haetae.policy.action", facts.policy_action),
        ("haetae.policy.observed", list(facts.observed) or None),
    )
    line.update({name: value for name, value in known if value is not None})
