"""How many sign-ins one address may begin.

Everybody may begin one, and each is kept in the shared store for ten minutes. Without a bound one machine could fill
the store that sessions, nonces and policies are in. The bound is far above what a whole office behind one address does.

Per worker, in bounded memory. Not done here: how many sign-ins one browser has under way (the session package's).
"""

from __future__ import annotations

from typing import Final

from haetae_policy import Rate, TokenBuckets

from haetae_edge.errors import Refusal
from haetae_edge.request import Request

#: Sign-ins of one address, begun per minute.
PER_ADDRESS: Final = Rate(limit=600, per_seconds=60)
_MAX_ADDRESSES: Final = 20_000


class LoginRates:
    """The count of one worker."""

    def __init__(self) -> None:
        self._buckets = TokenBuckets(capacity=_MAX_ADDRESSES)

    def take(self, request: Request, *, now: float) -> None:
        """Count one sign-in begun by `request`. Raises Refusal("throttled")."""
        ip = request.client.ip
        # One subscriber has a whole /64; its addresses are not different people.
        address = (ip.version, int(ip) if ip.version == 4 else int(ip) >> 64)
        wait_ms = self._buckets.take(address, PER_ADDRESS, int(now * 1000))
        if wait_ms:
            seconds = b"%d" % max(1, -(-wait_ms // 1000))
            raise Refusal("throttled", reason="logins", headers=((b"retry-after", seconds),))
