"""The load generator must count what was answered, notice everything else, and hide no waiting."""

import time
from collections.abc import Callable
from itertools import pairwise, repeat
from statistics import mean

import pytest

from bench import loader
from bench.errors import BadAnswer, Stalled
from bench.loader import Expect, exchange_once, run_closed
from bench.openloop import arrivals_ns, run_open
from tests.bench.scripted_server import ANSWER, StartServer

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
REFUSAL = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
CHUNKED = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel", b"\r\n2\r\nlo\r\n", b"0\r\n\r\n"]
SAME = repeat(REQUEST).__next__


def numbered(count: int) -> list[bytes]:
    return [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(count)]


def once(requests: list[bytes]) -> Callable[[], bytes]:
    return iter(requests).__next__


def test_closed_loop_sends_every_request_once_over_all_connections(start_server: StartServer) -> None:
    server = start_server(lambda number: [ANSWER])
    result = run_closed(server.address, once(numbered(200)), connections=4, warmup=0, seconds=30)
    assert sorted(server.received(200)) == sorted(numbered(200))
    assert server.connections == 4
    assert 196 <= result.answers <= 200
    assert result.answers == len(result.latencies_ns)
    assert result.seconds < 30, "it ended with the requests, not with the time"


def test_closed_loop_ends_in_time_and_does_not_count_the_warmup(start_server: StartServer) -> None:
    server = start_server(lambda number: [ANSWER])
    result = run_closed(server.address, SAME, connections=2, warmup=0.1, seconds=0.1)
    assert 0.1 <= result.seconds < 5
    assert 0 < result.answers < len(server.requests)
    assert result.rate == pytest.approx(result.answers / result.seconds)


@pytest.mark.parametrize(
    "segments",
    [
        pytest.param([ANSWER[:20], ANSWER[20:-1], ANSWER[-1:]], id="length, in pieces"),
        pytest.param(CHUNKED, id="chunked, in pieces"),
        pytest.param([b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH:0\r\n\r\n"], id="other spelling, empty body"),
    ],
)
def test_closed_loop_reads_answers_of_any_shape_and_segmentation(
    start_server: StartServer, segments: list[bytes]
) -> None:
    server = start_server(lambda number: segments if number % 2 else [ANSWER])
    result = run_closed(server.address, once(numbered(50)), connections=3, warmup=0, seconds=30)
    assert result.answers >= 47


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([REFUSAL], id="another status"),
        pytest.param([], id="connection closed"),
        pytest.param([ANSWER + b"x"], id="bytes after the answer"),
        pytest.param([ANSWER + ANSWER], id="two answers to one request"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!"], id="body longer than its length"),
        pytest.param([ANSWER.replace(b"200", b"2000")], id="status of four digits"),
        pytest.param([b"nonsense\r\n\r\n"], id="no HTTP"),
    ],
)
def test_one_bad_answer_among_good_ones_ends_the_run(start_server: StartServer, answer: list[bytes]) -> None:
    server = start_server(lambda number: answer if number == 20 else [ANSWER])
    with pytest.raises(BadAnswer):
        run_closed(server.address, SAME, connections=2, warmup=0, seconds=10)
    open_server = start_server(lambda number: answer if number == 20 else [ANSWER])
    with pytest.raises(BadAnswer):
        run_open(open_server.address, SAME, rate=2000, connections=2, warmup=0, seconds=0.5)


def test_silence_ends_the_run(start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "SILENCE_SECONDS", 0.1)
    server = start_server(lambda number: [ANSWER[:10]] if number == 5 else [ANSWER])
    with pytest.raises(Stalled):
        run_closed(server.address, SAME, connections=1, warmup=0, seconds=10)


def test_expected_refusals_count_as_good(start_server: StartServer) -> None:
    server = start_server(lambda number: [REFUSAL])
    result = run_closed(server.address, once(numbered(20)), connections=1, warmup=0, seconds=10, expect=Expect(503))
    assert result.answers >= 19
    assert exchange_once(server.address, REQUEST).status == 503


def test_open_loop_sends_the_scheduled_number_and_records_after_the_warmup(start_server: StartServer) -> None:
    server = start_server(lambda number: [ANSWER])
    result = run_open(server.address, SAME, rate=1000, connections=8, warmup=0.1, seconds=0.2)
    assert len(server.received(300)) == 300
    assert result.answers == 200
    assert min(result.latencies_ns) > 0


def test_open_loop_charges_waiting_for_a_stalled_server_to_every_request_that_was_due(
    start_server: StartServer,
) -> None:
    def stalls_once(number: int) -> list[bytes]:
        if number == 50:
            time.sleep(0.2)
        return [ANSWER]

    stall = run_open(start_server(stalls_once).address, SAME, rate=500, connections=1, warmup=0, seconds=0.5)
    waited = [latency for latency in stall.latencies_ns if latency > 20_000_000]
    assert len(waited) > 30, "a closed loop would have seen one slow answer"
    assert stall.percentile_us(99) > 150_000


def test_arrivals_are_random_of_the_asked_rate_and_equal_for_equal_seeds() -> None:
    offsets = arrivals_ns(rate=1000, seconds=20, seed=3)
    assert offsets == arrivals_ns(rate=1000, seconds=20, seed=3)
    assert offsets != arrivals_ns(rate=1000, seconds=20, seed=4)
    gaps = [later - earlier for earlier, later in pairwise(offsets)]
    assert mean(gaps) == pytest.approx(1e6, rel=0.05)
    share_of_short_gaps = sum(gap < 0.693e6 for gap in gaps) / len(gaps)
    assert share_of_short_gaps == pytest.approx(0.5, abs=0.03), "half of exponential gaps are below ln 2"


def test_percentiles_are_of_ranked_latencies(start_server: StartServer) -> None:
    server = start_server(lambda number: [ANSWER])
    result = run_closed(server.address, once(numbered(100)), connections=1, warmup=0, seconds=10)
    ranked = sorted(result.latencies_ns)
    assert result.percentile_us(0) == ranked[0] / 1000
    assert result.percentile_us(100) == ranked[-1] / 1000
