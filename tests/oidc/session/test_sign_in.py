"""Signing in through a real provider and a real store: who gets a session, and who does not."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from haetae_oidc import Finished, LoginInvalid, LoginStale, ProviderUnavailable, SessionMissing
from haetae_oidc.io.staff_sign_in import StaffSignIn

from tests.oidc.forge import ec_key
from tests.oidc.session.conftest import BACK, World


async def test_person_who_signs_in_gets_a_session_with_who_they_are(world: World, worker: StaffSignIn) -> None:
    done = await world.sign_in(worker)
    session = (await worker.load(done.ticket, activity=True, now=world.now)).session
    assert done.return_to == "/d/1?x=2"
    assert (session.subject, session.name, session.email, session.username) == (
        "u-1",
        "김하늘",
        "sky@bank.example",
        "sky",
    )
    assert session.groups == {"analysts", "ops"}
    assert session.amr == ("pwd", "otp")
    assert session == done.session
    assert session.id not in done.ticket


async def test_authorization_request_asks_for_what_the_standards_want(world: World, worker: StaffSignIn) -> None:
    begun = await worker.begin(redirect_uri=BACK, return_to="/", browser=None, acr=("gold",), max_age=60, now=world.now)
    asked = parse_qs(urlsplit(begun.location).query)
    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == [BACK]
    assert "openid" in asked["scope"][0].split()
    assert (asked["acr_values"], asked["max_age"]) == (["gold"], ["60"])
    assert len(asked["state"][0]) == len(asked["nonce"][0]) == len(asked["code_challenge"][0]) == 43


async def test_parallel_callbacks_of_one_login_make_one_session(world: World) -> None:
    workers = [await world.worker(), await world.worker()]
    begun = await workers[0].begin(redirect_uri=BACK, return_to="/d/1", browser=None, now=world.now)
    params = world.provider.authorize(begun.location)
    outcomes = await asyncio.gather(
        *(
            workers[number % 2].finish(
                params=params, redirect_uri=BACK, browser=begun.browser, previous_ticket=None, now=world.now
            )
            for number in range(8)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Finished) for outcome in outcomes) == 1
    stale = [outcome for outcome in outcomes if isinstance(outcome, LoginStale)]
    assert len(stale) == 7
    assert {outcome.return_to for outcome in stale} == {"/d/1"}
    assert len(world.provider.redemptions) == 1
    client = world.store.client()
    assert len(await client.keys("haetae:session:*")) == 1
    await client.aclose()


async def test_answer_in_another_browser_is_stale_and_leaves_the_login_to_its_own(
    world: World, worker: StaffSignIn
) -> None:
    begun = await worker.begin(redirect_uri=BACK, return_to="/", browser=None, now=world.now)
    other = await worker.begin(redirect_uri=BACK, return_to="/", browser=None, now=world.now)
    params = world.provider.authorize(begun.location)
    for browser in (other.browser, None, "x", "", "a" * 43):
        with pytest.raises(LoginStale):
            await worker.finish(params=params, redirect_uri=BACK, browser=browser, previous_ticket=None, now=world.now)
    assert world.provider.redemptions == []
    done = await worker.finish(
        params=params, redirect_uri=BACK, browser=begun.browser, previous_ticket=None, now=world.now
    )
    assert done.session.subject == "u-1"


async def test_answer_at_another_redirect_address_is_refused(world: World, worker: StaffSignIn) -> None:
    begun = await worker.begin(redirect_uri=BACK, return_to="/", browser=None, now=world.now)
    with pytest.raises(LoginInvalid, match="redirect-uri"):
        await worker.finish(
            params=world.provider.authorize(begun.location),
            redirect_uri="https://kibana.bank.example/.haetae/callback",
            browser=begun.browser,
            previous_ticket=None,
            now=world.now,
        )


async def test_login_that_took_too_long_is_stale(world: World, worker: StaffSignIn) -> None:
    begun = await worker.begin(redirect_uri=BACK, return_to="/d/9", browser=None, now=world.now)
    with pytest.raises(LoginStale) as stale:
        await worker.finish(
            params=world.provider.authorize(begun.location),
            redirect_uri=BACK,
            browser=begun.browser,
            previous_ticket=None,
            now=world.now + 601,
        )
    assert stale.value.return_to == "/d/9"


async def test_eleventh_login_of_a_browser_drops_its_first(world: World, worker: StaffSignIn) -> None:
    browser: str | None = None
    begun = []
    for number in range(11):
        begun.append(
            await worker.begin(redirect_uri=BACK, return_to=f"/{number}", browser=browser, now=world.now + number)
        )
        browser = begun[-1].browser
    assert {one.browser for one in begun} == {browser}

    async def finish(number: int) -> Finished:
        return await worker.finish(
            params=world.provider.authorize(begun[number].location),
            redirect_uri=BACK,
            browser=browser,
            previous_ticket=None,
            now=world.now + 11,
        )

    with pytest.raises(LoginStale):
        await finish(0)
    assert (await finish(1)).return_to == "/1"
    assert (await finish(10)).return_to == "/10"


async def test_login_ends_the_session_that_the_browser_had(world: World, worker: StaffSignIn) -> None:
    first = await world.sign_in(worker)
    second = await world.sign_in(worker, previous=first.ticket)
    assert first.ticket.split(".")[0] != second.ticket.split(".")[0]
    with pytest.raises(SessionMissing):
        await worker.load(first.ticket, activity=True, now=world.now)
    assert (await worker.load(second.ticket, activity=True, now=world.now)).session == second.session


async def test_stronger_sign_in_within_one_session_of_the_provider_ends_only_the_session_it_replaces(
    world: World, worker: StaffSignIn
) -> None:
    world.provider.claims = {"sid": "p-1"}
    other_tool = await world.sign_in(worker)
    first = await world.sign_in(worker)
    second = await world.sign_in(worker, previous=first.ticket)
    assert {one.session.provider_sid for one in (other_tool, first, second)} == {"p-1"}
    for alive in (other_tool, second):
        assert (await worker.load(alive.ticket, activity=True, now=world.now)).session == alive.session
    with pytest.raises(SessionMissing):
        await worker.load(first.ticket, activity=True, now=world.now)


CLAIMS: dict[str, dict[str, Any]] = {
    "issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": ...},
    "audience": {"aud": "another-client"},
    "further audience": {"aud": ["haetae-internal", "evil"], "azp": "haetae-internal"},
    "no audience": {"aud": ...},
    "authorized party": {"azp": "another-client"},
    "nonce": {"nonce": "another"},
    "no nonce": {"nonce": ...},
    "nonce of another type": {"nonce": 7},
    "access token hash": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    "no subject": {"sub": ...},
    "empty subject": {"sub": ""},
    "long subject": {"sub": "s" * 256},
    "number as subject": {"sub": 7},
    "no end": {"exp": ...},
    "text as end": {"exp": "1900000000"},
    "over": {"exp": 1},
    "no beginning": {"iat": ...},
    "from the future": {"iat": 1_800_000_100, "exp": 1_800_000_900},
    "old": {"iat": 1_799_990_000},
    "not yet": {"nbf": 1_800_000_900},
    "authenticated in the future": {"auth_time": 1_800_009_000},
    "groups of another type": {"groups": "admins"},
    "number among groups": {"groups": ["ops", 7]},
    "too many groups": {"groups": [f"g{n}" for n in range(1001)]},
    "too much": {"note": "x" * 20_000},
    "a logout token": {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
}


@pytest.mark.parametrize("changes", CLAIMS.values(), ids=CLAIMS)
async def test_id_token_with_a_wrong_claim_gives_no_session(
    changes: dict[str, Any], world: World, worker: StaffSignIn
) -> None:
    world.provider.claims = changes
    with pytest.raises(LoginInvalid):
        await world.sign_in(worker)
    await nobody_is_signed_in(world)


@pytest.mark.parametrize("azp", [..., "partner", ""], ids=["none", "theirs", "empty"])
async def test_id_token_for_a_trusted_audience_beside_us_is_ours_only_where_it_says_that_we_asked(
    azp: object, world: World
) -> None:
    worker = await world.worker(provider={"trusted_audiences": frozenset({"partner"})})
    world.provider.claims = {"aud": ["haetae-internal", "partner"], "azp": azp}
    with pytest.raises(LoginInvalid):
        await world.sign_in(worker)
    await nobody_is_signed_in(world)
    world.provider.claims = {"aud": ["haetae-internal", "partner"], "azp": "haetae-internal"}
    assert (await world.sign_in(worker)).session.subject == "u-1"


HEADS: dict[str, dict[str, Any]] = {
    "access token": {"typ": "at+jwt"},
    "logout token": {"typ": "logout+jwt"},
    "another algorithm": {"alg": "RS256"},
    "unknown key": {"kid": "k9"},
    "critical extension": {"crit": ["b64"], "b64": False},
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
async def test_id_token_with_a_wrong_header_gives_no_session(
    head: dict[str, Any], world: World, worker: StaffSignIn
) -> None:
    world.provider.head = head
    with pytest.raises(LoginInvalid):
        await world.sign_in(worker)
    await nobody_is_signed_in(world)


@pytest.mark.parametrize("how", ["unsigned", "with_the_client_secret"])
async def test_id_token_without_the_providers_signature_gives_no_session(
    how: str, world: World, worker: StaffSignIn
) -> None:
    world.provider.raw_id_token = getattr(world.provider, how)
    with pytest.raises(LoginInvalid, match=r"algorithm|malformed"):
        await world.sign_in(worker)
    await nobody_is_signed_in(world)


async def test_id_token_signed_by_another_key_under_a_known_id_gives_no_session(
    world: World, worker: StaffSignIn
) -> None:
    world.provider.signed_by = ec_key()
    with pytest.raises(LoginInvalid, match="signature"):
        await world.sign_in(worker)
    await nobody_is_signed_in(world)


async def test_key_that_was_rotated_since_is_learnt_at_the_login_that_needs_it(
    world: World, worker: StaffSignIn
) -> None:
    await world.sign_in(worker)
    world.provider.keys["k2"] = ec_key()
    world.provider.signing = "k2"
    assert (await world.sign_in(worker)).session.subject == "u-1"


ANSWERS: dict[str, dict[str, Any]] = {
    "no ID token": {"id_token": ...},
    "no access token": {"access_token": ...},
    "another token type": {"token_type": "mac"},
    "lifetime in text": {"expires_in": "300"},
    "negative lifetime": {"expires_in": -1},
    "number as token": {"access_token": 7},
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_malformed_token_answer_gives_no_session(
    answer: dict[str, Any], world: World, worker: StaffSignIn
) -> None:
    world.provider.answer = answer
    with pytest.raises((LoginInvalid, ProviderUnavailable)):
        await world.sign_in(worker)
    await nobody_is_signed_in(world)


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"x" * 200_000), (200, b"not json"), (200, b'{"a":1,"a":2}'), (500, b"{}"), (302, b"{}"), (200, b"[]")],
)
async def test_token_endpoint_that_answers_nonsense_gives_no_session(
    status: int, body: bytes, world: World, worker: StaffSignIn
) -> None:
    world.provider.token_status, world.provider.token_body = status, body
    with pytest.raises(ProviderUnavailable):
        await world.sign_in(worker)
    await nobody_is_signed_in(world)


async def test_slow_token_endpoint_is_given_up(world: World) -> None:
    worker = await world.worker(provider={"timeout": 0.3})
    begun = await worker.begin(redirect_uri=BACK, return_to="/", browser=None, now=world.now)
    world.provider.token_delay = 2.0
    with pytest.raises(ProviderUnavailable):
        await worker.finish(
            params=world.provider.authorize(begun.location),
            redirect_uri=BACK,
            browser=begun.browser,
            previous_ticket=None,
            now=world.now,
        )
    await nobody_is_signed_in(world)


DISCOVERY: dict[str, dict[str, Any]] = {
    "another issuer": {"issuer": "https://evil.example"},
    "issuer with a slash": {"issuer": "http://127.0.0.1/"},
    "no issuer": {"issuer": ...},
    "no token endpoint": {"token_endpoint": ...},
    "token endpoint in the clear": {"token_endpoint": "http://login.example/token"},
    "token endpoint of another scheme": {"token_endpoint": "ftp://login.example/token"},
    "keys in the clear": {"jwks_uri": "http://login.example/jwks"},
    "user information": {"authorization_endpoint": "https://a:b@login.example/"},
    "number as address": {"jwks_uri": 7},
    "no response types": {"response_types_supported": ...},
    "implicit flow only": {"response_types_supported": ["id_token"]},
    "plain PKCE only": {"code_challenge_methods_supported": ["plain"]},
    "other algorithms": {"id_token_signing_alg_values_supported": ["none", "HS256"]},
    "text as boolean": {"authorization_response_iss_parameter_supported": "yes"},
}


@pytest.mark.parametrize("changes", DISCOVERY.values(), ids=DISCOVERY)
async def test_discovery_document_that_lies_begins_no_login(changes: dict[str, Any], world: World) -> None:
    world.provider.discovery = changes
    worker = await world.worker()
    with pytest.raises(ProviderUnavailable):
        await worker.begin(redirect_uri=BACK, return_to="/", browser=None, now=world.now)


@pytest.mark.parametrize("body", [b"x" * 300_000, b"{" * 100_000, b"", b'{"issuer":"a","issuer":"b"}'])
async def test_discovery_document_that_is_none_begins_no_login(body: bytes, world: World) -> None:
    world.provider.discovery_body = body
    worker = await world.worker()
    with pytest.raises(ProviderUnavailable):
        await worker.begin(redirect_uri=BACK, return_to="/", browser=None, now=world.now)


PARAMS: dict[str, tuple[dict[str, list[str] | None], type[Exception]]] = {
    "state twice": ({"state": ["a", "a"]}, LoginInvalid),
    "code twice": ({"code": ["a", "a"]}, LoginInvalid),
    "issuer twice": ({"iss": ["a", "a"]}, LoginInvalid),
    "no state": ({"state": None}, LoginInvalid),
    "unknown state": ({"state": ["x" * 43]}, LoginStale),
    "no code": ({"code": None}, LoginInvalid),
    "empty code": ({"code": [""]}, LoginInvalid),
    "code and error": ({"error": ["access_denied"]}, LoginInvalid),
    "refused": ({"code": None, "error": ["access_denied"]}, LoginInvalid),
    "refused for a reason of its own": ({"code": None, "error": ["<script>"]}, LoginInvalid),
    "another issuer": ({"iss": ["https://evil.example"]}, LoginInvalid),
    "issuer missing though promised": ({"iss": None}, LoginInvalid),
    "wrong code": ({"code": ["stolen"]}, LoginInvalid),
    "overlong code": ({"code": ["c" * 5000]}, LoginInvalid),
    "signed answer nobody asked for": ({"response": ["a.b.c"]}, LoginInvalid),
}


@pytest.mark.parametrize(("changes", "error"), PARAMS.values(), ids=PARAMS)
async def test_answer_of_the_wrong_shape_gives_no_session(
    changes: dict[str, list[str] | None], error: type[Exception], world: World, worker: StaffSignIn
) -> None:
    def change(params: dict[str, list[str]]) -> None:
        for name, values in changes.items():
            if values is None:
                del params[name]
            else:
                params[name] = values

    with pytest.raises(error) as refused:
        await world.sign_in(worker, change=change)
    assert "<script>" not in str(refused.value)
    await nobody_is_signed_in(world)


async def test_code_of_another_login_is_refused_by_its_verifier(world: World, worker: StaffSignIn) -> None:
    victim = await worker.begin(redirect_uri=BACK, return_to="/", browser=None, now=world.now)
    stolen = world.provider.authorize(victim.location)["code"]
    with pytest.raises(LoginInvalid, match="code-refused"):
        await world.sign_in(worker, change=lambda params: params.update(code=stolen))
    await nobody_is_signed_in(world)


async def test_step_up_takes_only_the_level_and_age_that_were_asked_for(world: World, worker: StaffSignIn) -> None:
    with pytest.raises(LoginInvalid, match="acr"):
        await world.sign_in(worker, acr=("gold",))
    with pytest.raises(LoginInvalid, match="auth-time"):
        await world.sign_in(worker, max_age=60, auth_time=str(int(world.now) - 200))
    world.provider.claims = {"auth_time": ...}
    with pytest.raises(LoginInvalid, match="auth-time"):
        await world.sign_in(worker, max_age=60)
    world.provider.claims = {"acr": "gold"}
    done = await world.sign_in(worker, acr=("silver", "gold"), max_age=60)
    assert done.session.acr == "gold"
    assert done.session.auth_time == int(world.now)


async def test_userinfo_adds_claims_and_never_those_of_somebody_else(world: World) -> None:
    worker = await world.worker(provider={"use_userinfo": True})
    assert (await world.sign_in(worker)).session.claims["department"] == "fraud"
    world.provider.userinfo = {"email": "root@bank.example"}
    assert (await world.sign_in(worker)).session.email == "sky@bank.example"
    world.provider.userinfo = {"sub": "u-2"}
    with pytest.raises(LoginInvalid, match="userinfo-subject"):
        await world.sign_in(worker)


async def nobody_is_signed_in(world: World) -> None:
    client = world.store.client()
    assert await client.keys("haetae:session:*") == []
    await client.aclose()
