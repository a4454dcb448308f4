"""Path patterns: Spring's grammar on the decoded path."""

from __future__ import annotations

import re

import pytest
from haetae_edge.template import Kind, PathTemplate, parse_template
from hypothesis import given
from hypothesis import strategies as st


def match(pattern: str, path: str, *, slash: bool = True) -> dict[str, str] | None:
    variables: dict[str, str] = {}
    template = parse_template(pattern, match_trailing_slash=slash)
    return variables if template.compile()(path, variables) else None


@pytest.mark.parametrize(
    ("pattern", "path", "variables"),
    [
        ("/", "/", {}),
        ("/", "/a", None),
        ("/a", "/a", {}),
        ("a", "/a", {}),
        ("/a", "/a/", {}),
        ("/a", "/A", None),
        ("/a", "/a/b", None),
        ("/a/", "/a/", {}),
        ("/a/", "/a", None),
        ("/a/**", "/a", {}),
        ("/a/**", "/a/", {}),
        ("/a/**", "/a/b/c/", {}),
        ("/a/**", "/ab", None),
        ("/**", "/", {}),
        ("/**", "/x/y", {}),
        ("/a/*", "/a/", {}),
        ("/a/*", "/a/b", {}),
        ("/a/*", "/a/b/", {}),
        ("/a/*", "/a", None),
        ("/a/*", "/a/b/c", None),
        ("/*", "/", {}),
        ("/a/*/c", "/a/b/c", {}),
        ("/a/*/c", "/a/c", None),
        ("/a/*/**", "/a/b", {}),
        ("/a/*/**", "/a/", None),
        ("/a?c", "/abc", {}),
        ("/a?c", "/ac", None),
        ("/a*c", "/ac", {}),
        ("/a*c", "/abbbc", {}),
        ("/a*c", "/a/c", None),
        ("/u/{id}", "/u/7", {"id": "7"}),
        ("/u/{id}", "/u/7/", {"id": "7"}),
        ("/u/{id}", "/u/", None),
        ("/u/{id}", "/u", None),
        ("/u/{id}/x", "/u/é/x", {"id": "é"}),
        ("/u/{id:[0-9]+}", "/u/42", {"id": "42"}),
        ("/u/{id:[0-9]+}", "/u/4x", None),
        ("/u/{id:[0-9]{1,3}}", "/u/123", {"id": "123"}),
        ("/u/{id:[0-9]{1,3}}", "/u/1234", None),
        ("/f/{name}.{ext:js|css}", "/f/a.b.js", {"name": "a.b", "ext": "js"}),
        ("/f/{name}.{ext:js|css}", "/f/a.html", None),
        ("/v{major}-{minor}", "/v1-2", {"major": "1", "minor": "2"}),
        ("/v{any}", "/v", {"any": ""}),
        ("/x/{a:(p)(q)}z", "/x/pqz", {"a": "pq"}),
        ("/{a}/{*rest}", "/x/y/z/", {"a": "x", "rest": "/y/z/"}),
        ("/a/{*rest}", "/a", {"rest": ""}),
        ("/a/{*rest}", "/a/", {"rest": "/"}),
        ("/a/{*rest}", "/b", None),
        ("/.*", "/.x", {}),
        ("/.*", "/x", None),
    ],
)
def test_a_pattern_matches_as_in_spring(pattern: str, path: str, variables: dict[str, str] | None) -> None:
    assert match(pattern, path) == variables


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [("/a", "/a", True), ("/a", "/a/", False), ("/a/", "/a/", True), ("/{x}", "/a/", False), ("/a/*", "/a/", True)],
)
def test_the_trailing_slash_counts_where_the_route_says_so(pattern: str, path: str, fits: bool) -> None:
    assert (match(pattern, path, slash=False) is not None) is fits


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "",
            "/a/**/b",
            "/**/",
            "/a**",
            "/{*x}/y",
            "/{*}",
            "/{",
            "/}",
            "/{a",
            "/a}",
            "/{1a}",
            "/{a b}",
            "/{}",
            "/{a:}",
        ),
        *("/{a:[}", "/x{a:(}", "/a//b", "//", "/../x", "/a/./b", "/a;b", "/a\\b", "/a%2Fb", "/{a}/{a}", "/{a}/{*a}"),
        *("/a\x00", "/" + "a" * 1000, "/a" * 65),
    ],
)
def test_a_pattern_that_is_wrong_or_can_never_match_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_template(pattern)


def test_a_hostile_path_does_not_make_an_expression_slow() -> None:
    compiled = parse_template("/{a:(x+x+)+y}").compile()
    assert not compiled("/" + "x" * 7000, {})


SEGMENT = st.sampled_from(["a", "b", "ab", "*", "a*", "?", "?b", "{v}", "{v:[ab]+}", "a{v}"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    parts = draw(st.lists(SEGMENT, max_size=4))
    parts = [part.replace("v", f"v{at}") for at, part in enumerate(parts)]
    end = draw(st.sampled_from(["", "", "/", "/**", "/{*rest}"]))
    return "/" + "/".join(parts) + (end if parts else end.removeprefix("/"))


paths = st.lists(st.sampled_from(["a", "b", "ab", "abb", "c"]), max_size=5).flatmap(
    lambda parts: st.sampled_from(["/" + "/".join(parts), "/" + "/".join(parts) + "/" if parts else "/"])
)


def as_expression(template: PathTemplate) -> str:
    """The pattern as one regular expression, made without the code under test."""
    expression = ""
    for at, segment in enumerate(template.segments):
        last = at == len(template.segments) - 1
        if segment.kind is Kind.ANY:
            open_end = last and template.rest is None and not template.slash
            expression += "/[^/]*" if open_end else "/[^/]+"
            continue
        inner = re.sub(r"\{v[0-9]+:\[ab\]\+\}", "[ab]+", segment.text)
        alone = segment.text.startswith("{")
        inner = re.sub(r"\{v[0-9]+\}", "[^/]+" if alone else "[^/]*", inner)
        if segment.text in ("?", "?b"):
            inner = inner.replace("?", "[^/]")
        expression += "/" + (inner if segment.text != "a*" else "a[^/]*")
    if template.rest is not None:
        return expression + "(?:/.*)?"
    if template.slash:
        return expression + "/"
    return expression + ("/?" if template.optional_slash else "")


@given(patterns(), paths, st.booleans())
def test_a_pattern_equals_its_plain_expression(pattern: str, path: str, slash: bool) -> None:
    template = parse_template(pattern, match_trailing_slash=slash)
    variables: dict[str, str] = {}
    fits = template.compile()(path, variables)
    expected = re.fullmatch(as_expression(template), path) is not None and not (path.endswith("//"))
    assert fits is expected
    assert set(variables) == (set(template.variables) if fits else set())


@given(st.text(alphabet="/{}*?:ab[].(", max_size=30), st.text(alphabet="/ab.", max_size=20))
def test_any_text_is_a_pattern_or_a_value_error(pattern: str, path: str) -> None:
    try:
        compiled = parse_template(pattern).compile()
    except ValueError:
        return
    assert compiled("/" + path.lstrip("/"), {}) in (True, False)
