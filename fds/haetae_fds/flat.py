"""Events as flat JSON objects, one a line: the form of recordings, replays and simulated worlds.

Rules kept: field names are those of `Event`; a field that is missing, unknown to us, or null is null; a field of the
wrong type or size makes the whole line invalid. What tables make of a value without changing it (whole numbers with a
point, flags as 0 and 1, names that are numbers, empty texts for nulls) is read as what it was. A line is bounded before
it is parsed.
Not here: files and pipes.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any, Final

import orjson

from haetae_fds.event import MAX_INTEGER, Event, EventInvalid, made_of, read_field

MAX_LINE: Final = 16_384
_NAMES: Final = frozenset(field.name for field in fields(Event))
_SORTED: Final = tuple(sorted(_NAMES))


def read_flat(line: str | bytes) -> Event:
    """Read one event. Raises EventInvalid naming the field that does not fit, "event" when the line is none."""
    if len(line) > MAX_LINE:
        raise EventInvalid("event")
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise EventInvalid("event") from error
    if not isinstance(value, dict):
        raise EventInvalid("event")
    return event_of(value)


def event_of(value: dict[str, Any]) -> Event:
    """Build an event from an object of field names. Raises EventInvalid."""
    read: dict[str, Any] = {}
    for name, item in value.items():
        if item is None or name not in _NAMES or (item == "" and name != "id"):
            continue
        read[name] = read_field(name, _settled(name, item))
    read.setdefault("gw", "")
    return made_of(read)


def _settled(name: str, item: object) -> object:
    """Return a value in the one form it is kept in."""
    if isinstance(item, str):
        if name == "ipc" and item in ("vpn", "tor"):
            return "vpn/tor"
        if name == "asn" and _ASN.fullmatch(item):
            return int(item.upper().removeprefix("AS"))
    elif isinstance(item, int | float) and not isinstance(item, bool):
        if name in _NAMED and abs(item) <= (_MAX_NAME if isinstance(item, int) else MAX_INTEGER):
            return str(item)
        if abs(item) > MAX_INTEGER:
            return item
        if name in _FLAGS and item in (0, 1):
            return bool(item)
        if isinstance(item, float) and name in _WHOLE and (item.is_integer() or name in _TIMES):
            return int(item)
    return item


#: Times may come with parts of a millisecond or second.
_TIMES: Final = frozenset({"ts", "dev_age"})
_WHOLE: Final = frozenset({*_TIMES, "obj_n", "status", "bi", "bo", "n_items", "asn"})
_FLAGS: Final = frozenset({"dev_v", "user_v", "rl"})
_NAMED: Final = frozenset({"id", "trace", "obj", "ver", "dev", "user", "sess", "acct", "cred_fp", "pw_fp", "ua", "hdr"})
#: Many number their users and objects with 64 bits.
_MAX_NAME: Final = 2**64 - 1
_ASN: Final = re.compile(r"(?i:AS)?[0-9]{1,10}")


def flat(event: Event) -> dict[str, object]:
    """Return the event as an object without its nulls."""
    return {name: value for name in _SORTED if (value := getattr(event, name)) is not None}
