"""What can go wrong with policies: few classes, each with a stable `code`.

Foreign exceptions (redis, orjson, ipaddress) are translated where they are met; callers of this package see
only these. Messages are for people; programs decide by class and `code`.
"""

from dataclasses import dataclass

from haetae_policy.faults import Fault


class PolicyError(Exception):
    """Base of everything this package raises on purpose."""

    code = "policy_error"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document: the field's dotted name and what is the matter with it (mostly a `Fault`)."""

    field: str
    message: str


class PolicyInvalid(PolicyError):
    """A policy document breaks the language or its rules; `problems` lists everything found."""

    code = "policy_invalid"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{p.field}: {p.message}" for p in problems))
        self.problems = problems


class FieldInvalid(PolicyError):
    """Base of what is wrong with one field's text; `fault` says what."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class AddressInvalid(FieldInvalid):
    """A text is not one IP address or one network in the form this package takes."""

    code = "address_invalid"


class PathPatternInvalid(FieldInvalid):
    """A path pattern is outside the supported part of the Spring Cloud Gateway syntax."""

    code = "path_pattern_invalid"


class FeedCorrupt(PolicyError):
    """Bytes from the feed are not a record, or a state contradicts itself. The remedy is a new snapshot."""

    code = "policy_feed_corrupt"


class RecordUnreadable(PolicyError):
    """A record's envelope is sound but its content is unknown to this version: it cannot be enforced here."""

    code = "policy_record_unreadable"

    def __init__(self, message: str, *, pid: int, ver: int, exp_ms: int) -> None:
        super().__init__(message)
        self.pid = pid
        self.ver = ver
        self.exp_ms = exp_ms


class StoreUnavailable(PolicyError):
    """Redis did not answer in time or refused. The change may or may not have happened; repeating it is
    safe.
    """

    code = "policy_store_unavailable"


class PolicyNotFound(PolicyError):
    """There is no such policy (any more)."""

    code = "policy_not_found"


class PolicyConflict(PolicyError):
    """Another change came first, or the change is not possible any more. Read again, then decide again."""

    code = "policy_conflict"


class TooManyPolicies(PolicyError):
    """One subject already carries as many policies as the look-up time allows."""

    code = "policy_too_many"


class ReferenceInvalid(PolicyError):
    """A block reference was mistyped or was not made with our key."""

    code = "reference_invalid"


class AuditBroken(PolicyError):
    """The audit trail was altered, cut or reordered; the message names where."""

    code = "audit_broken"
