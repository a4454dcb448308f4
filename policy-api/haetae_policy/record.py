"""The form in which a policy travels to the edges: one small JSON object per policy, and its digest.

A record carries what enforcement needs and nothing about people's reasons. Its envelope (`v`, `pid`, `ver`,
`exp`) is read first: a record whose content this version does not understand is reported as unreadable with
its envelope, so that one policy of a newer kind cannot stop the feed. The digest is taken over the record's
bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import orjson
from msgspec import UNSET
from msgspec.structs import astuple

from haetae_policy.errors import AddressInvalid, FeedCorrupt, PolicyInvalid, Problem, RecordUnreadable
from haetae_policy.identifiers import format_policy_id, parse_policy_id
from haetae_policy.model import KINDS, RANK, Action, Api, Mode, Policy, Rate, SourceKind, Subject
from haetae_policy.network import parse_network
from haetae_policy.parse import MAX_IDENTIFIER, MAX_RATE_LIMIT, MAX_RATE_SECONDS, parse_api
from haetae_policy.wire import MAX_RECORD_BYTES, WireApi, WireSubject, decode_wire

DIGEST_BYTES: Final = 6
_VERSION: Final = 1
_ENVELOPE: Final = frozenset({"v", "pid", "ver", "exp"})
_CONTENT: Final = frozenset({"act", "sub", "api", "mode", "hard", "rate", "why", "fds"})
_KNOWN: Final = _ENVELOPE | _CONTENT
_ACTIONS: Final = {action.value: action for action in RANK}
_NO_API: Final = Api()
_NOBODY: Final = Subject()
_SUBJECT: Final = frozenset({*KINDS, "ip", "untrusted"})
_API: Final = frozenset({"gateway", "route", "method", "path"})


@dataclass(frozen=True, slots=True)
class Record:
    """One policy as an edge holds it. `exp_ms` is absolute Unix milliseconds; `machine` marks the FDS's
    own.
    """

    pid: int
    ver: int
    exp_ms: int
    action: Action
    subject: Subject
    api: Api
    why: str = ""
    shadow: bool = False
    hard: bool = False
    machine: bool = False
    rate: Rate | None = None

    @property
    def policy_id(self) -> str:
        """The policy's public identifier."""
        return format_policy_id(self.pid)


def record_digest(encoded: bytes) -> int:
    """Return the 48-bit digest of a record. Sums of it stay exact in the store's scripts (doubles, 53
    bits).
    """
    return int.from_bytes(blake2b(encoded, digest_size=DIGEST_BYTES).digest())


def record_digests(records: Sequence[bytes]) -> list[int]:
    """Return the digests of many records."""
    number, digest = int.from_bytes, blake2b
    return [number(digest(encoded, digest_size=DIGEST_BYTES).digest(), "big") for encoded in records]


def record_of(policy: Policy) -> Record:
    """Return what an edge needs of `policy`."""
    return Record(
        pid=parse_policy_id(policy.id),
        ver=policy.version,
        exp_ms=policy.expires_ms,
        action=policy.action,
        subject=policy.subject,
        api=policy.api,
        why=policy.why,
        shadow=policy.mode is Mode.SHADOW,
        hard=policy.hard,
        machine=policy.source.kind is SourceKind.FDS,
        rate=policy.rate,
    )


def encode_record(record: Record) -> bytes:
    """Return the canonical bytes; absent keys are defaults."""
    switches = {"mode": record.shadow, "hard": record.hard, "fds": record.machine}
    return _encode(record, record.policy_id, record.ver, switches)


def encode_policy(policy: Policy) -> bytes:
    """Return what `encode_record` makes of `record_of(policy)`, with less work."""
    machine = policy.source.kind is SourceKind.FDS
    switches = {"mode": policy.mode is Mode.SHADOW, "hard": policy.hard, "fds": machine}
    return _encode(policy, policy.id, policy.version, switches)


def _encode(what: Record | Policy, policy_id: str, version: int, switches: dict[str, bool]) -> bytes:
    expires_ms = what.exp_ms if isinstance(what, Record) else what.expires_ms
    document: dict[str, Any] = {
        "v": _VERSION,
        "pid": policy_id,
        "ver": version,
        "exp": expires_ms,
        "act": what.action.value,
    }
    if subject := what.subject.to_dict():
        document["sub"] = subject
    if api := what.api.to_dict():
        document["api"] = api
    if what.why:
        document["why"] = what.why
    if switches["mode"]:
        document["mode"] = Mode.SHADOW.value
    if switches["hard"]:
        document["hard"] = True
    if switches["fds"]:
        document["fds"] = True
    if what.rate is not None:
        document["rate"] = list(what.rate)
    return orjson.dumps(document)


def decode_record(encoded: bytes) -> Record:
    """Return the record of `encoded`.

    Raises FeedCorrupt when not even the envelope can be read, RecordUnreadable when the content is unknown.
    """
    return _quickly(encoded) or read_record(encoded)


def _quickly(encoded: bytes) -> Record | None:
    """Return the record if it has the usual shape (see `wire`), or None."""
    wire = decode_wire(encoded)
    if wire is None:
        return None
    action = _ACTIONS[wire.act]
    rate = None if wire.rate is UNSET else Rate(*wire.rate)
    if (rate is None) is (action is Action.THROTTLE) or (rate is not None and not rate_in_range(rate)):
        return None
    try:
        return Record(
            pid=parse_policy_id(wire.pid),
            ver=wire.ver,
            exp_ms=wire.exp,
            action=action,
            subject=_NOBODY if wire.sub is UNSET else subject_of(wire.sub),
            api=_NO_API if wire.api is UNSET else api_of(wire.api),
            why=wire.why,
            shadow=wire.mode is not UNSET,
            hard=wire.hard,
            machine=wire.fds,
            rate=rate,
        )
    except (PolicyInvalid, AddressInvalid):
        return None


def subject_of(wire: WireSubject) -> Subject:
    """Return the subject as the language has it; raises AddressInvalid."""
    return Subject(
        None if wire.session is UNSET else wire.session,
        None if wire.device is UNSET else wire.device,
        None if wire.user is UNSET else wire.user,
        None if wire.account is UNSET else wire.account,
        None if wire.pw_fp is UNSET else wire.pw_fp,
        None if wire.client is UNSET else wire.client,
        None if wire.ip is UNSET else parse_network(wire.ip),
        wire.untrusted,
    )


@lru_cache(maxsize=4096)
def api_of(wire: WireApi) -> Api:
    """Return the API conditions as the language has them; raises PolicyInvalid."""
    return checked_api(*(None if value is UNSET else value for value in astuple(wire)))


def read_record(encoded: bytes) -> Record:
    """Return the record of `encoded`, looking at each member; raises as `decode_record`, which is quicker."""
    if len(encoded) > MAX_RECORD_BYTES:
        raise FeedCorrupt("a policy record is too long")
    try:
        document = orjson.loads(encoded)
    except orjson.JSONDecodeError as error:
        raise FeedCorrupt("a policy record is not JSON") from error
    if not isinstance(document, dict):
        raise FeedCorrupt("a policy record is not an object")
    pid, ver, exp_ms = _envelope(document)
    try:
        return _content(document, pid, ver, exp_ms)
    except PolicyInvalid as error:
        raise RecordUnreadable(str(error), pid=pid, ver=ver, exp_ms=exp_ms) from error


def _envelope(document: dict[str, Any]) -> tuple[int, int, int]:
    text, ver, exp_ms = document.get("pid"), document.get("ver"), document.get("exp")
    if type(ver) is not int or not 1 <= ver <= 1 << 31 or type(exp_ms) is not int or not 0 <= exp_ms < 1 << 48:
        raise FeedCorrupt("a policy record has no version or expiry")
    try:
        return parse_policy_id(text if isinstance(text, str) else ""), ver, exp_ms
    except PolicyInvalid as error:
        raise FeedCorrupt("a policy record has no identifier") from error


def _content(document: dict[str, Any], pid: int, ver: int, exp_ms: int) -> Record:
    get = document.get
    action = _ACTIONS.get(str(get("act")))
    why, mode, hard, machine = get("why", ""), get("mode"), get("hard", False), get("fds", False)
    if (
        action is None
        or not _KNOWN.issuperset(document)
        or get("v") != _VERSION
        or (mode is not None and mode != "shadow")
        or type(hard) is not bool
        or type(machine) is not bool
        or type(why) is not str
        or len(why) > 64
    ):
        raise _unknown("record")
    api, rate = get("api"), get("rate")
    return Record(
        pid=pid,
        ver=ver,
        exp_ms=exp_ms,
        action=action,
        subject=_NOBODY if "sub" not in document else _subject(document["sub"]),
        api=_NO_API if api is None else _api(api),
        why=why,
        shadow=mode is not None,
        hard=hard,
        machine=machine,
        rate=None if rate is None and action is not Action.THROTTLE else _rate(rate, action),
    )


def _subject(document: object) -> Subject:
    """Records come by the million, so this checks types and sizes only; the language was checked when
    written.
    """
    if not isinstance(document, dict) or not _SUBJECT.issuperset(document):
        raise _unknown("subject")
    fields = document.copy()
    untrusted, ip = fields.pop("untrusted", False), fields.pop("ip", None)
    if type(untrusted) is not bool or (ip is not None and type(ip) is not str):
        raise _unknown("subject")
    for value in fields.values():
        if type(value) is not str or not 0 < len(value) <= MAX_IDENTIFIER:
            raise _unknown("subject")
    try:
        network = None if ip is None else parse_network(ip)
    except AddressInvalid as error:
        raise _unknown("subject.ip") from error
    return Subject(**fields, ip=network, untrusted=untrusted)


def _api(document: object) -> Api:
    if not isinstance(document, dict) or not _API.issuperset(document):
        raise _unknown("api")
    values = tuple(document.get(name) for name in ("gateway", "route", "method", "path"))
    if not all(value is None or type(value) is str for value in values):
        raise _unknown("api")
    return checked_api(*values)


@lru_cache(maxsize=4096)
def checked_api(gateway: str | None, route: str | None, method: str | None, path: str | None) -> Api:
    """Return the API conditions; raises PolicyInvalid."""
    problems: list[Problem] = []
    api = parse_api({"gateway": gateway, "route": route, "method": method, "path": path}, problems)
    if problems:
        raise PolicyInvalid(tuple(problems))
    return api


def _rate(value: object, action: Action) -> Rate:
    if action is Action.THROTTLE and isinstance(value, list) and len(value) == 2:
        limit, per_seconds = value
        rate = Rate(limit, per_seconds)
        if type(limit) is int and type(per_seconds) is int and rate_in_range(rate):
            return rate
    raise _unknown("rate")


def rate_in_range(rate: Rate) -> bool:
    """Whether a throttle's numbers are within what the language allows."""
    return 1 <= rate.limit <= MAX_RATE_LIMIT and 1 <= rate.per_seconds <= MAX_RATE_SECONDS


def _unknown(field: str) -> PolicyInvalid:
    return PolicyInvalid((Problem(field, "of a kind this version does not know"),))
