"""What the application layer works with: the store, the ledger, refusals, workers, recent traffic and the settings."""

import os
from dataclasses import dataclass, field

from haetae_fds.io.feedback import Labels
from haetae_fds.io.modes import Modes
from haetae_policy.io.ledger import Ledger
from haetae_policy.io.refusals import RefusalStore
from haetae_policy.io.store import EPOCH_BYTES, PolicyStore
from haetae_policy.io.workers import WorkerReports
from haetae_policy.reference import ReferenceMaker
from haetae_policy.rules import Rules

from haetae_policy_api.settings import Settings
from haetae_policy_api.traffic import RecentTraffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Everything a service function may use. `references` is None where the edges' key is not known here,
    `labels` and `modes` where nobody speaks to the fraud detection.

    `at_work`: batches that a request of this process is storing just now.
    """

    store: PolicyStore
    ledger: Ledger
    refusals: RefusalStore
    workers: WorkerReports
    traffic: RecentTraffic
    settings: Settings
    rules: Rules
    references: ReferenceMaker | None = None
    labels: Labels | None = None
    modes: Modes | None = None
    at_work: set[str] = field(default_factory=set)


def epoch() -> bytes:
    """Randomness for a log that has to be begun."""
    return os.urandom(EPOCH_BYTES)
