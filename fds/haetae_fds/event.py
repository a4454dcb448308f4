"""One behaviour event: a finished request, as compactly as it travels, and read back strictly.

An event is an array, schema version first, then the values in the order of `Event`'s fields. Fields are only ever
added at the end, so a reader accepts arrays that are longer than it knows and fills what is missing with None.

Rules kept: identities of unverified origin are marked so (`dev_v`, `user_v`); personal data that is not needed in the
clear arrives as keyed hashes; no secret has a field. Not here: hashing, transport, features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from haetae_fds.address import keys_of
from haetae_fds.words import (
    AuthOutcome,
    BodyOutcome,
    NetworkKind,
    NonceOutcome,
    PolicyOutcome,
    SignatureOutcome,
)

SCHEMA_VERSION: Final = 1
MAX_TEXT: Final = 512
MAX_INTEGER: Final = 2**53 - 1
#: Times are Unix milliseconds, at most of the year 5138: what else is so large is no time.
MAX_TIME: Final = 10**14
_MAX_EXTRA: Final = 64


class EventInvalid(ValueError):
    """An array is no event. `field` names the first field that does not fit, "event" when it is none at all."""

    code = "event-invalid"

    def __init__(self, field: str) -> None:
        super().__init__(f"not a behaviour event: {field}")
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One finished request.

    | group | fields |
    |---|---|
    | id | `id` (ULID, the deduplication key), `ts` (ms, when answered), `gw`, `trace` |
    | request | `route`, `api` (method and template), `obj` (keyed hash), `obj_n` (its integer), `status` |
    | cost | `lat` (ms), `bi`, `bo` (bytes in, out), `n_items` |
    | network | `ip` (canonical), `net` (/24 or /48), `ip64`, `asn`, `cc`, `ipc` |
    | client | `ja4`, `ua` (hash), `hdr` (header-order hash), `ver` (app version), `attest` |
    | identity | `dev`, `dev_v`, `dev_age` (s), `user`, `user_v`, `sess`, `san` |
    | log-in | `acct` (keyed hash), `auth`, `cred_fp`, `pw_fp` |
    | envelope | `sig`, `dec`, `nonce` |
    | verdict | `pol`, `pid`, `rl` |
    """

    id: str
    ts: int
    gw: str
    trace: str | None = None
    route: str | None = None
    api: str | None = None
    obj: str | None = None
    obj_n: int | None = None
    status: int | None = None
    lat: float | None = None
    bi: int | None = None
    bo: int | None = None
    n_items: int | None = None
    ip: str | None = None
    net: str | None = None
    ip64: str | None = None
    asn: int | None = None
    cc: str | None = None
    ipc: NetworkKind | None = None
    ja4: str | None = None
    ua: str | None = None
    hdr: str | None = None
    ver: str | None = None
    attest: str | None = None
    dev: str | None = None
    dev_v: bool = False
    dev_age: int | None = None
    user: str | None = None
    user_v: bool = False
    sess: str | None = None
    san: str | None = None
    acct: str | None = None
    auth: AuthOutcome | None = None
    cred_fp: str | None = None
    pw_fp: str | None = None
    sig: SignatureOutcome | None = None
    dec: BodyOutcome | None = None
    nonce: NonceOutcome | None = None
    pol: PolicyOutcome | None = None
    pid: str | None = None
    rl: bool = False


def encode_event(event: Event) -> list[object]:
    """The event as an array of JSON values, schema version first."""
    return [SCHEMA_VERSION, *(getattr(event, name) for name in _NAMES)]


def decode_event(value: object) -> Event:
    """Read an array back. Raises EventInvalid for anything that is not an event of this schema version."""
    if not isinstance(value, list) or not value or value[0] != SCHEMA_VERSION or isinstance(value[0], bool):
        raise EventInvalid("event")
    given = value[1:]
    if len(given) > len(_NAMES) + _MAX_EXTRA:
        raise EventInvalid("event")
    read: dict[str, Any] = {}
    for name, item in zip(_NAMES, given, strict=False):
        read[name] = read_field(name, item)
    return made_of(read)


def made_of(read: dict[str, Any]) -> Event:
    """The event of fields that were read one by one. Raises EventInvalid."""
    missing = _REQUIRED - read.keys()
    if missing:
        raise EventInvalid(min(missing))
    if not read["id"]:
        raise EventInvalid("id")  # all such events would be one event doubled
    if not 0 <= read["ts"] <= MAX_TIME:
        raise EventInvalid("ts")
    ip = read.get("ip")
    if ip is not None and not keys_of(ip)[0]:
        raise EventInvalid("ip")
    return Event(**read)


def read_field(name: str, item: object) -> object:
    """The value of one field, checked. Raises EventInvalid."""
    kind, optional = _KINDS[name]
    if item is None:
        if not optional:
            raise EventInvalid(name)
        return None
    if issubclass(kind, StrEnum):
        if not isinstance(item, str) or item not in kind._value2member_map_:
            raise EventInvalid(name)
        return kind(item)
    if kind is float:
        if isinstance(item, bool) or not isinstance(item, int | float) or not math.isfinite(item):
            raise EventInvalid(name)
        return float(item)
    if type(item) is not kind:
        raise EventInvalid(name)
    if isinstance(item, str) and len(item) > MAX_TEXT:
        raise EventInvalid(name)
    if isinstance(item, int) and abs(item) > MAX_INTEGER:
        raise EventInvalid(name)
    return item


def _kind(hint: Any) -> tuple[type, bool]:
    if get_origin(hint) in (Union, UnionType):
        (kind,) = (part for part in get_args(hint) if part is not NoneType)
        return kind, True
    return hint, False


_NAMES: Final = tuple(field.name for field in fields(Event))
#: Where each field stands in the array; the schema version is before them all.
PLACES: Final = {name: place for place, name in enumerate(_NAMES, 1)}
_HINTS: Final = get_type_hints(Event)
_KINDS: Final = {name: _kind(_HINTS[name]) for name in _NAMES}
_REQUIRED: Final = frozenset({"id", "ts", "gw"})
