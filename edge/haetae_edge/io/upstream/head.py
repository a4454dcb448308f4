"""Reading the head of a response (RFC 9112 sections 4 to 6), strictly.

Bytes in, one value or ``BadResponse`` out; no I/O, no state. Rules kept: CRLF line ends only, no obs-fold,
no white space before a colon, no control characters, status 100 to 599, HTTP/1.0 or 1.1, and a body length
that can be read in one way only. Whatever two readers could frame differently is refused, never repaired.

Why not llhttp: a caller of httptools cannot tell it that the request was HEAD, cannot learn where a message
ended inside the bytes it was fed, and gets one callback per field. One compiled pattern over the whole head
costs the same, gives the exact end, and is the grammar itself. The tests hold it against llhttp.
"""

import re
from typing import Final, NamedTuple

from haetae_edge.io.upstream.errors import BadResponse

Headers = list[tuple[bytes, bytes]]

CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*+))?\r\n")
# Anchored to a line start by the look-behind, so that as many matches as line feeds means: every line is a
# field.
_FIELDS = re.compile(rb"(?<=\n)([!#$%&'*+\-.^_`|~0-9A-Za-z]++):[\t ]*+([\t\x20-\x7e\x80-\xff]*+)(?<![\t ])\r\n")
# The same with white space allowed before the line end; tried only when the one above does not cover the
# head.
_PADDED_FIELDS = re.compile(rb"(?<=\n)([!#$%&'*+\-.^_`|~0-9A-Za-z]++):[\t ]*+([\t\x20-\x7e\x80-\xff]*+)\r\n")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_STATUS: Final = {b"%d" % status: status for status in range(100, 600)}
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_REMEMBERED_HEADS: Final = 256
_REMEMBERED_BYTES: Final = 1024
_VERSION_PREFIX: Final = b"HTTP/1."


class ResponseHead(NamedTuple):
    """A checked head. ``framing`` is the body's length in bytes, ``CHUNKED`` or ``UNTIL_CLOSE`` (RFC 9112
    6.3).

    ``end`` is the offset of the first byte after the head. ``framing`` does not know the method: a response
    to HEAD has no body whatever it says.
    """

    end: int
    status: int
    reason: bytes
    headers: Headers
    framing: int
    keep_alive: bool


class HeadReader:
    """Finds and reads heads under the limits of one upstream; remembers short heads it has already checked.

    ``max_bytes`` bounds a head with its final line end, ``max_count`` the number of its fields. Reading is a
    pure function of the bytes, and within one second many answers of a service share theirs to the letter.
    """

    __slots__ = ("_max_bytes", "_max_count", "_seen")

    def __init__(self, *, max_bytes: int, max_count: int) -> None:
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._seen: dict[bytes, ResponseHead] = {}

    def read(self, data: bytes) -> ResponseHead | None:
        """The head that ``data`` starts with; ``None`` if it is not complete yet. Raises BadResponse.

        The value may be shared between exchanges: copy ``headers`` before handing them out.
        """
        end = data.find(b"\r\n\r\n", 0, self._max_bytes)
        if end < 0:
            if len(data) >= self._max_bytes:
                raise BadResponse("response head too large")
            return None
        raw = data[: end + 4]
        head = self._seen.get(raw)
        if head is None:
            head = parse_head(raw, max_count=self._max_count)
            if end < _REMEMBERED_BYTES:
                if len(self._seen) >= _REMEMBERED_HEADS:
                    self._seen.clear()
                self._seen[raw] = head
        return head


def parse_head(data: bytes, *, max_count: int) -> ResponseHead:
    """Check and read ``data``, which is one head up to and with its empty line.

    Names come lower-cased, values without white space around them, in the order received. Raises BadResponse.
    """
    end = len(data) - 4
    line = _STATUS_LINE.match(data)
    if line is None:
        raise BadResponse("malformed status line")
    start = line.end()
    fields = _FIELDS.findall(data, start, end + 2)
    count = data.count(b"\n", start, end + 2)
    if len(fields) != count:
        fields = [(n, v.rstrip(b"\t ")) for n, v in _PADDED_FIELDS.findall(data, start, end + 2)]
        if len(fields) != count:
            raise BadResponse("malformed header field")
    if count > max_count:
        raise BadResponse("too many header fields")
    headers: Headers = []
    framing: Headers = []
    for name, value in fields:
        lowered = name.lower()
        headers.append((lowered, value))
        if lowered in _FRAMING:
            framing.append((lowered, value))
    minor, digits, reason = line.groups()
    status = _STATUS[digits]
    length, keep_alive = _framing(framing, status, minor == b"1")
    return ResponseHead(end + 4, status, reason or b"", headers, length, keep_alive)


class PartialHead:
    """A head that arrives in more than one piece. Every byte is looked at once, however slowly it comes."""

    __slots__ = ("_data", "_max_bytes", "_scanned")

    def __init__(self, data: bytes, *, max_bytes: int) -> None:
        """Start with the first piece. Raises BadResponse for what can no longer become a head."""
        self._data = bytearray(data)
        self._max_bytes = max_bytes
        self._scanned = 0
        self._check()

    def add(self, data: bytes) -> bytes | None:
        """Add a piece; everything from the start once the head may be complete. Raises BadResponse."""
        searched = max(0, len(self._data) - 3)
        self._data += data
        self._check()
        if self._data.find(b"\r\n\r\n", searched) < 0 and len(self._data) < self._max_bytes:
            return None
        return bytes(self._data)

    def _check(self) -> None:
        """Refuse early, so that an upstream of another protocol does not wait for a deadline."""
        data, scanned = self._data, self._scanned
        if not scanned and not data.startswith(_VERSION_PREFIX[: len(data)]):
            raise BadResponse("not an HTTP/1 response")
        position = data.find(b"\n", scanned)
        while position >= 0:
            if data[position - 1 : position] != b"\r":
                raise BadResponse("line feed without carriage return")
            if data[position - 3 : position] == b"\r\n\r" and position >= 3:
                break  # what follows is not the head
            scanned = position + 1
            position = data.find(b"\n", scanned)
        self._scanned = scanned


def _framing(fields: Headers, status: int, http_11: bool) -> tuple[int, bool]:
    """Body length and persistence from the framing fields. Source: RFC 9112 6.1, 6.3, 9.3; RFC 9110 8.6."""
    length = UNTIL_CLOSE
    options: list[bytes] = []
    for name, value in fields:
        if name == b"connection":
            options += [option.strip(b"\t ") for option in value.lower().split(b",")]
        elif length != UNTIL_CLOSE:
            raise BadResponse("more than one body length")
        elif name == b"content-length":
            if _LENGTH.fullmatch(value) is None:
                raise BadResponse("malformed Content-Length")
            length = int(value)
        elif http_11 and value.lower() == b"chunked":
            length = CHUNKED
        else:
            raise BadResponse("unusable Transfer-Encoding")
    if (status < 200 or status == 204) and length not in (UNTIL_CLOSE, 0):
        raise BadResponse("body length on a response that has no body")
    if not options:
        return length, http_11
    return length, b"close" not in options and (http_11 or b"keep-alive" in options)
