"""Reports of log-ins: read strictly, believed from marked routes, never seen by a client."""

from base64 import b64encode

import pytest
from haetae_edge.auth_report import AuthReport, read_auth_report, read_items
from hypothesis import given
from hypothesis import strategies as st

from tests.simulator.upstream import ok
from tests.simulator.world import world


def text(data: bytes) -> str:
    return b64encode(data).decode()


REPORT = f"bad;account=:{text(b'a' * 8)}:;credential=:{text(b'c' * 16)}:;secret=:{text(b's' * 32)}:".encode()
READ = AuthReport("bad", (b"a" * 8).hex(), (b"c" * 16).hex(), (b"s" * 32).hex())


def test_a_report_is_read() -> None:
    assert read_auth_report(REPORT) == READ
    assert read_auth_report(b"mfa_ok") == AuthReport("mfa_ok")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"yes",
        b'"bad"',
        b"bad, bad",
        b"bad;account=abc",
        b'bad;account="abc"',
        b"bad;account=:YQ==:",
        b"bad;account=:" + b64encode(b"a" * 33) + b":",
        b"bad" + b" " * 600,
        b"b\xffd",
    ],
)
def test_what_is_no_report_is_none(value: bytes) -> None:
    assert read_auth_report(value) is None


@given(st.binary(max_size=600))
def test_arbitrary_bytes_are_a_report_or_none(value: bytes) -> None:
    report = read_auth_report(value)
    assert report is None or report.outcome is not None


@pytest.mark.parametrize(
    ("value", "items"), [(b"25", 25), (b"9999999", 1_000_000), (b"", None), (b"-1", None), (b"1e3", None)]
)
def test_items_are_a_bounded_whole_number(value: bytes, items: int | None) -> None:
    assert read_items(value) == items


@pytest.mark.parametrize(("marked", "believed"), [(True, READ), (False, None)])
async def test_only_a_marked_route_is_believed_and_no_client_sees_the_report(
    marked: bool, believed: AuthReport | None
) -> None:
    async with world(auth_events=marked) as edge:
        edge.upstream.on("/login", ok(b"no", b"Haetae-Auth: " + REPORT, b"Haetae-Items: 3"))
        answer = await edge.client.ask(b"POST /login HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n")
        assert answer.values(b"haetae-auth") == []
        assert answer.values(b"haetae-items") == []
        (finished,) = await edge.gateway.finished.until(1)
    assert finished.exchange is not None
    assert finished.exchange.facts.report == believed
    assert finished.exchange.facts.items == 3
