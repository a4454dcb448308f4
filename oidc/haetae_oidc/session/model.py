"""What a staff session is to everyone outside this package.

Rules kept: the public name of a session opens nothing; tickets appear only where a cookie is to be set and never in a
`repr`. Times are Unix seconds.

Not done here: storing sessions (`io/session_store.py`), cookies, HTTP.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from haetae_oidc.relying_party.end_session import LogoutHint


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffSession:
    """A signed-in person.

    `id` is the public name: base64url(SHA-256(ticket id)), 22 characters. It stays the same for the life of the
    session, also when the ticket is renewed. `claims` are verified ID token claims without those of the protocol.
    `auth_time` is when the person last proved to the provider who they are. `idle_end` is at most `absolute_end`.
    """

    id: str
    issuer: str
    subject: str
    name: str | None
    email: str | None
    username: str | None
    groups: frozenset[str]
    claims: Mapping[str, Any] = field(repr=False)
    acr: str | None
    auth_time: int | None
    amr: tuple[str, ...]
    provider_sid: str | None
    created: int
    absolute_end: int
    idle_end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A login under way: send the browser to `location`, with `browser` as its `__Host-haetae-login` cookie."""

    location: str = field(repr=False)
    browser: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A login done: `ticket` is the value of `__Host-haetae-session`; send the browser to `return_to`."""

    ticket: str = field(repr=False)
    session: StaffSession
    return_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The session of a ticket. When `new_ticket` is given, set it as the cookie: the old one ends soon after."""

    session: StaffSession
    new_ticket: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSession:
    """A session ended by its owner; `session` is None when there was none, which is no error."""

    session: StaffSession | None
    hint: LogoutHint | None = field(repr=False)

    def logout_url(self, post_logout_redirect_uri: str, state: str) -> str | None:
        """Where to send the browser to log out at the provider too (RP-Initiated Logout section 2).

        None when the provider offers none. `post_logout_redirect_uri` must be registered with the provider, which
        returns `state` unchanged.
        """
        return None if self.hint is None else self.hint.url(post_logout_redirect_uri, state)
