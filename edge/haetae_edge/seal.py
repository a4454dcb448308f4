"""Seals answers on the app channel (section 2): `aes128gcm` under the response key, record by record.

A whole body is sealed in one piece; a stream is sealed as it arrives, each piece at once, so that nothing waits for a
record to fill up. A stream that breaks off never gets its last record: the client sees that it is not whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from haetae_crypto.body import BodyEncryptor, seal_body

from haetae_edge.exchange import BodyStream, Exchange, Response

CODING: Final = "aes128gcm"
_CODING: Final = b"aes128gcm"
_SALT_BYTES: Final = 16
#: These described the bytes that were replaced.
_OUTDATED: Final = frozenset({b"content-digest", b"content-md5", b"accept-ranges", b"content-encoding"})
_BODILESS: Final = frozenset({204, 304})


class ChannelSeal:
    """Seals one answer under `key` (IKM_res); the salt is fresh."""

    __slots__ = ("_key", "_random_bytes")

    def __init__(self, key: bytes, random_bytes: Callable[[int], bytes]) -> None:
        self._key = key
        self._random_bytes = random_bytes

    def apply(self, exchange: Exchange, response: Response) -> None:
        """Replace the body by its sealed form; answers that have no body stay as they are."""
        if exchange.request.method == "HEAD" or response.status in _BODILESS:
            response.announced_length = None
            return
        codings = [value for name, value in response.fields if name == b"content-encoding"]
        response.fields = [pair for pair in response.fields if pair[0] not in _OUTDATED]
        response.fields.append((b"content-encoding", b", ".join([*codings, _CODING])))
        salt = self._random_bytes(_SALT_BYTES)
        body = response.body
        if isinstance(body, bytes):
            response.body = seal_body(self._key, body, salt=salt)
        else:
            response.body = SealedStream(body, BodyEncryptor(self._key, salt=salt))


class SealedStream:
    """The sealed form of a stream; its length is not known ahead."""

    __slots__ = ("_encryptor", "_ended", "_source", "length")

    def __init__(self, source: BodyStream, encryptor: BodyEncryptor) -> None:
        self._source = source
        self._encryptor = encryptor
        self._ended = False
        self.length: int | None = None

    async def read(self) -> bytes:
        """The next sealed bytes, empty at the end. Raises what the source raises."""
        while not self._ended:
            piece = await self._source.read()
            if piece:
                sealed = self._encryptor.feed(piece) + self._encryptor.flush()
            else:
                self._ended = True
                sealed = self._encryptor.finish()
            if sealed:
                return sealed
        return b""

    def abort(self) -> None:
        """Give up on the source."""
        self._source.abort()
