"""The service as a process: killed while it writes, restarted with its store, refused when it could forget."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from haetae_cli.policy_service import DevelopmentKey, terminal_token
from haetae_cli.state import StateDirectory
from haetae_policy.audit import verify_chain
from haetae_policy.io.connect import connect
from haetae_policy.io.ledger import Ledger, Side
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy_api.errors import SettingsInvalid
from haetae_policy_api.io.durability import require_durable

from tests.policy.conftest import Server
from tests.policy_api.service_process import service

SETTINGS = StoreSettings(prefix="haetae:", deadline_s=5.0)
SIZE = 10_000


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    made = StateDirectory(tmp_path / "state")
    made.create()
    return made


def headers(state: StateDirectory, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {terminal_token(state, 'kim')}", **more}


def batch() -> dict[str, Any]:
    policy = {"action": "block", "reason": "campaign", "lasts_s": 3600}
    return {"policies": [{**policy, "subject": {"user": f"u-{number}"}} for number in range(SIZE)]}


@pytest.fixture
async def store(own_valkey: Server) -> AsyncIterator[tuple[PolicyStore, Ledger]]:
    client = connect(own_valkey.settings)
    yield PolicyStore(client, SETTINGS), Ledger(client, SETTINGS)
    await client.aclose()


async def until_finished(ledger: Ledger) -> None:
    while await ledger.side_count(Side.BATCHES):  # noqa: ASYNC110  # another process does the work
        await asyncio.sleep(0.02)


async def live(store: PolicyStore) -> int:
    head = await store.head()
    return 0 if head is None else head.count


async def trail(ledger: Ledger) -> list[dict[str, Any]]:
    """The audit trail, which must be unbroken, oldest first."""
    head = await ledger.audit_head()
    entries = [entry async for entry in ledger.audit_entries(up_to=head.seq)]
    verify_chain(entries, head=head)
    return [entry.to_dict() for entry in entries]


async def documents(store: PolicyStore) -> dict[str, bytes]:
    """Every policy in force, by its identifier."""
    found: dict[str, bytes] = {}
    after = None
    while True:
        page = await store.list(limit=500, after=after)
        found |= {policy.id: policy.to_json() for policy in page.policies}
        if page.after is None:
            return found
        after = page.after


@pytest.mark.parametrize("stored", [None, 0, 1, SIZE // 2, SIZE - 1000, SIZE])
async def test_batch_of_a_killed_service_is_whole_or_absent_after_its_restart(
    own_valkey: Server, state: StateDirectory, store: tuple[PolicyStore, Ledger], stored: int | None
) -> None:
    policies, ledger = store
    key = {"Idempotency-Key": "once"}
    with service(own_valkey, state) as (url, process):
        async with httpx.AsyncClient() as http:
            sending = asyncio.create_task(
                http.post(f"{url}/v1/policies/batch", json=batch(), headers=headers(state, **key), timeout=30)
            )
            # It dies before anything was written (None), when the batch was only noted (0), or has stored so many.
            await asyncio.sleep(0)
            while stored is not None and not sending.done():
                if (await ledger.side_count(Side.BATCHES) or stored) and await live(policies) >= stored:
                    break
            process.send_signal(signal.SIGKILL)
            process.wait()
            await asyncio.wait([sending])
            answered = sending.exception() is None and sending.result().status_code == 201
        at_death = await live(policies)
        assert answered or at_death >= (stored or 0)
        assert at_death < SIZE or stored == SIZE, "it was to die in the midst"
        assert at_death == 0 or stored is not None
    with service(own_valkey, state) as (url, _):
        await until_finished(ledger)
        count = await live(policies)
        assert count in (0, SIZE)
        assert count == (0 if stored is None else SIZE)
        async with httpx.AsyncClient(timeout=30) as http:
            again = await http.post(f"{url}/v1/policies/batch", json=batch(), headers=headers(state, **key))
        assert again.status_code == 201
        assert await live(policies) == SIZE
    told, held = await trail(ledger), await documents(policies)
    created = [entry["details"] for entry in told if entry["action"] == "create"]
    assert sorted(name for details in created for name in details["policies"]) == sorted(held)
    for details in created:
        bound = sha256(b"\n".join(held[name] for name in details["policies"])).hexdigest()
        assert bound == details["documents_sha256"], "the trail binds what each policy said"
    assert [entry["action"] for entry in told if entry["action"] != "create"] == ["batch", "batch.done"]


@pytest.mark.parametrize("after", [1, 7, 20])
async def test_changes_of_a_killed_service_stand_whole_with_their_audit_entries(
    own_valkey: Server, state: StateDirectory, store: tuple[PolicyStore, Ledger], after: int
) -> None:
    policies, ledger = store
    with service(own_valkey, state) as (url, process):
        async with httpx.AsyncClient(timeout=30) as http:
            sent = [asyncio.create_task(_create(http, url, state, number)) for number in range(60)]
            while await live(policies) < after:  # noqa: ASYNC110 - another process does the work
                await asyncio.sleep(0)
            process.send_signal(signal.SIGKILL)
            process.wait()
            answers = [answer for answer in await asyncio.gather(*sent) if answer is not None]
        held = await documents(policies)
        assert after <= len(held) < 60, "it was to die in the midst"
        assert set(answers) <= set(held), "what was answered stands"
        told = await trail(ledger)
        assert sorted(entry["target"] for entry in told) == sorted(held), "no change without its entry, and none twice"
    with service(own_valkey, state) as (url, _):
        async with httpx.AsyncClient(timeout=30) as http:
            repeated = [await _create(http, url, state, number) for number in range(60)]
        assert None not in repeated
        held = await documents(policies)
        assert sorted(filter(None, repeated)) == sorted(held)
        assert len(held) == 60, "a repeated request makes nothing twice"


async def _create(http: httpx.AsyncClient, url: str, state: StateDirectory, number: int) -> str | None:
    document = {"action": "block", "reason": "r", "lasts_s": 600, "subject": {"user": f"u-{number}"}}
    sent = headers(state, **{"Idempotency-Key": f"create-{number}"})
    try:
        answer = await http.post(f"{url}/v1/policies", json=document, headers=sent)
    except httpx.TransportError:
        return None
    assert answer.status_code == 201
    made: str = answer.json()["policy"]["id"]
    return made


def test_nothing_is_lost_when_the_store_is_killed_and_restarted(own_valkey: Server, state: StateDirectory) -> None:
    with service(own_valkey, state) as (url, _):
        made = []
        for number in range(20):
            document = {"action": "block", "reason": "r", "lasts_s": 600, "subject": {"user": f"u-{number}"}}
            answer = httpx.post(f"{url}/v1/policies", json=document, headers=headers(state))
            assert answer.status_code == 201
            made.append(answer.json()["policy"]["id"])
        own_valkey.kill()
        down = httpx.get(f"{url}/v1/policies", headers=headers(state))
        assert (down.status_code, down.json()["code"]) == (503, "unavailable")
        own_valkey.start()
        listed = httpx.get(f"{url}/v1/policies", headers=headers(state)).json()["policies"]
        assert sorted(policy["id"] for policy in listed) == sorted(made)
        checked = httpx.get(f"{url}/v1/audit/verify", headers=headers(state)).json()
        assert checked["entries"] == 20


async def test_store_that_would_forget_is_refused_by_the_name_of_the_setting(own_valkey: Server) -> None:
    client = connect(own_valkey.settings)
    await require_durable(client)
    await client.config_set("appendonly", "no")
    with pytest.raises(SettingsInvalid, match="appendonly yes"):
        await require_durable(client)
    await client.aclose()


def test_tokens_that_are_forged_old_or_for_others_sign_nobody_in(
    own_valkey: Server, state: StateDirectory, tmp_path: Path
) -> None:
    other = StateDirectory(tmp_path / "other")
    other.create()
    key = DevelopmentKey.of(state)
    tokens = {
        "forged": terminal_token(other, "kim"),
        "old": key.token("kim", now=time.time() - 600, token_id="a"),
        "cut": terminal_token(state, "kim")[:-4],
    }
    with service(own_valkey, state) as (url, _):
        for name, token in tokens.items():
            answer = httpx.get(f"{url}/v1/policies", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401, name
            assert answer.headers["www-authenticate"].startswith("Bearer")
        twice = [("Authorization", f"Bearer {terminal_token(state, 'kim')}")] * 2
        assert httpx.get(f"{url}/v1/policies", headers=twice).status_code == 401
        assert httpx.get(f"{url}/v1/policies", headers=headers(state)).status_code == 200


def test_follower_over_http_sees_a_change_made_after_its_snapshot(own_valkey: Server, state: StateDirectory) -> None:
    with service(own_valkey, state) as (url, _):
        document = {"action": "block", "reason": "r", "lasts_s": 600, "subject": {"user": "u"}}
        httpx.post(f"{url}/v1/policies", json=document, headers=headers(state))
        snapshot = httpx.get(f"{url}/v1/feed", headers=headers(state)).json()
        made = httpx.post(f"{url}/v1/policies", json=document, headers=headers(state)).json()
        seen = b""
        with httpx.stream("GET", f"{url}/v1/feed/follow?after={snapshot['id']}", headers=headers(state)) as answer:
            for chunk in answer.iter_raw():
                seen += chunk
                if b"event: put" in seen and seen.endswith(b"\n\n"):
                    break
        put = next(part for part in seen.split(b"\n\n") if b"event: put" in part)
        data = orjson.loads(re.findall(rb"data: (.*)", put)[0])
        assert data["record"]["pid"] == made["policy"]["id"]
        assert data["seq"] == snapshot["seq"] + 1
        gone = httpx.get(f"{url}/v1/feed/follow?after=1-0", headers=headers(state))
        assert gone.text.startswith("event: reset")


def test_service_without_a_way_to_sign_in_does_not_start(own_valkey: Server) -> None:
    command = [sys.executable, "-m", "haetae_cli.main", "policy-api", "--redis", f"unix://{own_valkey.socket}"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30, env=dict(os.environ))
    assert ended.returncode == 1
    assert "nobody could sign in" in ended.stderr
