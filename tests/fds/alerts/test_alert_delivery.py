"""Alerts on their way to people: in words, delivered once, and never with the webhook's address."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from haetae_fds.alerts import Alert
from haetae_fds.alerts.message import log_fields, slack_message, summary
from haetae_fds.alerts.spikes import Rise
from haetae_fds.io.alerts import SlackSink, log_alert

ALERT = Alert(
    minute=29_000_000, kind="spike", gateway="app", errors="5xx", episode="app/5xx/29000000",
    rises=(Rise(route="pay", requests=1000, errors=120, expected=5.0, z=15.0),),
    contributors=(("version <!channel>", 90),),
)  # fmt: skip


class Hook:
    """A webhook that answers as told."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.bodies: list[dict[str, str]] = []
        self.arrived = asyncio.Event()

    async def post(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.arrived.set()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@asynccontextmanager
async def hook(*statuses: int) -> AsyncIterator[tuple[Hook, str]]:
    found = Hook(*statuses)
    application = web.Application()
    application.router.add_post("/secret-path", found.post)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield found, f"http://127.0.0.1:{port}/secret-path"
    finally:
        await runner.cleanup()


async def until(sink: SlackSink, *, sent: int = 0, failed: int = 0) -> None:
    async with asyncio.timeout(10):
        while (sink.sent, sink.failed) != (sent, failed):  # noqa: ASYNC110 - a sink tells nobody
            await asyncio.sleep(0.01)


def test_the_sentence_says_where_how_much_and_what_was_expected() -> None:
    text = summary(ALERT)
    for part in ("app", "pay", "120 of 1000", "12.0 %", "expected 5.0"):
        assert part in text


def test_what_came_from_requests_cannot_mention_anybody() -> None:
    text = slack_message(ALERT)["text"]
    assert "<!channel>" not in text
    assert "&lt;!channel&gt;" in text


def test_the_log_line_has_the_numbers(caplog: pytest.LogCaptureFixture) -> None:
    log_alert(ALERT)
    assert '"haetae.alert.episode":"app/5xx/29000000"' in caplog.text
    assert log_fields(ALERT)["haetae.alert.routes"][0]["expected"] == 5.0


async def test_an_alert_is_delivered_once_after_the_webhook_recovers() -> None:
    async with hook(500, 429, 200) as (found, url), SlackSink(url, pause=0.01) as sink:
        sink.send(ALERT)
        await until(sink, sent=1)
    assert len(found.bodies) == 3
    assert found.bodies[0] == slack_message(ALERT)


async def test_a_webhook_that_refuses_is_not_asked_again_and_its_address_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with hook(403) as (found, url), SlackSink(url, pause=0.01) as sink:
        sink.send(ALERT)
        await until(sink, failed=1)
        assert "secret-path" not in repr(sink)
    assert len(found.bodies) == 1
    assert "secret-path" not in caplog.text


async def test_more_alerts_than_fit_are_counted() -> None:
    async with SlackSink("http://127.0.0.1:9/x", pause=60) as sink:
        for _ in range(300):
            sink.send(ALERT)
        assert sink.failed == 100


def test_a_webhook_is_reached_by_https_only() -> None:
    with pytest.raises(ValueError, match="https"):
        SlackSink("http://hooks.example/x")
