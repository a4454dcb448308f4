"""What signing in stands on, as ports: sessions and the provider behind them, and a pause for those who ask in a loop.

With the session store down nobody is signed out: requests get 503 and keep their cookie. With the provider down nobody
new can sign in; who is signed in stays so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class NoSession(Exception):
    """There is no session for this ticket: none, ended, expired or forged. `reason` is a fixed word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SignInRefused(Exception):
    """What came back from the provider is not acceptable. `reason` is a fixed word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SignInStale(Exception):
    """The sign-in was finished before, or took too long; harmless. `return_to` is where it would have led."""

    def __init__(self, return_to: str | None) -> None:
        super().__init__("stale")
        self.return_to = return_to


class LogoutRefused(Exception):
    """The provider's logout token is not acceptable. `reason` is a fixed word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Session(Protocol):
    """Who is signed in, in this browser. Times are Unix seconds; `id` is the session's public name."""

    @property
    def id(self) -> str:
        """The public name of the session."""
        ...

    @property
    def subject(self) -> str:
        """The provider's identifier of the person."""
        ...

    @property
    def name(self) -> str | None:
        """The name to show."""
        ...

    @property
    def email(self) -> str | None:
        """The address."""
        ...

    @property
    def username(self) -> str | None:
        """The log-in name."""
        ...

    @property
    def groups(self) -> frozenset[str]:
        """The groups."""
        ...

    @property
    def claims(self) -> Mapping[str, Any]:
        """Verified claims of the ID token."""
        ...

    @property
    def acr(self) -> str | None:
        """How strong the sign-in was, in the provider's word."""
        ...

    @property
    def auth_time(self) -> int | None:
        """When the person last proved who they are."""
        ...

    @property
    def absolute_end(self) -> int:
        """When it ends whatever happens."""
        ...

    @property
    def idle_end(self) -> int:
        """When it ends if nothing happens."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A session, and the new value of its cookie when that changed."""

    session: Session
    new_ticket: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A sign-in under way: the provider's address to go to, its `state`, the value that binds it to the browser."""

    location: str
    state: str
    browser: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A sign-in that succeeded: the cookie's value, and where to go."""

    ticket: str
    session: Session
    return_to: str


class SignIn(Protocol):
    """Sessions of staff. Every method may raise services.StoreUnavailable."""

    async def begin(
        self,
        *,
        redirect_uri: str,
        return_to: str,
        browser: str | None,
        acr: tuple[str, ...],
        max_age: int | None,
        now: float,
    ) -> Begun:
        """Start. Raises services.DependencyUnavailable when the provider cannot be asked."""
        ...

    async def finish(
        self,
        *,
        params: Mapping[str, list[str]],
        redirect_uri: str,
        browser: str | None,
        previous_ticket: str | None,
        now: float,
    ) -> Finished:
        """End a sign-in. Raises SignInRefused, SignInStale, services.DependencyUnavailable."""
        ...

    async def load(self, ticket: str, *, activity: bool, now: float) -> Loaded:
        """The session of a ticket; without `activity` it does not live longer for it. Raises NoSession."""
        ...

    async def end(self, ticket: str, *, return_uri: str, now: float) -> str | None:
        """End the session; the provider's address to sign out there, too. Raises NoSession."""
        ...

    async def back_channel_logout(self, logout_token: str, *, now: float) -> int:
        """End what the provider says has ended; returns how many. Raises LogoutRefused."""
        ...

    async def calm(self) -> bool:
        """Wait a moment that differs for each caller; False at once when too many wait already."""
        ...
