"""The token issuer over real sockets: who gets a token, what it says, and rotation."""

import secrets
from typing import Any

import jwt
import pytest
from haetae_crypto.jwk import ed25519_private_from_seed
from haetae_demo.assertions import TOKEN_REQUEST_TYPE, sign_statement
from haetae_demo.errors import CapacityReached, NotFound, RequestInvalid
from haetae_demo.io.enrolment import EnrolledDevice, enrol, fetch_token
from haetae_demo.io.issuer import GRANT, IdentityClient, IssuerService
from haetae_demo.io.serving import serve
from haetae_demo.issuer_keys import IssuerKeys
from haetae_demo.tokens import TokenTerms

KEY = ed25519_private_from_seed(bytes(range(32)))


@pytest.fixture
async def device(demo_world: Any) -> EnrolledDevice:
    return await enrol(
        demo_world.session,
        identity_url=demo_world.identity,
        code="demo-code-mina-4417",
        key=KEY,
        now=demo_world.clock(),
        jti=secrets.token_hex(8),
    )


async def token(world: Any, device: EnrolledDevice, *, scope: str | None = None) -> str:
    grant = await fetch_token(
        world.session,
        issuer_url=world.issuer,
        device=device,
        now=world.clock(),
        jti=secrets.token_hex(8),
        scope=scope,
    )
    assert grant.expires == world.clock() + 300
    return grant.token


async def published(world: Any) -> dict[str, jwt.PyJWK]:
    async with world.session.get(f"{world.issuer}/jwks.json") as answer:
        return {key["kid"]: jwt.PyJWK(key) for key in (await answer.json())["keys"]}


def read(text: str, keys: dict[str, jwt.PyJWK], world: Any) -> dict[str, Any]:
    key = keys[jwt.get_unverified_header(text)["kid"]]
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    claims: dict[str, Any] = jwt.decode(
        text, key, algorithms=["ES256"], audience="haetae-demo-api", issuer=world.issuer, options=options
    )
    return claims


async def test_device_gets_a_token_bound_to_its_key(demo_world: Any, device: EnrolledDevice) -> None:
    text = await token(demo_world, device)
    header = jwt.get_unverified_header(text)
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")
    claims = read(text, await published(demo_world), demo_world)
    assert len(claims.pop("jti")) >= 16
    assert claims == {
        "iss": demo_world.issuer,
        "sub": "u-1001",
        "aud": "haetae-demo-api",
        "client_id": "haetae-demo-mobile",
        "scope": "accounts:read profile transfers:write",
        "iat": int(demo_world.clock()),
        "exp": int(demo_world.clock()) + 300,
        "cnf": {"jkt": KEY.public.thumbprint},
    }


async def test_token_has_only_the_scopes_asked_for(demo_world: Any, device: EnrolledDevice) -> None:
    text = await token(demo_world, device, scope="accounts:read")
    assert read(text, await published(demo_world), demo_world)["scope"] == "accounts:read"
    with pytest.raises(RequestInvalid, match="invalid_scope"):
        await token(demo_world, device, scope="accounts:read admin")


async def test_device_that_is_not_enrolled_gets_no_token(demo_world: Any) -> None:
    stranger = EnrolledDevice(keyid="dev_stranger", device_id="d-x", user_id="u-1001", key=KEY)
    with pytest.raises(NotFound):
        await token(demo_world, stranger)


async def test_device_of_a_disabled_account_gets_no_token(demo_world: Any, device: EnrolledDevice) -> None:
    url = f"{demo_world.identity}/v1/accounts/u-1001/disable"
    async with demo_world.session.post(url, headers=demo_world.service) as answer:
        assert answer.status == 200
    with pytest.raises(NotFound):
        await token(demo_world, device)


async def test_assertion_signed_by_another_key_gets_no_token(demo_world: Any, device: EnrolledDevice) -> None:
    thief = EnrolledDevice(
        keyid=device.keyid, device_id="d-x", user_id="u-1001", key=ed25519_private_from_seed(bytes(32))
    )
    with pytest.raises(NotFound, match="signature"):
        await token(demo_world, thief)


async def test_assertion_works_once(demo_world: Any, device: EnrolledDevice) -> None:
    form = {"grant_type": GRANT, "assertion": assertion(demo_world, device)}
    answers = []
    for _ in range(2):
        async with demo_world.session.post(f"{demo_world.issuer}/token", data=form) as answer:
            answers.append((answer.status, (await answer.json()).get("error")))
    assert answers == [(200, None), (400, "invalid_grant")]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
        ({"assertion": "x"}, "invalid_grant"),
        ({"client_id": "other"}, "invalid_client"),
        ({"resource": "https://other.example"}, "invalid_target"),
    ],
)
async def test_wrong_token_request_gets_the_oauth_error(
    demo_world: Any, device: EnrolledDevice, change: dict[str, str], error: str
) -> None:
    form = {"grant_type": GRANT, "assertion": assertion(demo_world, device)} | change
    async with demo_world.session.post(f"{demo_world.issuer}/token", data=form) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"] == error
        assert answer.headers["Cache-Control"] == "no-store"


async def test_parameter_sent_twice_is_refused(demo_world: Any, device: EnrolledDevice) -> None:
    form = [
        ("grant_type", GRANT),
        ("assertion", assertion(demo_world, device)),
        ("scope", "profile"),
        ("scope", "profile"),
    ]
    async with demo_world.session.post(f"{demo_world.issuer}/token", data=form) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_request")


async def test_identity_service_down_is_a_503_and_not_a_refusal(demo_world: Any, device: EnrolledDevice) -> None:
    alone = IssuerService(
        keys=IssuerKeys(now=demo_world.clock(), token_lifetime=300),
        terms=TokenTerms(issuer="http://issuer.test", audience="a"),
        identity=IdentityClient(demo_world.session, url="http://127.0.0.1:1", service_token="x"),
        service_token="x",
        clock=demo_world.clock,
    )
    form = {"grant_type": GRANT, "assertion": assertion(demo_world, device)}
    async with (
        serve(alone.application()) as url,
        demo_world.session.post(f"{url}/token", data=form) as answer,
    ):
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"


async def test_rotation_publishes_before_use_and_keeps_the_old_key_for_its_tokens(
    demo_world: Any, device: EnrolledDevice
) -> None:
    old = await token(demo_world, device)
    (old_kid,) = await published(demo_world)
    url = f"{demo_world.issuer}/admin/rotate"
    async with demo_world.session.post(url, json={"lead": 60}, headers=demo_world.service) as answer:
        assert answer.status == 201
        new_kid = (await answer.json())["kid"]
    assert set(await published(demo_world)) == {old_kid, new_kid}
    assert jwt.get_unverified_header(await token(demo_world, device))["kid"] == old_kid
    demo_world.clock.now += 60
    fresh = await token(demo_world, device)
    assert jwt.get_unverified_header(fresh)["kid"] == new_kid
    keys = await published(demo_world)
    read(old, keys, demo_world)
    read(fresh, keys, demo_world)
    demo_world.clock.now += 361
    assert set(await published(demo_world)) == {new_kid}


async def test_rotation_needs_the_service_token(demo_world: Any) -> None:
    async with demo_world.session.post(f"{demo_world.issuer}/admin/rotate") as answer:
        assert answer.status == 401


async def test_metadata_names_the_endpoints(demo_world: Any) -> None:
    async with demo_world.session.get(f"{demo_world.issuer}/.well-known/oauth-authorization-server") as answer:
        metadata = await answer.json()
    assert metadata["issuer"] == demo_world.issuer
    assert metadata["jwks_uri"] == f"{demo_world.issuer}/jwks.json"
    assert metadata["grant_types_supported"] == [GRANT]


def test_rotating_without_end_is_refused_and_a_signing_key_remains() -> None:
    keys = IssuerKeys(now=0, token_lifetime=300)
    for _ in range(15):
        keys.rotate(now=1, lead=0)
    with pytest.raises(CapacityReached):
        keys.rotate(now=1, lead=0)
    assert keys.signing(now=1).sign_from == 1


def assertion(world: Any, device: EnrolledDevice) -> str:
    return sign_statement(
        device.key,
        statement_type=TOKEN_REQUEST_TYPE,
        audience=f"{world.issuer}/token",
        now=world.clock(),
        jti=secrets.token_hex(8),
        claims={"iss": device.keyid, "sub": device.keyid},
    )
