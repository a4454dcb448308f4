"""Tokens of the demo provider: refresh, introspection, revocation, client credentials, keys, sign-out."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from haetae_demo.errors import WorldInvalid
from haetae_demo.provider.clients import parse_clients
from haetae_demo.provider.people import hash_password, parse_people, password_matches

from tests.demo.provider.conftest import AFTERWARDS, SERVICE


async def refreshed(desk: Any, token: str) -> Any:
    return await desk.post("token", grant_type="refresh_token", refresh_token=token)


async def test_refresh_rotates_and_keeps_who_signed_in_when(desk: Any) -> None:
    tokens = await desk.redeem(await desk.sign_in())
    before = await desk.read(tokens["id_token"])
    desk.clock.now += 200
    status, fresh = await refreshed(desk, tokens["refresh_token"])
    assert status == 200
    assert fresh["refresh_token"] != tokens["refresh_token"]
    after = await desk.read(fresh["id_token"])
    assert {name: after[name] for name in ("sub", "sid", "auth_time", "acr")} == {
        name: before[name] for name in ("sub", "sid", "auth_time", "acr")
    }
    assert after["iat"] == before["iat"] + 200


async def test_refresh_token_that_comes_twice_ends_its_whole_family(desk: Any) -> None:
    first = await desk.redeem(await desk.sign_in())
    _, second = await refreshed(desk, first["refresh_token"])
    assert (await refreshed(desk, first["refresh_token"]))[0] == 400
    status, refusal = await refreshed(desk, second["refresh_token"])
    assert (status, refusal["error"]) == (400, "invalid_grant")


async def test_userinfo_tells_what_the_scopes_allow(desk: Any) -> None:
    tokens = await desk.redeem(await desk.sign_in("sora", scope="openid groups"))
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    async with desk.browser.get(f"{desk.url}/userinfo", headers=headers) as answer:
        assert await answer.json() == {"sub": "op-sora", "groups": ["approvers", "fraud-analysts", "staff"]}


async def credentials(desk: Any, client: str = "partner-a", **form: str) -> Any:
    secret = "a-secret-of-partner-a"
    return await desk.post("token", client=client, secret=secret, grant_type="client_credentials", **form)


async def test_partner_gets_a_jwt_for_its_audience_and_its_scopes_only(desk: Any) -> None:
    status, answer = await credentials(desk, scope="orders:read admin")
    assert status == 200
    assert "refresh_token" not in answer
    assert jwt.get_unverified_header(answer["access_token"])["typ"] == "at+jwt"
    claims = await desk.read(answer["access_token"], audience="haetae-partner-api")
    assert (claims["sub"], claims["client_id"], claims["scope"]) == ("partner-a", "partner-a", "orders:read")


async def test_partner_may_not_use_another_grant(desk: Any) -> None:
    status, answer = await desk.post(
        "token", client="partner-a", secret="a-secret-of-partner-a", grant_type="refresh_token", refresh_token="x"
    )
    assert (status, answer["error"]) == (400, "unauthorized_client")


async def test_gateway_learns_of_opaque_tokens_and_strangers_learn_nothing(desk: Any) -> None:
    _, answer = await credentials(desk, "partner-b", scope="orders:write")
    token = answer["access_token"]
    assert token.count(".") == 0
    gateway = {"client": "gateway", "secret": "a-secret-of-a-gateway"}
    status, known = await desk.post("introspect", **gateway, token=token)
    assert status == 200
    assert known["active"] is True
    assert (known["client_id"], known["scope"], known["aud"]) == ("partner-b", "orders:write", "haetae-partner-api")
    assert (await desk.post("introspect", token=token))[1] == {"active": False}
    desk.clock.now += 301
    assert (await desk.post("introspect", **gateway, token=token))[1] == {"active": False}
    async with desk.browser.post(f"{desk.url}/introspect", data={"token": token}) as refused:
        assert refused.status == 401


async def test_revoked_token_is_no_longer_active(desk: Any) -> None:
    tokens = await desk.redeem(await desk.sign_in())
    assert (await desk.post("introspect", token=tokens["access_token"]))[1]["username"] == "mina"
    assert (await desk.post("revoke", token=tokens["refresh_token"]))[0] == 200
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert (await desk.post("introspect", token=token))[1] == {"active": False}


async def test_rotated_key_signs_after_its_lead_and_the_old_one_stays_published(desk: Any) -> None:
    old = await desk.redeem(await desk.sign_in())
    headers = {"Authorization": f"Bearer {SERVICE}"}
    async with desk.browser.post(f"{desk.url}/dev/rotate-keys", headers=headers, json={"lead": 30}) as answer:
        kid = (await answer.json())["kid"]
    before = await desk.redeem(await desk.authorize())
    desk.clock.now += 30
    after = await desk.redeem(await desk.authorize())
    assert jwt.get_unverified_header(before["id_token"])["kid"] != kid
    assert jwt.get_unverified_header(after["id_token"])["kid"] == kid
    assert (await desk.read(old["id_token"]))["sub"] == "op-mina"
    async with desk.browser.post(f"{desk.url}/dev/rotate-keys") as refused:
        assert refused.status == 401


async def test_slow_token_endpoint_is_as_slow_as_it_was_told(desk: Any) -> None:
    desk.service.conditions.token_delay = 30.0
    signed = await desk.sign_in()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await desk.redeem(signed)


async def leave(desk: Any, **params: str) -> Any:
    async with desk.browser.get(f"{desk.url}/logout?{urlencode(params)}", allow_redirects=False) as answer:
        return await desk.tried(answer, "")


async def test_sign_out_with_the_id_token_tells_the_client_and_returns(desk: Any) -> None:
    tokens = await desk.redeem(await desk.sign_in())
    claims = await desk.read(tokens["id_token"])
    left = await leave(desk, id_token_hint=tokens["id_token"], post_logout_redirect_uri=AFTERWARDS, state="a-state")
    assert left.location == f"{AFTERWARDS}?state=a-state"
    [heard] = desk.told
    assert heard["type"] == "application/x-www-form-urlencoded"
    told = await desk.read(heard["logout_token"])
    assert jwt.get_unverified_header(heard["logout_token"])["typ"] == "logout+jwt"
    assert (told["sub"], told["sid"]) == (claims["sub"], claims["sid"])
    assert told["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert "nonce" not in told
    assert (await desk.authorize(prompt="none")).params["error"] == "login_required"
    assert (await refreshed(desk, tokens["refresh_token"]))[0] == 400


async def test_sign_out_without_proof_asks_first(desk: Any) -> None:
    await desk.sign_in()
    page = await leave(desk, client_id="haetae-internal", post_logout_redirect_uri=AFTERWARDS)
    assert page.status == 200
    assert desk.told == []
    assert (await desk.fill(page, "logout")).location == AFTERWARDS
    assert len(desk.told) == 1


async def test_sign_out_leads_to_no_unregistered_address(desk: Any) -> None:
    tokens = await desk.redeem(await desk.sign_in())
    left = await leave(desk, id_token_hint=tokens["id_token"], post_logout_redirect_uri="http://evil.example/")
    assert (left.status, left.location) == (400, None)


async def test_administrator_ends_every_sign_in_of_a_person(desk: Any) -> None:
    await desk.sign_in()
    headers = {"Authorization": f"Bearer {SERVICE}"}
    async with desk.browser.post(f"{desk.url}/dev/end-user", headers=headers, json={"subject": "op-mina"}) as answer:
        assert await answer.json() == {"ended": 1, "told": [{"haetae-internal": 200}]}
    assert (await desk.authorize(prompt="none")).params["error"] == "login_required"


async def test_discovery_names_what_there_is(desk: Any) -> None:
    async with desk.browser.get(f"{desk.url}/.well-known/openid-configuration") as answer:
        document = await answer.json()
    assert document["issuer"] == desk.url
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["backchannel_logout_session_supported"] is True
    assert "orders:read" in document["scopes_supported"]


def test_password_is_kept_as_a_hash_that_only_it_matches() -> None:
    kept = hash_password("right", salt=b"sixteen bytes...")
    assert "right" not in kept
    assert password_matches("right", kept)
    assert not password_matches("wrong", kept)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"clients": [{"client_id": "a", "client_secret": "short"}]}',
        b'{"clients": [{"client_id": "a", "client_secret": "long-enough-for-all", "grants": ["implicit"]}]}',
        b'{"clients": [{"client_id": "a", "client_secret": "long-enough-for-all", "colour": "red"}]}',
        b'{"clients": [{"client_id": "a", "client_secret": "long-enough-for-all", "redirect_uris": ["javascript:1"]}]}',
    ],
)
def test_file_of_clients_that_is_not_right_is_refused(raw: bytes) -> None:
    with pytest.raises(WorldInvalid):
        parse_clients(raw)


def test_person_with_a_password_in_clear_is_refused() -> None:
    raw = b'{"people": [{"subject": "a", "username": "a", "name": "A", "email": "a@b", "password": "secret"}]}'
    with pytest.raises(WorldInvalid):
        parse_people(raw)
