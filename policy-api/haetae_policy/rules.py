"""What a well-formed policy must also satisfy: a second person for wide policies, networks no machine may
name.

Applied when a policy is made or changed, never when a stored one is read: tightening the rules must not
make existing blocks unreadable.
"""

from dataclasses import dataclass
from typing import Final

from haetae_policy.errors import Problem
from haetae_policy.model import MAX_LIFETIME_MS, Policy, SourceKind, Subject
from haetae_policy.network import Network, parse_network

# Loopback, private use (RFC 1918), shared address space (RFC 6598), link-local (RFC 3927, RFC 4291), unique
# local (RFC 4193).
ALWAYS_PROTECTED: Final = tuple(
    parse_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "::1",
        "fc00::/7",
        "fe80::/10",
    )
)


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits of this installation.

    `protected`: networks of partners, health checks, monitoring, own egress; no machine may name one, on
    top of the networks that are never public. `wide_v4`, `wide_v6`: a network with a shorter prefix, and no
    named identity beside it, counts as "everyone" and needs a second person.
    """

    protected: tuple[Network, ...] = ()
    wide_v4: int = 16
    wide_v6: int = 32
    max_lifetime_ms: int = MAX_LIFETIME_MS

    def is_wide(self, subject: Subject) -> bool:
        """Tell whether the subject is everyone or so many that it amounts to it."""
        if subject.named():
            return False
        if subject.ip is None:
            return True
        return subject.ip.prefix < (self.wide_v4 if subject.ip.version == 4 else self.wide_v6)

    def problems(self, policy: Policy) -> list[Problem]:
        """Return every rule the policy breaks."""
        found: list[Problem] = []
        if policy.expires_ms - policy.changed_ms > self.max_lifetime_ms:
            found.append(Problem("expires", f"at most {self.max_lifetime_ms // 86_400_000} days ahead"))
        if self.is_wide(policy.subject) and policy.approved_by is None:
            found.append(Problem("approved_by", "a policy for everyone needs a second person's approval"))
        if policy.source.kind is SourceKind.FDS and policy.subject.ip is not None:
            found += [
                Problem("subject.ip", f"a machine may not name the protected network {network}")
                for network in (*ALWAYS_PROTECTED, *self.protected)
                if network.overlaps(policy.subject.ip)
            ]
        return found


DEFAULT_RULES: Final = Rules()
