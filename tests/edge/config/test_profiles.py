"""What each profile demands: a route without it does not load, and the message says where."""

from pathlib import Path

import pytest
from haetae_edge.config.loader import load_gateway
from haetae_edge.errors import ConfigError
from haetae_edge.filters.csrf import Csrf
from haetae_edge.profiles import PROFILES

from tests.edge.gateway_files import load

SETTINGS = """
redis: {uri: 'redis://127.0.0.1:1/0'}
passport: {issuer: p}
issuers:
- {issuer: 'https://login.example', audience: a, jwks-uri: 'https://login.example/jwks'}
identity: {uri: 'https://identity.example'}
oidc: {issuer: 'https://login.example', client-id: g, client-secret: s, origins: ['https://tool.example']}
client-certificates: {source: xfcc, trusted-peers: [192.0.2.1]}
introspection:
- {name: one, uri: 'https://login.example/introspect', issuer: 'https://login.example', audience: a, client-id: g}
"""
CORS = "Cors=https://app.example.org"
TOKEN = "{name: VerifyJwt, args: {scopes: read}}"
ONCE = "{name: VerifyJwt, args: {reuse: refuse}}"
RATE = "RequestRateLimiter=1,1"
MTLS = "{name: MtlsIdentity, args: {callers: [{san: 'dns:a.example'}]}}"
STAFF = "OidcSession=generic, sre"
CLEAN = "{name: Sanitize, args: {headers: [accept]}}"
#: Of the profiles whose callers have tokens.
WHOLE = {
    "web": (CORS, "Block", ONCE, "Passport"),
    "ssr": ("Block", TOKEN, "Passport"),
    "partner": ("Block", TOKEN, RATE),
}
ALL = WHOLE | {
    "app": ("Block", "AppChannel", "Passport"),
    "secure": ("Block", MTLS, "Passport"),
    "internal": ("Block", STAFF),
    "public": ("Block", CLEAN),
}
#: In the order of phases, so that a filter that is forbidden is not refused for its place.
ORDER = [CORS, "Csrf", "Block", "AppChannel", STAFF, MTLS, "Introspect", ONCE, TOKEN, CLEAN, "Passport", RATE]


def name_of(text: str) -> str:
    return text.removeprefix("{name: ").partition(",")[0].partition("=")[0]


def gateway(profile: str) -> bytes:
    return f"name: test\nprofile: {profile}\n{SETTINGS}".encode()


def routes(*filters: str, predicates: str = "[Path=/a]") -> str:
    listed = "".join(f"  - {text}\n" for text in filters)
    return f"routes:\n- id: a\n  uri: http://127.0.0.1:1\n  predicates: {predicates}\n  filters:\n{listed}"


def complaints(profile: str, *filters: str, predicates: str = "[Path=/a]") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(routes(*filters, predicates=predicates), gateway=gateway(profile), profiles=PROFILES)
    for problem in caught.value.problems:
        assert (problem.file, problem.line) == ("conf/routes/r.yaml", 2)
        assert "`a`" in problem.message
        assert f"`{profile}`" in problem.message
    return [problem.message for problem in caught.value.problems]


def test_every_profile_that_demands_something_is_tried_here() -> None:
    assert set(ALL) == {name for name, profile in PROFILES.items() if profile.must}


@pytest.mark.parametrize("profile", ALL)
def test_route_with_all_that_is_demanded_loads(profile: str) -> None:
    assert len(load(routes(*ALL[profile]), gateway=gateway(profile), profiles=PROFILES).routes) == 1


@pytest.mark.parametrize(("profile", "missing"), [(name, item) for name, filters in ALL.items() for item in filters])
def test_route_without_one_of_the_demanded_filters_does_not_load(profile: str, missing: str) -> None:
    rest = [item for item in ALL[profile] if item != missing]
    assert any(f"`{name_of(missing)}`" in text for text in complaints(profile, *rest))


@pytest.mark.parametrize(
    ("profile", "forbidden"),
    [(name, item) for name in ALL for item in ORDER if name_of(item) in PROFILES[name].must_not],
)
def test_route_with_a_forbidden_filter_does_not_load(profile: str, forbidden: str) -> None:
    filters = [item for item in ALL[profile] if name_of(item) != name_of(forbidden)]
    found = complaints(profile, *sorted((*filters, forbidden), key=ORDER.index))
    assert any("may not have" in text and f"`{name_of(forbidden)}`" in text for text in found)


def test_certificate_may_not_be_optional_on_the_secure_gateway() -> None:
    optional = MTLS.replace("args: {", "args: {required: false, ")
    assert any("required: false" in text for text in complaints("secure", "Block", optional, "Passport"))


@pytest.mark.parametrize("profile", ["ssr", "partner"])
def test_token_filter_without_scopes_does_not_load(profile: str) -> None:
    for bare in ("VerifyJwt", "Introspect"):
        filters = [bare if item == TOKEN else item for item in WHOLE[profile]]
        assert any("`scopes` or `scopeMap`" in text for text in complaints(profile, *filters))


@pytest.mark.parametrize("profile", ["ssr", "partner"])
def test_introspection_with_a_scope_map_is_as_good(profile: str) -> None:
    asked = "{name: Introspect, args: {scopeMap: [{path: /a, methods: [GET], scopes: [read]}]}}"
    filters = [asked if item == TOKEN else item for item in WHOLE[profile]]
    assert len(load(routes(*filters), gateway=gateway(profile), profiles=PROFILES).routes) == 1


@pytest.mark.parametrize("profile", ["ssr", "partner"])
def test_both_token_filters_on_one_route_do_not_load(profile: str) -> None:
    first, *rest = WHOLE[profile]
    asked = "{name: Introspect, args: {scopes: read}}"
    assert any("keep one" in text for text in complaints(profile, first, asked, *rest))


@pytest.mark.parametrize("profile", WHOLE)
def test_token_may_not_be_optional(profile: str) -> None:
    optional = "{name: VerifyJwt, args: {required: false, reuse: refuse, scopes: read}}"
    filters = [optional if item in (ONCE, TOKEN) else item for item in WHOLE[profile]]
    assert any("required: false" in text for text in complaints(profile, *filters))


@pytest.mark.parametrize("predicates", ["[Path=/a]", "[Path=/a, 'Method=GET,POST']"])
def test_web_route_that_may_change_something_checks_reuse(predicates: str) -> None:
    filters = ["VerifyJwt" if item == ONCE else item for item in WHOLE["web"]]
    assert any("reuse" in text for text in complaints("web", *filters, predicates=predicates))


def test_web_route_that_only_reads_may_do_without() -> None:
    filters = ["VerifyJwt" if item == ONCE else item for item in WHOLE["web"]]
    text = routes(*filters, predicates="[Path=/a, 'Method=GET,HEAD']")
    assert len(load(text, gateway=gateway("web"), profiles=PROFILES).routes) == 1


def test_web_routes_are_guarded_against_foreign_pages_by_themselves() -> None:
    [route] = load(routes(*WHOLE["web"]), gateway=gateway("web"), profiles=PROFILES).routes
    assert any(isinstance(item, Csrf) for item in route.filters)


@pytest.mark.parametrize(("provider", "word"), [("two", "does not list"), (None, "several")])
def test_introspect_names_an_entry_of_the_settings(provider: str | None, word: str) -> None:
    settings = gateway("ssr")
    if provider is None:
        more = "- {name: b, uri: 'https://b.example/i', issuer: 'https://b.example', audience: a, client-id: g}\n"
        settings += more.encode()
    named = f", provider: {provider}" if provider else ""
    asked = "{name: Introspect, args: {scopes: read" + named + "}}"
    with pytest.raises(ConfigError) as caught:
        load(routes("Block", asked, "Passport"), gateway=settings, profiles=PROFILES)
    assert any(word in problem.message for problem in caught.value.problems)


CONFIG = Path(__file__).parents[3] / "config"


def test_every_profile_for_callers_has_a_sample() -> None:
    assert {path.name for path in CONFIG.iterdir()} >= {*ALL, "sign-in"} - {"public"}


@pytest.mark.parametrize("name", sorted(path.parent.name for path in CONFIG.glob("*/gateway.yaml")))
def test_sample_gateway_loads(name: str) -> None:
    config = load_gateway(CONFIG / name, environment={})
    assert config.profile in PROFILES
    assert config.routes
