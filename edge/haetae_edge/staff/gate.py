"""The one way from a request to a session, for routes and for the gateway's own endpoints.

The host decides which origin this is, from the configuration alone; a host that is not listed is nobody's. A store that
does not answer is no reason to sign anybody out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from haetae_edge.errors import Refusal
from haetae_edge.request import Request
from haetae_edge.services import StoreUnavailable
from haetae_edge.staff.cookies import SESSION_COOKIE, CookiesUnusable, read_cookie
from haetae_edge.staff.ports import Loaded, NoSession, Session, SignIn

#: RFC 9110 section 15.5.2 asks for a challenge; browsers show nothing for a scheme that they do not know.
CHALLENGE = (b"www-authenticate", b'Cookie realm="haetae", form-action="/.haetae/login"')


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffGate:
    """`origins` maps what `Host` says to the origin browsers use. `clock` is Unix seconds."""

    sign_in: SignIn
    origins: Mapping[str, str]
    clock: Callable[[], float]
    random_bytes: Callable[[int], bytes]

    def origin(self, request: Request) -> str:
        """The origin a request is for. Raises Refusal("misdirected")."""
        origin = self.origins.get(request.authority.value)
        if origin is None:
            raise Refusal("misdirected", reason="unknown-host")
        return origin

    async def load(self, request: Request, *, activity: bool) -> Loaded:
        """The session of this request. Raises Refusal: `login-required` or `sessions-unavailable`."""
        try:
            ticket = read_cookie(request.values.get(b"cookie", ()), SESSION_COOKIE)
        except CookiesUnusable as error:
            raise login_required(error.reason) from None
        if ticket is None:
            raise login_required("no-cookie")
        now = self.clock()
        try:
            loaded = await self.sign_in.load(ticket, activity=activity, now=now)
        except NoSession as error:
            raise login_required(error.reason) from None
        except StoreUnavailable:
            raise Refusal("sessions-unavailable", reason="session-store") from None
        if min(loaded.session.absolute_end, loaded.session.idle_end) <= now:
            raise login_required("expired")
        return loaded


def login_required(reason: str) -> Refusal:
    """401, or the way to the sign-in for a page."""
    return Refusal("login-required", reason=reason, headers=(CHALLENGE,))


def shown_name(session: Session) -> str:
    """What to call somebody on a page."""
    return session.name or session.username or session.email or session.subject
