"""What address-only detection would decide: three leaky buckets with public thresholds and a four-hour ban.

The yardstick beside which an evaluation prints its numbers: failed log-ins (5, one leaks every 10 s), probing (10
distinct refused or missing paths, 10 s) and crawling (40 distinct paths, 0.5 s), each by source address. Speaks the
same flat forms as everything in this package. Not a detector of the product.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

BAN_MS: Final = 4 * 3_600_000
MAX_ADDRESSES: Final = 200_000
_BUCKETS: Final = {"failed-log-in": (5, 10_000), "probing": (10, 10_000), "crawl": (40, 500)}
_FAILED: Final = frozenset({"bad", "nouser", "locked", "mfa_fail"})


class _Bucket:
    """A leaky bucket that may count distinct things only."""

    __slots__ = ("level", "seen", "seen_ms")

    def __init__(self) -> None:
        self.level = 0.0
        self.seen_ms = 0
        self.seen: set[str] = set()

    def pour(self, thing: str | None, now_ms: int, *, capacity: int, leak_ms: int) -> bool:
        """Add one; True when it overflows (and is empty again)."""
        self.level -= (now_ms - self.seen_ms) / leak_ms
        if self.level <= 0.0:
            self.level = 0.0
            self.seen.clear()
        self.seen_ms = now_ms
        if thing is not None:
            if thing in self.seen:
                return False
            self.seen.add(thing)
        self.level += 1.0
        if self.level <= capacity:
            return False
        self.level = 0.0
        self.seen.clear()
        return True


class AddressBuckets:
    """The three buckets for every address."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()

    def decide(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The decisions that this event causes, in their JSON form."""
        address, now_ms = event.get("ip"), int(event["ts"])
        if address is None or event.get("pol") in ("block", "throttle") or event.get("ipc") == "internal":
            return []
        path = f"{event.get('api')} {event.get('obj')}"
        decisions = []
        if (event.get("auth") in _FAILED or event.get("status") == 401) and self._pour(
            "failed-log-in", address, None, now_ms
        ):
            decisions.append(_ban(address, now_ms, "failed-log-in"))
        if event.get("status") in (400, 403, 404) and self._pour("probing", address, path, now_ms):
            decisions.append(_ban(address, now_ms, "probing"))
        if self._pour("crawl", address, path, now_ms):
            decisions.append(_ban(address, now_ms, "crawl"))
        return decisions

    def _pour(self, name: str, address: str, thing: str | None, now_ms: int) -> bool:
        key = (name, address)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket()
            if len(self._buckets) > MAX_ADDRESSES * len(_BUCKETS):
                self._buckets.popitem(last=False)
        capacity, leak_ms = _BUCKETS[name]
        return bucket.pour(thing, now_ms, capacity=capacity, leak_ms=leak_ms)


def _ban(address: str, now_ms: int, detector: str) -> dict[str, Any]:
    return {
        "ts": now_ms,
        "op": "put",
        "mode": "enforce",
        "action": "block",
        "subject": {"ip": address},
        "api": None,
        "exp": now_ms + BAN_MS,
        "detector": detector,
        "why": f"{detector} by {address}",
        "pid": f"address-{detector}-{address}",
    }
