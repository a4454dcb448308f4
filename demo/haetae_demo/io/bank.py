"""The bank behind the gateway: who is asking comes from the Passport and from nowhere else.

- ``GET /api/v1/accounts``, ``GET /api/v1/accounts/{id}``: the person's accounts.
- ``POST /api/v1/transfers``: ``{"from","to","amount","memo"?}`` with an ``Idempotency-Key`` header; 201 with
the
  transfer, 200 when the same order was made before.
- ``GET /api/v1/transfers/{id}``: a transfer the person ordered.
- any method on ``/api/v1/echo``: what this service received, for demonstrations and end-to-end tests.

Rules kept: every path but ``/readyz`` is behind the verifier middleware of haetae-passport; no header sent by
the caller names a person; a Passport of high risk moves no money. Amounts are integers in minor units. Echo
withholds the signatures of tokens, so that what it shows opens no other door.
"""

import base64
import secrets
import time
from collections.abc import Callable

from aiohttp import web
from haetae_passport import PASSPORT_HEADER
from haetae_passport.io.aiohttp import PASSPORT, guard_with_passport
from haetae_passport.io.gate import PassportGate

from haetae_demo.errors import RequestInvalid, RiskTooHigh
from haetae_demo.io.serving import application, body_fields, json_response
from haetae_demo.ledger import MAX_AMOUNT, Account, Ledger, Transfer, TransferOrder

_TOKEN_HEADERS = frozenset({"authorization", PASSPORT_HEADER.lower()})


class BankService:
    """The HTTP face of a :class:`Ledger`.

    Args:
        ledger: the books.
        gate: lets in only requests with a valid Passport for this service.
        clock: Unix seconds.
    """

    def __init__(self, ledger: Ledger, *, gate: PassportGate, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._gate = gate
        self._clock = clock

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = application()
        app.router.add_get("/api/v1/accounts", self._accounts)
        app.router.add_get("/api/v1/accounts/{account_id}", self._account)
        app.router.add_post("/api/v1/transfers", self._transfer)
        app.router.add_get("/api/v1/transfers/{transfer_id}", self._made)
        app.router.add_route("*", "/api/v1/echo", self._echo)
        guard_with_passport(app, gate=self._gate, open_paths=frozenset({"/readyz"}))
        return app

    async def _accounts(self, request: web.Request) -> web.Response:
        owner = request[PASSPORT].subject
        return json_response({"accounts": [_account_json(a) for a in self._ledger.accounts_of(owner)]})

    async def _account(self, request: web.Request) -> web.Response:
        owner = request[PASSPORT].subject
        return json_response(_account_json(self._ledger.account(owner, request.match_info["account_id"])))

    async def _transfer(self, request: web.Request) -> web.Response:
        passport = request[PASSPORT]
        if passport.risk is None or passport.risk.level == "high":
            raise RiskTooHigh("no money is moved for this caller")
        key = _idempotency_key(request)
        fields = await body_fields(request)
        order = TransferOrder(
            source=fields.text("from", most=32),
            target=fields.text("to", most=32),
            amount=fields.integer("amount", least=1, most=MAX_AMOUNT),
            memo=fields.optional_text("memo", most=140),
        )
        fields.done()
        receipt = self._ledger.transfer(
            passport.subject, order, key=key, transfer_id=f"tr_{secrets.token_hex(8)}", now=self._clock()
        )
        made = receipt.transfer
        headers = {"Location": f"/api/v1/transfers/{made.id}"}
        return json_response(_transfer_json(made), status=200 if receipt.repeated else 201, headers=headers)

    async def _made(self, request: web.Request) -> web.Response:
        owner = request[PASSPORT].subject
        return json_response(_transfer_json(self._ledger.transfer_of(owner, request.match_info["transfer_id"])))

    async def _echo(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            shown = {"body": body.decode("utf-8")}
        except UnicodeDecodeError:
            shown = {"body_base64": base64.b64encode(body).decode()}
        seen = {
            "method": request.method,
            "target": request.raw_path,
            "headers": [[name, _without_signature(name, text)] for name, text in request.headers.items()],
            "passport": dict(request[PASSPORT].claims),
            **shown,
        }
        return json_response(seen)


def _idempotency_key(request: web.Request) -> str:
    """One header line of 8 to 128 printable ASCII characters without spaces (quotes are part of the key)."""
    lines = request.headers.getall("Idempotency-Key", [])
    if len(lines) != 1:
        raise RequestInvalid("one Idempotency-Key header is required")
    key = lines[0]
    if not 8 <= len(key) <= 128 or not all("!" <= char <= "~" for char in key):
        raise RequestInvalid("Idempotency-Key: 8 to 128 printable characters")
    return key


def _without_signature(name: str, value: str) -> str:
    if name.lower() not in _TOKEN_HEADERS or "." not in value:
        return value
    return value.rpartition(".")[0] + ".(signature withheld)"


def _account_json(account: Account) -> dict[str, object]:
    return {
        "id": account.id,
        "name": account.name,
        "currency": account.currency,
        "balance": account.balance,
    }


def _transfer_json(transfer: Transfer) -> dict[str, object]:
    return {
        "id": transfer.id,
        "from": transfer.order.source,
        "to": transfer.order.target,
        "amount": transfer.order.amount,
        "currency": transfer.currency,
        "memo": transfer.order.memo,
        "balance_after": transfer.balance_after,
        "made_at": transfer.made_at,
    }
