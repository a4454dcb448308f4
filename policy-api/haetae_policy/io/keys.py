"""Names of the keys. All of one installation share a hash tag, so that scripts work in a Redis Cluster."""

from haetae_policy.model import Subject
from haetae_policy.network import Network


class Keys:
    """Key names under `prefix` (for example `haetae:`)."""

    __slots__ = (
        *("applied", "buckets", "docs", "expiries", "head", "hits", "ids", "live", "log", "meta", "positions"),
        *("refusal_times", "refusals", "tag", "workers"),
        *("audit", "audit_head", "batches", "pending", "watched"),
    )

    def __init__(self, prefix: str) -> None:
        """Raises ValueError for a prefix with braces, which would move the hash tag."""
        if "{" in prefix or "}" in prefix:
            raise ValueError("a key prefix must not hold braces")
        self.tag = f"{{{prefix}policy}}"
        self.head = f"{self.tag}:head"
        self.live = f"{self.tag}:live"
        self.meta = f"{self.tag}:meta"
        self.docs = f"{self.tag}:docs"
        self.buckets = f"{self.tag}:buckets"
        self.expiries = f"{self.tag}:expiries"
        self.ids = f"{self.tag}:ids"
        self.log = f"{self.tag}:log"
        self.workers = f"{self.tag}:workers"
        self.positions = f"{self.tag}:positions"
        self.applied = f"{self.tag}:applied"
        self.refusals = f"{self.tag}:refusals"
        self.refusal_times = f"{self.tag}:refusal-times"
        self.hits = f"{self.tag}:hits"
        self.audit = f"{self.tag}:audit"
        self.audit_head = f"{self.tag}:audit-head"
        self.pending = f"{self.tag}:pending"
        self.batches = f"{self.tag}:batches"
        self.watched = f"{self.tag}:watched"

    def ended(self, policy_id: str) -> str:
        """Where a revoked or expired policy rests for a while."""
        return f"{self.tag}:ended:{policy_id}"

    def once(self, digest: str) -> str:
        """Where the answer to a request with an idempotency key rests."""
        return f"{self.tag}:once:{digest}"

    def spent(self, name: str, minute: int) -> str:
        """How many policies a machine has made in a minute."""
        return f"{self.tag}:spent:{name}:{minute}"

    def report(self, worker: str) -> str:
        """Where a worker reports what it has applied."""
        return f"{self.applied}:{worker}"

    def named(self, kind: str, value: str) -> str:
        """The set of policies whose subject names this value."""
        return f"{self.tag}:by:{kind}:{value}"

    def network(self, network: Network) -> str:
        """The set of policies whose subject names exactly this network."""
        return f"{self.tag}:by:ip:{network.version}:{network.key:x}"

    def everyone(self) -> str:
        """The set of policies without a subject."""
        return f"{self.tag}:by:everyone"

    def subject(self, subject: Subject) -> list[str]:
        """Every set a policy belongs to, the one it is filed under at the edges first."""
        sets = [self.named(kind, value) for kind, value in subject.named().items()]
        if subject.ip is not None:
            sets.append(self.network(subject.ip))
        return sets or [self.everyone()]
