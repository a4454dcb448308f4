"""Who may do what: one table of operations, the least role a person needs and the scope a machine needs.

Rules kept: an operation that is not in the table cannot be served; a machine without a scope for an operation cannot
do it at all. Does not find out who is calling; `io.identify` does.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from haetae_policy.model import Source, SourceKind

from haetae_policy_api.errors import NotAllowed


class Role(IntEnum):
    """What a person may do; each includes those before it."""

    VIEWER = 1
    ANALYST = 2
    APPROVER = 3
    ADMIN = 4


READ: Final = "policies:read"
WRITE: Final = "policies:write"
FEED: Final = "policies:feed"
# What happened elsewhere says whether a decision was right: a complaint that the support desk closed, as an example.
JUDGE: Final = "policies:judge"
# The token's subject is a person, whose roles are in its `groups`: what a terminal sends.
STAFF: Final = "policies:staff"


@dataclass(frozen=True, slots=True)
class Needs:
    """The least role of a person and the scope of a machine; None: no machine."""

    role: Role
    scope: str | None


OPERATIONS: Final[dict[str, Needs]] = {
    "create_policy": Needs(Role.ANALYST, WRITE),
    "create_batch": Needs(Role.ANALYST, WRITE),
    "list_policies": Needs(Role.VIEWER, READ),
    "get_policy": Needs(Role.VIEWER, READ),
    "revoke_policy": Needs(Role.ANALYST, WRITE),
    "extend_policy": Needs(Role.ANALYST, WRITE),
    "except_policy": Needs(Role.ANALYST, None),
    "judge_policy": Needs(Role.ANALYST, JUDGE),
    "show_detection": Needs(Role.VIEWER, READ),
    "turn_detection": Needs(Role.APPROVER, None),
    "undo_detection": Needs(Role.APPROVER, None),
    "preview_policy": Needs(Role.VIEWER, READ),
    "policy_convergence": Needs(Role.VIEWER, READ),
    "list_pending": Needs(Role.VIEWER, None),
    "approve_pending": Needs(Role.APPROVER, None),
    "reject_pending": Needs(Role.APPROVER, None),
    "why": Needs(Role.VIEWER, READ),
    "subject_timeline": Needs(Role.VIEWER, None),
    "feed_snapshot": Needs(Role.VIEWER, FEED),
    "feed_follow": Needs(Role.VIEWER, FEED),
    "convergence": Needs(Role.VIEWER, READ),
    "audit_list": Needs(Role.APPROVER, None),
    "audit_verify": Needs(Role.APPROVER, None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A verified caller. A person has a role, a machine scopes; `browser` says that a browser may be sending."""

    name: str
    role: Role | None = None
    scopes: frozenset[str] = frozenset()
    browser: bool = False

    @property
    def is_machine(self) -> bool:
        """Whether no person stands behind the request."""
        return self.role is None

    @property
    def source(self) -> Source:
        """What policies made by this caller say of their origin."""
        return Source(SourceKind.FDS if self.is_machine else SourceKind.ANALYST, self.name)


def require(caller: Caller, operation: str) -> None:
    """Raise NotAllowed unless the table lets `caller` do `operation`."""
    needs = OPERATIONS[operation]
    if caller.role is not None:
        if caller.role < needs.role:
            raise NotAllowed(f"this needs the role {needs.role.name.lower()}")
    elif needs.scope is None:
        raise NotAllowed("only a person may do this")
    elif needs.scope not in caller.scopes:
        raise NotAllowed(f"this needs the scope {needs.scope}")
