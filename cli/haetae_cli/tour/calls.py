"""The tour's honest calls: enrol, get a token, call the bank encrypted and signed."""

import json

from haetae_crypto.jwk import ed25519_private_from_seed, private_jwk_of
from haetae_demo.io.enrolment import enrol, fetch_token
from haetae_demo.io.mobile import MobileApp, fetch_app_keys

from haetae_cli.tour.place import Outcome, Place, judge

MINA_CODE, JOON_CODE = "demo-code-mina-4417", "demo-code-joon-9032"
MEMO = "rent for november"
ECHO = "/api/v1/echo"


async def gateway_keys(place: Place) -> Outcome:
    """The key list is signed by the pinned root key."""
    published = await fetch_app_keys(place.session, gateway_url=place.gateway, root_key=place.root_key)
    key = published.choose(now=place.clock())
    return Outcome(
        passed=True,
        note=key.suite.name,
        details=(("key id", key.kid), ("pinned root key", place.root_key.thumbprint)),
    )


async def enrolment(place: Place) -> Outcome:
    """Two people enrol their devices and get tokens bound to the device keys."""
    for name, code in (("mina", MINA_CODE), ("joon", JOON_CODE)):
        place.apps[name] = await new_app(place, code)
    device = place.mina.device
    return Outcome(
        passed=device.user_id == "u-1001",
        note=f"user {device.user_id}",
        details=(
            ("device", device.device_id),
            ("device key id", device.keyid),
            ("token", f"{len(place.mina.token or '')} characters, 300 s"),
        ),
    )


async def new_app(place: Place, code: str) -> MobileApp:
    """An app with a fresh device key, enrolled, with a token and the gateway's keys."""
    key = private_jwk_of(ed25519_private_from_seed(place.random_bytes(32)).key)
    device = await enrol(
        place.session,
        identity_url=place.identity,
        code=code,
        key=key,
        now=place.clock(),
        jti=place.random_bytes(12).hex(),
        platform="ios",
        app_version="4.2.0",
    )
    app = MobileApp(
        place.session,
        gateway_url=place.gateway,
        device=device,
        root_key=place.root_key,
        clock=place.clock,
        random_bytes=place.random_bytes,
    )
    grant = await fetch_token(
        place.session,
        issuer_url=place.issuer,
        device=device,
        now=place.clock(),
        jti=place.random_bytes(12).hex(),
    )
    app.token = grant.token
    await app.learn_keys()
    return app


async def encrypted_answer(place: Place) -> Outcome:
    """Accounts come back encrypted: what crossed the wire holds none of it."""
    answer = await place.mina.call("GET", "/api/v1/accounts")
    outcome = judge(
        answer,
        status=200,
        details=(
            ("on the wire", _hex(answer.wire)),
            ("the app reads", _text(answer.body)),
        ),
    )
    hidden = answer.encrypted and b"balance" in answer.body and b"balance" not in answer.wire
    return outcome if hidden else Outcome(passed=False, note="the answer was not encrypted")


async def what_the_service_sees(place: Place) -> Outcome:
    """The service gets plaintext and a Passport; the app's token and forged headers end at the gateway."""
    prepared = place.mina.prepare(
        "POST",
        ECHO,
        headers=(("content-type", "application/json"), ("x-passport", "forged"), ("x-user-consent", "all")),
        body=json.dumps({"memo": MEMO}).encode(),
    )
    answer = await place.mina.send(prepared)
    wire = prepared.body or b""
    if answer.status != 200:
        return judge(answer, status=200)
    seen = json.loads(answer.body)
    headers = {name.lower(): value for name, value in seen["headers"]}
    passport = seen["passport"]
    checks = {
        "plaintext left the gateway": json.loads(seen.get("body", "null")) == {"memo": MEMO},
        "the words crossed the wire": MEMO.encode() not in wire,
        "the token reached the service": "authorization" not in headers,
        "the signature reached the service": "signature" not in headers,
        "the forged Passport was taken": headers.get("x-passport", "") != "forged",
        "the Passport names another": passport.get("sub") == "u-1001" and "usr" in passport,
    }
    broken = [what for what, holds in checks.items() if not holds]
    signature = dict(prepared.headers)["signature-input"]
    return Outcome(
        passed=not broken,
        note=broken[0] if broken else "plaintext and Passport",
        details=(
            ("the app sends", f"{prepared.method} {prepared.target}"),
            ("signature-input", signature),
            ("haetae-key", dict(prepared.headers)["haetae-key"]),
            ("body on the wire", _hex(wire)),
            ("the service reads", str(seen.get("body"))),
            *((f"passport {name}", json.dumps(passport[name], ensure_ascii=False)) for name in passport),
        ),
    )


async def transfer(place: Place) -> Outcome:
    """Money moves once, however often the same order is sent."""
    order = {"from": "110-204-0001", "to": "110-204-0002", "amount": 1000, "memo": MEMO}
    key = place.random_bytes(12).hex()
    headers = (("content-type", "application/json"), ("idempotency-key", key))
    body = json.dumps(order).encode()
    first = await place.mina.call("POST", "/api/v1/transfers", headers=headers, body=body)
    again = await place.mina.call("POST", "/api/v1/transfers", headers=headers, body=body)
    if first.status != 201:
        return judge(first, status=201)
    same = first.body == again.body and again.status == 200
    return Outcome(
        passed=same,
        note="201, and 200 for the same order again" if same else "the same order moved money twice",
        details=(("the app reads", _text(first.body)),),
    )


async def only_own_accounts(place: Place) -> Outcome:
    """Somebody else's account is not there for this caller."""
    answer = await place.joon.call("GET", "/api/v1/accounts/110-204-0001")
    return judge(answer, status=404, code="not-found")


async def wrong_clock_corrects_itself(place: Place) -> Outcome:
    """An app whose clock is ten minutes slow learns the time from the refusal and gets through."""
    slow = MobileApp(
        place.session,
        gateway_url=place.gateway,
        device=place.mina.device,
        root_key=place.root_key,
        clock=lambda: place.clock() - 600,
        random_bytes=place.random_bytes,
    )
    slow.token = place.mina.token
    await slow.learn_keys()
    answer = await slow.call("GET", "/api/v1/accounts")
    corrected = slow.channel.clock_offset
    return judge(answer, status=200, details=(("clock corrected by", f"{corrected:.0f} s"),))


def _hex(data: bytes) -> str:
    return f"{data[:32].hex(' ', 4)}{' …' if len(data) > 32 else ''}  ({len(data)} bytes)"


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
