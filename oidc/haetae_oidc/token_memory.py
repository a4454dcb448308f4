"""Remembering verified access tokens, so that a token in use is verified once and not per request.

Rules kept:
- The key is the SHA-256 of the signing input, so one token has one entry whatever its spelling; the signature
  text must be equal too, so a forged signature on a known token never hits.
- An entry counts only for the very key set it was verified with: when the issuer withdraws a key, nothing
  verified before is believed any longer.
- Bounded: the least recently used entry goes first.

Not done here: time. Who recalls a token checks its times again.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from haetae_crypto.jwks import JwkSet

from haetae_oidc.access_claims import AccessToken

_SCAN: Final = 4


@dataclass(frozen=True, slots=True)
class _Entry:
    signature: str
    keys: JwkSet
    token: AccessToken


class TokenMemory:
    """A bounded memory of verified tokens, by signing input and by subject."""

    __slots__ = ("_by_subject", "_entries", "_limit")

    def __init__(self, limit: int) -> None:
        """`limit` is a number of tokens; 0 remembers nothing."""
        self._limit = limit
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._by_subject: dict[str, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def recall(self, digest: bytes, signature: str, keys: JwkSet) -> AccessToken | None:
        """The token verified before with this signing input, this signature and these keys, or None."""
        entry = self._entries.get(digest)
        if entry is None or entry.signature != signature or entry.keys is not keys:
            return None
        self._entries.move_to_end(digest)
        return entry.token

    def remember(self, digest: bytes, signature: str, keys: JwkSet, token: AccessToken, *, now: float) -> None:
        """Keep a token that was just verified in full. Makes room for it among the least used and the
        expired.
        """
        if self._limit <= 0:
            return
        self._drop(digest)
        self._entries[digest] = _Entry(signature, keys, token)
        self._by_subject.setdefault(token.subject, set()).add(digest)
        while len(self._entries) > self._limit:
            self._drop(next(iter(self._entries)))
        # Expired entries leave a few at a time, so that no request pays for a sweep.
        for old in [key for key, _ in zip(self._entries, range(_SCAN), strict=False)]:
            if self._entries[old].token.expires_at < now:
                self._drop(old)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._by_subject.clear()

    def forget_user(self, subject: str) -> None:
        """Forget the tokens of one subject."""
        for digest in self._by_subject.pop(subject, set()):
            self._entries.pop(digest, None)

    def _drop(self, digest: bytes) -> None:
        entry = self._entries.pop(digest, None)
        if entry is None:
            return
        subject = entry.token.subject
        digests = self._by_subject[subject]
        digests.discard(digest)
        if not digests:
            del self._by_subject[subject]
