"""Every mistake in a gateway's files: the exact file and line, and a sentence that says what to write."""

from __future__ import annotations

import pytest
from haetae_edge.config.compile import compile_gateway
from haetae_edge.errors import ConfigError, ConfigProblem
from haetae_edge.profiles import PROFILES

from tests.edge.gateway_files import HERE, load

GOOD = """\
routes:
- id: a
  uri: http://127.0.0.1:9310
  predicates:
  - Path=/a/**
"""


def problems(routes: str, **more: object) -> tuple[ConfigProblem, ...]:
    with pytest.raises(ConfigError) as caught:
        load(routes, **more)  # type: ignore[arg-type]
    return caught.value.problems


def route(*lines: str) -> str:
    """A good route with further lines; the first of them is line 6."""
    return GOOD + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        # fields
        (route("  pathh: x"), 6, ["`pathh` is not a field of route `a`", "fields: id, uri, order"]),
        (route("  metadta: {}"), 6, ["did you mean `metadata`?"]),
        (route("  order: high"), 6, ["`order` of route `a`", "`high`", "whole number"]),
        (route("  order: 1.5"), 6, ["whole number"]),
        (route("  order: [1]"), 6, ["must be a whole number, not a list"]),
        (route("  order:"), 6, ["`order` of route `a` has no value"]),
        (route("  enabled: no"), 6, ["write `true` or `false`"]),
        (route("  metadata: x"), 6, ["mapping of names to values, not `x`"]),
        (route("  metadata: {response-timeout: -1}"), 6, ["milliseconds", "cannot be switched off"]),
        (route("  metadata:", "    connect-timeout: 2s"), 7, ["milliseconds"]),
        (GOOD.replace("  uri: http://127.0.0.1:9310\n", ""), 2, ["route `a` needs `uri`", "http://host:port"]),
        (GOOD.replace("id: a", "id: a b"), 2, ["letters, digits"]),
        (GOOD.replace("- id: a", "- id:"), 2, ["has no value"]),
        (GOOD.replace("- id: a\n  uri", "- uri"), 2, ["this route needs `id`"]),
        # upstreams
        (GOOD.replace("http://127.0.0.1:9310", "lb://bank"), 3, ["`lb:` is not supported", "http://host:port"]),
        (GOOD.replace("http://127.0.0.1:9310", "ws://bank"), 3, ["WebSocket"]),
        (GOOD.replace("http://127.0.0.1:9310", "forward:/x"), 3, ["`forward:` is not supported"]),
        (GOOD.replace("http://127.0.0.1:9310", "ftp://bank"), 3, ["http:// or https://"]),
        (GOOD.replace("http://127.0.0.1:9310", "http://bank/base"), 3, ["no path", "PrefixPath"]),
        (GOOD.replace("http://127.0.0.1:9310", "http://u:p@bank"), 3, ["user name"]),
        (GOOD.replace("http://127.0.0.1:9310", "http://bank:0"), 3, ["port from 1"]),
        (GOOD.replace("http://127.0.0.1:9310", "http://ba~nk"), 3, ["DNS name"]),
        (GOOD.replace("http://127.0.0.1:9310", "http://bank:99999"), 3, ["absolute URL"]),
        (GOOD.replace("http://127.0.0.1:9310", "${BANK}"), 3, ["`${BANK}` is not set", "${BANK:default}"]),
        # predicates
        (GOOD.replace("Path=/a/**", "Pth=/a/**"), 5, ["no predicate `Pth`", "did you mean `Path`?"]),
        (GOOD.replace("Path=/a/**", "After=2024-01-01T00:00:00Z"), 5, ["no predicate `After`", "known: Header"]),
        (GOOD.replace("Path=/a/**", "Path="), 5, ["predicate `Path` needs `patterns`"]),
        (GOOD.replace("Path=/a/**", "Path=/a/**/b"), 5, ["at the end"]),
        (GOOD.replace("Path=/a/**", "Path=/a/{id"), 5, ["not closed"]),
        (GOOD.replace("Path=/a/**", "Path=/a/{x:\\d{1,3}}"), 5, ["full form"]),
        (GOOD.replace("Path=/a/**", "Path=/a/{id:(}"), 5, ["not a usable regular expression"]),
        (GOOD.replace("Path=/a/**", "Path=/a/{id:(?=x)}"), 5, ["look-around"]),
        (GOOD.replace("Path=/a/**", "Path=/a//b"), 5, ["empty segment"]),
        (GOOD.replace("Path=/a/**", "Path=/a%20b"), 5, ["decoded"]),
        (GOOD.replace("Path=/a/**", "Path=/{a}/{a}"), 5, ["same variable twice"]),
        (GOOD.replace("Path=/a/**", "Method=get"), 5, ["none of DELETE"]),
        (GOOD.replace("Path=/a/**", "Header=X Y"), 5, ["header name"]),
        (GOOD.replace("Path=/a/**", "Header=X-A, [a"), 5, ["not a usable regular expression"]),
        (GOOD.replace("Path=/a/**", "Query=a, (?!x), y"), 5, ["takes fewer arguments", "full form"]),
        (GOOD.replace("Path=/a/**", "Host=exa mple.org"), 5, ["no host has"]),
        (GOOD.replace("  predicates:\n  - Path=/a/**\n", ""), 2, ["has no predicates", "Path=/**"]),
        (GOOD.replace("  - Path=/a/**", "    Path: /a"), 5, ["predicates are a list"]),
        (GOOD.replace("- Path=/a/**", "- [Path]"), 5, ["not a list"]),
        (GOOD.replace("- Path=/a/**", "- args: {patterns: /a}"), 5, ["has no name"]),
        (GOOD.replace("- Path=/a/**", "- {name: Path, arg: {patterns: /a}}"), 5, ["`arg` does not belong here"]),
        (GOOD.replace("- Path=/a/**", "- name: Path\n    args:\n      pattern: /a"), 7, ["did you mean `patterns`?"]),
        (
            GOOD.replace(
                "- Path=/a/**", "- name: Path\n    args:\n      patterns: /a\n      matchTrailingSlash: maybe"
            ),
            8,
            ["`true`"],
        ),
        # filters
        (route("  filters:", "  - Tiemout=3s"), 7, ["no filter `Tiemout`", "did you mean `Timeout`?"]),
        (route("  filters:", "  - Timeout=3"), 7, ["with its unit"]),
        (route("  filters:", "  - Timeout"), 7, ["at least one of connect"]),
        (
            route("  filters:", "  - name: Timeout", "    args:", "      total: 1s", "      response: 2s"),
            9,
            ["less than"],
        ),
        (route("  filters:", "  - AddRequestHeader=X-A"), 7, ["needs `value`"]),
        (route("  filters:", "  - AddRequestHeader=X-A, a, b"), 7, ["takes fewer arguments"]),
        (route("  filters:", "  - AddRequestHeader=Host, evil"), 7, ["`Host` is written by the gateway itself"]),
        (route("  filters:", "  - AddRequestHeader=x_passport, evil"), 7, ["written by the gateway itself"]),
        (route("  filters:", "  - AddRequestHeader=Transfer-Encoding, chunked"), 7, ["written by the gateway"]),
        (route("  filters:", '  - "AddRequestHeader=X-A, a\\r\\nX-B: b"'), 7, ["no line breaks"]),
        (route("  filters:", "  - AddRequestHeader=X-A, né"), 7, ["visible ASCII"]),
        (route("  filters:", "  - AddRequestHeader=X-A, {tenant}"), 7, ["uses `{tenant}`", "Path=/{tenant}/**"]),
        (route("  filters:", "  - AddResponseHeader=Content-Length, 1"), 7, ["written by the gateway itself"]),
        (route("  filters:", "  - RemoveRequestHeader=Host"), 7, ["cannot remove"]),
        (route("  filters:", "  - StripPrefix=0"), 7, ["1 to 32"]),
        (route("  filters:", "  - StripPrefix=-1"), 7, ["1 to 32"]),
        (route("  filters:", "  - PrefixPath=internal"), 7, ["such as `/internal`"]),
        (route("  filters:", "  - PrefixPath=/a/../b"), 7, ["without dots"]),
        (
            route("  filters:", "  - Timeout=3s", "  - StripPrefix=1"),
            8,
            ["`StripPrefix` (inject)", "`Timeout` (resilience)"],
        ),
        (route("  filters:", "  - Trace", "  - Trace"), 8, ["already listed in line 7"]),
        # the file around the routes
        ("rotues: []\n", 1, ["`rotues` does not belong into a route file"]),
        (
            "spring:\n  cloud:\n    gateway:\n      httpclient: {}\n",
            4,
            ["spring.cloud.gateway.httpclient", "gateway.yaml"],
        ),
        ("spring:\n  cloud: x\n", 2, ["must be a mapping"]),
        ("routes: x\n", 1, ["`routes` is a list"]),
        ("routes:\n- x\n", 2, ["a route is a mapping"]),
        ("- id: a\n", 1, ["starts with `routes:`"]),
        ("default-filters:\n- Nope=1\n", 2, ["no filter `Nope`"]),
        ("default-filters: {a: b}\n", 1, ["filters are a list"]),
    ],
)
def test_a_mistake_in_a_route_file_is_reported_where_it_is(text: str, line: int, words: list[str]) -> None:
    (problem,) = problems(text)
    assert (problem.file, problem.line) == ("conf/routes/r.yaml", line)
    for word in words:
        assert word in problem.message


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("profile: plain\n", 1, ["the gateway needs `name`"]),
        ("name: x\n", 1, ["the gateway needs `profile`"]),
        ("name: x\nprofile: plane\n", 1, ["no profile `plane`", "did you mean `plain`?"]),
        ("name: a/b\nprofile: plain\n", 1, ["letters, digits"]),
        ("name: x\nprofile: plain\nlimit: {}\n", 3, ["did you mean `limits`?"]),
        ("name: x\nprofile: plain\nlimits: {header-byts: 1KB}\n", 3, ["did you mean `header-bytes`?"]),
        ("name: x\nprofile: plain\nlimits:\n  body-bytes: 100\n", 4, ["`100` does not fit", "with its unit"]),
        ("name: x\nprofile: plain\nlimits:\n  body-bytes: 0B\n", 4, ["more than zero"]),
        ("name: x\nprofile: plain\nlimits:\n  header-timeout: 1y\n", 4, ["duration with its unit"]),
        ("name: x\nprofile: plain\nlimits:\n  headerBytes: 1KB\n  header-bytes: 1KB\n", 5, ["same field", "line 4"]),
        ("name: x\nprofile: plain\ntrusted-proxies: [10.0.0.1/8]\n", 3, ["without host bits"]),
        ("name: x\nprofile: plain\ntrusted-proxies: [0.0.0.0/0]\n", 3, ["every address"]),
        ("name: x\nprofile: plain\nissuers:\n- issuer: i\n  audience: a\n", 4, ["needs `jwks-uri`"]),
        (
            (
                "name: x\nprofile: plain\nissuers:\n- issuer: i\n  audience: a\n  jwks-uri: http://h/k\n"
                "  algorithms: [HS256]\n"
            ),
            7,
            ["`HS256`", "`ES256`"],
        ),
        ("name: x\nprofile: plain\npassport: {issuer: i, ttl: 10m}\n", 3, ["`1s` to `5m`"]),
        ("name: x\nprofile: plain\naccess-log: {target: file}\n", 3, ["`path` goes with"]),
        ("name: x\nprofile: plain\nredis: {uri: http://h}\n", 3, ["redis://"]),
        ("name: x\nprofile: plain\nroutes: []\n", 3, ["`routes` is not a field of the gateway"]),
        ("- name: x\n", 1, ["must be a mapping of fields"]),
    ],
)
def test_a_mistake_in_gateway_yaml_is_reported_where_it_is(text: str, line: int, words: list[str]) -> None:
    (problem,) = problems("", gateway=text.encode())
    assert (problem.file, problem.line) == ("conf/gateway.yaml", line)
    for word in words:
        assert word in problem.message


def test_all_mistakes_of_all_files_are_reported_together_in_order() -> None:
    found = problems(
        route("  order: x", "  filters:", "  - Nope", "  - Timeout=3"), gateway=b"name: x\nprofile: plain\nlimitz: 1\n"
    )
    assert [(p.file, p.line) for p in found] == [
        ("conf/gateway.yaml", 3),
        ("conf/routes/r.yaml", 6),
        ("conf/routes/r.yaml", 8),
        ("conf/routes/r.yaml", 9),
    ]


def test_a_route_id_used_twice_names_both_places() -> None:
    (problem,) = problems(GOOD + GOOD.replace("routes:\n", ""))
    assert problem.line == 6
    assert "already defined in conf/routes/r.yaml:2" in problem.message


def test_a_route_that_breaks_its_profile_is_told_each_filter_it_needs() -> None:
    found = problems(GOOD, gateway=b"name: x\nprofile: app\n", profiles=PROFILES)
    assert [problem.line for problem in found] == [2, 2, 2]
    assert {"`AppChannel`", "`Block`", "`Passport`"} == {problem.message.split()[3].rstrip(",") for problem in found}


def test_a_secret_of_the_wrong_shape_is_not_quoted() -> None:
    text = b"name: x\nprofile: plain\nidentity: {uri: 'http://h', token: '${T}'}\n"
    (problem,) = problems("", gateway=text, environment={"T": "hunter 2"})
    assert "hunter" not in problem.message


def test_a_value_of_the_environment_is_quoted_as_written() -> None:
    (problem,) = problems(GOOD.replace("http://127.0.0.1:9310", "${URI}"), environment={"URI": "secret-thing"})
    assert "secret-thing" not in problem.message
    assert "${URI}" in problem.message


def test_a_missing_gateway_file_says_what_belongs_in_it() -> None:
    with pytest.raises(ConfigError, match=r"conf/gateway.yaml:1: this file is missing.*`name:` and `profile:`"):
        compile_gateway({}, directory=HERE, environment={})
