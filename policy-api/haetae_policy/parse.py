"""Strict reading of policy documents (already decoded JSON objects) into `Policy`.

Every unknown field is an error that names it, everything is bounded, and all problems are reported at once.
`parse_policy` applies the installation's rules; `read_policy` is for documents the store has accepted before.

Does not decode JSON text (the web framework or the store does) and reads no clock.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from haetae_policy.errors import AddressInvalid, PathPatternInvalid, PolicyInvalid, Problem
from haetae_policy.faults import fault
from haetae_policy.identifiers import parse_policy_id
from haetae_policy.model import KINDS, Action, Api, Mode, Policy, Rate, Source, SourceKind, Subject, format_time
from haetae_policy.network import Network, parse_network
from haetae_policy.paths import compile_path
from haetae_policy.reader import Reader
from haetae_policy.rules import DEFAULT_RULES, Rules

MAX_IDENTIFIER: Final = 256
MAX_REASON: Final = 500
MAX_EVIDENCE_BYTES: Final = 8192
MAX_EVIDENCE_DEPTH: Final = 6
MAX_EVIDENCE_NODES: Final = 500
MAX_RATE_LIMIT: Final = 1_000_000
MAX_RATE_SECONDS: Final = 86_400
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY"})
_FIELDS: Final = frozenset(
    {
        *("id", "subject", "api", "action", "mode", "hard", "rate", "reason", "why", "evidence", "source"),
        *("created", "changed", "expires", "version", "ticket", "approved_by"),
    }
)
_SET_BY_SERVICE: Final = ("id", "source", "created", "changed", "version")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_CODE: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)


def parse_policy(document: object, *, rules: Rules = DEFAULT_RULES) -> Policy:
    """Return the policy of a complete document that also satisfies `rules`; raises PolicyInvalid."""
    problems: list[Problem] = []
    policy = _policy(document, problems)
    if policy is not None:
        problems += rules.problems(policy)
    if policy is None or problems:
        raise PolicyInvalid(tuple(problems))
    return policy


def read_policy(document: object) -> Policy:
    """Return the policy of a document accepted earlier: its shape is checked, the rules are not; raises
    PolicyInvalid.
    """
    problems: list[Problem] = []
    policy = _policy(document, problems)
    if policy is None:
        raise PolicyInvalid(tuple(problems))
    return policy


def parse_new_policy(
    document: object, *, policy_id: str, source: Source, now_ms: int, rules: Rules = DEFAULT_RULES
) -> Policy:
    """Return the policy a caller asks for: identity, source and times are the service's to set, not the
    caller's.

    `now_ms` is Unix milliseconds. Raises PolicyInvalid, also for an expiry that has passed.
    """
    if not isinstance(document, Mapping):
        raise PolicyInvalid((Problem("policy", fault("object")),))
    now_text = format_time(now_ms // 1000 * 1000)
    made: dict[Any, Any] = {
        **document,
        "id": policy_id,
        "source": {"kind": source.kind.value, "name": source.name},
        "created": now_text,
        "changed": now_text,
        "version": 1,
    }
    problems = [Problem(name, fault("set_by_service")) for name in _SET_BY_SERVICE if name in document]
    policy = _policy(made, problems)
    if policy is not None:
        problems += rules.problems(policy)
    if policy is None or problems:
        raise PolicyInvalid(tuple(problems))
    return policy


def _policy(document: object, problems: list[Problem]) -> Policy | None:
    reader = Reader(document, "", _FIELDS, problems)
    policy_id = _identifier(reader)
    subject = parse_subject(reader.raw("subject"), problems)
    api = parse_api(reader.raw("api"), problems)
    action = reader.choice("action", Action)
    mode = reader.choice("mode", Mode, Mode.ENFORCE)
    reason = reader.text("reason", limit=MAX_REASON, required=True)
    source = _source(reader.raw("source"), problems)
    created, changed, expires = (reader.time(key) for key in ("created", "changed", "expires"))
    version = reader.integer("version", 1, 1 << 31)
    why = reader.shaped("why", _CODE, fault("why_code"))
    hard = reader.flag("hard")
    rate = _rate(reader, action, problems)
    ticket = reader.text("ticket", limit=64)
    approved_by = reader.text("approved_by", limit=128)
    evidence = _evidence(reader)
    if hard and action is not Action.BLOCK:
        reader.fail("hard", fault("hard_blocks_only"))
    if created is not None and changed is not None and expires is not None and not created <= changed < expires:
        reader.fail("expires", fault("expires_order"))
    if source is not None and approved_by is not None and approved_by == source.name:
        reader.fail("approved_by", fault("another_approver"))
    if problems or action is None or mode is None or reason is None or source is None or version is None:
        return None
    if created is None or changed is None or expires is None:
        return None
    if not created <= changed < expires:
        reader.fail("expires", fault("expires_order"))
        return None
    return Policy(
        id=policy_id,
        subject=subject,
        api=api,
        action=action,
        mode=mode,
        hard=hard,
        rate=rate,
        reason=reason,
        why=why or ("manual" if source.kind is SourceKind.ANALYST else "fds"),
        source=source,
        created_ms=created,
        changed_ms=changed,
        expires_ms=expires,
        version=version,
        ticket=ticket,
        approved_by=approved_by,
        evidence_json=evidence,
    )


def _identifier(reader: Reader) -> str:
    value = reader.raw("id")
    if isinstance(value, str):
        try:
            parse_policy_id(value)
        except PolicyInvalid:
            pass  # reported below together with a missing identifier
        else:
            return value
    reader.fail("id", fault("policy_id"))
    return ""


def parse_subject(document: object, problems: list[Problem]) -> Subject:
    """Return the subject of a JSON object, or an empty one with entries added to `problems`."""
    if document is None:
        return Subject()
    reader = Reader(document, "subject", frozenset({*KINDS, "ip", "untrusted"}), problems)
    named = {kind: reader.text(kind, limit=MAX_IDENTIFIER) for kind in KINDS}
    return Subject(**named, ip=_network(reader), untrusted=reader.flag("untrusted"))


def _network(reader: Reader) -> Network | None:
    value = reader.raw("ip")
    if value is None:
        return None
    try:
        return parse_network(value if isinstance(value, str) else "")
    except AddressInvalid as error:
        reader.fail("ip", error.fault)
        return None


def parse_api(document: object, problems: list[Problem]) -> Api:
    """Return the API conditions of a JSON object, or empty ones with entries added to `problems`."""
    if document is None:
        return Api()
    reader = Reader(document, "api", frozenset({"gateway", "route", "method", "path"}), problems)
    gateway = reader.shaped("gateway", _NAME, fault("gateway_name"))
    route = reader.shaped("route", _NAME, fault("route_id"))
    method, path = reader.raw("method"), reader.raw("path")
    if method is not None and (not isinstance(method, str) or method not in METHODS):
        reader.fail("method", fault("method"))
    if path is not None:
        try:
            compile_path(path if isinstance(path, str) else "")
        except PathPatternInvalid as error:
            reader.fail("path", error.fault)
    return Api() if problems else Api(gateway=gateway, route=route, method=method, path=path)


def is_code(text: str) -> bool:
    """Whether `text` is fit to be a policy's `why`."""
    return _CODE.fullmatch(text) is not None


def _source(document: object, problems: list[Problem]) -> Source | None:
    reader = Reader(document, "source", frozenset({"kind", "name"}), problems)
    if not isinstance(document, Mapping):
        return None
    kind = reader.choice("kind", SourceKind)
    name = reader.text("name", limit=128, required=True)
    return None if kind is None or name is None else Source(kind=kind, name=name)


def _rate(reader: Reader, action: Action | None, problems: list[Problem]) -> Rate | None:
    document = reader.raw("rate")
    if document is None:
        if action is Action.THROTTLE:
            reader.fail("rate", fault("rate_required"))
        return None
    if action is not Action.THROTTLE:
        reader.fail("rate", fault("rate_throttles_only"))
    inner = Reader(document, "rate", frozenset({"limit", "per_seconds"}), problems)
    if not isinstance(document, Mapping):
        return None
    limit = inner.integer("limit", 1, MAX_RATE_LIMIT)
    per_seconds = inner.integer("per_seconds", 1, MAX_RATE_SECONDS)
    return None if limit is None or per_seconds is None else Rate(limit, per_seconds)


def _evidence(reader: Reader) -> str:
    value = reader.raw("evidence")
    if value is None:
        return "{}"
    if not isinstance(value, dict) or not _is_small(value):
        reader.fail(
            "evidence",
            fault("evidence_shape", nodes=MAX_EVIDENCE_NODES, levels=MAX_EVIDENCE_DEPTH),
        )
        return "{}"
    try:
        encoded = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        reader.fail("evidence", fault("evidence_json"))
        return "{}"
    if len(encoded) > MAX_EVIDENCE_BYTES:
        reader.fail("evidence", fault("evidence_bytes", bytes=MAX_EVIDENCE_BYTES))
        return "{}"
    return encoded.decode()


def _is_small(document: object) -> bool:
    """Walk level by level, so that neither depth nor size is paid for beyond the limits."""
    level, count = [document], 0
    for _ in range(MAX_EVIDENCE_DEPTH):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict | list | tuple):
                below.extend(value.values() if isinstance(value, dict) else value)
        count += len(below)
        if count > MAX_EVIDENCE_NODES:
            return False
        level = below
    return not any(isinstance(value, dict | list | tuple) for value in level)
