"""The key source against a real server: warm without waiting, rotation, outages, lies."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from haetae_crypto.jwk import PublicJwk
from haetae_crypto.jwks import JwkSet, JwksTimes
from haetae_oidc import AccessTokenVerifier, KeysUnavailable, KeyUnknown, SettingsInvalid, TokenPolicy
from haetae_oidc.io.jwks import IssuerAddress, KeySource
from haetae_oidc.io.verify import verify_access_token

from tests.oidc.forge import AUDIENCE, ISSUER, NOW, ec_key, ed_key, header, issuer_keys, token
from tests.passport.jwks_server import JwksServer, bad_answers, jwks_server

POLICY = TokenPolicy(issuer=ISSUER, audience=AUDIENCE, algorithms=frozenset({"ES256", "EdDSA"}))
SOON = JwksTimes(fresh=0.02, stale=0.02, keep=60, unknown_cooldown=30, retry_first=0.01, retry_most=0.02)


def document(*kids: str) -> bytes:
    return json.dumps({"keys": [key.to_dict() for key in issuer_keys().keys if key.kid in kids]}).encode()


@pytest.fixture
async def server() -> AsyncIterator[JwksServer]:
    async with jwks_server(document("ec")) as running:
        yield running


def source(server: JwksServer, *, times: JwksTimes | None = None, fetch_seconds: float = 5.0) -> KeySource:
    address = IssuerAddress(issuer=ISSUER, jwks_url=server.url, loopback_http=True)
    return KeySource([address], times=times, fetch_seconds=fetch_seconds)


def kids(keys: JwkSet | None) -> set[str | None]:
    return set() if keys is None else {key.kid for key in keys.keys}


async def test_ready_waits_for_the_first_keys_and_verification_then_needs_no_more_fetches(server: JwksServer) -> None:
    async with source(server) as keys:
        assert keys.keys_of(ISSUER).current is None
        await keys.ready(ISSUER)
        verifier = AccessTokenVerifier(POLICY, keys.keys_of(ISSUER))
        for number in range(20):
            verifier.verify(token(head=header()), now=NOW + number)
        assert server.hits == 1
    assert server.headers[0]["Accept-Encoding"] == "identity"


async def test_many_cold_requests_share_one_fetch(server: JwksServer) -> None:
    server.open_gate.clear()
    async with source(server) as keys:
        verifier = AccessTokenVerifier(POLICY, keys.keys_of(ISSUER))
        calls = [
            asyncio.create_task(verify_access_token(token(), verifier=verifier, keys=keys.keys_of(ISSUER), now=NOW))
            for _ in range(50)
        ]
        await server.wait_for_hits(1)
        server.open_gate.set()
        assert {access.subject for access in await asyncio.gather(*calls)} == {"u-1029"}
        assert server.hits == 1


async def test_cancelled_request_does_not_cancel_the_fetch_of_the_others(server: JwksServer) -> None:
    server.open_gate.clear()
    async with source(server) as keys:
        first, second = (asyncio.create_task(keys.ready(ISSUER)) for _ in range(2))
        await server.wait_for_hits(1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        server.open_gate.set()
        assert kids(await second) == {"ec"}
        assert server.hits == 1


async def test_rotated_key_is_learnt_from_the_first_token_that_names_it(server: JwksServer) -> None:
    async with source(server) as keys:
        await keys.ready(ISSUER)
        verifier = AccessTokenVerifier(POLICY, keys.keys_of(ISSUER))
        server.document = document("ec", "ed")
        fresh = token(head=header(alg="EdDSA", kid="ed"), key=ed_key())
        access = await verify_access_token(fresh, verifier=verifier, keys=keys.keys_of(ISSUER), now=NOW)
        assert access.subject == "u-1029"
        verifier.verify(token(), now=NOW)
        assert server.hits == 2


async def test_flood_of_made_up_key_ids_causes_one_fetch(server: JwksServer) -> None:
    async with source(server) as keys:
        await keys.ready(ISSUER)
        verifier = AccessTokenVerifier(POLICY, keys.keys_of(ISSUER))
        calls = [
            verify_access_token(
                token(head=header(kid=f"made-up-{number}")), verifier=verifier, keys=keys.keys_of(ISSUER), now=NOW
            )
            for number in range(50)
        ]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {KeyUnknown}
        assert server.hits == 2


async def test_keys_are_refreshed_by_the_timer_without_any_request(server: JwksServer) -> None:
    async with source(server, times=SOON) as keys:
        await keys.ready(ISSUER)
        server.document = document("ec", "ed")
        await server.wait_for_hits(4)
        assert kids(keys.keys_of(ISSUER).current) == {"ec", "ed"}


@pytest.mark.parametrize("lie", bad_answers(b"{}"))
async def test_bad_answer_never_replaces_good_keys_and_is_retried(server: JwksServer, lie: str) -> None:
    async with source(server, times=SOON) as keys:
        await keys.ready(ISSUER)
        server.answer = bad_answers(document("ed"))[lie]
        await server.wait_for_hits(server.hits + 3)
        assert kids(keys.keys_of(ISSUER).current) == {"ec"}
        AccessTokenVerifier(POLICY, keys.keys_of(ISSUER)).verify(token(), now=NOW)
        server.answer, server.document = None, document("ed")
        await server.wait_for_hits(server.hits + 3)
        assert kids(keys.keys_of(ISSUER).current) == {"ed"}


@pytest.mark.parametrize("lie", bad_answers(b"{}"))
async def test_issuer_that_only_lies_makes_nobody_ready(server: JwksServer, lie: str) -> None:
    server.answer = bad_answers(document("ec"))[lie]
    async with source(server) as keys:
        with pytest.raises(KeysUnavailable) as caught:
            await keys.ready(ISSUER)
        assert 0 < caught.value.retry_after <= 30
        assert keys.keys_of(ISSUER).current is None


async def test_silent_issuer_is_given_up_after_its_time(server: JwksServer) -> None:
    server.open_gate.clear()
    async with source(server, fetch_seconds=0.05) as keys:
        with pytest.raises(KeysUnavailable):
            await keys.ready(ISSUER)


async def test_unreachable_issuer_is_unavailable() -> None:
    async with jwks_server(b"") as gone:
        address = IssuerAddress(issuer=ISSUER, jwks_url=gone.url, loopback_http=True)
    async with KeySource([address]) as keys:
        with pytest.raises(KeysUnavailable):
            await keys.ready(ISSUER)


async def test_closing_ends_a_fetch_that_hangs(server: JwksServer) -> None:
    server.open_gate.clear()
    keys = source(server, fetch_seconds=60)
    async with keys:
        waiting = asyncio.create_task(keys.ready(ISSUER))
        await server.wait_for_hits(1)
    with pytest.raises(KeysUnavailable):
        await waiting


def test_settings_that_cannot_work_are_refused() -> None:
    good = IssuerAddress(issuer=ISSUER, jwks_url="https://login.example/jwks")
    with pytest.raises(SettingsInvalid):
        KeySource([good, good])
    with pytest.raises(SettingsInvalid):
        KeySource([IssuerAddress(issuer=ISSUER, jwks_url="http://login.example/jwks")])
    with pytest.raises(SettingsInvalid):
        KeySource([good]).keys_of("https://login.example/")


async def test_source_that_was_never_entered_is_unavailable() -> None:
    keys = KeySource([IssuerAddress(issuer=ISSUER, jwks_url="https://login.example/jwks")])
    with pytest.raises(KeysUnavailable):
        await keys.ready(ISSUER)


def test_forge_and_published_keys_belong_together() -> None:
    published: PublicJwk = issuer_keys().keys[0]
    assert published.key == ec_key().public_key()
