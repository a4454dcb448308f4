"""Live parts over a real socket: what comes when something changes, how it ends, and how many may watch."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import httpx
import pytest
from haetae_policy_api.console.io.casebook import Casebook
from haetae_policy_api.console.io.live import event
from haetae_policy_api.console.io.shared import MOST_WATCHERS, Shared
from haetae_policy_api.errors import TooMany
from hypothesis import given
from hypothesis import strategies as st

from tests.policy_api.console.desk import Console, furnish, now_ms, passport, serving


@asynccontextmanager
async def watch(desk: Console, path: str) -> AsyncIterator[AsyncIterator[str]]:
    """The blocks of a stream, one event each."""
    async with (
        serving(desk) as url,
        httpx.AsyncClient() as http,
        http.stream("GET", url + path, headers={"x-passport": passport("vic")}, timeout=20) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"

        async def blocks() -> AsyncIterator[str]:
            lines: list[str] = []
            async for line in answer.aiter_lines():
                if line:
                    lines.append(line)
                elif lines:
                    yield "\n".join(lines)
                    lines.clear()

        yield blocks()


async def test_change_is_told_worker_by_worker_until_it_is_in_force_on_all(desk: Console) -> None:
    made = await desk.policy()
    await desk.worker("edge-1", made["seq"] - 1)
    await desk.worker("edge-2", made["seq"] - 1)
    async with watch(desk, f"/hold/{made['seq']}?since={now_ms()}") as told:
        assert "0 of 2 workers" in await anext(told)
        await desk.worker("edge-1", made["seq"])
        assert "1 of 2 workers" in await anext(told)
        await desk.worker("edge-2", made["seq"])
        assert "In force on all 2 workers." in await anext(told)
        assert (await anext(told)).startswith("event: done")
        with pytest.raises(StopAsyncIteration):
            await anext(told)


async def test_overview_comes_at_once_and_again_when_something_happened(desk: Console) -> None:
    ids = await furnish(desk)
    async with watch(desk, "/live") as told:
        first = await anext(told)
        assert first.startswith("event: live\ndata: ")
        assert "<strong>60</strong>" in first
        await desk.refusal(ids["block"], 1000)
        await desk.refusal(ids["block"], 0, user="u-77")
        while "u-77" not in (seen := await anext(told)):
            assert seen.startswith((":", "event: live"))


@pytest.mark.parametrize("path", ["/hold/1", "/hold/1?since=-1", f"/hold/{2**53}?since=1", "/hold/1?since=1x"])
async def test_stream_that_makes_no_sense_is_refused(desk: Console, path: str) -> None:
    assert (await desk.get("vic", path)).status_code == 422


async def test_no_more_watchers_than_there_is_room_for(desk: Console) -> None:
    shared = Shared(Casebook(desk.client, prefix="t:", shards=1, deadline_s=2.0))
    with ExitStack() as watchers:
        for _ in range(MOST_WATCHERS):
            shared.check_room()
            watchers.enter_context(shared.watching())
        with pytest.raises(TooMany):
            shared.check_room()
    shared.check_room()


@given(st.text(max_size=300))
def test_no_text_can_end_an_event_or_begin_another(text: str) -> None:
    lines = event("live", text).decode("utf-8", "replace").split("\n")
    assert lines[0] == "event: live"
    assert lines[-2:] == ["", ""]
    assert all(line.startswith("data: ") for line in lines[1:-2])
    assert not any("\r" in line for line in lines)
