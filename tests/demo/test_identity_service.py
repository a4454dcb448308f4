"""The identity service over real sockets: who may enrol, ask and switch off, and what comes of it."""

import secrets
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from haetae_crypto.jwk import PrivateJwk, ed25519_private_from_seed
from haetae_demo.assertions import ENROL_TYPE, sign_statement
from haetae_demo.directory import MAX_DEVICES_PER_PERSON, Directory
from haetae_demo.errors import CredentialsInvalid, NotFound, WorldInvalid
from haetae_demo.io.enrolment import EnrolledDevice, enrol
from haetae_demo.io.identity import AUDIENCE, IdentityService, load_state
from haetae_demo.io.serving import serve
from haetae_demo.world import packaged_world

MINA_CODE, JOON_CODE = "demo-code-mina-4417", "demo-code-joon-9032"
KEY = ed25519_private_from_seed(bytes(range(32)))


async def enrolled(world: Any, code: str = MINA_CODE, key: PrivateJwk = KEY) -> EnrolledDevice:
    return await enrol(
        world.session,
        identity_url=world.identity,
        code=code,
        key=key,
        now=world.clock(),
        jti=secrets.token_hex(8),
    )


def enrolment(now: float, *, jti: str = "0123456789", signer: PrivateJwk = KEY) -> dict[str, Any]:
    return {
        "public_key": dict(KEY.public.members),
        "device": {"platform": "ios", "app_version": "1", "attestation": "none"},
        "proof": sign_statement(signer, statement_type=ENROL_TYPE, audience=AUDIENCE, now=now, jti=jti),
    }


async def test_enrolled_device_is_described_to_a_gateway(demo_world: Any) -> None:
    device = await enrolled(demo_world)
    assert device.user_id == "u-1001"
    url = f"{demo_world.identity}/v1/devices/{device.keyid}"
    async with demo_world.session.get(url, headers=demo_world.service) as answer:
        assert answer.status == 200
        record = await answer.json()
    assert record == {
        "keyid": f"dev_{KEY.public.thumbprint}",
        "alg": "ed25519",
        "public_key": dict(KEY.public.members),
        "user_id": "u-1001",
        "device": {
            "id": f"d-{KEY.public.thumbprint[:16]}",
            "platform": "cli",
            "app_version": "1.0.0",
            "attestation": "basic",
        },
        "status": "active",
    }


async def test_unknown_enrolment_code_is_refused(demo_world: Any) -> None:
    with pytest.raises(CredentialsInvalid):
        await enrolled(demo_world, code="demo-code-nobody")


async def test_key_of_one_person_cannot_be_enrolled_by_another(demo_world: Any) -> None:
    await enrolled(demo_world)
    answer = await post(
        demo_world, "/v1/devices", enrolment(demo_world.clock()), {"Authorization": f"Bearer {JOON_CODE}"}
    )
    assert answer == (409, "conflict")


async def test_enrolment_without_holding_the_key_is_refused(demo_world: Any) -> None:
    body = enrolment(demo_world.clock(), signer=ed25519_private_from_seed(bytes(32)))
    answer = await post(demo_world, "/v1/devices", body, {"Authorization": f"Bearer {MINA_CODE}"})
    assert answer == (400, "assertion-invalid")


async def test_enrolment_proof_works_once(demo_world: Any) -> None:
    body = enrolment(demo_world.clock())
    headers = {"Authorization": f"Bearer {MINA_CODE}"}
    assert (await post(demo_world, "/v1/devices", body, headers))[0] == 201
    assert await post(demo_world, "/v1/devices", body, headers) == (400, "assertion-invalid")


@pytest.mark.parametrize(
    "change", [{"user_id": "u-1002"}, {"device": {"platform": "ios"}}, {"public_key": {"kty": "RSA"}}]
)
async def test_enrolment_with_wrong_members_is_refused(demo_world: Any, change: dict[str, object]) -> None:
    body = enrolment(demo_world.clock()) | change
    answer = await post(demo_world, "/v1/devices", body, {"Authorization": f"Bearer {MINA_CODE}"})
    assert answer == (400, "request-invalid")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic x"},
        {"Authorization": f"Bearer {MINA_CODE}"},
    ],
)
async def test_gateway_interface_needs_the_service_token(demo_world: Any, headers: dict[str, str]) -> None:
    for method, path in [
        ("GET", "/v1/devices/dev_x"),
        ("POST", "/v1/context"),
        ("POST", "/v1/accounts/u-1001/disable"),
    ]:
        async with demo_world.session.request(method, demo_world.identity + path, headers=headers) as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert answer.content_type == "application/problem+json"


async def test_context_holds_user_device_consents_and_risk(demo_world: Any) -> None:
    device = await enrolled(demo_world)
    body = {"sub": "u-1001", "keyid": device.keyid, "route": "accounts"}
    async with demo_world.session.post(
        f"{demo_world.identity}/v1/context", json=body, headers=demo_world.service
    ) as answer:
        context = await answer.json()
    assert context["user"] == {"id": "u-1001", "name": "Mina Park", "locale": "ko-KR", "tier": "gold"}
    assert context["device"]["platform"] == "cli"
    assert context["consents"] == {"marketing": True, "open_banking": True, "location": False}
    assert context["risk"] == {"score": 0.1, "level": "low"}


async def test_context_of_one_person_with_anothers_device_is_refused(demo_world: Any) -> None:
    device = await enrolled(demo_world)
    body = {"sub": "u-1002", "keyid": device.keyid}
    assert await post(demo_world, "/v1/context", body, demo_world.service) == (409, "conflict")


async def test_context_of_a_device_calling_for_itself_names_no_user(demo_world: Any) -> None:
    device = await enrolled(demo_world)
    async with demo_world.session.post(
        f"{demo_world.identity}/v1/context",
        json={"sub": device.keyid, "keyid": device.keyid},
        headers=demo_world.service,
    ) as answer:
        context = await answer.json()
    assert (context["user"], context["consents"]) == (None, {})
    assert context["device"]["platform"] == "cli"
    assert context["risk"] == {"score": 0.35, "level": "low"}


async def test_disabled_account_disables_its_devices_until_it_is_enabled(demo_world: Any) -> None:
    device = await enrolled(demo_world)
    path = f"{demo_world.identity}/v1/accounts/u-1001"
    record_url = f"{demo_world.identity}/v1/devices/{device.keyid}"
    for verb, status, context in [("disable", "disabled", 403), ("enable", "active", 200)]:
        async with demo_world.session.post(f"{path}/{verb}", headers=demo_world.service) as answer:
            assert await answer.json() == {"user_id": "u-1001", "status": status, "changed": True}
        async with demo_world.session.get(record_url, headers=demo_world.service) as answer:
            assert (await answer.json())["status"] == status
        found, _ = await post(demo_world, "/v1/context", {"sub": "u-1001"}, demo_world.service)
        assert found == context


async def test_unknown_device_person_and_path_are_problems(demo_world: Any) -> None:
    async with demo_world.session.get(f"{demo_world.identity}/v1/devices/dev_x", headers=demo_world.service) as answer:
        assert answer.status == 404
        assert (await answer.json())["code"] == "not-found"
    assert (await post(demo_world, "/v1/context", {"sub": "u-0"}, demo_world.service))[0] == 404
    assert (await post(demo_world, "/nowhere", {}, {}))[0] == 404
    async with demo_world.session.get(f"{demo_world.identity}/v1/context") as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "POST"


async def test_compressed_and_oversized_bodies_are_refused(demo_world: Any) -> None:
    url = f"{demo_world.identity}/v1/context"
    headers = demo_world.service | {"Content-Encoding": "gzip"}
    async with demo_world.session.post(url, data=b"x", headers=headers) as answer:
        assert answer.status == 415
    async with demo_world.session.post(url, data=b" " * 70_000, headers=demo_world.service) as answer:
        assert answer.status == 413


async def test_enrolments_survive_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "identity.json"
    headers = {"Authorization": "Bearer s"}
    for attempt in range(2):
        directory = Directory(packaged_world())
        load_state(directory, state)
        app = IdentityService(directory, service_token="s", state_file=state).application()
        async with aiohttp.ClientSession() as session, serve(app) as url:
            if attempt == 0:
                body = enrolment(time.time())
                code = {"Authorization": f"Bearer {MINA_CODE}"}
                async with session.post(f"{url}/v1/devices", json=body, headers=code) as answer:
                    assert answer.status == 201
                await session.post(f"{url}/v1/accounts/u-1001/disable", headers=headers)
            async with session.get(f"{url}/v1/devices/dev_{KEY.public.thumbprint}", headers=headers) as answer:
                assert (await answer.json())["status"] == "disabled"
    assert file_names(tmp_path) == ["identity.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"devices":[]}', '{"devices":[{}],"disabled":[]}'])
def test_damaged_state_file_is_refused_rather_than_half_read(tmp_path: Path, text: str) -> None:
    state = tmp_path / "identity.json"
    state.write_text(text)
    with pytest.raises(WorldInvalid):
        load_state(Directory(packaged_world()), state)


async def post(world: Any, path: str, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, str | None]:
    async with world.session.post(world.identity + path, json=body, headers=headers) as answer:
        return answer.status, (await answer.json()).get("code")


def test_oldest_device_makes_room_when_a_person_has_too_many() -> None:
    world = packaged_world()
    directory = Directory(world)
    person = world.people["u-1001"]
    keyids = []
    for number in range(MAX_DEVICES_PER_PERSON + 2):
        key = ed25519_private_from_seed(number.to_bytes(32, "big")).public
        device = directory.enrol(person, key=key, platform="ios", app_version="1", attestation="none")
        keyids.append(device.keyid)
    for gone in keyids[:2]:
        with pytest.raises(NotFound):
            directory.device(gone)
    assert [directory.device(keyid).keyid for keyid in keyids[2:]] == keyids[2:]


def file_names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]
