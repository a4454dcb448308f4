"""Taking the chunked coding apart (RFC 9112 section 7.1), strictly.

Bytes in, payload out; no I/O. Rules kept: chunk sizes are 1 to 15 hexadecimal digits, extensions are skipped
but bounded, every line ends in CRLF, trailers are checked and dropped (7.1.2: never merged into the
headers), and the end is known to the byte, so that what follows it can be refused.
"""

import re
from typing import ClassVar, Final

from haetae_edge.io.upstream.errors import BadResponse

MAX_CHUNK_LINE: Final = 1024
MAX_TRAILERS: Final = 8192

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15}+)(?:;[\t\x20-\x7e\x80-\xff]*+)?\r\n")
_TRAILERS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+\r\n")


class ChunkedBody:
    """One chunked body.

    Feed it until ``done``; then ``surplus`` says how many of the last bytes were not its own.
    """

    __slots__ = ("_in_trailers", "_owed", "_pending", "done", "surplus")

    ends_at_close: ClassVar[bool] = False

    def __init__(self) -> None:
        self._pending = b""  # the beginning of a line that has not ended yet
        self._owed = 0  # bytes of the current chunk still to come, with its closing CRLF
        self._in_trailers = False
        self.done = False
        self.surplus = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the payload in ``data``, in pieces. Raises BadResponse; call no more after ``done``."""
        pieces: list[bytes] = []
        if self._pending:
            data = self._pending + data
            self._pending = b""
        position = 0
        size = len(data)
        while position < size:
            if self._owed:
                position = self._take_chunk(data, position, pieces)
            elif self._in_trailers:
                self._take_trailers(data, position)
                break
            else:
                line = _SIZE_LINE.match(data, position)
                if line is None:
                    self._keep_size_line(data[position:])
                    break
                if line.end() - position > MAX_CHUNK_LINE:
                    raise BadResponse("chunk extension too long")
                position = line.end()
                length = int(line[1], 16)
                if length:
                    self._owed = length + 2
                else:
                    self._in_trailers = True
        return pieces

    def _take_chunk(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        """Move over chunk data and its CRLF, as far as they are there."""
        available = len(data) - position
        payload = min(self._owed - 2, available)
        if payload > 0:
            pieces.append(data[position : position + payload])
            self._owed -= payload
            position += payload
            available -= payload
        if available and self._owed <= 2:
            ending = data[position : position + self._owed]
            if ending != b"\r\n"[2 - self._owed :][: len(ending)]:
                raise BadResponse("chunk longer than its size")
            self._owed -= len(ending)
            position += len(ending)
        return position

    def _keep_size_line(self, rest: bytes) -> None:
        """Keep an unfinished size line; refuse one that is finished, too long, or no size at all."""
        if b"\n" in rest or len(rest) >= MAX_CHUNK_LINE or rest[:1] not in _HEX_DIGITS:
            raise BadResponse("malformed chunk size")
        self._pending = rest

    def _take_trailers(self, data: bytes, position: int) -> None:
        """Finish the body at the empty line, or keep what there is of the trailers."""
        trailers = _TRAILERS.match(data, position)
        if trailers is not None and trailers.end() - position <= MAX_TRAILERS:
            self.done = True
            self.surplus = len(data) - trailers.end()
            return
        rest = data[position:]
        ended = trailers is not None or b"\r\n\r\n" in rest or rest.count(b"\n") != rest.count(b"\r\n")
        if ended or len(rest) >= MAX_TRAILERS:
            raise BadResponse("malformed trailers")
        self._pending = rest


_HEX_DIGITS: Final = frozenset(bytes([digit]) for digit in b"0123456789abcdefABCDEF")
