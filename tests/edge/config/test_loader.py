"""A gateway's directory becomes one configuration."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from haetae_edge.config.compile import revision_of
from haetae_edge.config.loader import load_gateway
from haetae_edge.config.values import parse_duration, parse_size
from haetae_edge.deadlines import Deadlines
from haetae_edge.errors import ConfigError
from haetae_edge.filters.add_request_header import AddRequestHeader
from haetae_edge.filters.strip_prefix import StripPrefix
from haetae_edge.filters.timeout import Timeout
from haetae_edge.filters.trace import Trace
from haetae_edge.io.upstream import Origin
from haetae_edge.limits import Limits
from haetae_edge.predicates.path import Path as PathPredicate
from haetae_edge.profiles import Profile
from hypothesis import given
from hypothesis import strategies as st

from tests.edge.gateway_files import load

BODY = """
- id: a
  uri: http://h:1
  predicates: [Path=/a]
"""


def indented(text: str, by: int) -> str:
    return text.replace("\n", "\n" + " " * by)


@pytest.mark.parametrize(
    "text",
    [
        "routes:" + BODY,
        "spring:\n  cloud:\n    gateway:\n      routes:" + indented(BODY, 6),
        "spring:\n  cloud:\n    gateway:\n      server:\n        webflux:\n          routes:" + indented(BODY, 10),
        "spring.cloud.gateway:\n  routes:" + indented(BODY, 2),
        "spring.cloud.gateway.server.webflux.routes:" + BODY,
    ],
)
def test_routes_load_from_every_nesting_spring_knows(text: str) -> None:
    assert [route.id for route in load(text).routes] == ["a"]


def test_short_and_full_form_give_the_same_component() -> None:
    config = load(
        """
routes:
- id: a
  uri: http://h:1
  predicates:
  - Path=/x/{t}, /y/{t}/**, false
  - name: Path
    args:
      patterns: [ '/x/{t}', '/y/{t}/**' ]
      match-trailing-slash: false
  - name: Path
    args: {_genkey_0: '/x/{t}', _genkey_1: '/y/{t}/**', _genkey_2: 'false'}
  filters:
  - AddRequestHeader=X-T , {t}
  - name: AddRequestHeader
    args: {name: X-T, value: '{t}'}
  - StripPrefix
"""
    )
    route = config.routes[0]
    assert route.predicates[0] == route.predicates[1] == route.predicates[2]
    assert route.predicates[0] == PathPredicate(patterns=("/x/{t}", "/y/{t}/**"), match_trailing_slash=False)
    assert route.filters[0] == route.filters[1] == AddRequestHeader(name="X-T", value="{t}")
    assert route.filters[2] == StripPrefix(parts=1)


def test_a_disabled_route_is_left_out_but_keeps_its_id() -> None:
    assert load("routes:" + BODY + "  enabled: false\n").routes == ()
    with pytest.raises(ConfigError, match="already defined"):
        load("routes:" + BODY + "  enabled: false" + BODY)


def test_default_filters_run_before_the_routes_own_of_the_same_phase() -> None:
    config = load(
        """
default-filters:
- AddResponseHeader=X-D, d
- AddRequestHeader=X-D, d
- Timeout=1s
routes:
- id: a
  uri: http://h:1
  predicates: [Path=/a]
  filters:
  - AddResponseHeader=X-O, o
  - AddRequestHeader=X-O, o
  - Timeout=2s
"""
    )
    shown = [getattr(f, "name", None) or getattr(f, "response", None) for f in config.routes[0].filters]
    assert shown == ["X-D", "X-O", 1.0, 2.0, "X-D", "X-O"]


def test_a_routes_own_filter_replaces_the_default_one_where_it_runs_once() -> None:
    routes = "routes:" + BODY + "  filters: [Trace=w3c]\n"
    config = load("default-filters: [Trace=b3]\n" + routes)
    assert config.routes[0].filters == (Trace(propagate=("w3c",)),)


def test_a_profiles_default_filter_is_added_unless_the_gateway_names_it() -> None:
    profiles = {"plain": Profile(name="plain", purpose="", must=(("Trace",),), defaults=("Trace",))}
    assert load("routes:" + BODY, profiles=profiles).routes[0].filters == (Trace(),)
    config = load("default-filters: [Trace=b3]\nroutes:" + BODY, profiles=profiles)
    assert config.routes[0].filters == (Trace(propagate=("b3",)),)


def test_a_filter_the_profile_forbids_does_not_load() -> None:
    profiles = {"plain": Profile(name="plain", purpose="", must=(), must_not=("Timeout",))}
    with pytest.raises(ConfigError, match="may not have `Timeout` in profile `plain`"):
        load("routes:" + BODY + "  filters: [Timeout=1s]\n", profiles=profiles)


def test_one_of_several_demanded_filters_is_enough() -> None:
    profiles = {"plain": Profile(name="plain", purpose="", must=(("Timeout", "Trace"),), defaults=())}
    assert load("routes:" + BODY + "  filters: [Timeout=1s]\n", profiles=profiles).routes
    with pytest.raises(ConfigError, match="needs `Timeout` or `Trace`"):
        load("routes:" + BODY, profiles=profiles)


def test_springs_metadata_timeouts_become_a_timeout_before_the_routes_own() -> None:
    text = "routes:" + BODY + "  metadata: {connect-timeout: 250, response-timeout: 1500, owner: 007}\n"
    route = load(text + "  filters: [Timeout=3s]\n").routes[0]
    assert route.filters == (Timeout(connect=0.25, response=1.5), Timeout(response=3.0))
    assert route.metadata["owner"] == "007"


def test_settings_have_their_types_and_defaults() -> None:
    config = load(
        gateway=b"""
name: app-1
profile: plain
trustedProxies: [10.0.0.0/8, 'fd00::/8']
limits: {header_bytes: 16KB, headerTimeout: PT2.5S}
upstream: {first-byte: 800ms, total: 1m}
identity: {uri: 'http://identity/', token: '${NO_TOKEN:}'}
"""
    )
    assert [str(network) for network in config.trusted_proxies] == ["10.0.0.0/8", "fd00::/8"]
    assert config.limits.limits() == Limits(header_bytes=16384, header_timeout=2.5)
    assert config.upstream.deadlines() == Deadlines(first_byte=0.8, total=60.0)
    assert config.identity is not None
    assert (config.identity.uri, config.identity.token) == ("http://identity", None)
    assert config.keys_directory == Path("conf/keys")


def test_relative_paths_are_taken_from_the_gateways_directory() -> None:
    config = load(
        gateway=b"""
name: x
profile: plain
keys-directory: /abs/keys
access-log: {target: file, path: logs/a.json}
upstream: {ca-file: tls/ca.pem}
events: {networks-file: networks.csv}
"""
    )
    assert config.events.networks_file == Path("conf/networks.csv")
    assert config.keys_directory == Path("/abs/keys")
    assert config.access_log.path == Path("conf/logs/a.json")
    assert config.upstream.ca_file == Path("conf/tls/ca.pem")


@pytest.mark.parametrize("uri", ["http://h", "https://a.b-c_d:1", "http://[2001:db8::1]:8080", "http://10.0.0.1/"])
def test_an_accepted_upstream_can_be_connected_to(uri: str) -> None:
    route = load("routes:" + BODY.replace("http://h:1", f"'{uri}'")).routes[0]
    assert Origin.parse(route.uri) == Origin.parse(uri)


def test_secrets_do_not_show_in_the_settings_text() -> None:
    text = b"name: x\nprofile: plain\nidentity: {uri: 'http://h', token: '${T}'}\nredis: {uri: 'redis://:pw9@h:1'}\n"
    config = load(gateway=text, environment={"T": "hunter2"})
    assert config.identity is not None
    assert config.identity.token is not None
    assert config.identity.token.value == "hunter2"
    assert "hunter2" not in repr(config)
    assert "pw9" not in repr(config)


def test_the_sample_gateway_loads_with_nothing_set() -> None:
    config = load_gateway(Path(__file__).parents[3] / "config" / "app", environment={})
    assert config.profile == "app"
    for route in config.routes:
        names = [type(filter_).__name__ for filter_ in route.filters]
        assert {"Trace", "Block", "AppChannel", "VerifyJwt", "Passport"} <= set(names)
    assert {route.uri for route in config.routes} == {"http://127.0.0.1:9310"}


def write(directory: Path, **files: str) -> Path:
    (directory / "routes").mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", "/")).with_suffix(".yaml").write_text(text)
    return directory


def test_files_load_in_alphabetical_order_and_the_revision_covers_every_byte(tmp_path: Path) -> None:
    write(tmp_path, gateway="name: x\nprofile: app\n", routes__b="routes: []\n", routes__a="# none\n")
    first = load_gateway(tmp_path, environment={})
    write(tmp_path, routes__a="# nothing\n")
    second = load_gateway(tmp_path, environment={})
    assert len(first.revision) == 64
    assert first.revision != second.revision


def test_the_revision_tells_where_one_file_ends_and_the_next_begins() -> None:
    assert revision_of({"a": b"xy", "b": b""}) != revision_of({"a": b"x", "b": b"y"})
    assert revision_of({"b": b"1", "a": b"2"}) == revision_of({"a": b"2", "b": b"1"})


def test_a_file_that_would_be_overlooked_is_refused(tmp_path: Path) -> None:
    write(tmp_path, gateway="name: x\nprofile: app\n")
    (tmp_path / "routes" / "bank.yml").write_text("routes: []\n")
    with pytest.raises(ConfigError, match=r"bank\.yml:1: only `\.yaml` is read"):
        load_gateway(tmp_path, environment={})


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a directory"):
        load_gateway(tmp_path / "absent", environment={})
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "a.yaml").mkdir()
    (tmp_path / "gateway.yaml").write_text("name: x\nprofile: app\n")
    with pytest.raises(ConfigError, match=r"a\.yaml:1: this cannot be read"):
        load_gateway(tmp_path, environment={})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("800ms", 0.8),
        ("10s", 10),
        ("2m", 120),
        ("1h", 3600),
        ("1d", 86400),
        ("PT0.8S", 0.8),
        ("PT1M30S", 90),
        ("P1DT1S", 86401),
        ("0s", 0),
    ],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "10", "-1s", "1 week", "PT", "P", "1e3s", "1s 2m", "٣s", "400d", "PT1.5M", "nans"]
)
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "size"), [("1B", 1), ("10KB", 10240), ("5MB", 5 * 1024**2), ("1gb", 1024**3)])
def test_sizes_are_bytes_in_steps_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@given(st.integers(0, 10**9))
def test_every_whole_millisecond_comes_back(milliseconds: int) -> None:
    assert timedelta(seconds=parse_duration(f"{milliseconds}ms")) == timedelta(milliseconds=milliseconds)


@given(st.text(alphabet="routes:- idpahu/={}[],\n'\"1a$", max_size=120))
def test_any_route_file_is_routes_or_the_declared_error(text: str) -> None:
    try:
        config = load(text)
    except ConfigError as error:
        found = len(error.problems)
    else:
        found = len(config.routes) + 1
    assert found
