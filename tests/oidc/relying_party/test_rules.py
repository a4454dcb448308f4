"""The relying party's readers, given anything at all: a typed error or a sound value, and nothing else."""

import json
from typing import Any

import pytest
from haetae_crypto.b64url import b64url_decode
from haetae_crypto.jwk import parse_private_jwk
from haetae_crypto.strict_json import read_json_object
from haetae_oidc import (
    LoginInvalid,
    ProviderSettings,
    ProviderUnavailable,
    SessionMissing,
    SettingsInvalid,
    TokenRefused,
)
from haetae_oidc.relying_party.authorization import read_answer
from haetae_oidc.relying_party.client_auth import prove_client
from haetae_oidc.relying_party.metadata import discovery_url, read_metadata
from haetae_oidc.relying_party.token_answer import read_token_answer, read_userinfo
from haetae_oidc.session.pending import PendingLogin, open_login, seal_login
from haetae_oidc.session.person import read_person
from haetae_oidc.session.sealing import NotOpened, seal, unseal
from haetae_oidc.session.ticket import Ticket
from hypothesis import given
from hypothesis import strategies as st

from tests.oidc.forge import b64, ed_key

ISSUER = "https://login.bank.example/realm"
SETTINGS = ProviderSettings(issuer=ISSUER, client_id="c", client_secret="s" * 32)
GOOD: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://login.bank.example/a?tenant=1",
    "token_endpoint": "https://login.bank.example/t",
    "jwks_uri": "https://login.bank.example/j",
    "response_types_supported": ["code"],
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["RS256"],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def test_discovery_document_is_below_the_issuer() -> None:
    assert discovery_url(ISSUER) == f"{ISSUER}/.well-known/openid-configuration"
    assert discovery_url(f"{ISSUER}/") == f"{ISSUER}/.well-known/openid-configuration"
    assert read_metadata(json.dumps(GOOD).encode(), settings=SETTINGS).authorization_endpoint.endswith("?tenant=1")


@given(st.sampled_from(sorted(GOOD)), JSON)
def test_discovery_document_with_any_member_of_any_kind_is_sound_or_unavailable(name: str, value: object) -> None:
    try:
        read = read_metadata(json.dumps(GOOD | {name: value}).encode(), settings=SETTINGS)
    except ProviderUnavailable:
        return
    assert read.issuer == ISSUER
    assert all(url.startswith("https://") for url in (read.authorization_endpoint, read.token_endpoint, read.jwks_uri))


@given(st.dictionaries(st.sampled_from(["state", "code", "error", "iss", "x"]), st.lists(st.text(), max_size=3)))
def test_any_query_is_an_answer_of_one_kind_or_refused(params: dict[str, list[str]]) -> None:
    try:
        answer = read_answer(params)
    except LoginInvalid:
        return
    assert params["state"] == [answer.state]
    assert (answer.code is None) != (answer.error is None)


@given(st.sampled_from([200, 400, 401, 403, 500]), JSON | st.just({"access_token": "a", "token_type": "Bearer"}))
def test_any_token_answer_holds_bearer_tokens_or_is_refused(status: int, document: object) -> None:
    body = json.dumps(document).encode()
    try:
        answer = read_token_answer(status=status, content_type="application/json", body=body)
    except (TokenRefused, ProviderUnavailable):
        return
    assert status == 200
    assert answer.access_token == "a"


def test_error_page_of_a_proxy_is_no_token_answer() -> None:
    with pytest.raises(ProviderUnavailable):
        read_token_answer(status=200, content_type="text/html", body=b'{"access_token":"a","token_type":"Bearer"}')
    with pytest.raises(TokenRefused) as refused:
        read_token_answer(status=400, content_type="application/json", body=b'{"error":"<b>x</b>"}')
    assert refused.value.error == "other"
    with pytest.raises(LoginInvalid):
        read_userinfo(status=401, content_type="application/json", body=b"{}", subject="u")


@given(st.text(max_size=80) | st.from_regex(r"\A[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\Z"))
def test_any_cookie_value_is_one_ticket_or_none(text: str) -> None:
    try:
        ticket = Ticket.parse(text)
    except SessionMissing:
        return
    assert ticket.text() == text
    assert len(ticket.name) == 22
    assert repr(ticket) == f"Ticket(name={ticket.name!r})"


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=64), st.integers(0, 200), st.integers(0, 7))
def test_sealed_text_opens_only_whole_and_in_its_own_place(secret: bytes, plain: bytes, at: int, bit: int) -> None:
    sealed = seal(secret, plain, bound_to=("session", "a", "1"), nonce=bytes(12))
    assert unseal(secret, sealed, bound_to=("session", "a", "1")) == plain
    changed = bytearray(sealed)
    changed[at % len(sealed)] ^= 1 << bit
    for other, place in (
        (bytes(changed), ("session", "a", "1")),
        (sealed, ("session", "a", "2")),
        (sealed, ("session", "a1", "")),
        (sealed[:20], ("session", "a", "1")),
    ):
        with pytest.raises(NotOpened):
            unseal(secret, other, bound_to=place)


def test_login_opens_with_its_state_and_browser_only() -> None:
    login = PendingLogin(nonce="n", verifier="v", redirect_uri="r", acr=("a",), max_age=1, started=2.5)
    sealed = seal_login(login, state="s", browser="b", nonce=bytes(12))
    assert open_login(sealed, state="s", browser="b") == login
    for state, browser in (("s", "c"), ("t", "b"), ("sb", "")):
        with pytest.raises(Exception, match="unknown, over or already used"):
            open_login(sealed, state=state, browser=browser)


@given(st.dictionaries(st.sampled_from(["name", "email", "groups", "realm_access"]), JSON))
def test_any_claims_make_a_person_or_no_login(claims: dict[str, Any]) -> None:
    for path in ("groups", "realm_access.roles"):
        try:
            person = read_person(claims, None, groups_claim=path)
        except LoginInvalid:
            continue
        assert "" not in person.groups


def test_groups_are_found_by_whole_name_first_and_by_path_second() -> None:
    claims = {"https://bank.example/groups": ["a"], "realm_access": {"roles": ["b"]}}
    assert read_person(claims, None, groups_claim="https://bank.example/groups").groups == {"a"}
    assert read_person(claims, None, groups_claim="realm_access.roles").groups == {"b"}
    assert read_person(claims, None, groups_claim="none").groups == frozenset()


@pytest.mark.parametrize(
    ("verified", "email"),
    [
        (True, "boss@bank.example"),
        ("true", "boss@bank.example"),
        (..., "boss@bank.example"),
        (False, None),
        ("false", None),
        ("", None),
        (1, None),
        (None, None),
        ([True], None),
    ],
)
def test_address_that_the_provider_did_not_verify_is_nobodys(verified: object, email: str | None) -> None:
    claims = {"sub": "u-7", "email": "boss@bank.example"} | ({} if verified is ... else {"email_verified": verified})
    assert read_person(claims, None, groups_claim="groups").email == email


def test_userinfo_that_calls_an_address_unverified_is_heard() -> None:
    person = read_person({"email": "boss@bank.example"}, {"email_verified": False}, groups_claim="groups")
    assert person.email is None


def test_client_assertion_is_signed_short_lived_and_for_the_issuer_only() -> None:
    raw = ed_key()
    key = parse_private_jwk(
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "kid": "c1",
            "x": b64(raw.public_key().public_bytes_raw()),
            "d": b64(raw.private_bytes_raw()),
        }
    )
    settings = ProviderSettings(issuer=ISSUER, client_id="c", client_key=key, client_auth="private_key_jwt")
    proof = prove_client(settings=settings, now=1000.0, random=b"r" * 16)
    assert proof.headers == {}
    head, claims, signature = proof.form["client_assertion"].split(".")
    raw.public_key().verify(b64url_decode(signature), f"{head}.{claims}".encode())
    said = read_json_object(b64url_decode(claims))
    assert (said["aud"], said["iss"], said["sub"], said["exp"]) == (ISSUER, "c", "c", 1060)


def test_secret_is_form_encoded_before_it_is_basic_encoded() -> None:
    settings = ProviderSettings(issuer=ISSUER, client_id="c:1", client_secret="a b%ü")
    header = prove_client(settings=settings, now=0, random=b"r" * 16).headers["Authorization"]
    assert header == "Basic YyUzQTE6YStiJTI1JUMzJUJD"


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "http://login.bank.example"},
        {"issuer": "https://login.bank.example?x"},
        {"algorithms": frozenset({"HS256"})},
        {"algorithms": frozenset()},
        {"scopes": ("profile",)},
        {"client_secret": None},
        {"client_auth": "none"},
        {"client_auth": "private_key_jwt"},
        {"leeway": 4000},
    ],
    ids=str,
)
def test_provider_that_cannot_be_safe_is_not_configured(changes: dict[str, Any]) -> None:
    with pytest.raises(SettingsInvalid):
        ProviderSettings(**{"issuer": ISSUER, "client_id": "c", "client_secret": "s", **changes})
