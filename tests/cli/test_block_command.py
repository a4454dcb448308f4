"""``haetae block`` against a real embedded Valkey."""

import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from haetae_cli.children import Children
from haetae_cli.state import StateDirectory
from haetae_cli.store import start_embedded
from haetae_policy.io.connect import RedisSettings, connect
from haetae_policy.io.refusals import Refusal, RefusalStore


@pytest.fixture
async def redis_url(tmp_path: Path) -> AsyncIterator[str]:
    state = StateDirectory(tmp_path / "store-state")
    state.create()
    async with Children(logs=state.logs) as children:
        yield (await start_embedded(children, state)).url


def block(haetae: Any, url: str, *words: str) -> Any:
    return haetae.run("block", *words, "--redis", url)


async def test_policy_is_added_listed_explained_and_removed(haetae: Any, redis_url: str) -> None:
    what = ["--user", "u-1029", "--route", "bank-transfers", "--method", "POST"]
    why = ["--reason", "credential stuffing", "--for", "30m", "--ticket", "FR-311", "--by", "analyst.kim"]
    added = block(haetae, redis_url, "add", *what, *why)
    assert (added.code, added.err) == (0, "")
    policy_id = added.out.split()[0]
    assert policy_id.startswith("pol_")
    assert "no gateway is connected" in added.out

    (listed,) = json.loads(block(haetae, redis_url, "list", "--json").out)
    assert listed["id"] == policy_id
    assert listed["subject"] == {"user": "u-1029"}
    assert listed["api"] == {"route": "bank-transfers", "method": "POST"}
    assert (listed["action"], listed["ticket"]) == ("block", "FR-311")
    assert listed["source"] == {"kind": "analyst", "name": "analyst.kim"}
    table = block(haetae, redis_url, "list").out
    assert "user u-1029" in table
    assert "29 min" in table

    named = block(haetae, redis_url, "why", "--user", "u-1029")
    assert policy_id in named.out
    assert block(haetae, redis_url, "why", "--user", "u-1").out == "no policies\n"

    removed = block(haetae, redis_url, "remove", policy_id)
    assert (removed.code, removed.out) == (0, f"removed {policy_id}\n")
    assert block(haetae, redis_url, "list").out == "no policies\n"
    again = block(haetae, redis_url, "remove", policy_id)
    assert again.code == 1
    assert f"there is no policy {policy_id}" in again.err


async def test_network_policy_is_found_by_an_address_in_it(haetae: Any, redis_url: str) -> None:
    added = block(haetae, redis_url, "add", "--ip", "198.51.100.0/24", "--reason", "scan", "--json")
    policy_id = json.loads(added.out)["id"]
    inside = json.loads(block(haetae, redis_url, "why", "--ip", "198.51.100.7", "--json").out)
    assert [policy["id"] for policy in inside] == [policy_id]
    assert json.loads(block(haetae, redis_url, "why", "--ip", "198.51.101.7", "--json").out) == []


async def test_throttle_needs_a_rate_and_shows_it(haetae: Any, redis_url: str) -> None:
    refused = block(haetae, redis_url, "add", "--user", "u", "--action", "throttle", "--reason", "r")
    assert refused.code == 1
    assert "rate" in refused.err
    words = ["--user", "u", "--action", "throttle", "--rate", "10/1m", "--reason", "r"]
    assert block(haetae, redis_url, "add", *words).code == 0
    (listed,) = json.loads(block(haetae, redis_url, "list", "--json").out)
    assert listed["rate"] == {"limit": 10, "per_seconds": 60}


async def test_blocking_everyone_needs_a_second_person(haetae: Any, redis_url: str) -> None:
    words = ["--route", "bank-transfers", "--reason", "incident", "--by", "kim"]
    refused = block(haetae, redis_url, "add", *words)
    assert refused.code == 1
    assert "approved_by" in refused.err
    assert block(haetae, redis_url, "add", *words, "--approved-by", "lee").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--user", "u", "--for", "31d"],
        ["--ip", "300.0.0.1"],
        ["--user", "u", "--path", "api/no-slash"],
        ["--user", "u" * 300],
    ],
)
async def test_policy_that_breaks_a_rule_is_one_clear_line(haetae: Any, redis_url: str, words: list[str]) -> None:
    outcome = block(haetae, redis_url, "add", *words, "--reason", "r")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("haetae block: ")
    assert outcome.err.count("\n") == 1


async def test_reference_of_a_refusal_is_explained(haetae: Any, redis_url: str) -> None:
    client = connect(RedisSettings(url=redis_url))
    now_ms = int(time.time() * 1000)
    refusal = Refusal(
        policy_id="pol_x", action="block", why="manual", at_ms=now_ms, facts={"user": "u-1", "route": "r\x1b[2J"}
    )
    await RefusalStore(client).record("ABCD-EFGH", refusal)
    await client.aclose()
    explained = block(haetae, redis_url, "why", "ABCD-EFGH")
    assert explained.code == 0
    assert "pol_x" in explained.out
    assert "u-1" in explained.out
    assert "\x1b" not in explained.out
    unknown = block(haetae, redis_url, "why", "ABCD-0000")
    assert unknown.code == 1
    assert "nothing is known under this reference" in unknown.err


def test_store_that_does_not_answer_is_one_clear_line(haetae: Any) -> None:
    outcome = block(haetae, "redis://127.0.0.1:1/0", "list")
    assert (outcome.code, outcome.err) == (1, "haetae block: the store does not answer; is the stack running?\n")


def test_without_a_stack_the_command_says_how_to_start_one(haetae: Any) -> None:
    outcome = haetae.run("block", "list")
    assert outcome.code == 1
    assert "haetae up" in outcome.err
    assert os.linesep not in outcome.err.rstrip()


def test_wrong_duration_is_a_usage_error(haetae: Any) -> None:
    assert block(haetae, "redis://127.0.0.1:1", "add", "--reason", "r", "--for", "soon").code == 2
    assert block(haetae, "redis://127.0.0.1:1", "why").code == 1
