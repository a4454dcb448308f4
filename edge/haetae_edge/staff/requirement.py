"""What a tool demands of a session: a group, claims, a strength and an age of the sign-in. Empty demands nothing.

What a person does not have is refused; what a new sign-in would bring is asked for by signing in again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class SignedIn(Protocol):
    """The part of a session that is looked at."""

    @property
    def groups(self) -> frozenset[str]:
        """Groups of the person."""
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
        """When the person last proved who they are, Unix seconds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """`groups`: any one of them. `claims`: of each, one of the values. `max_auth_age`: seconds."""

    groups: frozenset[str] = frozenset()
    claims: Mapping[str, frozenset[str]] = field(default_factory=dict)
    acr: tuple[str, ...] = ()
    max_auth_age: int | None = None

    def missing(self, session: SignedIn) -> str | None:
        """What this person lacks: "groups", "claims" or None."""
        if self.groups and not self.groups & session.groups:
            return "groups"
        if any(not accepted & _texts(session.claims.get(name)) for name, accepted in self.claims.items()):
            return "claims"
        return None

    def outdated(self, session: SignedIn, now: float) -> str | None:
        """What a new sign-in has to bring: "acr", "auth-age" or None. An unknown time is too long ago."""
        if self.acr and session.acr not in self.acr:
            return "acr"
        if self.max_auth_age is not None and (session.auth_time is None or now - session.auth_time > self.max_auth_age):
            return "auth-age"
        return None


def _texts(value: object) -> frozenset[str]:
    """A claim's values as text. Objects and missing claims are none."""
    if isinstance(value, bool):
        return frozenset({"true" if value else "false"})
    if isinstance(value, str | int):
        return frozenset({str(value)})
    if isinstance(value, list | tuple | set | frozenset):
        return frozenset(str(item) for item in value if isinstance(item, str | int) and not isinstance(item, bool))
    return frozenset()
