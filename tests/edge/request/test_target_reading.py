"""Targets and authorities from any text: one value or the declared refusal, and a value that reads in one way only."""

from urllib.parse import quote, unquote

import pytest
from haetae_edge import target
from haetae_edge.errors import Refusal
from haetae_edge.target import MAX_TARGET, Authority, Target, parse_authority, parse_target
from hypothesis import example, given
from hypothesis import strategies as st

#: Text as the parser hands it over: any byte, those above ASCII as lone surrogates or as UTF-8.
_ANY = st.one_of(st.text(), st.binary(max_size=200).map(lambda raw: raw.decode("utf-8", "surrogateescape")))
#: Nearly right: the pieces that paths and tricks are made of.
_PIECES = st.lists(
    st.sampled_from(
        [
            "/",
            "a",
            "B9",
            ".",
            "..",
            "%2e",
            "%2F",
            "%5c",
            "%00",
            "%25",
            "%c3%a9",
            "%ff",
            ";",
            "\\",
            "?",
            "#",
            "%",
            "é",
            "*",
        ]
    ),
    max_size=12,
).map("".join)
_TARGETS = st.one_of(_ANY, _PIECES, _PIECES.map(lambda text: "/" + text))


def _target(raw: str) -> Target | None:
    try:
        return parse_target(raw)
    except Refusal as refusal:
        if refusal.problem not in ("request-ambiguous", "request-malformed", "uri-too-long"):
            raise
        return None


@given(_TARGETS)
@example("/" + "a" * MAX_TARGET)
@example("")
def test_any_text_is_a_target_or_a_refusal(raw: str) -> None:
    found = _target(raw)
    if found is not None:
        assert raw.isascii()
        assert raw == (found.raw_path if found.query is None else f"{found.raw_path}?{found.query}")


@given(_TARGETS)
def test_accepted_path_decodes_one_way_and_has_no_structure_left_to_find(raw: str) -> None:
    found = _target(raw)
    if found is None:
        return
    path = found.path
    assert path == unquote(found.raw_path, errors="strict")
    assert not any(char in path for char in "%") or "%25" in found.raw_path
    assert path.startswith("/")
    assert path.count("/") == found.raw_path.count("/")
    for forbidden in ("//", "\\", ";", "\x00", "\r", "\n", "\x7f"):
        assert forbidden not in path
    assert not {".", ".."} & set(path.split("/"))


@given(_TARGETS)
def test_decoded_path_written_again_reads_as_the_same_path(raw: str) -> None:
    found = _target(raw)
    if found is not None:
        again = parse_target(quote(found.path, safe="/"))
        assert again.path == found.path


@given(_TARGETS)
def test_the_same_text_reads_the_same_every_time(raw: str) -> None:
    assert _target(raw) == _target(raw)


@given(st.text(alphabet="abc/.%2eEfF5c;\\", max_size=30))
def test_two_spellings_of_one_path_never_escape_their_prefix(tail: str) -> None:
    found = _target("/public/" + tail)
    if found is not None:
        assert found.path.startswith("/public/")


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/", "/"),
        ("/a/", "/a/"),
        ("/%61", "/a"),
        ("/%EC%82%AC", "/사"),
        ("/100%25", "/100%"),
        ("/a%20b", "/a b"),
        ("/...", "/..."),
        ("/.well-known/x", "/.well-known/x"),
    ],
)
def test_plain_path_decodes(raw: str, path: str) -> None:
    assert parse_target(raw).path == path


@pytest.mark.parametrize(("raw", "query"), [("/a", None), ("/a?", ""), ("/a?b?c", "b?c"), ("/?x=%2f", "x=%2f")])
def test_query_is_kept_as_it_is_and_absent_is_not_empty(raw: str, query: str | None) -> None:
    assert parse_target(raw).query == query


_HOSTS = st.one_of(
    _ANY,
    st.lists(
        st.sampled_from(["a", "Z", "9", ".", "-", "_", ":", "80", "443", "99999", "[", "]", "::1", "%", "@", "/", " "]),
        max_size=8,
    ).map("".join),
)


def _authority(raw: str, scheme: str = "http") -> Authority | None:
    try:
        return parse_authority(raw, scheme=scheme)
    except Refusal as refusal:
        if refusal.problem != "request-malformed":
            raise
        return None


@given(_HOSTS, st.sampled_from(["http", "https"]))
@example("[::1]:80", "http")
@example("[" + ":" * 300 + "]", "http")
def test_any_text_is_an_authority_or_a_refusal(raw: str, scheme: str) -> None:
    found = _authority(raw, scheme)
    if found is not None:
        assert found.value.isascii()
        assert found.value == found.value.lower()
        assert not set(found.value) & set(" \t\r\n/\\@?#,;\"'<>%_")
        assert found.value.startswith(found.host)


@given(_HOSTS, st.sampled_from(["http", "https"]))
def test_canonical_authority_reads_as_itself(raw: str, scheme: str) -> None:
    found = _authority(raw, scheme)
    if found is not None:
        assert _authority(found.value, scheme) == found


@pytest.mark.parametrize(
    ("raw", "scheme", "value"),
    [
        ("API.Test", "http", "api.test"),
        ("api.test:80", "http", "api.test"),
        ("api.test:443", "http", "api.test:443"),
        ("api.test:443", "https", "api.test"),
        ("api.test:0080", "http", "api.test"),
        ("[2001:DB8::0:1]:443", "https", "[2001:db8::1]"),
        ("api.test.", "http", "api.test."),
    ],
)
def test_authority_has_one_spelling(raw: str, scheme: str, value: str) -> None:
    found = _authority(raw, scheme)
    assert found is not None
    assert found.value == value


def test_caches_stay_small_whatever_is_asked() -> None:
    for number in range(target._CACHE_ENTRIES + 1000):
        parse_target(f"/flood/{number}")
        _authority(f"h{number}.test")
    assert len(target._targets) <= target._CACHE_ENTRIES
    assert len(target._authorities) <= target._CACHE_ENTRIES
