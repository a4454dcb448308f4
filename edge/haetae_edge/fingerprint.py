"""What kind of client sent a request: keyed hashes of what it calls itself and of the order of its header fields.

Clients of one make share a fingerprint, so it is evidence of a tool rather than of a person: a campaign from a thousand
addresses has one. Policies name it as `client`, `<ja4>|<user agent>|<field order>`, and mean callers without a verified
identity. Everybody can forge it; only what is refused may depend on it, never what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from haetae_edge.request import Request

_MEMORY: Final = 16_384


class Fingerprints:
    """Makes keyed hashes of 64 bits, in hexadecimal; `key` (32 bytes) is shared by all gateways. Remembers, bounded."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._hashes: dict[bytes, str] = {}
        self._orders: dict[tuple[bytes, ...], str] = {}

    def hashed(self, value: bytes) -> str:
        """The hash of any value."""
        known = self._hashes.get(value)
        if known is None:
            known = blake2b(value, key=self._key, digest_size=8).hexdigest()
            if len(self._hashes) >= _MEMORY:
                self._hashes.clear()
            self._hashes[value] = known
        return known

    def agent(self, request: Request) -> str | None:
        """The user agent's hash."""
        values = request.values.get(b"user-agent")
        return self.hashed(values[0]) if values else None

    def order(self, fields: Iterable[tuple[bytes, bytes]]) -> str:
        """What order the header fields came in: clients differ in it more than in what they call themselves."""
        names = tuple([name for name, _ in fields])
        known = self._orders.get(names)
        if known is None:
            known = self.hashed(b"\n".join(names))
            if len(self._orders) >= _MEMORY:
                self._orders.clear()
            self._orders[names] = known
        return known

    def client(self, request: Request) -> str:
        """All of it, as policies name it. TLS ends in front of the gateway, so the first part is empty."""
        return f"|{self.agent(request) or ''}|{self.order(request.fields)}"
