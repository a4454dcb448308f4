"""Everything of haetae_policy that talks to Redis."""

from haetae_policy.io.connect import RedisSettings, connect, connect_blocking
from haetae_policy.io.follower import FeedSettings, FeedStatus, PolicyFeed
from haetae_policy.io.refusals import Refusal, RefusalStore
from haetae_policy.io.store import Added, Page, PolicyStore, StoreSettings
from haetae_policy.io.workers import InForce, WorkerReport, WorkerReports

__all__ = [
    "Added",
    "FeedSettings",
    "FeedStatus",
    "InForce",
    "Page",
    "PolicyFeed",
    "PolicyStore",
    "RedisSettings",
    "Refusal",
    "RefusalStore",
    "StoreSettings",
    "WorkerReport",
    "WorkerReports",
    "connect",
    "connect_blocking",
]
