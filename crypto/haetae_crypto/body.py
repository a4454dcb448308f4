"""Encrypted bodies: the `aes128gcm` content coding of RFC 8188, as state machines and in one shot.

    header  = salt (16) || record size (4, big-endian) || key id length (1) || key id
    record  = AES-128-GCM(plaintext || delimiter || zeros)      delimiter 1: more follow, 2: the last one

          feed                    a whole record              the last record, then `finish`
    HEADER ────► RECORDS ───────► RECORDS … ────────────────► ENDED

Rules kept:
- The app channel's profile: the key id is empty, the record size lies within the limits (18 to 65 536 by
  default).
- A body without a last record, with bytes after it, with a wrong delimiter or with any wrong tag is refused
  as a whole, always with the same error.
- Bounded: the machines hold what was fed last and less than one record. Feed, then take events until
  `NEED_DATA`.
- Plaintext of a record is authentic when it comes out, but the body is complete only after `END`. Whoever
  streams it on must be able to take it back.

Not done here: choosing keys (`keys`), limits on the whole body, content codings inside the plaintext.
"""

import hmac
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from haetae_crypto.errors import BodyUndecryptable

CODING: Final = "aes128gcm"
SALT_BYTES: Final = 16
HEADER_BYTES: Final = 21
TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = TAG_BYTES + 1
DEFAULT_RECORD_SIZE: Final = 4096
_KEY_INFO: Final = b"Content-Encoding: aes128gcm\x00\x01"
_NONCE_INFO: Final = b"Content-Encoding: nonce\x00\x01"
_MORE: Final = 1
_LAST: Final = 2


class _Signal(Enum):
    NEED_DATA = auto()
    END = auto()


NEED_DATA: Final = _Signal.NEED_DATA
"""Event: nothing more can be said before more is fed, or the body is finished."""
END: Final = _Signal.END
"""Event: the body is complete and every record of it was authentic."""
Event = bytes | Literal[_Signal.NEED_DATA, _Signal.END]


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Accepted record sizes in bytes, both inclusive. Raises ValueError outside 18 to 2**31."""

    min_record_size: int = 18
    max_record_size: int = 65_536

    def __post_init__(self) -> None:
        if not 18 <= self.min_record_size <= self.max_record_size <= 1 << 31:
            raise ValueError("record sizes lie between 18 and 2**31")


DEFAULT_LIMITS: Final = BodyLimits()


class _Records:
    """The key and nonces of one body (RFC 8188 sections 2.2 and 2.3)."""

    __slots__ = ("_aead", "_next", "_nonce_base")

    def __init__(self, input_key: bytes, salt: bytes) -> None:
        prk = hmac.digest(salt, input_key, "sha256")
        self._aead = AESGCM(hmac.digest(prk, _KEY_INFO, "sha256")[:16])
        self._nonce_base = int.from_bytes(hmac.digest(prk, _NONCE_INFO, "sha256")[:12], "big")
        self._next = 0

    def _nonce(self) -> bytes:
        nonce = (self._nonce_base ^ self._next).to_bytes(12, "big")
        self._next += 1
        return nonce

    def seal(self, plaintext: bytes) -> bytes:
        return self._aead.encrypt(self._nonce(), plaintext, None)

    def open(self, record: bytes | memoryview) -> tuple[bytes, int]:
        """The data of a record and its delimiter. Raises BodyUndecryptable."""
        try:
            padded = self._aead.decrypt(self._nonce(), record, None).rstrip(b"\x00")
        except (InvalidTag, ValueError):
            raise BodyUndecryptable from None
        if not padded or padded[-1] not in (_MORE, _LAST):
            raise BodyUndecryptable
        return padded[:-1], padded[-1]


class BodyDecryptor:
    """Opens one encrypted body, fed in any pieces.

    Call `feed` with each piece and `finish` at its end; after each of them call `next_event` until it gives
    `NEED_DATA` or `END`. Events are plaintext (never empty). BodyUndecryptable is final.
    """

    __slots__ = (
        "_buffer",
        "_failed",
        "_finished",
        "_input_key",
        "_last_seen",
        "_limits",
        "_records",
        "_size",
    )

    def __init__(self, input_key: bytes, *, limits: BodyLimits = DEFAULT_LIMITS) -> None:
        self._input_key = input_key
        self._limits = limits
        self._buffer = bytearray()
        self._records: _Records | None = None
        self._size = 0
        self._last_seen = False
        self._finished = False
        self._failed = False

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the body. Raises BodyUndecryptable when finished or refused before."""
        if self._failed or self._finished:
            raise BodyUndecryptable
        self._buffer += piece

    def finish(self) -> None:
        """The body has no more bytes."""
        self._finished = True

    def next_event(self) -> Event:
        """The next plaintext, `NEED_DATA`, or `END`. Raises BodyUndecryptable."""
        if self._failed:
            raise BodyUndecryptable
        try:
            return self._advance()
        except BodyUndecryptable:
            self._failed = True
            self._buffer.clear()
            raise

    def _advance(self) -> Event:
        while not self._last_seen:
            records = self._records or self._read_header()
            if records is None:
                return NEED_DATA
            size = min(self._size, len(self._buffer))
            if size < self._size and not self._finished:
                return NEED_DATA
            data = self._open_record(records, size)
            if data:
                return data
        if self._buffer:
            raise BodyUndecryptable
        return END if self._finished else NEED_DATA

    def _read_header(self) -> _Records | None:
        if len(self._buffer) < HEADER_BYTES and not self._finished:
            return None
        header = bytes(self._buffer[:HEADER_BYTES])
        self._size = _record_size(header, self._limits)
        del self._buffer[:HEADER_BYTES]
        self._records = _Records(self._input_key, header[:SALT_BYTES])
        return self._records

    def _open_record(self, records: _Records, size: int) -> bytes:
        data, delimiter = records.open(bytes(self._buffer[:size]))
        if delimiter == _MORE and size < self._size:
            raise BodyUndecryptable
        del self._buffer[:size]
        self._last_seen = delimiter == _LAST
        return data


class BodyEncryptor:
    """Encrypts one body, fed in any pieces.

    `feed` gives back what can be sent already, starting with the header; `flush` does the same for data that
    must not wait for a full record, at the price of padding; `finish` gives the rest. Raises ValueError for a
    salt that does not have 16 bytes or a record size outside 18 to 65 536. A (key, salt) pair must never be
    used for two bodies.
    """

    __slots__ = ("_buffer", "_capacity", "_header", "_records")

    def __init__(self, input_key: bytes, *, salt: bytes, record_size: int = DEFAULT_RECORD_SIZE) -> None:
        self._header = _header(salt, record_size)
        self._records: _Records | None = _Records(input_key, salt)
        self._capacity = record_size - OVERHEAD_BYTES
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> bytes:
        """Take plaintext; gives the full records that are certainly not the last one."""
        self._buffer += piece
        out, self._header = [self._header], b""
        while len(self._buffer) > self._capacity:
            out.append(self._take(self._capacity))
        return b"".join(out)

    def flush(self) -> bytes:
        """Send buffered data at once, as a record padded to its full size; nothing when nothing waits."""
        out, self._header = self._header, b""
        if not self._buffer:
            return out
        return out + self._take(len(self._buffer))

    def finish(self) -> bytes:
        """The last record. The encryptor cannot be used afterwards."""
        out = self._header + self._open_records().seal(bytes(self._buffer) + b"\x02")
        self._header = b""
        self._buffer.clear()
        self._records = None
        return out

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return self._open_records().seal(data + b"\x01" + bytes(self._capacity - size))

    def _open_records(self) -> _Records:
        if self._records is None:
            raise ValueError("the body was already finished")
        return self._records


def seal_body(input_key: bytes, plaintext: bytes, *, salt: bytes, record_size: int = DEFAULT_RECORD_SIZE) -> bytes:
    """The encrypted form of a whole body; `salt` is 16 fresh random bytes.

    Raises ValueError for another salt length or a record size outside 18 to 65 536.
    """
    header = _header(salt, record_size)
    records = _Records(input_key, salt)
    capacity = record_size - OVERHEAD_BYTES
    if len(plaintext) <= capacity:
        return header + records.seal(plaintext + b"\x02")
    out = [header]
    last = (len(plaintext) - 1) // capacity * capacity
    out.extend(records.seal(plaintext[at : at + capacity] + b"\x01") for at in range(0, last, capacity))
    out.append(records.seal(plaintext[last:] + b"\x02"))
    return b"".join(out)


def open_body(input_key: bytes, body: bytes, *, limits: BodyLimits = DEFAULT_LIMITS) -> bytes:
    """The plaintext of a whole encrypted body. Raises BodyUndecryptable, without a reason."""
    size = _record_size(body, limits)
    records = _Records(input_key, body[:SALT_BYTES])
    if len(body) <= HEADER_BYTES + size:
        data, delimiter = records.open(body[HEADER_BYTES:])
        if delimiter != _LAST:
            raise BodyUndecryptable
        return data
    out = []
    view = memoryview(body)
    final = len(body) - 1
    for at in range(HEADER_BYTES, len(body), size):
        data, delimiter = records.open(view[at : at + size])
        if (delimiter == _LAST) is not (at + size > final):
            raise BodyUndecryptable
        out.append(data)
    return b"".join(out)


def _header(salt: bytes, record_size: int) -> bytes:
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    if not 18 <= record_size <= 65_536:
        raise ValueError("a record has 18 to 65536 bytes")
    return b"%s%s\x00" % (salt, record_size.to_bytes(4, "big"))


def _record_size(header: bytes, limits: BodyLimits) -> int:
    size = int.from_bytes(header[SALT_BYTES:20], "big")
    # A key id would name the key from inside the message; here Haetae-Key does, so it must be empty.
    if len(header) < HEADER_BYTES or header[20]:
        raise BodyUndecryptable
    if not limits.min_record_size <= size <= limits.max_record_size:
        raise BodyUndecryptable
    return size
