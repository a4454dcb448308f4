"""`haetae policy list-waiting | approve | reject` at a real policy API, and `haetae block reset` at a real store."""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from haetae_cli.blocks import PREFIX
from haetae_cli.main import main
from haetae_cli.state import RunningStack, StateDirectory
from haetae_policy.io.connect import connect
from haetae_policy.io.ledger import Ledger
from haetae_policy.io.store import PolicyStore, StoreSettings

from tests.policy.conftest import Server, run_server, valkey_binary
from tests.policy_api.service_process import service


@pytest.fixture(scope="module")
def valkey() -> Iterator[Server]:
    yield from run_server(valkey_binary())


@pytest.fixture(scope="module")
def stack(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    state = StateDirectory(tmp_path_factory.mktemp("stack") / "state")
    state.create()
    state.lock()
    with service(valkey, state) as (url, _):
        state.announce(
            RunningStack(
                pid=os.getpid(),
                redis_url=valkey.settings.url,
                identity="",
                issuer="",
                bank="",
                root_key={},
                policy_api=url,
            )
        )
        yield state.path
    state.unlock()


def ask(stack: Path, capsys: pytest.CaptureFixture[str], *, by: str) -> str:
    """Ask to block everyone, which waits for somebody else; return the policy's id."""
    words = ["block", "add", "--state", str(stack), "--by", by, "--reason", "outage", "--route", "transfer"]
    assert main(words) == 1
    told = capsys.readouterr().err
    assert "waits for a second person" in told
    return next(word for word in told.split() if word.startswith("pol_"))


def waiting(stack: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["policy", "list-waiting", "--state", str(stack), "--json"]) == 0
    return [record["id"] for record in json.loads(capsys.readouterr().out)]


def test_waiting_policy_is_shown_and_put_in_force_by_another_person_only(
    stack: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HAETAE_REDIS_URL", raising=False)
    asked = ask(stack, capsys, by="kim")
    assert asked in waiting(stack, capsys)
    assert main(["policy", "list-waiting", "--state", str(stack)]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in (asked, "everyone", "kim", "outage"))
    assert main(["policy", "approve", asked, "--state", str(stack), "--by", "kim"]) == 1
    assert "another person" in capsys.readouterr().err
    assert main(["policy", "approve", asked, "--state", str(stack), "--by", "lee"]) == 0
    assert "approved; in force on 0/0 workers" in capsys.readouterr().out
    assert asked not in waiting(stack, capsys)
    assert main(["block", "list", "--state", str(stack), "--json"]) == 0
    held = {policy["id"]: policy for policy in json.loads(capsys.readouterr().out)}
    assert held[asked]["approved_by"] == "lee"


def test_rejected_policy_neither_waits_nor_takes_effect(
    stack: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HAETAE_REDIS_URL", raising=False)
    asked = ask(stack, capsys, by="kim")
    assert main(["policy", "reject", asked, "--state", str(stack), "--by", "lee", "--reason", "no outage"]) == 0
    assert capsys.readouterr().out.strip() == f"rejected {asked}"
    assert asked not in waiting(stack, capsys)
    assert main(["policy", "approve", asked, "--state", str(stack), "--by", "lee"]) == 1
    assert "nothing waits under this identifier" in capsys.readouterr().err
    assert main(["block", "list", "--state", str(stack), "--json"]) == 0
    assert asked not in capsys.readouterr().out


async def test_reset_is_done_only_when_meant_and_is_in_the_audit_trail(valkey: Server) -> None:
    client = connect(valkey.settings)
    settings = StoreSettings(prefix=PREFIX)
    store, ledger = PolicyStore(client, settings), Ledger(client, settings)
    await store.establish(now_ms=int(time.time() * 1000), epoch_randomness=b"12345678")
    before = await store.head()
    words = ["block", "reset", "--redis", valkey.settings.url, "--by", "kim"]
    assert await asyncio.to_thread(main, words) == 1
    assert await store.head() == before
    assert await asyncio.to_thread(main, [*words, "--yes"]) == 0
    after = await store.head()
    assert before is not None
    assert after is not None
    assert after.epoch != before.epoch
    assert after.reset_id > before.reset_id
    entry = (await ledger.audit_page(limit=1))[0].to_dict()
    assert (entry["actor"], entry["action"], entry["target"]) == ("kim", "reset", "log")
    await client.aclose()
