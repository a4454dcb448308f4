"""The route table picks the route that trying every route in turn would pick."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from haetae_edge.exchange import Exchange, Response
from haetae_edge.overlaps import overlaps
from haetae_edge.predicate import Predicate
from haetae_edge.predicates.header import Header
from haetae_edge.predicates.host import Host
from haetae_edge.predicates.method import Method
from haetae_edge.predicates.path import Path
from haetae_edge.request import Request
from haetae_edge.route import Route, RouteDefinition
from haetae_edge.table import RouteTable
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.edge.gateway_files import request
from tests.edge.routing.test_path_templates import paths, patterns


async def send(exchange: Exchange) -> Response:
    return Response(status=200, fields=[], body=b"")


def definition(name: str, *predicates: Predicate, order: int = 0) -> RouteDefinition:
    return RouteDefinition(
        id=name, uri="http://h:1", order=order, predicates=predicates, filters=(), metadata={}, file="r.yaml", line=1
    )


def table(*definitions: RouteDefinition) -> RouteTable:
    return RouteTable(
        [
            Route(definition=item, id=item.id, index=at, before=(), send=send, after=())
            for at, item in enumerate(definitions)
        ]
    )


def path(*texts: str, slash: bool = True) -> Path:
    return Path(patterns=texts, match_trailing_slash=slash)


def found(routes: RouteTable, asked: Request) -> tuple[str, dict[str, str]] | None:
    match = routes.match(asked)
    return None if match is None else (match[0].id, match[1])


def test_the_lowest_order_wins_then_the_order_of_the_file() -> None:
    routes = table(
        definition("late", path("/a/**"), order=5),
        definition("first", path("/a/{x}")),
        definition("second", path("/a/b")),
        definition("earliest", path("/a/b/c"), order=-1),
    )
    assert found(routes, request("/a/b")) == ("first", {"x": "b"})
    assert found(routes, request("/a/b/c")) == ("earliest", {})
    assert found(routes, request("/a")) == ("late", {})
    assert found(routes, request("/b")) is None


def test_all_predicates_must_hold_and_a_failed_route_leaves_no_variables() -> None:
    routes = table(
        definition("post", path("/a/{wrong}"), Method(methods=("POST",))),
        definition("get", path("/a/{right}"), Method(methods=("GET",))),
    )
    assert found(routes, request("/a/1")) == ("get", {"right": "1"})
    assert found(routes, request("/a/1", method="DELETE")) is None


def test_a_route_without_a_path_is_tried_for_every_request() -> None:
    routes = table(definition("path", path("/a")), definition("host", Host(patterns=("{tenant}.example.org",))))
    assert found(routes, request("/anything")) == ("host", {"tenant": "api"})
    assert found(routes, request("/a")) == ("path", {})


def test_encoded_paths_are_matched_decoded() -> None:
    assert found(table(definition("a", path("/caf\u00e9/{x}"))), request("/caf%C3%A9/a%20b")) == ("a", {"x": "a b"})


def naive(definitions: Sequence[RouteDefinition], asked: Request) -> tuple[str, dict[str, str]] | None:
    for item in sorted(definitions, key=lambda one: one.order):
        variables: dict[str, str] = {}
        if all(predicate.build()(asked, variables) for predicate in item.predicates):
            return item.id, variables
    return None


predicates: st.SearchStrategy[list[Predicate]] = st.lists(
    st.one_of(
        st.lists(patterns(), min_size=1, max_size=2).map(lambda texts: path(*texts)),
        patterns().map(lambda text: path(text, slash=False)),
        st.sampled_from([Method(methods=("GET",)), Method(methods=("POST", "GET")), Header(header="X-A")]),
        st.sampled_from([Host(patterns=("**.example.org",)), Host(patterns=("other.org",))]),
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def definitions(draw: st.DrawFn) -> list[RouteDefinition]:
    made = draw(st.lists(st.tuples(predicates, st.integers(-1, 1)), max_size=8))
    return [definition(f"r{at}", *tests, order=order) for at, (tests, order) in enumerate(made)]


requests = st.builds(
    request,
    paths,
    method=st.sampled_from(["GET", "POST"]),
    host=st.sampled_from(["api.example.org", "other.org"]),
    fields=st.sampled_from([(), ((b"x-a", b"1"),)]),
)


@given(definitions(), st.lists(requests, max_size=6))
@settings(max_examples=300)
def test_the_table_equals_trying_every_route_in_turn(items: list[RouteDefinition], asked: list[Request]) -> None:
    routes = table(*items)
    assert [found(routes, one) for one in asked] == [naive(items, one) for one in asked]


@given(definitions(), st.lists(requests, max_size=10))
@settings(max_examples=300)
def test_a_route_that_ever_wins_is_never_reported_as_shadowed(
    items: list[RouteDefinition], asked: list[Request]
) -> None:
    shadowed = {report.second.id for report in overlaps(items) if report.kind == "shadowed"}
    winners = {winner[0] for one in asked if (winner := naive(items, one)) is not None}
    assert not shadowed & winners


def reports(*items: RouteDefinition) -> list[tuple[str, str, str]]:
    return [(report.kind, report.first.id, report.second.id) for report in overlaps(items)]


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        ((path("/a/**"),), (path("/a/b"),), "shadowed"),
        ((path("/a/{x}"),), (path("/a/b"),), "shadowed"),
        ((path("/a/*"),), (path("/a/{x}"),), "shadowed"),
        ((path("/a/{x}"),), (path("/a/*"),), None),
        ((path("/a/b"),), (path("/a/**"),), None),
        ((path("/a/{x}/c"),), (path("/a/b/{y}"),), "ambiguous"),
        ((path("/a/{x:[0-9]+}"),), (path("/a/7"),), "shadowed"),
        ((path("/a/{x:[0-9]+}"),), (path("/a/b"),), None),
        ((path("/a/**"), Method(methods=("GET",))), (path("/a/b"),), "ambiguous"),
        ((path("/a/**"), Method(methods=("GET",))), (path("/a/b"), Method(methods=("POST",))), None),
        ((path("/a/**"), Method(methods=("GET", "POST"))), (path("/a/b"), Method(methods=("POST",))), "shadowed"),
        ((path("/a"), Host(patterns=("x.org",))), (path("/a"), Host(patterns=("y.org",))), None),
        ((path("/a"),), (path("/a"), Host(patterns=("y.org",))), "shadowed"),
        ((path("/a"), Header(header="X-A")), (path("/a"),), None),
        ((Host(patterns=("**.org",)),), (path("/a"),), "ambiguous"),
        ((path("/a", slash=False),), (path("/a"),), None),
    ],
)
def test_overlapping_routes_are_reported(
    first: tuple[Predicate, ...], second: tuple[Predicate, ...], kind: str | None
) -> None:
    expected = [] if kind is None else [(kind, "one", "two")]
    assert reports(definition("one", *first), definition("two", *second)) == expected


def test_routes_whose_order_is_written_down_are_not_ambiguous() -> None:
    one, two = definition("one", path("/{x}/c"), order=1), definition("two", path("/b/{y}"), order=2)
    assert reports(one, two) == []


def test_a_report_says_what_to_do() -> None:
    (report,) = overlaps([definition("one", path("/**")), definition("two", path("/a"))])
    assert report.message.startswith("route `two` is never reached: `one` (r.yaml:1) takes all of its requests")
