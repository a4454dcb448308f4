"""Filters that change path, headers and deadlines."""

from __future__ import annotations

import pytest
from haetae_edge.deadlines import Deadlines
from haetae_edge.errors import Refusal
from haetae_edge.filters.add_request_header import AddRequestHeader
from haetae_edge.filters.add_response_header import AddResponseHeader
from haetae_edge.filters.prefix_path import PrefixPath
from haetae_edge.filters.remove_request_header import RemoveRequestHeader
from haetae_edge.filters.strip_prefix import StripPrefix
from haetae_edge.filters.timeout import Timeout

from tests.edge.gateway_files import answer, exchange, run


@pytest.mark.parametrize(
    ("target", "parts", "path"),
    [
        ("/a/b/c", 1, "/b/c"),
        ("/a/b/c", 2, "/c"),
        ("/a/b/c", 3, "/"),
        ("/a/b/c", 9, "/"),
        ("/a/b/", 1, "/b/"),
        ("/a/b/", 2, "/"),
        ("/", 1, "/"),
        ("/a/b%20c/%C3%A9?x=%2F", 1, "/b%20c/%C3%A9"),
    ],
)
def test_strip_prefix_keeps_what_is_left_byte_for_byte(target: str, parts: int, path: str) -> None:
    made = run(StripPrefix(parts=parts), exchange(target))
    assert made.path == path
    assert made.query == ("x=%2F" if "?" in target else None)


@pytest.mark.parametrize(
    ("prefix", "target", "path"),
    [
        ("/internal", "/a%20b", "/internal/a%20b"),
        ("/internal/", "/", "/internal/"),
        ("/", "/a", "/a"),
        ("/t/{tenant}", "/a", "/t/b%20l%2525/a"),
        ("/t{rest}", "/a", "/t/x/y/a"),
    ],
)
def test_prefix_path_encodes_the_variables_it_puts_in(prefix: str, target: str, path: str) -> None:
    made = exchange(target)
    made.variables = {"tenant": "b l%25", "rest": "/x/y"}
    assert run(PrefixPath(prefix=prefix), made).path == path


def test_a_prefix_with_an_empty_variable_is_refused() -> None:
    made = exchange("/a")
    made.variables = {"tenant": ""}
    with pytest.raises(Refusal) as refused:
        run(PrefixPath(prefix="/t/{tenant}"), made)
    assert refused.value.problem == "input-invalid"


@pytest.mark.parametrize("prefix", ["", "x", "/a/../b", "/a//b", "/./a", "/a?b", "/a#b", "/a b", "/a%2", "/é"])
def test_a_prefix_that_is_no_encoded_path_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="write a path"):
        PrefixPath(prefix=prefix)


def test_a_request_header_is_added_beside_those_that_are_there() -> None:
    made = exchange(fields=((b"X-Tenant", b"red"),))
    made.variables = {"t": "blue"}
    run(AddRequestHeader(name="X-Tenant", value="is-{t}"), made)
    assert made.fields == [(b"x-tenant", b"red"), (b"x-tenant", b"is-blue")]


@pytest.mark.parametrize("value", ["é", "a\r\nX-Evil: 1", "\x00", "\x7f"])
def test_a_variable_cannot_put_line_breaks_or_other_letters_into_a_header(value: str) -> None:
    made = exchange()
    made.variables = {"t": value}
    with pytest.raises(Refusal) as refused:
        run(AddRequestHeader(name="X-Tenant", value="{t}"), made)
    assert refused.value.problem == "input-invalid"
    made = exchange()
    made.variables = {"t": value}
    assert answer(AddResponseHeader(name="X-Tenant", value="{t}"), made).fields == []


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "content-length", "Transfer_Encoding", "Connection", "TE", "Upgrade", "X-Passport", "x_passport"),
        *("X-Forwarded-For", "X_Real_IP", "Forwarded", "X-Forwarded-Client-Cert", "traceparent", "X-B3-Sampled"),
        "Expect",
    ],
)
def test_the_gateways_own_headers_cannot_be_added(name: str) -> None:
    with pytest.raises(ValueError, match="written by the gateway itself"):
        AddRequestHeader(name=name, value="x")


def test_a_header_is_removed_in_every_spelling() -> None:
    made = exchange(fields=((b"X-Internal-Id", b"1"), (b"x_internal_id", b"2"), (b"x-internal", b"3")))
    run(RemoveRequestHeader(name="x-internal_ID"), made)
    assert made.fields == [(b"x-internal", b"3")]


@pytest.mark.parametrize("name", ["Host", "Content-Length", "X-Passport", "x_passport"])
def test_framing_and_the_passport_cannot_be_removed(name: str) -> None:
    with pytest.raises(ValueError, match="cannot remove"):
        RemoveRequestHeader(name=name)


@pytest.mark.parametrize(
    ("override", "there", "added"),
    [(True, b"1", True), (False, b"1", False), (False, b" ", True), (False, None, True), (True, None, True)],
)
def test_a_response_header_respects_override(override: bool, there: bytes | None, added: bool) -> None:
    fields = [(b"x-by", there)] if there is not None else []
    response = answer(AddResponseHeader(name="X-By", value="gw", override=override), exchange(), *fields)
    assert ((b"x-by", b"gw") in response.fields) is added
    assert response.fields[: len(fields)] == fields


def test_a_timeout_changes_what_it_names_and_nothing_else() -> None:
    made = exchange()
    made.deadlines = Deadlines(connect=1.0, first_byte=2.0, idle=3.0, total=4.0)
    run(Timeout(response=0.5), made)
    assert made.deadlines == Deadlines(connect=1.0, first_byte=0.5, idle=3.0, total=4.0)
    run(Timeout(first_byte=0.25, connect=0.1, idle=9.0, total=30.0), made)
    assert made.deadlines == Deadlines(connect=0.1, first_byte=0.25, idle=9.0, total=30.0)


def test_a_timeout_that_means_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Timeout()
    with pytest.raises(ValueError, match="keep one"):
        Timeout(response=1.0, first_byte=1.0)
    with pytest.raises(ValueError, match="without a deadline"):
        Timeout(total=0.0)
    with pytest.raises(ValueError, match="less than one of its parts"):
        Timeout(connect=3.0, total=1.0)
