"""`haetae fds replay` as somebody else's simulator uses it: files in any condition, conversation, other processes."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from haetae_fds import Decision, Engine, Replay

from tests.fds.outside.bazaar import SETTINGS, Bazaar, Fields
from tests.fds.outside.gangs import object_walk, scraping_together, stuffing, stuffing_from_everywhere

SEED = 77
TEN = ["ts", "op", "mode", "action", "subject", "api", "exp", "detector", "why", "events"]


@pytest.fixture(scope="module")
def learnt() -> list[Fields]:
    return Bazaar(SEED).record(warm=True)


@pytest.fixture(scope="module")
def recorded() -> list[Fields]:
    world = Bazaar(SEED)
    for attack in (stuffing, stuffing_from_everywhere, object_walk, scraping_together):
        attack(world)
    return world.record()


def lines(events: list[Fields]) -> list[bytes]:
    return [json.dumps(event).encode() for event in events]


def decided(learnt: list[Fields], events: list[bytes]) -> tuple[list[Decision], Replay]:
    replay = Replay(Engine(SETTINGS))
    for line in lines(learnt):
        replay.train(line)
    return list(replay.lines(events)), replay


def found(made: list[Decision]) -> set[tuple[str, str | None]]:
    return {(one.detector, one.subject.user) for one in made if one.mode == "enforce" and one.action != "alert"}


def test_output_has_the_fields_of_the_contract_first(learnt: list[Fields], recorded: list[Fields]) -> None:
    made, _ = decided(learnt, lines(recorded))
    assert {"stuffing_from_address", "distributed_stuffing", "object_sweep", "coordinated_scraping"} <= {
        one.detector for one in made
    }
    for one in made:
        document = json.loads(one.to_json())
        assert list(document)[:10] == TEN
        assert document["op"] in ("put", "extend", "del")
        assert isinstance(document["exp"], int)
        assert 0 < len(document["events"]) <= 20


def test_same_lines_give_the_same_bytes_in_every_process(tmp_path: Path, recorded: list[Fields]) -> None:
    file, answers = tmp_path / "events.jsonl", []
    file.write_bytes(b"\n".join(lines(recorded)))
    for hash_seed in ("0", "1", "4242"):
        done = subprocess.run(
            [sys.executable, "-m", "haetae_cli.main", "fds", "replay", str(file)], capture_output=True, check=True,
            timeout=120, env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )  # fmt: skip
        answers.append(done.stdout)
    assert answers[0].count(b"\n") > 5
    assert answers[0] == answers[1] == answers[2]


def test_null_and_unheard_of_fields_change_nothing(learnt: list[Fields], recorded: list[Fields]) -> None:
    nulls = [{**dict.fromkeys(("asn", "ipc", "trace", "net"), None), "v": 9, "hue": "red", **e} for e in recorded]
    assert [one.to_json() for one in decided(learnt, lines(nulls))[0]] == [
        one.to_json() for one in decided(learnt, lines(recorded))[0]
    ]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_disorder_doubles_and_clocks_hide_no_attack_and_accuse_nobody(
    order: int, learnt: list[Fields], recorded: list[Fields]
) -> None:
    rng = random.Random(order)
    clocks = {"eu-1": 0, "eu-2": 5_000, "eu-3": -5_000}
    spoilt: list[tuple[float, dict[str, Any]]] = []
    for event in recorded:
        # Whoever calls keeps a connection, so one caller's events come through one gateway.
        gateway = ("eu-1", "eu-2", "eu-3")[crc32(event["ip"].encode()) % 3]
        arrives = event["ts"] + rng.uniform(0, 8_000)
        sent = {**event, "gw": gateway, "ts": event["ts"] + clocks[gateway]}
        spoilt += [(arrives + delay, sent) for delay in ((0, 2_000) if rng.random() < 0.05 else (0,))]
    spoilt.sort(key=lambda pair: pair[0])
    relearnt = [{**e, "gw": ("eu-1", "eu-2", "eu-3")[crc32(e["ip"].encode()) % 3]} for e in learnt]
    made, replay = decided(relearnt, lines([event for _, event in spoilt]))
    assert {"stuffing_from_address", "distributed_stuffing", "object_sweep"} <= {name for name, _ in found(made)}
    honest = {member.user for member in Bazaar(SEED).members}
    assert not {user for _, user in found(made)} & honest
    assert replay.engine.counted["duplicate"] > 100
    assert replay.engine.counted["late"] < 0.02 * len(spoilt)


def test_hostile_lines_are_refused_with_counted_reasons_and_nothing_is_forgotten(
    learnt: list[Fields], recorded: list[Fields]
) -> None:
    rng = random.Random(5)
    good = lines(recorded)
    hostile = [
        b"[" * 60_000, b'{"id":' * 3_000, b"\xff\xfe\x00", b"null", b'"text"', b"1e999", b'{"id":"x","ts":1e400}',
        b'{"id":"x","ts":true}', b'{"id":"","ts":1}', b'{"id":"x","ts":-1}', b'{"id":"x","ts":1,"status":"200"}',
        b'{"id":"x","ts":1,"user":"' + b"u" * 513 + b'"}', b'{"id":"x","ts":1,"obj_n":99999999999999999999}',
        b'{"id":"x","ts":1,"lat":NaN}', b'{"id":"x","ts":1,"auth":"perhaps"}', b'{"id":"x","ts":1,"dev_v":"yes"}',
        b'{"id":"x","ts":1,"ip":["1.1.1.1"]}', json.dumps({"id": "x", "ts": 1, "pad": "z" * 20_000}).encode(),
    ]  # fmt: skip
    mixed = list(good)
    for line in hostile:
        mixed.insert(rng.randrange(len(mixed)), line)
    made, replay = decided(learnt, mixed)
    assert sum(replay.refused.values()) == len(hostile)
    assert {"event", "ts", "id", "status", "user", "obj_n", "auth", "dev_v", "ip"} == set(replay.refused)
    assert [one.to_json() for one in made] == [one.to_json() for one in decided(learnt, good)[0]]


def test_conversation_answers_every_line_whatever_it_is() -> None:
    given = [b'{"id":"a","ts":1700000000000}', b"nonsense", b"[" * 100_000, b'{"id":"a","ts":1700000000000}', b"\xff"]
    with subprocess.Popen(
        [sys.executable, "-m", "haetae_cli.main", "fds", "replay", "--interactive"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for line in given:
            process.stdin.write(line + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == {"ready": True}
        process.stdin.close()
        summary = json.loads(process.stderr.read())
        assert process.wait(20) == 0
    assert summary["refused"] == {"event": 3}
    assert (summary["events"]["used"], summary["events"]["duplicate"]) == (1, 1)
