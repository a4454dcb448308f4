"""Every refusal is one row of the problem table: status, code, reference, the headers that belong to it, no detail."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import pytest
from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange, Response
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.io.server.faults import PER_WINDOW, WINDOW, FaultLog
from haetae_edge.problems import PROBLEMS

from tests.simulator.world import NEXT, world

GET = b"GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Raise:
    """A filter that ends every request with what `make` returns; `late` ends it on the way out."""

    phase: ClassVar[Phase] = Phase.AUTHENTICATE
    shortcut: ClassVar[tuple[str, ...]] = ()

    make: Callable[[], Exception]
    late: bool = False

    def build(self, context: BuildContext) -> Steps:
        """One step in one direction."""

        def step(exchange: Exchange) -> None:
            if exchange.request.path == "/a":
                raise self.make()

        def response_step(exchange: Exchange, response: Response) -> None:
            step(exchange)

        if self.late:
            return Steps(response=response_step)
        return Steps(request=((Phase.AUTHENTICATE, step),))


@pytest.mark.parametrize("code", sorted(PROBLEMS))
async def test_refusal_of_a_filter_is_answered_as_its_row_says(code: str) -> None:
    row = PROBLEMS[code]
    async with world(filters=(Raise(make=lambda: Refusal(code, reason="a-reason")),)) as edge:
        await edge.client.send(GET)
        answer = await edge.refused(code, row.status, closes=row.close)
        assert answer.values(b"retry-after") == ([b"%d" % row.retry_after] if row.retry_after is not None else [])
        assert b"a-reason" not in answer.body
        assert len(answer.values(b"date")) == 1
        assert (len(answer.values(b"www-authenticate")) == 1) == (row.status == 401)
        assert edge.upstream.requests == []
        finished = edge.gateway.finished.all[0]
        assert finished.exchange is not None
        assert finished.exchange.facts.reason == "a-reason"
        assert finished.exchange.facts.reference == "ref-1"
        if not row.close:
            await edge.next_is_answered()


async def test_challenge_of_a_filter_is_kept_and_no_second_one_added() -> None:
    challenge = (b"www-authenticate", b'Bearer error="invalid_token"')
    async with world(filters=(Raise(make=lambda: Refusal("token-invalid", headers=(challenge,))),)) as edge:
        answer = await edge.client.ask(GET)
        assert answer.value(b"www-authenticate") == b'Bearer error="invalid_token"'


async def test_every_503_says_when_to_come_back() -> None:
    assert {row.code for row in PROBLEMS.values() if row.status == 503 and row.retry_after is None} == set()


@pytest.mark.parametrize("late", [False, True], ids=["before the upstream", "after it"])
async def test_fault_inside_the_gateway_is_a_500_that_leaks_nothing_and_is_logged(
    late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(filters=(Raise(make=lambda: KeyError("secret-detail"), late=late),)) as edge:
        with caplog.at_level(logging.ERROR, logger="haetae.edge"):
            await edge.client.send(GET)
            answer = await edge.refused("internal", 500, closes=True)
        assert b"secret-detail" not in answer.body
        assert b"KeyError" not in answer.body
        assert [record.exc_info is not None for record in caplog.records] == [True]
        assert edge.gateway.codes == ["internal"]


async def test_flood_of_one_fault_is_answered_every_time_and_logged_a_few_times(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with world(filters=(Raise(make=lambda: KeyError("again")),)) as edge:
        with caplog.at_level(logging.ERROR, logger="haetae.edge"):
            for _ in range(60):
                async with edge.gateway.client() as client:
                    assert (await client.ask(GET)).problem() == "internal"
        assert 1 <= len(caplog.records) <= 10


class _FailingStream:
    """A body that breaks inside the gateway after its first piece."""

    length: int | None = None

    def __init__(self) -> None:
        self.aborted = False
        self._pieces = [b"first"]

    async def read(self) -> bytes:
        """One piece, then a fault."""
        if self._pieces:
            return self._pieces.pop()
        raise KeyError("secret-detail")

    def abort(self) -> None:
        """Noted."""
        self.aborted = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FailInTheMiddle:
    """A filter that replaces the answer of `/a` by a stream that fails."""

    phase: ClassVar[Phase] = Phase.RESPONSE
    shortcut: ClassVar[tuple[str, ...]] = ()

    stream: _FailingStream

    def build(self, context: BuildContext) -> Steps:
        """One step on the answer."""

        def step(exchange: Exchange, response: Response) -> None:
            if exchange.request.path == "/a":
                response.body = self.stream

        return Steps(response=step)


async def test_fault_in_the_middle_of_an_answer_breaks_it_off_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    stream = _FailingStream()
    async with world(filters=(FailInTheMiddle(stream=stream),)) as edge:
        with caplog.at_level(logging.ERROR, logger="haetae.edge"):
            await edge.client.send(GET)
            received = await edge.client.rest()
        assert received.count(b"HTTP/1.1") <= 1
        assert not received.endswith(b"0\r\n\r\n")
        assert b"secret-detail" not in received
        assert stream.aborted
        assert len(caplog.records) == 1
        async with edge.gateway.client() as another:
            assert (await another.ask(NEXT)).status == 200


async def test_parser_error_echoes_nothing_of_the_request() -> None:
    async with world() as edge:
        await edge.client.send(b"GET /<script>alert(1)</script>\x00 HTTP/1.1\r\nX-Secret\r\n\r\n")
        answer = await edge.refused("request-malformed", 400, closes=True)
        assert b"script" not in answer.body
        assert b"Secret" not in answer.body
        assert answer.values(b"server") == []


async def test_each_refusal_has_its_own_reference() -> None:
    async with world() as edge:
        first = await edge.client.ask(GET.replace(b"/a", b"//"))
        second = await edge.client.ask(GET.replace(b"/a", b"//"))
        assert first.body != second.body
        assert [item.response.status for item in edge.gateway.finished.all] == [400, 400]


async def test_faults_of_another_kind_are_logged_during_a_flood_and_the_flood_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = FaultLog()
    with caplog.at_level(logging.ERROR, logger="haetae.edge"):
        for _ in range(100):
            log.report(_raised(KeyError("x")), now=0.0)
        log.report(_raised(TypeError("y")), now=1.0)
        log.report(_raised(KeyError("x")), now=WINDOW)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == PER_WINDOW + 2
    assert f"({100 - PER_WINDOW} more like it were not logged)" in messages[-1]


def _raised(error: Exception) -> Exception:
    try:
        raise error
    except (KeyError, TypeError) as caught:
        return caught
