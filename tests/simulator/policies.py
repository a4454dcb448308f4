"""Block policies without a store: the real table and real buckets, changed by the test."""

from collections.abc import Callable

from haetae_edge.blast_radius import BlastRadius
from haetae_policy import ApiFacts, Facts, PolicyTable, Record, TokenBuckets, Verdict
from haetae_policy.changes import Put


class MemoryPolicies:
    """The `Policies` port. `listener` is called after every change, as the feed does."""

    def __init__(self, *records: Record, loaded: bool = True) -> None:
        self.loaded = loaded
        self.listener: Callable[[], None] | None = None
        self._table = PolicyTable()
        self._buckets = TokenBuckets()
        self.radius = BlastRadius(started_ms=0)
        for record in records:
            self.put(record)

    def put(self, record: Record) -> None:
        """A policy takes effect."""
        self._table.apply(Put(record, seq=1))
        if self.listener is not None:
            self.listener()

    def check_early(self, ip: int, api: ApiFacts, now_ms: int) -> Verdict | None:
        """What address and API alone decide."""
        return self._table.check_early(ip, api, now_ms)

    def check(
        self,
        facts: Facts,
        api: ApiFacts,
        now_ms: int,
        *,
        observed: list[Verdict] | None = None,
        machines: bool = True,
    ) -> Verdict | None:
        """What everything known of the caller decides; without `machines`, what people alone decided."""
        return self._table.check(facts, api, now_ms, observed=observed, machines=machines)

    def within_rate(self, verdict: Verdict, now_ms: int) -> bool:
        """Take one token."""
        assert verdict.rate is not None
        assert verdict.bucket is not None
        return self._buckets.take(verdict.bucket, verdict.rate, now_ms) == 0
