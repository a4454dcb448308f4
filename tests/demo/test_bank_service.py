"""The bank over real sockets, behind the real Passport verifier with a real key server."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from haetae_crypto.signing_keys import new_signing_ring
from haetae_demo.io.bank import BankService
from haetae_demo.io.serving import serve
from haetae_demo.ledger import Ledger
from haetae_demo.world import packaged_world
from haetae_passport import (
    JWKS_CONTENT_TYPE,
    JWKS_PATH,
    CallContext,
    PassportMinter,
    PassportPolicy,
    PassportVerifier,
    Risk,
    jwks_document,
)
from haetae_passport.io.gate import PassportGate
from haetae_passport.io.jwks import PassportKeys
from yarl import URL

MINA, JOON = "u-1001", "u-1002"
ORDER = {"from": "110-204-0001", "to": "110-204-0003", "amount": 5000}


@dataclass(frozen=True, slots=True, kw_only=True)
class BankUnderTest:
    url: str
    session: aiohttp.ClientSession
    minter: PassportMinter

    def passport(
        self, sub: str = MINA, *, audience: str = "bank", level: str = "low", age: float = 0
    ) -> dict[str, str]:
        context = CallContext(gateway="app", route="r", trace="t", client="192.0.2.1", auth=("test",))
        token = self.minter.mint(
            audience=audience,
            subject=sub,
            context=context,
            passport_id="p-1",
            now=time.time() - age,
            risk=Risk(score=0.1, level=level),
        )
        return {"X-Passport": token}

    async def call(
        self, method: str, path: str, headers: dict[str, str], body: Any = None
    ) -> tuple[int, dict[str, Any]]:
        async with self.session.request(
            method, URL(self.url + path, encoded=True), headers=headers, json=body
        ) as answer:
            return answer.status, await answer.json(content_type=None)


@pytest.fixture
async def bank() -> AsyncIterator[BankUnderTest]:
    now = int(time.time())
    ring = new_signing_ring(bytes(range(32)), now=now - 1000)

    async def jwks(_: web.Request) -> web.Response:
        return web.Response(body=jwks_document(ring, now=now), content_type=JWKS_CONTENT_TYPE)

    gateway = web.Application()
    gateway.router.add_get(JWKS_PATH, jwks)
    async with aiohttp.ClientSession() as session, serve(gateway) as gateway_url:
        gate = PassportGate(
            verifier=PassportVerifier(PassportPolicy(issuer="haetae", audience="bank")),
            keys=PassportKeys(gateway_url + JWKS_PATH, loopback_http=True),
        )
        app = BankService(Ledger(packaged_world()), gate=gate).application()
        async with serve(app) as url:
            yield BankUnderTest(url=url, session=session, minter=PassportMinter(issuer="haetae", ring=ring))


async def test_person_of_the_passport_sees_their_accounts(bank: BankUnderTest) -> None:
    status, answer = await bank.call("GET", "/api/v1/accounts", bank.passport(JOON))
    assert status == 200
    assert answer == {"accounts": [{"id": "110-204-0003", "name": "Everyday", "currency": "KRW", "balance": 310000}]}


@pytest.mark.parametrize("path", ["/api/v1/accounts", "/api/v1/echo", "/api/v1/nowhere", "/"])
async def test_caller_without_a_passport_is_refused_everywhere(bank: BankUnderTest, path: str) -> None:
    claimed = {"X-User-Id": MINA, "Authorization": "Bearer x", "X-Forwarded-User": MINA}
    status, _ = await bank.call("GET", path, claimed)
    assert status == 401


async def test_passport_for_another_service_or_too_old_is_refused(bank: BankUnderTest) -> None:
    assert (await bank.call("GET", "/api/v1/accounts", bank.passport(audience="other")))[0] == 401
    assert (await bank.call("GET", "/api/v1/accounts", bank.passport(age=100)))[0] == 401


async def test_health_needs_no_passport(bank: BankUnderTest) -> None:
    assert await bank.call("GET", "/readyz", {}) == (200, {"ready": True})


async def test_transfer_is_made_once_per_idempotency_key(bank: BankUnderTest) -> None:
    key = {"Idempotency-Key": "order-0001"}
    first, made = await bank.call("POST", "/api/v1/transfers", bank.passport() | key, ORDER)
    again, repeated = await bank.call("POST", "/api/v1/transfers", bank.passport() | key, ORDER)
    assert (first, again) == (201, 200)
    assert made == repeated
    assert made["balance_after"] == 1_245_000
    found = await bank.call("GET", f"/api/v1/transfers/{made['id']}", bank.passport())
    assert found == (200, made)
    other, _ = await bank.call("GET", f"/api/v1/transfers/{made['id']}", bank.passport(JOON))
    assert other == 404
    status, account = await bank.call("GET", "/api/v1/accounts/110-204-0001", bank.passport())
    assert (status, account["balance"]) == (200, 1_245_000)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"amount": 10.5}, 400, "request-invalid"),
        ({"amount": "10"}, 400, "request-invalid"),
        ({"amount": 0}, 400, "request-invalid"),
        ({"owner": JOON}, 400, "request-invalid"),
        ({"to": "999"}, 404, "not-found"),
        ({"from": "110-204-0003"}, 404, "not-found"),
        ({"amount": 10_000_000}, 422, "insufficient-funds"),
    ],
)
async def test_wrong_order_is_refused_with_its_code(
    bank: BankUnderTest, change: dict[str, Any], status: int, code: str
) -> None:
    headers = bank.passport() | {"Idempotency-Key": "order-0001"}
    found, answer = await bank.call("POST", "/api/v1/transfers", headers, ORDER | change)
    assert (found, answer["code"]) == (status, code)


async def test_transfer_without_or_with_a_reused_key_is_refused(bank: BankUnderTest) -> None:
    status, answer = await bank.call("POST", "/api/v1/transfers", bank.passport(), ORDER)
    assert (status, answer["code"]) == (400, "request-invalid")
    headers = bank.passport() | {"Idempotency-Key": "order-0001"}
    await bank.call("POST", "/api/v1/transfers", headers, ORDER)
    status, answer = await bank.call("POST", "/api/v1/transfers", headers, ORDER | {"amount": 1})
    assert (status, answer["code"]) == (422, "idempotency-key-reused")


async def test_risky_caller_moves_no_money_but_may_look(bank: BankUnderTest) -> None:
    risky = bank.passport(level="high")
    headers = risky | {"Idempotency-Key": "order-0001"}
    status, answer = await bank.call("POST", "/api/v1/transfers", headers, ORDER)
    assert (status, answer["code"]) == (403, "risk-too-high")
    assert (await bank.call("GET", "/api/v1/accounts", risky))[0] == 200


async def test_echo_shows_what_came_in_without_usable_tokens(bank: BankUnderTest) -> None:
    passport = bank.passport()
    headers = passport | {"X-Shown": "yes", "Authorization": "Bearer a.b.c"}
    status, seen = await bank.call("POST", "/api/v1/echo?q=%2F", headers, {"a": 1})
    assert status == 200
    assert (seen["method"], seen["target"], seen["body"]) == ("POST", "/api/v1/echo?q=%2F", '{"a": 1}')
    assert ["X-Shown", "yes"] in seen["headers"]
    assert seen["passport"]["sub"] == MINA
    assert seen["passport"]["ctx"]["client"] == "192.0.2.1"
    shown = str(seen)
    assert passport["X-Passport"].rpartition(".")[2] not in shown
    assert "a.b.(signature withheld)" in shown


async def test_cold_bank_without_reachable_keys_answers_503(bank: BankUnderTest) -> None:
    gate = PassportGate(
        verifier=PassportVerifier(PassportPolicy(issuer="haetae", audience="bank")),
        keys=PassportKeys("http://127.0.0.1:1/jwks", loopback_http=True),
    )
    app = BankService(Ledger(packaged_world()), gate=gate).application()
    async with (
        serve(app) as url,
        bank.session.get(f"{url}/api/v1/accounts", headers=bank.passport()) as answer,
    ):
        assert answer.status == 503
