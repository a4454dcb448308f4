"""Where the frames of a WebSocket end (RFC 6455 section 5.2), seen from the bytes that pass; none is changed or kept.

Only at the end of a frame may another be put into the stream. A close frame is a control frame, so it may stand between
the fragments of a message (section 5.4).
"""

from __future__ import annotations


class FrameTracker:
    """Follows one direction of one connection."""

    __slots__ = ("_closed", "_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._closed = False

    @property
    def at_boundary(self) -> bool:
        """Whether the last byte seen was a frame's last one, and no close frame went by."""
        return not self._head and self._left == 0 and not self._closed

    def feed(self, data: bytes) -> None:
        """Bytes passed."""
        at, end = 0, len(data)
        while at < end:
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                at += step
                continue
            missing = _head_length(self._head) - len(self._head)
            self._head += data[at : at + missing]
            at = min(at + missing, end)
            if len(self._head) == _head_length(self._head):
                self._closed = self._closed or self._head[0] & 0x0F == 0x8
                self._left = _payload_length(self._head)
                self._head = b""


def close_frame(code: int, reason: bytes) -> bytes:
    """A close frame as a server sends it: unmasked, at most 123 bytes of reason (section 5.5.1)."""
    payload = code.to_bytes(2, "big") + reason[:123]
    return bytes((0x88, len(payload))) + payload


def _head_length(head: bytes) -> int:
    """How long this head is, as far as it can be known."""
    if len(head) < 2:
        return 2
    size = head[1] & 0x7F
    return 2 + (8 if size == 127 else 2 if size == 126 else 0) + (4 if head[1] & 0x80 else 0)


def _payload_length(head: bytes) -> int:
    size = head[1] & 0x7F
    if size < 126:
        return size
    return int.from_bytes(head[2 : 10 if size == 127 else 4], "big")
