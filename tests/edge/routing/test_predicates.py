"""What each predicate takes and what it leaves."""

from __future__ import annotations

import pytest
from haetae_edge.config.pattern import Pattern
from haetae_edge.predicate import Predicate
from haetae_edge.predicates.header import Header
from haetae_edge.predicates.host import Host
from haetae_edge.predicates.method import Method
from haetae_edge.predicates.query import Query
from haetae_edge.querystring import MAX_PARAMETERS, decode, parameters
from haetae_edge.request import Request
from hypothesis import given
from hypothesis import strategies as st

from tests.edge.gateway_files import request


def holds(predicate: Predicate, asked: Request) -> dict[str, str] | None:
    variables: dict[str, str] = {}
    return variables if predicate.build()(asked, variables) else None


@pytest.mark.parametrize(
    ("pattern", "host", "variables"),
    [
        ("api.example.org", "api.example.org", {}),
        ("API.example.org", "api.EXAMPLE.org", {}),
        ("api.example.org", "api.example.org:80", {}),
        ("api.example.org", "api.example.org:8443", None),
        ("api.example.org:8443", "api.example.org:8443", {}),
        ("**.example.org", "example.org", {}),
        ("**.example.org", "a.example.org", {}),
        ("**.example.org", "a.b.example.org", {}),
        ("**.example.org", "evilexample.org", None),
        ("**.example.org", "example.org.evil.com", None),
        ("*.example.org", "a.example.org", {}),
        ("*.example.org", "a.b.example.org", None),
        ("*.example.org", "example.org", None),
        ("a*.example.org", "api.example.org", {}),
        ("ap?.example.org", "api.example.org", {}),
        ("**", "any.thing", {}),
        ("example.**", "example.a.b", {}),
        ("{sub}.example.org", "api.example.org", {"sub": "api"}),
        ("{sub:a|b}.example.org", "b.example.org", {"sub": "b"}),
        ("{sub:a|b}.example.org", "c.example.org", None),
        ("[2001:db8::1]", "[2001:db8:0::1]", {}),
    ],
)
def test_hosts_match_label_by_label(pattern: str, host: str, variables: dict[str, str] | None) -> None:
    assert holds(Host(patterns=(pattern,)), request(host=host)) == variables


@pytest.mark.parametrize(
    "pattern", ["", "a b.org", "a..org", "{x", "{1}.org", "{a}.{a}.org", "a/b", "{x:[}.org", "x" * 301]
)
def test_a_host_pattern_that_no_host_has_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Host(patterns=(pattern,))


def test_the_first_host_pattern_that_fits_gives_the_variables() -> None:
    predicate = Host(patterns=("{a}.example.org", "{b}.**"))
    assert holds(predicate, request(host="x.example.org")) == {"a": "x"}
    assert holds(predicate, request(host="x.y.z")) == {"b": "x"}
    assert predicate.sets == frozenset()


@pytest.mark.parametrize(
    ("regexp", "values", "fits"),
    [
        (None, (b"",), True),
        (None, (), False),
        (r"\d+", (b"42",), True),
        (r"\d+", (b"42x",), False),
        (r"\d+", (b"x", b"42"), True),
        (r"\d+", (b"",), False),
    ],
)
def test_one_header_value_must_match_as_a_whole(regexp: str | None, values: tuple[bytes, ...], fits: bool) -> None:
    predicate = Header(header="X-Request-Id", regexp=Pattern(regexp) if regexp else None)
    asked = request(fields=tuple((b"x-request-ID", value) for value in values))
    assert (holds(predicate, asked) is not None) is fits


@pytest.mark.parametrize(
    ("regexp", "query", "fits"),
    [
        (None, "?color", True),
        (None, "?color=", True),
        (None, "", False),
        (None, "?colors=1", False),
        ("gree.", "?color=green", True),
        ("gree.", "?color=greenish", False),
        ("gree.", "?color=red&color=green", True),
        ("gree.", "?c%6Flor=gree%6E", True),
        ("a b", "?color=a+b", True),
        ("gree.", "?color=green&x=%FF", False),
        ("gree.", "?" + "x&" * MAX_PARAMETERS + "color=green", False),
    ],
)
def test_one_query_value_must_match_decoded_and_as_a_whole(regexp: str | None, query: str, fits: bool) -> None:
    predicate = Query(param="color", regexp=Pattern(regexp) if regexp else None)
    assert (holds(predicate, request("/" + query)) is not None) is fits


def test_methods_are_case_sensitive_names() -> None:
    assert holds(Method(methods=("POST", "PUT")), request(method="PUT")) == {}
    assert holds(Method(methods=("POST",)), request(method="GET")) is None
    with pytest.raises(ValueError, match="did you mean `GET`"):
        Method(methods=("get",))


@given(st.text(alphabet="a=&%+;4fF\u00e9", max_size=40))
def test_any_query_text_is_read_piece_by_piece_without_loss(query: str) -> None:
    pieces = list(parameters(query))
    assert [piece.raw for piece in pieces] == [part for part in query.split("&") if part]


@given(st.text(max_size=20))
def test_what_is_percent_encoded_decodes_to_itself(text: str) -> None:
    encoded = "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))
    try:
        expected = text.encode().decode()
    except UnicodeEncodeError:
        expected = None
    assert decode(encoded) == expected


@pytest.mark.parametrize("text", ["%", "%4", "%zz", "%FF", "%C3", "a%"])
def test_broken_encoding_has_no_meaning(text: str) -> None:
    assert decode(text) is None


def test_an_expression_costs_linear_time_and_bounded_memory() -> None:
    assert not Pattern("(a|aa)+$").fullmatch("a" * 100_000 + "b")
    with pytest.raises(ValueError, match="not a usable"):
        Pattern("((a{1000}){1000}){1000}")
    for refused in ("(?=a)", r"(a)\1", "(?<!a)b", "[", "x" * 1001):
        with pytest.raises(ValueError, match="regular expression"):
            Pattern(refused)
