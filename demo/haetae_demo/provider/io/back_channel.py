"""Telling clients that a sign-in has ended: OpenID Connect Back-Channel Logout 1.0.

Rules kept: every client that got an ID token of the sign-in is told, all at once, each within a deadline; one that
does not answer delays nobody for longer; no redirect is followed and no answer is read.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable

import aiohttp

from haetae_demo.provider.book import SignIn
from haetae_demo.provider.clients import Client
from haetae_demo.provider.ring import KeyRing

EVENT = "http://schemas.openid.net/event/backchannel-logout"
LIFETIME = 120


class BackChannel:
    """Sends logout tokens. ``session`` belongs to the caller; ``deadline`` in seconds."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        issuer: str,
        ring: KeyRing,
        clock: Callable[[], float],
        deadline: float = 2.0,
    ) -> None:
        self._session = session
        self._issuer = issuer
        self._ring = ring
        self._clock = clock
        self._deadline = deadline

    def token(self, client: Client, sign_in: SignIn) -> str:
        """A logout token (section 2.4)."""
        now = int(self._clock())
        claims = {
            "iss": self._issuer,
            "aud": client.client_id,
            "sub": sign_in.person.subject,
            "sid": sign_in.sid,
            "iat": now,
            "exp": now + LIFETIME,
            "jti": secrets.token_urlsafe(16),
            "events": {EVENT: {}},
        }
        return self._ring.sign(claims, typ="logout+jwt", now=now)

    async def tell(self, clients: Iterable[Client], sign_in: SignIn) -> dict[str, int | None]:
        """Tell all of them; gives each one's status, None for no answer."""
        told = [client for client in clients if client.back_channel_uri is not None]
        answers = await asyncio.gather(*(self._post(client, sign_in) for client in told))
        return dict(zip((client.client_id for client in told), answers, strict=True))

    async def _post(self, client: Client, sign_in: SignIn) -> int | None:
        try:
            async with self._session.post(
                str(client.back_channel_uri),
                data={"logout_token": self.token(client, sign_in)},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self._deadline),
            ) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return None
