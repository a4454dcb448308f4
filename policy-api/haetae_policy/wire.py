"""Records read in one step, by the shape of what writers write; everything else is left to `record.decode_record`.

Records come by the million when a worker starts. A record that fits the shape below means exactly what
`decode_record` makes of it; one that does not is not wrong here: it is read again, slowly, and judged there. Absent
and null are not the same: a null subject must not turn into everyone.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

MAX_RECORD_BYTES: Final = 4096
_Identifier = Annotated[str, Meta(min_length=1, max_length=256)]
_Word = _Identifier | UnsetType
_Text = str | UnsetType
_Line = TypeVar("_Line")


class WireSubject(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Who; the order is that of `model.KINDS`, then `ip` and `untrusted`."""

    session: _Word = UNSET
    device: _Word = UNSET
    user: _Word = UNSET
    account: _Word = UNSET
    pw_fp: _Word = UNSET
    client: _Word = UNSET
    ip: _Text = UNSET
    untrusted: bool = False


class WireApi(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What."""

    gateway: _Text = UNSET
    route: _Text = UNSET
    method: _Text = UNSET
    path: _Text = UNSET


class WireRecord(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One record. Identifier, network, API conditions and rate are still unchecked."""

    v: Literal[1]
    pid: str
    ver: Annotated[int, Meta(ge=1, le=1 << 31)]
    exp: Annotated[int, Meta(ge=0, lt=1 << 48)]
    act: Literal["observe", "allow", "throttle", "challenge", "block"]
    sub: WireSubject | UnsetType = UNSET
    api: WireApi | UnsetType = UNSET
    why: Annotated[str, Meta(max_length=64)] = ""
    mode: Literal["shadow"] | UnsetType = UNSET
    hard: bool = False
    fds: bool = False
    rate: tuple[int, int] | UnsetType = UNSET


class WireWho(Struct, frozen=True, gc=False):
    """Only whom a record is about."""

    sub: WireSubject | None = None


_decode_who: Final = msgspec.json.Decoder(WireWho).decode_lines
_DECODER: Final = msgspec.json.Decoder(WireRecord)
_decode: Final = _DECODER.decode
_decode_lines: Final = _DECODER.decode_lines


def decode_wire(encoded: bytes) -> WireRecord | None:
    """Return the record of `encoded`, or None for one that has to be read slowly."""
    if len(encoded) > MAX_RECORD_BYTES:
        return None
    try:
        return _decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def decode_wires(records: Sequence[bytes]) -> list[WireRecord] | None:
    """Return the records of all of `records`, or None when any of them has to be read by itself."""
    return None if max(map(len, records)) > MAX_RECORD_BYTES else _each_line(_decode_lines, records)


def decode_subjects(records: Sequence[bytes]) -> list[WireSubject | None] | None:
    """Return whom each of `records` is about, None for everyone; or None when any has to be read by itself.

    For records that were read as a whole before: nothing else of them is looked at.
    """
    found = _each_line(_decode_who, records)
    return None if found is None else [who.sub for who in found]


def _each_line(decode: Callable[[bytes], list[_Line]], records: Sequence[bytes]) -> list[_Line] | None:
    lines = b"\n".join(records)
    # Every line an object of its own: the decoder would pass over an empty line, and read two objects of one line or
    # one that lies in two.
    if not lines.count(b"\n") == lines.count(b"}\n{") == len(records) - 1:
        return None
    try:
        found = decode(lines)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if len(found) == len(records) else None
