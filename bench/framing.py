"""Where one HTTP/1.1 answer ends: the load generator's only knowledge of HTTP.

Rules kept: an answer without `Content-Length` or `chunked` framing is an error, because a keep-alive
measurement cannot know where it ends; so are two lengths and anything after the end of the answer (no
pipelining is done).

Not done: interim (1xx) answers, trailers with content, decoding of any kind.
"""

from dataclasses import dataclass

from bench.errors import BadAnswer

__all__ = ["Answer", "parse_answer"]

MAX_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete answer. `head` ends with the empty line; `wire_size` is head and framed body, in bytes."""

    status: int
    head: bytes
    body: bytes
    wire_size: int

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header field (name in lower case), or `None`."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip(b" \t")
        return None


def parse_answer(data: bytes) -> Answer | None:
    """Read one answer from the beginning of `data`; `None` while it is incomplete.

    Raises:
        BadAnswer: not HTTP/1.1, no usable framing, or bytes after the end.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > MAX_HEAD_BYTES:
            raise BadAnswer("head of the answer exceeds 64 KiB")
        return None
    head = data[: end + 4]
    status = _status(head)
    length, chunked = _framing(head)
    if chunked:
        return _chunked(data, head, status)
    if length is None:
        raise BadAnswer(f"answer without framing: {head[:80]!r}")
    size = end + 4 + length
    if len(data) < size:
        return None
    if len(data) > size:
        raise BadAnswer("bytes after the end of an answer")
    return Answer(status=status, head=head, body=data[end + 4 :], wire_size=size)


def _status(head: bytes) -> int:
    if not head.startswith(b"HTTP/1.1 ") or not head[9:12].isdigit() or head[12:13] not in (b" ", b"\r"):
        raise BadAnswer(f"not an HTTP/1.1 answer: {head[:40]!r}")
    return int(head[9:12])


def _framing(head: bytes) -> tuple[int | None, bool]:
    length: int | None = None
    chunked = False
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        match name.lower():
            case b"content-length":
                text = value.strip(b" \t")
                if length is not None or not text.isdigit() or len(text) > 12:
                    raise BadAnswer("doubled or malformed Content-Length")
                length = int(text)
            case b"transfer-encoding":
                if chunked or value.strip(b" \t").lower() != b"chunked":
                    raise BadAnswer("unknown Transfer-Encoding")
                chunked = True
            case _:
                pass
    if chunked and length is not None:
        raise BadAnswer("both Content-Length and Transfer-Encoding")
    return length, chunked


def _chunked(data: bytes, head: bytes, status: int) -> Answer | None:
    at = len(head)
    parts: list[bytes] = []
    while True:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            if len(data) - at > 64:
                raise BadAnswer("malformed chunk size")
            return None
        size = _chunk_size(data[at:line_end])
        at = line_end + 2
        if len(data) < at + size + 2:
            return None
        if data[at + size : at + size + 2] != b"\r\n":
            raise BadAnswer("chunk not followed by CRLF")
        if size == 0:
            if len(data) > at + 2:
                raise BadAnswer("bytes after the end of an answer")
            return Answer(status=status, head=head, body=b"".join(parts), wire_size=len(data))
        parts.append(data[at : at + size])
        at += size + 2


def _chunk_size(text: bytes) -> int:
    digits = text.strip(b" \t")
    if not 1 <= len(digits) <= 8 or not all(c in b"0123456789abcdefABCDEF" for c in digits):
        raise BadAnswer(f"malformed chunk size {text[:20]!r}")
    return int(digits, 16)
