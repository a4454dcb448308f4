"""What a well-formed policy must also satisfy: a second person for wide policies, nobody whom no machine may name.

Applied when a policy is made or changed, never when a stored one is read: tightening the rules must not
make existing blocks unreadable.
"""

from dataclasses import dataclass
from typing import Final

from haetae_policy.errors import Problem
from haetae_policy.faults import fault
from haetae_policy.model import MAX_LIFETIME_MS, Policy, SourceKind, Subject
from haetae_policy.protected import NOBODY, Protected


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits of this installation.

    `protected`: whom no machine may name. `wide_v4`, `wide_v6`: a network with a shorter prefix, and no named identity
    beside it, counts as "everyone" and needs a second person.
    """

    protected: Protected = NOBODY
    wide_v4: int = 16
    wide_v6: int = 32
    max_lifetime_ms: int = MAX_LIFETIME_MS

    def is_wide(self, subject: Subject) -> bool:
        """Tell whether the subject is everyone or so many that it amounts to it."""
        if subject.names_anybody():
            return False
        if subject.ip is None:
            return True
        return subject.ip.prefix < (self.wide_v4 if subject.ip.version == 4 else self.wide_v6)

    def problems(self, policy: Policy) -> list[Problem]:
        """Return every rule the policy breaks."""
        found: list[Problem] = []
        if policy.expires_ms - policy.changed_ms > self.max_lifetime_ms:
            found.append(Problem("expires", fault("lifetime", days=self.max_lifetime_ms // 86_400_000)))
        if self.is_wide(policy.subject) and policy.approved_by is None:
            found.append(Problem("approved_by", fault("second_person")))
        if policy.source.kind is SourceKind.FDS:
            found += self.protected.problems(policy.subject)
        return found

    def for_asking(self) -> "Rules":
        """Return the rules for what is asked for: who is missing a second person waits for one."""
        return _ForAsking(self.protected, self.wide_v4, self.wide_v6, self.max_lifetime_ms)


class _ForAsking(Rules):
    __slots__ = ()

    def is_wide(self, subject: Subject) -> bool:
        return False


DEFAULT_RULES: Final = Rules()
