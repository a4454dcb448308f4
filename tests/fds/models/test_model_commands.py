"""`haetae fds train`, `models`, `propose`, `labels`, and `replay` with models and rules: from files to decisions."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from haetae_cli.main import main
from haetae_cli.worlds import on_its_day
from haetae_demo.attack import CASES as WORLDS
from haetae_demo.attack import SHAPES
from haetae_fds.decision import Subject
from haetae_fds.detectors.registry import DETECTORS
from haetae_fds.io.feedback import Label, Labels, Word
from haetae_fds.models.truth import Truth
from haetae_policy.io.commands import Commands

from tests.simulator.valkey import valkey

pytestmark = pytest.mark.timeout(300)
CASES = ("stuffing_one_address", "object_search", "app_analysis")


def haetae(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "haetae_cli.main", "fds", *words],
        capture_output=True,
        text=True,
        check=check,
        timeout=240,
    )


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small worlds, each with three attacks on three days."""
    folder = tmp_path_factory.mktemp("recordings")
    haetae("worlds", *CASES, "--shape", "small", "--people", "150", "--seeds", "2", "--record", str(folder))
    return folder


def sources(folder: Path) -> list[str]:
    words = [str(path) for path in sorted(folder.glob("*.events"))]
    for path in sorted(folder.glob("*.labels")):
        words += ["--labels", str(path)]
    return words


@pytest.fixture(scope="module")
def models(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "m"
    card = haetae("train", *sources(recordings), "--out", str(folder)).stdout
    assert "# model_offline version 1" in card
    return folder


@pytest.fixture
def rules_off(tmp_path: Path) -> str:
    """Settings under which no built-in rule decides anything."""
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"detectors": {rule.name: {"mode": "off"} for rule in DETECTORS}}))
    return str(path)


def test_recordings_lie_on_different_days_and_no_event_is_in_two(recordings: Path) -> None:
    files = sorted(recordings.glob("*.events"))
    events = [[json.loads(line) for line in path.read_bytes().splitlines()] for path in files]
    assert len({one[0]["ts"] // 86_400_000 for one in events}) == len(files) == 6
    assert len({event["id"] for one in events for event in one}) == sum(map(len, events))


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_every_case_of_a_world_has_a_day_of_its_own(shape: str) -> None:
    world = SHAPES[shape](1)
    assert len({on_its_day(world, case).start_ms // 86_400_000 for case in WORLDS.values()}) == len(WORLDS)


def test_worlds_with_models_are_played_the_same_again_and_models_decide_in_them(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fds", "worlds", "stuffing_one_address", "--shape", "small", "--seeds", "1", "--people", "80"]
    words += ["--no-yardstick", "--json"]
    played = []
    for _ in range(2):
        assert main([*words, "--models", str(models)]) == 0
        played.append(capsys.readouterr().out)
    assert played[0] == played[1]
    assert main(words) == 0
    plain = capsys.readouterr().out
    watched, alone = (json.loads(text.splitlines()[0])["reports"][0] for text in (played[0], plain))
    assert watched["decisions"] > alone["decisions"], "what models in shadow find is written down"
    assert watched["attacks"] == alone["attacks"], "and changes nothing"
    assert main([*words, "--models", str(tmp_path / "none")]) == 1
    assert "--models" in capsys.readouterr().err


def test_trained_version_begins_in_shadow_and_takes_a_name_to_act(models: Path) -> None:
    where = ("--models", str(models))
    assert "shadow" in haetae("models", "show", "model_offline", *where).stdout
    refused = haetae("models", "promote", "model_offline", *where, check=False)
    assert refused.returncode != 0
    assert "14 days" in refused.stderr
    assert "Traceback" not in refused.stderr
    haetae("models", "promote", "model_offline-1", *where, "--owner", "kim", "--by", "lee", "--why", "trial")
    listed = haetae("models", *where).stdout
    assert "owner kim; trial" in listed
    haetae("models", "shadow", "model_offline", *where)


def test_replay_with_a_watching_model_changes_nothing_that_acts_and_explains_itself(
    models: Path, recordings: Path, rules_off: str
) -> None:
    events, given = str(next(iter(sorted(recordings.glob("stuffing_one_address*.events"))))), ("--models", str(models))
    plain = [json.loads(line) for line in haetae("replay", events).stdout.splitlines()]
    beside = [json.loads(line) for line in haetae("replay", *given, events).stdout.splitlines()]
    assert [one for one in beside if one["mode"] == "enforce"] == [one for one in plain if one["mode"] == "enforce"]
    # What a rule already refuses a model need not decide, so it is looked at alone.
    alone = [json.loads(line) for line in haetae("replay", "--settings", rules_off, *given, events).stdout.splitlines()]
    watched = [one for one in alone if one["detector"] == "model_challenger"]
    assert watched
    assert all(one["mode"] == "shadow" and "usually" in one["why"] for one in watched)


def test_proposed_rules_are_written_in_shadow_and_can_be_replayed(
    recordings: Path, tmp_path: Path, rules_off: str
) -> None:
    rules = tmp_path / "rules.json"
    table = haetae("propose", *sources(recordings), "--out", str(rules)).stdout
    assert "proposed_1" in table
    written = orjson.loads(rules.read_bytes())["rules"]
    assert all(rule["mode"] == "shadow" and rule["backtest"]["people_hit_per_day"] == 0 for rule in written)
    events = str(next(iter(sorted(recordings.glob("object_search*.events")))))
    answer = haetae("replay", "--settings", rules_off, "--rules", str(rules), events)
    decided = [json.loads(line) for line in answer.stdout.splitlines()]
    assert any(one["detector"].startswith("proposed_") and one["mode"] == "shadow" for one in decided)


def test_files_that_cannot_be_used_are_refused_in_a_sentence(tmp_path: Path, recordings: Path) -> None:
    events = next(iter(recordings.glob("*.events")))
    empty = tmp_path / "labels"
    empty.write_bytes(b"")
    for words in (
        ("replay", "--models", str(tmp_path / "none"), str(events)),
        ("replay", "--rules", str(tmp_path / "none"), str(events)),
        ("train", str(events), "--labels", str(empty), "--out", str(tmp_path / "m")),
        ("train", str(empty), "--labels", str(events), "--out", str(tmp_path / "m")),
        ("propose", str(recordings / "none"), "--labels", str(empty), "--out", str(tmp_path / "r")),
        ("models", "show", "--models", str(recordings)),
        ("models", "show", "nobody", "--models", str(recordings)),
    ):
        done = haetae(*words, check=False)
        assert done.returncode != 0, words
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stderr.startswith("haetae"), done.stderr


async def test_labels_come_out_as_lines_that_training_reads() -> None:
    async with valkey() as server:
        client = server.client()
        labels = Labels(Commands(client, deadline_s=2), prefix="haetae:")
        for number, word in enumerate((Word.CONFIRM, Word.FALSE_ALARM)):
            await labels.add(
                Label(
                    at_ms=1000 + number, word=word, by="kim", policy_id=f"gone{number}", decision=f"fds_{number}",
                    detector="spraying", subject=Subject(user="u1"), campaign="c",
                )
            )  # fmt: skip
        await client.aclose()
        done = await asyncio.to_thread(haetae, "labels", "--redis", f"unix://{server.socket}")
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["word"], line["subject"]) for line in lines] == [
        ("confirm", {"user": "u1"}),
        ("false-alarm", {"user": "u1"}),
    ]
    truth = Truth()
    truth.read(done.stdout.encode().splitlines())
    assert [one.fraud for one in truth.verdicts] == [True, False]
