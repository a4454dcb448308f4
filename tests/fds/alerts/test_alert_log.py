"""Alerts in a real store: written while it is away too, kept in number, read back by who shows them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from haetae_fds.alerts import Alert
from haetae_fds.alerts.message import summary
from haetae_fds.alerts.spikes import Rise
from haetae_fds.io.alert_log import KEPT, AlertLog, LoggedAlert, alert_log, newest_alerts
from haetae_policy import StoreUnavailable
from haetae_policy.io.commands import Argument, Commands
from redis.asyncio import Redis

from tests.simulator.valkey import valkey

ALERT = Alert(
    minute=29_000_000, kind="spike", gateway="app", errors="5xx", episode="app/5xx/29000000",
    rises=(Rise(route="pay", requests=1000, errors=120, expected=5.0, z=15.0),),
)  # fmt: skip


@asynccontextmanager
async def store() -> AsyncIterator[tuple[Redis, str]]:
    async with valkey() as server:
        client = server.client()
        try:
            yield client, f"unix://{server.socket}"
        finally:
            await client.aclose()


async def newest(commands: Commands, count: int) -> list[LoggedAlert]:
    async with asyncio.timeout(10):
        while len(found := await newest_alerts(commands, prefix="t:")) < count:  # noqa: ASYNC110 - another process would be told nothing either
            await asyncio.sleep(0.01)
    return found


async def test_alert_is_read_back_as_it_was_told_newest_first() -> None:
    async with store() as (client, url):
        commands = Commands(client, deadline_s=2.0)
        async with alert_log(url, prefix="t:") as log:
            log.send(ALERT)
            log.send(replace(ALERT, minute=29_000_004, kind="end", rises=()))
            ended, began = await newest(commands, 2)
        assert began == LoggedAlert(
            at_ms=29_000_000 * 60_000, kind="spike", episode=ALERT.episode, gateway="app", text=summary(ALERT)
        )
        assert (ended.kind, ended.episode) == ("end", began.episode)


async def test_store_keeps_a_bounded_number_and_unreadable_entries_are_passed_by() -> None:
    async with store() as (client, url):
        commands = Commands(client, deadline_s=2.0)
        async with alert_log(url, prefix="t:") as log:
            for minute in range(3 * KEPT):
                log.send(replace(ALERT, minute=minute))
                await asyncio.sleep(0)
                while log._waiting.qsize() > 100:  # noqa: ASYNC110 - nothing is told when the queue is shorter
                    await asyncio.sleep(0.001)
            async with asyncio.timeout(10):
                while (await newest(commands, 1))[0].at_ms != (3 * KEPT - 1) * 60_000:  # noqa: ASYNC110 - the same
                    await asyncio.sleep(0.01)
        assert await client.xlen("t:fds:alerts") < 2 * KEPT
        for hostile in (b"", b"[]", b'{"at":"x","kind":"a","episode":"b","gateway":"c","text":"d"}', b"\xff"):
            await client.xadd("t:fds:alerts", {"d": hostile})
        await client.xadd("t:fds:alerts", {"other": b"x"})
        assert (await newest(commands, 1))[0].at_ms == (3 * KEPT - 1) * 60_000


async def test_alert_of_the_time_a_store_was_away_arrives_and_the_queue_is_bounded() -> None:
    async with store() as (client, _):
        commands = Commands(client, deadline_s=2.0)

        class Away(Commands):
            """A store that does not answer at first."""

            times = 3

            async def call(self, *args: Argument, deadline_s: float | None = None) -> object:
                if Away.times:
                    Away.times -= 1
                    raise StoreUnavailable("away")
                return await commands.call(*args)

        log = AlertLog(Away(client, deadline_s=2.0), prefix="t:", pause=0.001)
        for minute in range(KEPT + 5):
            log.send(replace(ALERT, minute=minute))
        assert log.failed == 5
        keeping = asyncio.create_task(log.keep())
        try:
            assert len(await newest(commands, KEPT)) == KEPT
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        assert Away.times == 0
