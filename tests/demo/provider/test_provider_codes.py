"""The code flow of the demo provider, as a browser and a client live it."""

import base64
import hashlib
from typing import Any

import pytest


async def test_person_with_the_right_password_gets_a_code_and_an_id_token(desk: Any) -> None:
    signed = await desk.sign_in()
    assert signed.status == 303
    assert signed.params["state"] == "a-state"
    assert signed.params["iss"] == desk.url
    tokens = await desk.redeem(signed)
    claims = await desk.read(tokens["id_token"])
    half = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    assert claims["at_hash"] == base64.urlsafe_b64encode(half).rstrip(b"=").decode()
    assert claims["nonce"] == "a-nonce"
    assert (claims["sub"], claims["name"], claims["preferred_username"]) == ("op-mina", "Mina Park", "mina")
    assert claims["groups"] == ["fraud-analysts", "staff"]
    assert (claims["acr"], claims["amr"], claims["auth_time"]) == ("pwd", ["pwd"], int(desk.clock()))
    assert len(claims["sid"]) >= 16
    assert claims["exp"] - claims["iat"] == 300


async def test_wrong_password_shows_the_page_again_and_gives_no_code(desk: Any) -> None:
    page = await desk.authorize()
    tried = await desk.fill(page, "sign-in", username="mina", password="mina-demo-passwor")
    assert tried.status == 403
    assert tried.location is None
    assert 'role="alert"' in tried.text


async def test_after_ten_wrong_passwords_even_the_right_one_waits_a_minute(desk: Any) -> None:
    page = await desk.authorize()
    for _ in range(10):
        await desk.fill(page, "sign-in", username="mina", password="wrong")
    right = await desk.fill(page, "sign-in", username="mina", password="mina-demo-password")
    assert "Too many attempts" in right.text
    desk.clock.now += 60
    assert (await desk.fill(page, "sign-in", username="mina", password="mina-demo-password")).status == 303


async def test_form_without_its_token_signs_nobody_in(desk: Any) -> None:
    page = await desk.authorize()
    page.text = page.text.replace('name="csrf" value="', 'name="csrf" value="0')
    tried = await desk.fill(page, "sign-in", username="mina", password="mina-demo-password")
    assert (tried.status, tried.location) == (403, None)


async def test_unknown_redirect_address_is_never_visited(desk: Any) -> None:
    for wrong in (
        "http://evil.example/.haetae/callback",
        "http://dashboard.localhost:8082/.haetae/callback/",
        "http://dashboard.localhost:8082/.haetae/callback?x=1",
    ):
        tried = await desk.authorize(redirect_uri=wrong)
        assert (tried.status, tried.location) == (400, None)


async def test_missing_redirect_address_is_refused_on_the_spot(desk: Any) -> None:
    tried = await desk.authorize(leave_out="redirect_uri")
    assert (tried.status, tried.location) == (400, None)


@pytest.mark.parametrize("change", [{"code_challenge_method": "plain"}, {"leave_out": "code_challenge"}])
async def test_request_without_pkce_s256_is_sent_back_with_an_error(desk: Any, change: dict[str, str]) -> None:
    tried = await desk.authorize(**change)
    assert tried.params["error"] == "invalid_request"
    assert tried.params["iss"] == desk.url


async def test_parameter_that_comes_twice_is_refused(desk: Any) -> None:
    async with desk.browser.get(f"{desk.url}/authorize?client_id=a&client_id=b", allow_redirects=False) as answer:
        assert answer.status == 400


async def test_code_with_another_verifier_is_refused(desk: Any) -> None:
    signed = await desk.sign_in()
    form = desk.redemption(signed) | {"code_verifier": "x" * 64}
    assert await desk.post("token", **form) == (
        400,
        {"error": "invalid_grant", "error_description": "Code challenge failed."},
    )


async def test_code_that_comes_twice_ends_the_tokens_it_gave(desk: Any) -> None:
    signed = await desk.sign_in()
    tokens = await desk.redeem(signed)
    status, refusal = await desk.post("token", **desk.redemption(signed))
    assert (status, refusal["error"]) == (400, "invalid_grant")
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    async with desk.browser.get(f"{desk.url}/userinfo", headers=headers) as answer:
        assert answer.status == 401


async def test_code_runs_out_after_a_minute(desk: Any) -> None:
    signed = await desk.sign_in()
    desk.clock.now += 61
    status, refusal = await desk.post("token", **desk.redemption(signed))
    assert (status, refusal["error"]) == (400, "invalid_grant")


async def test_wrong_client_secret_is_401(desk: Any) -> None:
    signed = await desk.sign_in()
    status, refusal = await desk.post("token", secret="not-the-secret-at-all", **desk.redemption(signed))
    assert (status, refusal["error"]) == (401, "invalid_client")


async def test_person_who_is_signed_in_gets_a_code_without_a_page(desk: Any) -> None:
    await desk.sign_in()
    assert "code" in (await desk.authorize()).params
    assert "code" in (await desk.authorize(prompt="none")).params


async def test_prompt_none_without_a_sign_in_is_login_required(desk: Any) -> None:
    assert (await desk.authorize(prompt="none")).params["error"] == "login_required"


async def test_prompt_login_and_max_age_ask_for_the_password_again(desk: Any) -> None:
    await desk.sign_in()
    desk.clock.now += 100
    for change in ({"prompt": "login"}, {"max_age": "99"}, {"max_age": "0"}):
        assert 'name="password"' in (await desk.authorize(**change)).text
    assert "code" in (await desk.authorize(max_age="100")).params


async def test_renewed_sign_in_keeps_its_sid_and_says_when_it_was_renewed(desk: Any) -> None:
    first = await desk.read((await desk.redeem(await desk.sign_in()))["id_token"])
    desk.clock.now += 50
    again = await desk.read((await desk.redeem(await desk.sign_in(prompt="login")))["id_token"])
    assert again["sid"] == first["sid"]
    assert again["auth_time"] == first["auth_time"] + 50


async def test_second_step_raises_the_acr_and_wrong_codes_are_replaced(desk: Any) -> None:
    page = await desk.sign_in(acr_values="mfa")
    shown = page.text.split("<output>")[1][:6]
    wrong = f"{(int(shown) + 1) % 1_000_000:06}"
    for _ in range(5):
        page = await desk.fill(page, "one-time-code", code=wrong)
        assert page.status == 403
    fresh = page.text.split("<output>")[1][:6]
    signed = await desk.fill(page, "one-time-code", code=fresh)
    claims = await desk.read((await desk.redeem(signed))["id_token"])
    assert (claims["acr"], claims["amr"]) == ("mfa", ["pwd", "otp", "mfa"])


async def test_prompt_none_cannot_make_a_second_step(desk: Any) -> None:
    await desk.sign_in()
    assert (await desk.authorize(prompt="none", acr_values="mfa")).params["error"] == "interaction_required"


async def test_page_speaks_korean_and_forbids_scripts(desk: Any) -> None:
    headers = {"Accept-Language": "ko-KR,ko;q=0.9"}
    page = await desk.authorize()
    assert '<html lang="en">' in page.text
    async with desk.browser.get(f"{desk.url}/", headers=headers) as answer:
        assert '<html lang="ko">' in await answer.text()
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy


async def test_markup_in_a_login_hint_stays_text(desk: Any) -> None:
    page = await desk.authorize(login_hint='"><script>alert(1)</script>')
    assert "<script>" not in page.text
