"""Tickets: what the session cookie holds, `id.secret`.

Rules kept: the id (128 bits) finds the session and the secret (256 bits) opens it. The store knows a session by the
hash of its id and never sees the secret, so a copy of the store opens nothing. A ticket has one spelling.

Renewing a ticket replaces its secret and keeps its id: without its secret an id is worth nothing, and the public name,
the indexes and the live streams of the session stay as they are. A login always makes a new id.

Not done here: drawing random bytes (an argument), cookies.
"""

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from haetae_crypto.b64url import b64url_decode, b64url_encode

from haetae_oidc.errors import SessionMissing

ID_BYTES: Final = 16
SECRET_BYTES: Final = 32
_TICKET: Final = re.compile(r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}")
_NAME_CHARS: Final = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One ticket; `name` is the public name of its session."""

    id: str = field(repr=False)
    secret: bytes = field(repr=False)
    name: str

    @classmethod
    def make(cls, *, id_bytes: bytes, secret: bytes) -> "Ticket":
        """A new ticket of fresh random bytes: 16 for the id, 32 for the secret."""
        return cls._of(b64url_encode(id_bytes), secret)

    @classmethod
    def parse(cls, text: str) -> "Ticket":
        """The ticket of a cookie value. Raises SessionMissing for every other text."""
        if not text:
            raise SessionMissing("no-ticket")
        if _TICKET.fullmatch(text) is None:
            raise SessionMissing("malformed")
        ticket_id, _, secret = text.partition(".")
        try:
            b64url_decode(ticket_id)
            return cls._of(ticket_id, b64url_decode(secret))
        except ValueError:
            raise SessionMissing("malformed") from None

    @classmethod
    def _of(cls, ticket_id: str, secret: bytes) -> "Ticket":
        name = b64url_encode(sha256(ticket_id.encode()).digest())[:_NAME_CHARS]
        return cls(id=ticket_id, secret=secret, name=name)

    def text(self) -> str:
        """The cookie value."""
        return f"{self.id}.{b64url_encode(self.secret)}"

    def renewed(self, secret: bytes) -> "Ticket":
        """The ticket that follows this one, with 32 fresh random bytes."""
        return Ticket(id=self.id, secret=secret, name=self.name)
