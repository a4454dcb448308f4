"""A policy as the table's rows take it: numbers, texts and one key, no objects to build and throw away.

`compact_of` makes it of a `Record`, `decode_compact` straight of a record's bytes, which is what makes a million of
them load in seconds.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import UNSET
from msgspec.structs import astuple

from haetae_policy.errors import AddressInvalid, PolicyInvalid
from haetae_policy.identifiers import parse_policy_id
from haetae_policy.index import EVERYONE, V4, V6, residual_of
from haetae_policy.model import KINDS, RANK, Action, Rate, Subject
from haetae_policy.network import parse_network
from haetae_policy.record import Record, api_of, rate_in_range, subject_of
from haetae_policy.slots import HARD, MACHINE, SHADOW, UNTRUSTED
from haetae_policy.wire import WireApi, WireRecord, WireSubject, decode_wire, decode_wires

ApiKey = tuple[str | None, str | None, str | None, str | None]
ANY_API: Final[ApiKey] = (None, None, None, None)
Filing = tuple[int, str | int | None, tuple[int | str, ...], int]
_NO_SUBJECT: Final[Filing] = (EVERYONE, None, (), 0)
_new: Final = tuple.__new__
_RANKS: Final = {action.value: rank for action, rank in RANK.items()}
_THROTTLE: Final = Action.THROTTLE.value


class Compact(NamedTuple):
    """`kind` is the index the policy is filed in under `key`; `residual` are its other conditions (see
    `index.residual_of`); `api` is gateway, route, method, path. A policy for everyone has no key.
    """

    pid: int
    ver: int
    exp_ms: int
    flags: int
    kind: int
    key: str | int | None
    residual: tuple[int | str, ...]
    api: ApiKey
    why: str
    rate: Rate | None


def compact_of(record: Record) -> Compact:
    """Return the compact form of a record."""
    subject, api = record.subject, record.api
    kind, key = _filed(subject)
    flags = _flags(RANK[record.action], shadow=record.shadow, hard=record.hard, machine=record.machine)
    return Compact(
        *(record.pid, record.ver, record.exp_ms, flags | (UNTRUSTED if subject.untrusted else 0), kind, key),
        *(residual_of(subject, kind), (api.gateway, api.route, api.method, api.path), record.why, record.rate),
    )


def decode_compact(encoded: bytes) -> Compact | None:
    """Return the compact form of a record's bytes, or None where `decode_record` has to decide what they are."""
    wire = decode_wire(encoded)
    return None if wire is None else _compact(wire)


def decode_compacts(records: Sequence[bytes]) -> list[Compact] | None:
    """Return the compact forms of many records, or None where they have to be looked at one by one."""
    wires = decode_wires(records)
    if wires is None:
        return None
    compacts = [compact for wire in wires if (compact := _compact(wire)) is not None]
    return compacts if len(compacts) == len(records) else None


def _compact(wire: WireRecord) -> Compact | None:
    act, subject, rate = wire.act, wire.sub, None
    try:
        pid = parse_policy_id(wire.pid)
        api = ANY_API if wire.api is UNSET else _api(wire.api)
        kind, key, residual, untrusted = _NO_SUBJECT if subject is UNSET else _subject(subject)
    except (PolicyInvalid, AddressInvalid):
        return None
    if wire.rate is not UNSET:
        rate = Rate(*wire.rate)
        if not rate_in_range(rate):
            return None
    if (rate is None) is (act == _THROTTLE):
        return None
    flags = _RANKS[act] | untrusted
    if wire.hard or wire.fds or wire.mode is not UNSET:
        flags |= _flags(0, shadow=wire.mode is not UNSET, hard=wire.hard, machine=wire.fds)
    return _new(Compact, (pid, wire.ver, wire.exp, flags, kind, key, residual, api, wire.why, rate))


def _subject(wire: WireSubject) -> Filing:
    """Where it is filed: index, key, other conditions, flag for strangers."""
    values = astuple(wire)
    untrusted = UNTRUSTED if wire.untrusted else 0
    if values.count(UNSET) == len(KINDS):  # of seven conditions one is set, as nearly always
        if wire.ip is not UNSET:
            network = parse_network(wire.ip)
            return (V4 if network.version == 4 else V6), network.key, (), untrusted
        for kind, value in enumerate(values):
            if value is not UNSET:
                return kind, value, (), untrusted
    subject = subject_of(wire)
    kind, key = _filed(subject)
    return kind, key, residual_of(subject, kind), untrusted


def _filed(subject: Subject) -> tuple[int, str | int | None]:
    for kind, name in enumerate(KINDS):
        if (value := getattr(subject, name)) is not None:
            return kind, value
    network = subject.ip
    if network is None:
        return EVERYONE, None
    return (V4 if network.version == 4 else V6), network.key


def _flags(rank: int, *, shadow: bool, hard: bool, machine: bool) -> int:
    return rank | (SHADOW if shadow else 0) | (HARD if hard else 0) | (MACHINE if machine else 0)


@lru_cache(maxsize=4096)
def _api(wire: WireApi) -> ApiKey:
    api = api_of(wire)
    return api.gateway, api.route, api.method, api.path
