"""The tour's attacks: each is sent for real, and must be refused with its status and code."""

from collections.abc import Iterable
from dataclasses import replace

from haetae_crypto.client import PreparedRequest
from haetae_crypto.gateway_keys import CLASSIC, GatewayKeyPair
from haetae_demo.io.mobile import Answer, MobileApp

from haetae_cli.tour.calls import ECHO
from haetae_cli.tour.place import Details, Outcome, Place, judge

JSON = (("content-type", "application/json"),)


async def replay(place: Place) -> Outcome:
    """The very same bytes a second time."""
    prepared = place.mina.prepare("GET", "/api/v1/accounts")
    first = await place.mina.send(prepared)
    if first.status != 200:
        return judge(first, status=200)
    again = await place.mina.send(prepared)
    return judge(again, status=401, code="replayed", details=(("nonce", prepared.nonce),))


async def changed_body(place: Place) -> Outcome:
    """One bit of the ciphertext flipped on the way."""
    prepared = place.mina.prepare("POST", ECHO, headers=JSON, body=b'{"amount": 1}')
    body = bytearray(prepared.body or b"")
    body[-1] ^= 1
    return await _refused(place.mina, replace(prepared, body=bytes(body)))


async def changed_path(place: Place) -> Outcome:
    """A request for one account, sent to another."""
    prepared = place.mina.prepare("GET", "/api/v1/accounts/110-204-0001")
    target = "/api/v1/accounts/110-204-0002"
    return await _refused(place.mina, replace(prepared, target=target), _changed(prepared.target, target))


async def changed_query(place: Place) -> Outcome:
    """A parameter raised on the way."""
    prepared = place.mina.prepare("GET", f"{ECHO}?limit=1")
    target = f"{ECHO}?limit=999"
    return await _refused(place.mina, replace(prepared, target=target), _changed(prepared.target, target))


async def exchanged_token(place: Place) -> Outcome:
    """Somebody else's token put into a signed request."""
    prepared = place.mina.prepare("GET", "/api/v1/accounts")
    headers = _with(prepared.headers, "authorization", f"Bearer {place.joon.token}")
    return await _refused(place.mina, replace(prepared, headers=headers))


async def stolen_token(place: Place) -> Outcome:
    """A stolen token, honestly signed with the thief's own device key."""
    thief = place.joon
    own, thief.token = thief.token, place.mina.token
    try:
        prepared = thief.prepare("GET", "/api/v1/accounts")
    finally:
        thief.token = own
    return judge(await thief.send(prepared), status=401, code="token-invalid")


async def exchanged_content_key(place: Place) -> Outcome:
    """Another device's sealed content key put into a signed request."""
    prepared = place.mina.prepare("GET", "/api/v1/accounts")
    other = dict(place.joon.prepare("GET", "/api/v1/accounts").headers)["haetae-key"]
    return await _refused(place.mina, replace(prepared, headers=_with(prepared.headers, "haetae-key", other)))


async def unknown_content_key(place: Place) -> Outcome:
    """A content key sealed to a key the gateway does not have."""
    stranger = GatewayKeyPair.from_seed(place.random_bytes(32), kid="app-stranger", kem=CLASSIC)
    app = _same_device(place)
    app.channel.use_gateway_key(stranger.public)
    answer = await app.send(app.prepare("GET", "/api/v1/accounts"))
    return judge(answer, status=400, code="content-key-invalid")


async def delayed(place: Place) -> Outcome:
    """A request held back for a minute."""
    channel = place.mina.channel
    prepared = channel.prepare(
        "GET", f"{place.gateway}/api/v1/accounts", now=place.clock() - 60, token=place.mina.token
    )
    answer = await place.mina.send(prepared)
    date = answer.header("date") or "missing"
    return judge(answer, status=400, code="clock-skew", details=(("the gateway's date", date),))


async def unsigned(place: Place) -> Outcome:
    """A valid token without a signature."""
    prepared = place.mina.prepare("GET", "/api/v1/accounts")
    kept = tuple((name, value) for name, value in prepared.headers if not name.startswith("signature"))
    return await _refused(place.mina, replace(prepared, headers=kept))


async def unknown_device(place: Place) -> Outcome:
    """A signature by a device key nobody enrolled."""
    prepared = place.mina.prepare("GET", "/api/v1/accounts")
    headers = dict(prepared.headers)
    changed = headers["signature-input"].replace(place.mina.device.keyid, "dev_nobody")
    return await _refused(place.mina, replace(prepared, headers=_with(prepared.headers, "signature-input", changed)))


async def around_the_gateway(place: Place) -> Outcome:
    """The bank called directly: no Passport, no entry."""
    async with place.session.get(
        f"{place.bank}/api/v1/accounts",
        headers={"Authorization": f"Bearer {place.mina.token}", "X-User": "u-1001"},
    ) as found:
        body = await found.read()
        answer = Answer(
            status=found.status,
            headers=tuple(found.headers.items()),
            wire=body,
            body=body,
            encrypted=False,
        )
    return Outcome(passed=answer.status == 401, note=f"{answer.status} {answer.code or ''}".strip())


async def _refused(app: MobileApp, prepared: PreparedRequest, details: Details = ()) -> Outcome:
    return judge(await app.send(prepared), status=401, code="signature-invalid", details=details)


def _same_device(place: Place) -> MobileApp:
    app = MobileApp(
        place.session,
        gateway_url=place.gateway,
        device=place.mina.device,
        root_key=place.root_key,
        clock=place.clock,
        random_bytes=place.random_bytes,
    )
    app.token = place.mina.token
    return app


def _changed(signed: str, sent: str) -> Details:
    return (("signed", signed), ("sent", sent))


def _with(headers: Iterable[tuple[str, str]], name: str, value: str) -> tuple[tuple[str, str], ...]:
    return tuple((key, value if key == name else kept) for key, kept in headers)
