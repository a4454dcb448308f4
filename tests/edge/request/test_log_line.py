"""The access log says what happened and holds no secret, wherever in a request one was put."""

import ipaddress
from dataclasses import replace

import orjson
import pytest
from haetae_edge.access_log import log_line
from haetae_edge.address import AddressReader
from haetae_edge.exchange import Exchange, Response
from haetae_edge.problems import PROBLEMS
from haetae_edge.request import RawRequest, normalise
from hypothesis import given
from hypothesis import strategies as st

SECRET = "s3cr3t-marker"
_READER = AddressReader([ipaddress.ip_network("10.0.0.0/8")])

PLACES = {
    "authorization": (b"Authorization", b"Bearer " + SECRET.encode()),
    "signature": (b"Signature", b"app=:" + SECRET.encode() + b":"),
    "signature input": (b"Signature-Input", b'app=();nonce="' + SECRET.encode() + b'"'),
    "content key": (b"Haetae-Key", b":" + SECRET.encode() + b":"),
    "cookie": (b"Cookie", b"__Host-sid=" + SECRET.encode()),
    "passport": (b"X-Passport", SECRET.encode()),
    "custom field": (b"X-Custom", SECRET.encode()),
    "referer": (b"Referer", b"https://a/?token=" + SECRET.encode()),
    "field name": (SECRET.encode(), b"x"),
}


def _exchange(*fields: tuple[bytes, bytes], target: str = "/a") -> Exchange:
    raw = RawRequest("GET", target, (1, 1), [(b"Host", b"api.test"), *fields], chunked=False)
    request = normalise(raw, scheme="http", peer="203.0.113.9", addresses=_READER, received=0.0)
    return Exchange(request=request, body=SECRET.encode())


def _line(exchange: Exchange | None, response: Response | None = None) -> bytes:
    return log_line(
        gateway="app",
        revision="r1",
        exchange=exchange,
        peer="203.0.113.9",
        response=response or Response(status=200, fields=[(b"set-cookie", SECRET.encode())], body=SECRET.encode()),
        seconds=0.0015,
        sent=3,
        finished=1_763_800_000.5,
    )


@pytest.mark.parametrize("field", PLACES.values(), ids=PLACES.keys())
def test_header_never_reaches_the_log(field: tuple[bytes, bytes]) -> None:
    assert SECRET.encode() not in _line(_exchange(field))


def test_query_body_and_answer_never_reach_the_log() -> None:
    line = _line(_exchange(target=f"/a?token={SECRET}"))
    assert SECRET.encode() not in line
    assert b'"url.path":"/a"' in line


def test_claims_and_state_of_the_caller_never_reach_the_log() -> None:
    exchange = _exchange()
    exchange.caller.claims = {"sub": SECRET, "email": SECRET}
    exchange.state["token"] = SECRET
    exchange.fields = [(b"x-passport", SECRET.encode())]
    assert SECRET.encode() not in _line(exchange)


def test_line_says_what_happened() -> None:
    exchange = _exchange()
    exchange.caller.user = "u-1"
    exchange.facts.reason = "nonce-seen"
    exchange.facts.reference = "ref-9"
    row = PROBLEMS["replayed"]
    document = orjson.loads(_line(exchange, Response(status=row.status, fields=[], body=b"", problem=row)))
    assert document["@timestamp"] == "2025-11-22T08:26:40.500Z"
    assert document["event.outcome"] == "failure"
    assert document["event.duration"] == 1_500_000
    assert document["client.ip"] == "203.0.113.9"
    assert (document["http.request.method"], document["url.path"], document["url.domain"]) == ("GET", "/a", "api.test")
    assert (document["user.id"], document["error.code"], document["haetae.side"]) == ("u-1", "replayed", "client")
    assert (document["haetae.reason"], document["haetae.reference"]) == ("nonce-seen", "ref-9")


def test_line_names_the_partner_the_service_and_the_session() -> None:
    exchange = _exchange()
    caller = exchange.caller
    caller.auth, caller.client, caller.client_id = ("token",), "a|finger|print", "partner-a"
    caller.service, caller.session = "spiffe://td/a", "public-name"
    document = orjson.loads(_line(exchange))
    assert (document["haetae.client"], document["haetae.service"]) == ("partner-a", "spiffe://td/a")
    assert document["haetae.session"] == "public-name"
    assert "user.id" not in document


def test_request_that_could_not_be_read_still_has_a_line() -> None:
    document = orjson.loads(_line(None))
    assert document["client.ip"] == "203.0.113.9"
    assert "url.path" not in document


@given(st.text(max_size=800))
def test_any_decoded_path_is_one_line_of_json_of_bounded_size(path: str) -> None:
    exchange = _exchange()
    exchange.request = exchange.request._replace(target=replace(exchange.request.target, path="/" + path))
    line = _line(exchange)
    assert line.count(b"\n") == 1
    assert len(line) < 8000
    assert orjson.loads(line)["url.path"] == ("/" + path)[:512]
