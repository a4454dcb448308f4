"""Who may see and do what in the console: people only, by the roles of the API's own table.

Rules kept: where the API has an operation, the console needs the same role; nothing can be served that is not here.
"""

from typing import Final

from haetae_policy_api.errors import NotAllowed
from haetae_policy_api.faults import said
from haetae_policy_api.roles import OPERATIONS, Caller, Role

_SAME: Final = (
    *("create_policy", "list_policies", "revoke_policy", "extend_policy", "except_policy", "preview_policy"),
    *("list_pending", "approve_pending", "reject_pending", "why", "subject_timeline", "convergence"),
    *("audit_list", "audit_verify"),
)
NEEDS: Final[dict[str, Role]] = {
    **{name: OPERATIONS[name].role for name in _SAME},
    "list_cases": Role.VIEWER,
    "judge_case": Role.ANALYST,
}


def may(caller: Caller, operation: str) -> bool:
    """Whether to show what leads to `operation`; showing is no permission, `require_person` gives that."""
    return caller.role is not None and caller.role >= NEEDS[operation]


def require_person(caller: Caller, operation: str) -> None:
    """Raise NotAllowed unless `caller` is a person whose role is enough."""
    if caller.role is None:
        raise NotAllowed(said("people_only"))
    if not may(caller, operation):
        raise NotAllowed(said("role_needed", role=NEEDS[operation].name.lower()))
