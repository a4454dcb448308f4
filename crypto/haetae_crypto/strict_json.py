"""Strict reading and canonical writing of small JSON documents (RFC 8259, RFC 8785).

Rules kept: UTF-8 only and no byte order mark; one object at the top; no member twice; no NaN or Infinity; no
lone surrogate; integers within the range every JSON reader agrees on; bounded size, and depth bounded by it.
The canonical text is that of RFC 8785 for the values we write: objects, arrays, strings, integers, booleans
and null. Floats are not written, because their canonical text is the hard part of that standard and no key
document needs one.

Not done here: schema checks. Each document's own module checks its members.
"""

import json
import math
from collections.abc import Mapping, Sequence

MAX_JSON_BYTES = 1 << 20
MAX_SAFE_INTEGER = 2**53 - 1
"""Largest integer that a reader using IEEE doubles keeps exactly (RFC 8259 section 6)."""


def read_json_object(data: bytes | str, *, max_bytes: int = MAX_JSON_BYTES) -> dict[str, object]:
    """The JSON object written in `data`.

    Raises ValueError for everything that is not exactly one JSON object under the rules of this module.
    """
    if len(data) > max_bytes:
        raise ValueError(f"JSON longer than {max_bytes} bytes")
    text = data if isinstance(data, str) else data.decode("utf-8", errors="strict")
    if text.startswith("\ufeff"):
        raise ValueError("JSON starts with a byte order mark")
    try:
        value: object = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("JSON is not an object")
    return value


def canonical_json(value: object) -> bytes:
    """The one UTF-8 text of `value` after RFC 8785: members sorted by UTF-16 code units, no spaces.

    Raises ValueError for floats, integers beyond 2**53 - 1, lone surrogates, names that are not strings and
    other types.
    """
    return _canonical(value).encode("utf-8", errors="strict")


def _canonical(value: object) -> str:
    if value is None or isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise ValueError("integer too large for JSON")
        return str(value)
    if isinstance(value, Mapping):
        names = list(value)
        if not all(isinstance(name, str) for name in names):
            raise ValueError("member names are strings")
        names.sort(key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{_canonical(name)}:{_canonical(value[name])}" for name in names) + "}"
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return "[" + ",".join(_canonical(item) for item in value) + "]"
    raise ValueError(f"{type(value).__name__} has no canonical JSON here")


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("JSON member given twice")
    for name, value in pairs:
        _require_unicode(name)
        _require_safe(value)
    return members


def _require_safe(value: object) -> None:
    if isinstance(value, str):
        _require_unicode(value)
    elif isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER:
        raise ValueError("integer too large for JSON")
    elif isinstance(value, list):
        for item in value:
            _require_safe(item)


def _require_unicode(text: str) -> None:
    if not text.isascii():
        text.encode("utf-8", errors="strict")  # a lone surrogate raises UnicodeEncodeError, a ValueError


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("number too large for JSON")
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_members, parse_constant=_no_constant, parse_float=_finite)
