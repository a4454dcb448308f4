"""The background work on policies: a fault in it is said and ends the worker, an end of the worker is none."""

import asyncio
from pathlib import Path

import pytest
from haetae_edge.config.gateway import RedisSettings
from haetae_edge.io.policies import EdgePolicies
from haetae_policy.io.follower import PolicyFeed


def policies(folder: Path) -> EdgePolicies:
    """Nothing listens there: Redis being away is no fault."""
    return EdgePolicies(RedisSettings(uri=f"unix://{folder}/nothing"), worker="w")


async def test_fault_in_the_work_on_policies_is_logged_and_told_to_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: PolicyFeed) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(PolicyFeed, "run", fail)
    failed = asyncio.Event()
    async with policies(tmp_path) as running:
        running.on_failure(failed.set)
        async with asyncio.timeout(5):
            await failed.wait()
        assert "a fault of ours" in caplog.text
        late = asyncio.Event()
        running.on_failure(late.set)
        assert late.is_set(), "who asks after the fault is told as well"


async def test_closing_while_the_store_is_away_is_no_fault(tmp_path: Path) -> None:
    failed = asyncio.Event()
    async with policies(tmp_path) as running:
        running.on_failure(failed.set)
        assert not running.loaded
    assert not failed.is_set()
